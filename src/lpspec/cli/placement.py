"""``lpspec placement``: what it is worth to keep weights on both sides, or to move them."""

from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from cyclopts import Parameter

from lpspec.cli.compiled import announce_compiling
from lpspec.cli.console import progress
from lpspec.cli.deliver import deliver
from lpspec.cli.options import JsonFile, ScenarioFile, flattened, read_scenario
from lpspec.cli.outputs import plan_outputs
from lpspec.scenario import Scenario

if TYPE_CHECKING:
    Options: TypeAlias = Any
else:
    Options = flattened(
        Scenario,
        *("model", "weights", "kv", "routing", "trace", "prompt_tokens", "new_tokens", "changes"),
        *("energy_profile", "fidelity", "exact"),
    )


def placement(
    *,
    scenario: ScenarioFile = None,
    options: Annotated[Options, Parameter(name="*")] = Options(),  # noqa: B008
    json: JsonFile = None,
) -> None:
    """Compare static, dynamic and replicated placement of weights on LP-Spec."""
    outputs = plan_outputs(json)
    asked = read_scenario(scenario, options)
    announce_compiling()
    from lpspec.experiments.placement import placement_study
    from lpspec.report.placement_table import placement_blocks, placement_document

    with progress("decoding under three placements"):
        result = placement_study(asked)
    deliver(outputs, placement_document(result), placement_blocks(result))
