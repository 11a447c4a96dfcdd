"""Energy of one product on every device, by what is counted."""

from matplotlib.figure import Figure

from lpspec.experiments.product import ProductPrice
from lpspec.machine.energy_profile import COMPONENTS, EVENTS
from lpspec.report.compare_figure import LOOKS
from lpspec.report.figures import GREY, SINGLE_COLUMN_IN, bare_axes, in_style


def product_figure(price: ProductPrice) -> Figure:
    """A stacked bar for each device, in the names and colours of ``lpspec compare``."""
    devices = range(len(price.devices))
    with in_style():
        figure = Figure(figsize=(SINGLE_COLUMN_IN, 0.7 + 0.5 * len(devices)), layout="constrained")
        axes = figure.subplots()
        left_uj = [0.0 for _ in devices]
        for component in COMPONENTS:
            widths_uj = [
                sum(pj for event, pj in cost.energy_pj.items() if EVENTS[event].component == component) / 1e6
                for cost in price.devices
            ]
            if any(widths_uj):
                name, colour, hatch = LOOKS.get(component, (component, GREY, ""))
                axes.barh(
                    devices, widths_uj, left=left_uj, label=name, color=colour, hatch=hatch, edgecolor="white", lw=0
                )
            left_uj = [left + width for left, width in zip(left_uj, widths_uj, strict=True)]
        axes.set_yticks(devices, [cost.device for cost in price.devices])
        axes.invert_yaxis()
        axes.set_xlim(0, 1.05 * max(left_uj))
        axes.set_xlabel("energy (uJ)")
        axes.legend(frameon=False, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
        bare_axes(axes)
    return figure
