"""Where the scheduler decides anything: contexts, vocabularies and energy profiles, analytically.

Under the headline's work every step verifies as many tokens as PIM serves in one pass, whoever chooses. Here the pruner
(DTP) is held against the best tree of one size and depth, and the split (DAU) against PIM that computes all alone.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product

from lpspec.errors import InputError
from lpspec.experiments.assumption_sets import AssumptionSet
from lpspec.experiments.systems import make_system
from lpspec.llm.medusa_heads import MedusaHeads
from lpspec.llm.model_spec import ModelSpec
from lpspec.scenario import Scenario, Workload
from lpspec.scenario.names import Objective
from lpspec.simulation.run import Run, decode_steps, price_steps, turn_bounds
from lpspec.simulation.step_cost import step_costs
from lpspec.simulation.workload import TreePolicy
from lpspec.speculation.rank_trace import RankTrace

CONTEXTS = (128, 1024, 4096, 16384, 32768)
VOCABULARIES = (32_000, 128_000)
PROFILES = ("attacc", "specpim", "micron-y52p")
SIZES = (1, 2, 3, 4, 5, 6, 8, 12, 16)
Shape = tuple[int, int]
"""Tokens of a tree, the root included, and how deep it is."""

NEW_TOKENS = 64
OBJECTIVE: Objective = "edp"


@dataclass(frozen=True, slots=True)
class Place:
    """LP-Spec at one context, vocabulary and profile; figures are None where the model does not fit the package.

    Attributes:
        context: Tokens of the prompt.
        vocabulary: Tokens that the model knows.
        profile: Energy profile.
        l_spec: Passes by tokens verified, smallest first.
        best: The one size and depth, of sizes 1 to 6, 8, 12 and 16, whose energy-delay product is least.
        dtp_edp_gain: Its energy-delay product over that of the pruner.
        dau_speed_gain: Throughput with the split over that without.
        dau_edp_gain: The energy-delay product without the split over that with it.
    """

    context: int
    vocabulary: int
    profile: str
    l_spec: Mapping[int, int] | None = None
    best: Shape | None = None
    dtp_edp_gain: float | None = None
    dau_speed_gain: float | None = None
    dau_edp_gain: float | None = None


def region(model: ModelSpec, trace: RankTrace, assumption_set: AssumptionSet) -> tuple[Place, ...]:
    """LP-Spec under an assumption set over contexts, vocabularies and profiles, trees for the energy-delay product.

    Args:
        model: The decoder; its vocabulary and its longest context are changed.
        trace: Whose acceptance is replayed.
        assumption_set: The machine.
    """

    def place(vocabulary: int, context: int, profile: str) -> Place:
        changed = model.model_copy(update={"vocab_size": vocabulary, "max_context": max(CONTEXTS) + 2 * NEW_TOKENS})
        try:
            return _Place(changed, trace, assumption_set, context, profile).place()
        except InputError as error:
            if "does not fit" not in str(error):
                raise
            return Place(context, vocabulary, profile)

    with ThreadPoolExecutor(os.cpu_count()) as pool:  # side by side, since the compiled loops allow it
        return tuple(pool.map(place, *zip(*product(VOCABULARIES, CONTEXTS, PROFILES), strict=True)))


class _Place:
    def __init__(
        self, model: ModelSpec, trace: RankTrace, assumption_set: AssumptionSet, context: int, profile: str
    ) -> None:
        self.model, self.trace, self.assumption_set = model, trace, assumption_set
        self.workload, self.profile = Workload(context, NEW_TOKENS), profile
        self.turns = turn_bounds(trace, self.workload)

    def place(self) -> Place:
        shapes = list(_shapes(min(MedusaHeads().count, self.trace.heads), self.trace.top_k))
        runs = self._runs("replicated", (None, *shapes))
        whole, unsplit = runs[None], self._runs("pim-only", (None,))[None]
        best = min(shapes, key=lambda shape: runs[shape].edp_s_mj)
        return Place(
            self.workload.prompt_tokens,
            self.model.vocab_size,
            self.profile,
            whole.l_spec_histogram,
            best,
            runs[best].edp_s_mj / whole.edp_s_mj,
            whole.tokens_per_s / unsplit.tokens_per_s,
            unsplit.edp_s_mj / whole.edp_s_mj,
        )

    def _runs(self, allocator: str, shapes: Sequence[Shape | None]) -> dict[Shape | None, Run]:
        """LP-Spec with an allocator: the pruner's choice for None, or trees of one shape."""
        scenario = self.assumption_set.applied(Scenario(energy_profile=self.profile))
        changes = self.assumption_set.changes | {"allocator": allocator}
        system = make_system("lp-spec", self.model, scenario.replace(changes=changes))
        costs = step_costs(system, self.workload.prompt_tokens, int(self.turns[:, 0].max()))
        found = {}
        for shape in shapes:
            size, depth = shape or (None, None)
            policy = TreePolicy(objective=OBJECTIVE, size=size, depth=depth)
            found[shape] = price_steps(system, costs, decode_steps(system, self.trace, self.workload, policy, costs))
        return found


def _shapes(heads: int, top_k: int) -> Iterator[Shape]:
    """Sizes and depths that a tree can have."""
    for size in SIZES:
        for depth in range(min(1, size - 1), min(heads, size - 1) + 1):
            if size <= sum(top_k**level for level in range(depth + 1)):
                yield size, depth
