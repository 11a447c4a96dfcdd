"""``lpspec price``: one matrix product on every device of a system."""

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from lpspec.cli.deliver import deliver
from lpspec.cli.options import JsonFile, flattened, given_options
from lpspec.cli.outputs import plan_outputs
from lpspec.scenario.product import Product

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    Options: TypeAlias = Any
else:
    Options = flattened(Product)


def price(
    *,
    options: Annotated[Options, Parameter(name="*")] = Options(),  # noqa: B008
    json: JsonFile = None,
    figure: str | None = None,
) -> None:
    """Price one matrix product on every device of a system: analytic time, and energy by what is counted.

    Parameters
    ----------
    figure
        Draw the energy by component to this path, as .pdf and .png; .pdf, .png or .svg at its end names one.
    """
    outputs = plan_outputs(json, figure)
    asked = Product(**given_options(Product, options))
    from lpspec.experiments.product import price_product
    from lpspec.report.product_table import product_blocks, product_document

    result = price_product(asked)

    def draw() -> "Figure":
        from lpspec.report.product_figure import product_figure

        return product_figure(result)

    deliver(outputs, product_document(result), product_blocks(result), draw)
