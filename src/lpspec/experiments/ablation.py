"""What each part of LP-Spec is worth: the system against itself with one part taken away."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from lpspec.experiments.systems import make_system
from lpspec.llm.draft_work import undrafted
from lpspec.llm.model_spec import ModelSpec
from lpspec.scenario import Scenario
from lpspec.scenario.names import Objective
from lpspec.simulation.run import Run, simulate
from lpspec.simulation.workload import System, TreePolicy, tree_policy
from lpspec.speculation.medusa_trees import named_tree
from lpspec.speculation.rank_trace import RankTrace

WHOLE_TREE = "mc_sim_7b_63"
"""What is verified where nothing prunes: Medusa's published tree of 64 tokens."""

FULL = "LP-Spec"

SPLITS: dict[Objective, str] = {"throughput": "replicated", "energy": "least-energy", "edp": "least-edp"}
"""The DAU that serves the same objective as the pruner."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of LP-Spec, and how it is taken away.

    Attributes:
        name: What tables call the system without it.
        effect: Why the part should help, for a reader of the table.
        system: The system without it.
        policy: How trees are found without it.
    """

    name: str
    effect: str
    system: Callable[[System, Scenario], System] = lambda system, _: system
    policy: Callable[[TreePolicy], TreePolicy] = lambda policy: policy


@dataclass(frozen=True, slots=True)
class Reduced:
    """LP-Spec with a part taken away, and its run."""

    name: str
    effect: str
    run: Run


def ablation(scenario: Scenario, model: ModelSpec, trace: RankTrace) -> tuple[Reduced, ...]:
    """Run LP-Spec, then LP-Spec without each of its parts, every pruner sizing trees for its own machine.

    Args:
        scenario: Its objective is what pruner and DAU optimise.
        model: The decoder.
        trace: Whose acceptance is replayed.

    Raises:
        InputError: The model does not fit.
    """
    policy = tree_policy(scenario)
    whole = make_system("lp-spec", model, scenario.replace(changes={"allocator": SPLITS[scenario.objective]}))

    def run(system: System, policy: TreePolicy) -> Run:
        return simulate(system, trace, scenario.workload, policy, scenario.level)

    reduced = [
        Reduced(part.name, part.effect, run(part.system(whole, scenario), part.policy(policy))) for part in PARTS
    ]
    return Reduced(FULL, "", run(whole, policy)), *reduced


def _with_allocator(name: str) -> Callable[[System, Scenario], System]:
    def change(system: System, scenario: Scenario) -> System:
        return replace(system, platform=system.platform.model_copy(update={"allocator": name}))

    return change


def _changed(key: str, value: str) -> Callable[[System, Scenario], System]:
    """One constant of the machine as other packages have it."""

    def change(system: System, scenario: Scenario) -> System:
        changes = {key: value, "allocator": system.platform.allocator}
        return make_system("lp-spec", system.model, scenario.replace(changes=changes))

    return change


PARTS: tuple[Part, ...] = (
    Part(
        "without the pruner (DTP)",
        "verifies all 64 tokens of Medusa's tree at every step",
        policy=lambda policy: replace(policy, fixed=named_tree(WHOLE_TREE)),
    ),
    Part(
        "DAU for speed alone",
        "as in the paper: both sides finish together, whatever the energy",
        _with_allocator(SPLITS["throughput"]),
    ),
    Part("without migration", "the split that suits N_ALU tokens, for the whole run", _with_allocator("static")),
    Part(
        "without the split (DAU)",
        "PIM computes all that its ranks hold while the NPU waits",
        _with_allocator("pim-only"),
    ),
    Part("without GEMM ALUs", "one ALU per MPU: every token is a pass over the weights", _changed("pim.alus", "1")),
    Part(
        "without a bus for PIM's commands",
        "PIM commands take slots from the NPU's reads on one command bus",
        _changed("memory.command_buses", "1"),
    ),
    Part(
        "without a second mode switch",
        "PIM ranks enter all-bank PIM mode at once, not by way of all-bank mode",
        _changed("pim.mode_steps", "1"),
    ),
    Part(
        "without PIM",
        "the NPU reads every weight over the bus",
        lambda system, scenario: make_system("npu-spec", system.model, scenario),
    ),
    Part(
        "without speculation",
        "one token per pass",
        lambda system, _: replace(system, model=undrafted(system.model), speculates=False),
    ),
)
