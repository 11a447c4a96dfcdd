"""``lpspec clocks``: the data rate and NPU clock with which a demanded token/s takes the least energy."""

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from lpspec.cli.asked import with_command
from lpspec.cli.compiled import announce_compiling
from lpspec.cli.console import progress
from lpspec.cli.deliver import deliver
from lpspec.cli.options import FigureFile, JsonFile, flattened, given_options, read_scenario, split_names
from lpspec.cli.outputs import plan_outputs
from lpspec.errors import InputError
from lpspec.scenario import Scenario
from lpspec.scenario.description import Description
from lpspec.scenario.names import OBJECTIVES, Objective
from lpspec.scenario.option import option, options_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Clocking(Description):
    """A machine whose clocks are chosen, and what is wanted of it."""

    KIND = "choice of clocks"

    tokens_per_s: str = option(
        "5,10,20,40,60,80", "Demands, with commas between them; 5:40 is eight from 5 to 40, 5:40:10 every tenth."
    )
    first_token_ms: float | None = option(
        None, "Leave out clocks at which the first token of a prompt comes later than this."
    )
    operating_points: str = option("phone", "phone, or a TOML file: clocks with their voltages.", is_path=True)
    systems: str = option(
        "lp-spec", "The one system: npu, npu-spec, pim, pim-spec, lp-spec or a platform file.", is_path=True
    )
    objective: Objective = option("energy", "What the pruner optimises: throughput, energy or edp.", choices=OBJECTIVES)
    energy_profile: str = option(
        "micron-y52p",
        "micron-y52p (whose waiting dies cost energy), attacc, specpim or a TOML file.",
        is_path=True,
    )


OWN = ("systems", "objective", "energy_profile")
"""Options of a scenario that are others here where nothing is said."""

ONE_AT_A_TIME = ("requests", "batch")
"""Options that it does not take: a demand in token/s is that of one request."""

if TYPE_CHECKING:
    Options: TypeAlias = Any
    ClockingOptions: TypeAlias = Any
else:
    Options = flattened(Scenario, *(each.name for each in options_of(Scenario) if each.name not in OWN + ONE_AT_A_TIME))
    ClockingOptions = flattened(Clocking)

MOST_DEMANDS = 200


def clocks(
    *,
    clocking: Annotated[ClockingOptions, Parameter(name="*")] = ClockingOptions(),  # noqa: B008
    options: Annotated[Options, Parameter(name="*")] = Options(),  # noqa: B008
    json: JsonFile = None,
    figure: FigureFile = None,
) -> None:
    """Find the data rate and NPU clock with which a demanded token/s takes the least energy."""
    outputs = plan_outputs(json, figure)
    asked = Clocking(**given_options(Clocking, clocking))
    demands = demands_of(asked.tokens_per_s)
    own = {"objective": asked.objective, "energy_profile": asked.energy_profile}
    scenario = read_scenario(None, options).replace(systems=split_names("--systems", [asked.systems]), **own)
    announce_compiling()
    from lpspec.experiments.clocks import clocks_study
    from lpspec.report.clocks_table import clocks_blocks, clocks_document

    with progress("pricing clocks") as advance:
        result = clocks_study(scenario, demands, asked.operating_points, asked.first_token_ms, advance)

    def draw() -> "Figure":
        from lpspec.report.clocks_figure import clocks_figure

        return clocks_figure(result)

    deliver(outputs, with_command(clocks_document(result)), clocks_blocks(result), draw)


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
