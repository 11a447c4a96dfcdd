"""``lpspec clocks``: the data rate and NPU clock with which a demanded token/s takes the least energy."""

from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from lpspec.cli.compiled import announce_compiling
from lpspec.cli.console import progress
from lpspec.cli.deliver import deliver
from lpspec.cli.options import FigureFile, JsonFile, flattened, read_scenario
from lpspec.cli.outputs import plan_outputs
from lpspec.errors import InputError
from lpspec.scenario import Scenario

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    Options: TypeAlias = Any
else:
    Options = flattened(Scenario)

MOST_DEMANDS = 200


def clocks(
    *,
    tokens_per_s: str | None = None,
    first_token_ms: float | None = None,
    operating_points: str = "phone",
    options: Annotated[Options, Parameter(name="*")] = Options(),  # noqa: B008
    json: JsonFile = None,
    figure: FigureFile = None,
) -> None:
    """Find the data rate and NPU clock with which a demanded token/s takes the least energy.

    Where nothing else is said, lp-spec runs under profile micron-y52p, whose dies cost energy while they wait, with
    trees sized for energy.

    Parameters
    ----------
    tokens_per_s
        Demands, with commas between them; 5:40 is eight from 5 to 40, 5:40:10 every tenth; 5,10,20,40,60,80 if left
        out.
    first_token_ms
        Leave out clocks at which the first token of a prompt comes later than this.
    operating_points
        phone, or a TOML file: clocks with their voltages.
    json
        Write the result as JSON to this file; - prints it instead of the table.
    figure
        Write a figure to this path, as .pdf and .png.
    """
    outputs = plan_outputs(json, figure)
    announce_compiling()
    from lpspec.experiments.clocks import BASE, DEMANDS, clocks_study
    from lpspec.report.clocks_table import clocks_blocks, clocks_document

    demands = DEMANDS if tokens_per_s is None else demands_of(tokens_per_s)
    asked = read_scenario(None, options, BASE)
    with progress("pricing clocks") as line:

        def advance(what: str) -> None:
            if line is not None:
                line.update(what)

        result = clocks_study(asked, demands, operating_points, first_token_ms, advance)

    def draw() -> "Figure":
        from lpspec.report.clocks_figure import clocks_figure

        return clocks_figure(result)

    deliver(outputs, clocks_document(result), clocks_blocks(result), draw)


def demands_of(text: str) -> tuple[float, ...]:
    """Demands from a list such as 5,10,20 or a range such as 5:40 or 5:40:5.

    Raises:
        InputError: Something in it is no number, or a range has no end.
    """
    found: list[float] = []
    for part in text.split(","):
        try:
            numbers = [float(number) for number in part.split(":")]
        except ValueError:
            numbers = []
        if len(numbers) not in (1, 2, 3) or not all(map(isfinite, numbers)):
            raise InputError(f"--tokens-per-s {text}: '{part}' is no number, START:STOP or START:STOP:STEP")
        start, stop = numbers[0], numbers[min(1, len(numbers) - 1)]
        step = numbers[2] if len(numbers) == 3 else (stop - start) / 7
        if stop < start or (stop > start and not 0 < step <= stop - start):
            raise InputError(f"--tokens-per-s {text}: '{part}' must rise from START to STOP by a STEP above 0")
        count = 1 if stop == start else int((stop - start) / step + 1e-9) + 1
        if len(found) + count > MOST_DEMANDS:
            raise InputError(f"--tokens-per-s {text}: more than {MOST_DEMANDS} demands")
        found += [start + i * step for i in range(count)]
    return tuple(found)
