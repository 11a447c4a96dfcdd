"""What the steps of a run cost at command level (fidelity ``command``): priced once they are known, each kind once.

The pruner still plans with the closed forms, as in the paper, where the estimator is a performance model; commands
only price what it chose. Steps of as many tokens over as many blocks of keys are alike, so a run has few kinds of them.
"""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np

from lpspec.allocation.allocator import Allocator, Commanded, Layout
from lpspec.arrays import BoolArray, IntArray
from lpspec.devices.cost import Cost, Real
from lpspec.devices.device import Device
from lpspec.devices.package_commands import PackageCommands
from lpspec.dram.run.session import REFRESH_INTERVALS
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.operators import Operator, verify_operators
from lpspec.simulation.step_cost import allocator_of
from lpspec.simulation.step_phases import KEY_BLOCK, Phase, PhasePlanner, cost_of
from lpspec.simulation.workload import System


class CommandCosts:
    """Prices the steps of one system."""

    def __init__(self, system: System, allocator: Commanded, memory: PackageCommands, first_context: int) -> None:
        """Lay passes out as phases, for each placement of the weights.

        Args:
            system: What runs.
            allocator: Says which device computes what.
            memory: Whose commands are issued.
            first_context: Tokens of the prompt.
        """
        self.system, self.allocator, self.first_context = system, allocator, first_context
        planners = [PhasePlanner(system.model, memory, layout) for layout in allocator.layouts]
        self.planner = planners[0]
        self._verify = cache(lambda placement, *kind: self._cost(planners[placement].verify(*kind)))
        self._draft = cache(lambda placement, heads: self._cost(planners[placement].draft(heads)))
        self._eagle = cache(lambda *kind: self._cost(self.planner.eagle(*kind)))
        self._compaction = cache(lambda moved: self._cost(self.planner.compaction(moved)))
        self._migration = cache(lambda start, goal: self._cost(self.planner.migration(allocator.moves(start, goal))))

    def _cost(self, phases: tuple[Phase, ...]) -> Cost:
        return cost_of(phases, self.planner.memory)

    def kind_of(self, l_spec: int, context: int) -> tuple[int, int, int]:
        """What decides the cost of a verify pass: tokens charged, positions in whole blocks, blocks appended to."""
        charged, keys, blocks = self._kinds(np.array([l_spec]), np.array([context - self.first_context]))[0]
        return charged, keys, blocks

    def step_phases(self, l_spec: int, context: int, moved: int = 0, heads: int | None = None) -> tuple[Phase, ...]:
        """The phases of one step, in their order: verify, move what was accepted out of place, draft anew.

        Args:
            l_spec: Tokens verified, the root included.
            context: Tokens before the step.
            moved: Accepted drafts out of place.
            heads: Draft heads that run; all with a tree and none without if left out.
        """
        if heads is None:
            heads = self.planner.model.medusa_heads if l_spec > 1 else 0
        phases = self.planner.verify(*self.kind_of(l_spec, context))
        if moved > 0:
            phases += self.planner.compaction(moved)
        return phases + self.planner.draft(heads)

    def decode(
        self,
        position: IntArray,
        l_spec: IntArray,
        moved: IntArray,
        placement: IntArray,
        heads: IntArray,
        turn: IntArray | None = None,
    ) -> Cost:
        """Cost of all steps of a run.

        Args:
            position: int64 [steps], tokens of the turn before.
            l_spec: int64 [steps], tokens verified.
            moved: int64 [steps], accepted drafts out of place.
            placement: int64 [steps], where the weights lie.
            heads: int64 [steps], draft heads that ran.
            turn: int64 [steps], to which turn each belongs; all cost fields are then float64 [turns].
        """
        counted = _Counted(turn)
        total = Cost()
        for kind, count in counted(np.column_stack([placement, self._kinds(l_spec, position)])):
            total += self._verify(*kind) * count
        for (tokens,), count in counted(moved[:, None], moved > 0):
            total += self._compaction(tokens) * count
        for drafted, count in counted(np.column_stack([placement, heads]), heads > 0):
            total += self._draft(*drafted) * count
        return total

    def eagle(self, position: IntArray, tokens: IntArray, guessing: IntArray) -> Cost:
        """Cost of passes through the EAGLE layer, int64 [passes] each: tokens of the turn before, read, guessing."""
        total = Cost()
        for kind, count in _Counted()(np.column_stack([self._kinds(tokens, position), guessing])):
            total += self._eagle(*kind) * count
        return total

    def migrations(self, placement: IntArray, turn: IntArray | None = None) -> Cost:
        """Cost of changes of placement between steps. Arguments as for ``decode``."""
        total = Cost()
        before = np.concatenate([placement[:1], placement[:-1]])
        for (start, goal), count in _Counted(turn)(np.column_stack([before, placement]), before != placement):
            total += self._migration(start, goal) * count
        return total

    def prefill(self) -> Cost:
        """Cost of the pass over the prompt."""
        return self._cost(self.planner.prefill(self.first_context))

    def _kinds(self, l_spec: IntArray, position: IntArray) -> IntArray:
        """int64 [steps, 3] as ``kind_of`` says."""
        charged = self.system.charged(l_spec)
        context = self.first_context + position
        last = context + charged
        blocks = (last - 1) // KEY_BLOCK - context // KEY_BLOCK + 1
        return np.stack([charged, -(-last // KEY_BLOCK) * KEY_BLOCK, blocks], 1)


class _Counted:
    """Counts steps that are alike, all of them or turn by turn."""

    def __init__(self, turn: IntArray | None = None) -> None:
        self._turn, self._turns = turn, 0 if turn is None else int(turn.max()) + 1

    def __call__(self, rows: IntArray, chosen: BoolArray | None = None) -> Iterator[tuple[list[int], Real]]:
        """Rows that differ, int64 [steps, ...], and how often each occurs: a number, or float64 [turns]."""
        rows = rows if chosen is None else rows[chosen]
        kinds, which = np.unique(rows, axis=0, return_inverse=True)
        if self._turn is None:
            yield from zip(kinds.tolist(), map(float, np.bincount(which).tolist()), strict=True)
            return
        turn = self._turn if chosen is None else self._turn[chosen]
        counts = np.bincount(which * self._turns + turn, minlength=len(kinds) * self._turns)
        yield from zip(kinds.tolist(), counts.reshape(-1, self._turns).astype(np.float64), strict=True)


def command_costs(
    system: System,
    first_context: int,
    contexts: int,
    made: Allocator | None = None,
    refresh_intervals: int = REFRESH_INTERVALS,
) -> CommandCosts | None:
    """Prices at command level; None for a system without a command level, as its devices or its allocator say.

    Args:
        system: The model on its machine.
        first_context: Shortest context, which is also the length of the prompt.
        contexts: How many consecutive contexts the run may meet.
        made: The allocator of the system for these contexts, where there is one already.
        refresh_intervals: As for ``PackageCommands``.

    Raises:
        InputError: The model does not fit the machine, or the command level does not know its dies.
    """
    allocator: Any = made or allocator_of(system, first_context + contexts)
    if not has_command_level(allocator, system.model):
        return None
    return CommandCosts(system, allocator, PackageCommands(system.platform, refresh_intervals), first_context)


def has_command_level(allocator: object, model: ModelSpec) -> bool:
    """Whether an allocator says who computes what, and every device that it names lays out its part."""
    layouts: Sequence[Layout] = getattr(allocator, "layouts", ())
    shares = (share for layout in layouts for op in verify_operators(model, 1, 1) for share in _shares(layout, op))
    return bool(layouts) and all(device.phase_parts(op, amount) is not None for op, device, amount in shares)


def _shares(layout: Layout, op: Operator) -> Iterator[tuple[Operator, Device, int | None]]:
    """Who computes how much of an operator."""
    return ((op, *share) for division in layout.divided(op) for share in division.shares)
