"""Energy of one product on every device, by what is counted."""

from matplotlib.figure import Figure

from lpspec.experiments.product import ProductPrice
from lpspec.machine.energy_profile import EVENTS
from lpspec.report.figures import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SINGLE_COLUMN_IN,
    SKY,
    VERMILION,
    bare_axes,
    in_style,
)

COLOURS = {"array": BLUE, "io": SKY, "buffer": GREEN, "mac": ORANGE, "activation": VERMILION, "migration": PURPLE}
"""By component; others are grey."""


def product_figure(price: ProductPrice) -> Figure:
    """A stacked bar for each device."""
    with in_style():
        figure = Figure(figsize=(SINGLE_COLUMN_IN, 0.7 + 0.5 * len(price.devices)), layout="constrained")
        axes = figure.subplots()
        labelled: set[str] = set()
        for place, cost in enumerate(price.devices):
            left_uj = 0.0
            for component in dict.fromkeys(EVENTS[event].component for event in cost.energy_pj):
                own = [pj for event, pj in cost.energy_pj.items() if EVENTS[event].component == component]
                label = component if component not in labelled else None
                labelled.add(component)
                width_uj = sum(own) / 1e6
                axes.barh(place, width_uj, left=left_uj, color=COLOURS.get(component, GREY), label=label)
                left_uj += width_uj
        axes.set_yticks(range(len(price.devices)), [cost.device for cost in price.devices])
        axes.invert_yaxis()
        axes.set_xlabel("energy (uJ)")
        axes.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
        bare_axes(axes)
    return figure
