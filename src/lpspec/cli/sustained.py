"""``lpspec sustained``: what a phone that warms up leaves of a machine's token/s."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from lpspec.cli.asked import with_command
from lpspec.cli.compiled import announce_compiling
from lpspec.cli.console import progress
from lpspec.cli.deliver import deliver
from lpspec.cli.options import FigureFile, JsonFile, flattened, given_options, read_scenario, split_names
from lpspec.cli.outputs import plan_outputs
from lpspec.scenario import Scenario
from lpspec.scenario.description import Description
from lpspec.scenario.option import option, options_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Lasting(Description):
    """Machines that get warm, and what they give off."""

    KIND = "sustained"

    operating_points: str = option(
        "phone",
        "phone, or a TOML file: clocks with their voltages, and [thermal], what the case gives off.",
        is_path=True,
    )
    systems: str = option(
        "npu,npu-spec,lp-spec,lp-spec-plus",
        "Systems with an NPU and LPDDR, or platform files, with commas between them.",
        is_path=True,
    )
    energy_profile: str = option(
        "micron-y52p", "micron-y52p (whose waiting dies cost energy), attacc, specpim or a TOML file.", is_path=True
    )


OWN = ("systems", "energy_profile", "requests", "batch")
"""Options of a scenario that are others here where nothing is said, or that are not taken."""

if TYPE_CHECKING:
    Options: TypeAlias = Any
    LastingOptions: TypeAlias = Any
else:
    Options = flattened(Scenario, *(each.name for each in options_of(Scenario) if each.name not in OWN))
    LastingOptions = flattened(Lasting)


def sustained(
    *,
    lasting: Annotated[LastingOptions, Parameter(name="*")] = LastingOptions(),  # noqa: B008
    options: Annotated[Options, Parameter(name="*")] = Options(),  # noqa: B008
    json: JsonFile = None,
    figure: FigureFile = None,
) -> None:
    """Compare what machines do on a cold phone with what they keep up on a warm one."""
    outputs = plan_outputs(json, figure)
    asked = Lasting(**given_options(Lasting, lasting))
    own = {"energy_profile": asked.energy_profile}
    scenario = read_scenario(None, options).replace(systems=split_names("--systems", [asked.systems]), **own)
    announce_compiling()
    from lpspec.experiments.sustained import sustained_study
    from lpspec.report.sustained_table import sustained_blocks, sustained_document

    with progress("pricing clocks and ranks") as advance:
        result = sustained_study(scenario, asked.operating_points, advance)

    def draw() -> "Figure":
        from lpspec.report.sustained_figure import sustained_figure

        return sustained_figure(result)

    deliver(outputs, with_command(sustained_document(result)), sustained_blocks(result), draw)
