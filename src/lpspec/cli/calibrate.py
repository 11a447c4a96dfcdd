"""``lpspec calibrate``: what decoding steps take on this machine, by which trees are sized for real speed."""

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from lpspec.cli.compiled import announce_compiling
from lpspec.cli.console import counted
from lpspec.cli.deliver import deliver
from lpspec.cli.options import WholeNumber, flattened, given_options
from lpspec.cli.outputs import plan_outputs
from lpspec.decoding import need_models_extra
from lpspec.scenario import Request

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    Options: TypeAlias = Any
else:
    Options = flattened(Request, "model", "drafter", "heads", "dtype", "backend")


def calibrate(
    *,
    options: Annotated[Options, Parameter(name="*")] = Options(),  # noqa: B008
    longest: WholeNumber = 1024,
    seconds: float = 10.0,
    json: str | None = None,
    figure: str | None = None,
) -> None:
    """Time verify passes and drafts on this machine, over tree sizes and contexts.

    `lpspec generate --objective machine --prices FILE` then sizes trees for real speed by the file of --json.

    Parameters
    ----------
    longest
        Longest context to time, tokens; the model's own limit if that is less.
    seconds
        Time to spend; every pass is timed three times at least.
    json
        Write the prices as JSON to this file; - prints them instead of the table.
    figure
        Measure speed at many tree sizes too, and draw it against what the prices predict: .pdf and .png.
    """
    outputs = plan_outputs(json, figure)
    need_models_extra()
    announce_compiling()
    from lpspec.experiments.decoder import load_decoder
    from lpspec.experiments.machine import check_calibration, machine_prices
    from lpspec.report.machine_table import machine_blocks

    check_calibration(longest, seconds)
    request = Request(**given_options(Request, options))
    decoder = load_decoder(request.model, request.drafter, request.heads, dtype=request.dtype, backend=request.backend)
    with counted("timing verify passes") as say:
        prices = machine_prices(decoder, longest, say=say, budget_s=seconds)
    curve = None
    if figure is not None:
        from lpspec.experiments.speed_curve import measure_curve

        with counted("decoding with trees of every size") as say:
            curve = measure_curve(decoder, prices, say)

    def draw() -> "Figure":
        from lpspec.report.speed_figure import speed_figure

        assert curve is not None
        return speed_figure(curve)

    deliver(outputs, prices.document(), machine_blocks(prices, curve), draw)
