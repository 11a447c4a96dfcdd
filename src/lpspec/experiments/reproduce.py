"""The reproduction: every published quantity beside the simulated one, under every assumption set of what is open.

The published ratios mix bases: LP-Spec is INT8 with speculation and the energy of memory and MACs, AttAcc's number fits
FP16 with that energy, and the RTX 3090's fits FP16 at board power. So each quantity is given on the published basis and
again on two fair ones, INT8 and speculation on every system, each pruner serving the quantity that is compared: by
memory and MACs, and by board or SoC power.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

from lpspec.experiments.assumption_sets import PLAIN, AssumptionSet, all_assumption_sets
from lpspec.experiments.bench import PAPER, AssumptionSetResult, Bench, paper_policy
from lpspec.experiments.explanations import why
from lpspec.experiments.intervals import PERCENT, RESAMPLES, SEED, Interval
from lpspec.experiments.level import FAIR_BASES, Level
from lpspec.experiments.provenance import provenance
from lpspec.experiments.published import PUBLISHED, Published
from lpspec.experiments.quantities import OBJECTIVE_OF
from lpspec.experiments.region import Place, region
from lpspec.scenario import Scenario
from lpspec.scenario.names import Basis, HeadUse, LearningRule, Objective
from lpspec.simulation.run import Run

OPTIONS = ("energy_profile", "fidelity", "exact")
"""Options of the paper's scenario that may differ; the reproduction varies others itself."""

L_SPEC_SCAN = tuple(range(1, 17))
SUFFIXES: dict[Basis, str] = {"published": "", "equal": "_equal_basis", "board": "_board_basis"}


@dataclass(frozen=True, slots=True)
class Row:
    """A published quantity and its simulated twin.

    Attributes:
        published: The published number; on a fair basis it is what the paper printed, for comparison only.
        on: The basis: ``published``, ``equal`` or ``board``.
        basis: On what both stand, in words.
        objective: What the pruners served.
        simulated: The simulated number analytically.
        interval: Where it lies over samples of turns.
        why: Why the ratio lies outside 0.8 to 1.25; empty when it does not, or on a fair basis.
        command: The twin at command level; None if only the analytic level was asked for.
        command_interval: As ``interval``, for the twin at command level.
        command_why: As ``why``, for the twin at command level.
    """

    published: Published
    on: Basis
    basis: str
    objective: Objective
    simulated: float
    interval: Interval
    why: str = ""
    command: float | None = None
    command_interval: Interval | None = None
    command_why: str = ""

    @property
    def id(self) -> str:
        """Key of the row."""
        return self.published.id + SUFFIXES[self.on]

    @property
    def ratio(self) -> float:
        """Simulated over published."""
        return self.simulated / self.published.value

    @property
    def command_ratio(self) -> float | None:
        """The same at command level."""
        return None if self.command is None else self.command / self.published.value

    @property
    def best(self) -> tuple[float, Interval]:
        """The number at the highest fidelity that was asked for, and its interval."""
        if self.command is None or self.command_interval is None:
            return self.simulated, self.interval
        return self.command, self.command_interval


@dataclass(frozen=True, slots=True)
class LSpecPoint:
    """LP-Spec with a tree of one fixed size under the plain assumption set."""

    l_spec: int
    tokens_per_s: float
    tokens_per_j: float
    edp_s_mj: float


@dataclass(frozen=True, slots=True)
class Variant:
    """LP-Spec on the published basis, with speculation as the paper has it in one respect or another.

    Attributes:
        rule: How the pruner learns.
        heads: Draft heads that a step runs.
        closed: The run analytically.
        command: The same at command level; None if only the analytic level was asked for.
    """

    rule: LearningRule
    heads: HeadUse
    closed: Run
    command: Run | None


@dataclass(frozen=True)
class Reproduction:
    """Everything that ``lpspec reproduce`` reports.

    Attributes:
        rows: Published basis first, then the fair ones.
        chosen: The assumption set whose worst error is smallest.
        assumption_sets: All, best first; those that tie within 0.01 in their worst factor go plain values first.
        l_spec_scan: Fixed sizes under the plain assumption set.
        closed: The chosen assumption set analytically.
        command_levels: The chosen assumption set and the plain one, that without board power; empty if only
            the analytic level was asked for.
        variants: LP-Spec by how its pruner learns and which heads run; the first is that of
            the rows on the published basis.
        region: Where the scheduler decides anything, analytically.
        provenance: What the result was made from.
    """

    rows: tuple[Row, ...]
    chosen: AssumptionSetResult
    assumption_sets: tuple[AssumptionSetResult, ...]
    l_spec_scan: tuple[LSpecPoint, ...]
    closed: Level
    command_levels: tuple[Level, ...]
    variants: tuple[Variant, ...]
    region: tuple[Place, ...]
    provenance: dict[str, Any]

    @property
    def level(self) -> Level:
        """The chosen assumption set at the highest fidelity that was asked for."""
        return self.command_levels[0] if self.command_levels else self.closed


def reproduce(scenario: Scenario = PAPER) -> Reproduction:
    """Simulate every published quantity under every assumption set and choose the assumption set that fits best.

    Assumption sets are compared analytically; ``command`` then prices the chosen and the plain one at command level.

    Args:
        scenario: The paper's, but for the ``OPTIONS`` that may differ.

    Raises:
        InputError: Another option differs, or the profile cannot be used.
    """
    scenario = scenario.only(OPTIONS, "the reproduction", PAPER)
    bench = Bench(scenario)
    order = {assumption_set: place for place, assumption_set in enumerate(all_assumption_sets())}
    assumption_sets = sorted(bench.results(), key=lambda r: (round(r.worst_factor, 2), order[r.assumption_set]))
    chosen = assumption_sets[0]
    closed = bench.level(chosen.assumption_set)
    levels: tuple[Level, ...] = ()
    if scenario.level == "command":
        others = () if chosen.assumption_set == PLAIN else (bench.level(PLAIN, ("equal",)),)
        levels = tuple(map(bench.by_commands, (closed, *others)))
    by_edp = (closed.fair[basis]["edp"] for basis in FAIR_BASES)  # for those of other objectives, too
    origin = provenance(
        scenario,
        [run.system for runs in (closed.published, *by_edp) for run in runs.values()],
        bench.trace,
        paper_policy(chosen.assumption_set),
        bootstrap={"resamples": RESAMPLES, "seed": SEED, "percent": PERCENT},
    )
    return Reproduction(
        rows=_rows(closed, levels[0] if levels else None),
        chosen=chosen,
        assumption_sets=tuple(assumption_sets),
        l_spec_scan=_l_spec_scan(bench),
        closed=closed,
        command_levels=levels,
        variants=_variants(bench, chosen.assumption_set, bench.priced_by_commands if levels else None),
        region=region(bench.model, bench.trace, chosen.assumption_set),
        provenance=origin,
    )


def _l_spec_scan(bench: Bench) -> tuple[LSpecPoint, ...]:
    """LP-Spec under the plain assumption set with trees of one fixed size."""
    runs = {size: bench.lp_spec(PLAIN, paper_policy(PLAIN, size=size)) for size in L_SPEC_SCAN}
    return tuple(LSpecPoint(size, run.tokens_per_s, run.tokens_per_j, run.edp_s_mj) for size, run in runs.items())


RULES: tuple[LearningRule, ...] = ("full-feedback", "verified-nodes")
HEADS: tuple[HeadUse, ...] = ("all", "by-depth")


def _variants(
    bench: Bench, assumption_set: AssumptionSet, by_commands: Callable[[Run, AssumptionSet], Run] | None
) -> tuple[Variant, ...]:
    found = []
    for rule, heads in product(RULES, HEADS):
        closed = bench.lp_spec(assumption_set, paper_policy(assumption_set, rule=rule, heads=heads))
        found.append(Variant(rule, heads, closed, by_commands(closed, assumption_set) if by_commands else None))
    return tuple(found)


PUBLISHED_BASIS = {
    "npu": "INT8, autoregressive, memory and MACs",
    "pim-spec": "INT8, the same trees on both, memory and MACs",
    "attacc": "AttAcc FP16 autoregressive, memory and MACs; LP-Spec INT8 with speculation",
    "rtx3090": "RTX 3090 FP16 autoregressive, board power; LP-Spec INT8 with speculation, memory and MACs",
    "lp-spec": "INT8, speculation with DTP, all draft heads run, memory and MACs",
}
FAIR_BASIS = {
    "equal": "INT8, speculation with DTP on every system, heads by depth, memory and MACs",
    "board": "INT8, speculation with DTP on every system, heads by depth, board or SoC power",
}


def _rows(closed: Level, command: Level | None) -> tuple[Row, ...]:
    """Every published quantity on its own basis, then on each fair one."""
    rows: list[Row] = []
    for basis in ("published", *FAIR_BASES):
        simulated, intervals = closed.on(basis), closed.intervals(basis)
        by_commands = command.on(basis) if command else {}
        command_intervals = command.intervals(basis) if command else {}
        is_own = basis == "published"
        rows += [
            Row(
                p,
                on=basis,
                basis=PUBLISHED_BASIS[p.rival] if is_own else FAIR_BASIS[basis],
                objective=closed.assumption_set.objective if is_own else OBJECTIVE_OF[p.id],
                simulated=simulated[p.id],
                interval=intervals[p.id],
                why=why(p, closed) if is_own else "",
                command=by_commands.get(p.id),
                command_interval=command_intervals.get(p.id),
                command_why=why(p, command) if is_own and command else "",
            )
            for p in PUBLISHED
        ]
    return tuple(rows)
