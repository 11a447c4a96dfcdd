"""What the steps of a run cost at command level (fidelity ``command``): priced once they are known, each kind once.

The pruner still plans with the analytic level, as in the paper, where the estimator is a performance model; commands
only price what it chose. Steps of as many tokens over as many blocks of keys are alike, so a run has few kinds of them.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from math import prod
from operator import add
from typing import Any

import numpy as np

from lpspec.allocation.allocator import Allocator, Commanded, Layout
from lpspec.arrays import BoolArray, FloatArray, IntArray
from lpspec.devices.cost import Cost, cost_from, table_of
from lpspec.devices.device import Device
from lpspec.devices.package_commands import PackageCommands
from lpspec.dram.run.steady import REFRESH_INTERVALS
from lpspec.llm.counts import Count, ceil_div
from lpspec.llm.draft_work import heads_of, network_of
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.operators import PlainOperator, verify_operators
from lpspec.llm.work import by_load
from lpspec.simulation.draft_cache import KEY_BLOCK, DraftCache
from lpspec.simulation.level_costs import expected_reads, level_width, own_reads
from lpspec.simulation.put_in_place import settled_cache
from lpspec.simulation.step_cost import allocator_of
from lpspec.simulation.step_phases import Phase, PhasePlanner, cost_of
from lpspec.simulation.workload import System

MOST_CODES = 1 << 18
"""Kinds of steps that might be, up to which those that are get their numbers from a table rather than by sorting."""


class CommandCosts:
    """Prices the steps of one system."""

    def __init__(
        self, system: System, allocator: Commanded, memory: PackageCommands, first_context: int, cache: DraftCache
    ) -> None:
        """Lay passes out as phases, for each placement of the weights.

        Args:
            system: What runs.
            allocator: Says which device computes what.
            memory: Whose commands are issued.
            first_context: Tokens of the prompt.
            cache: Which drafts wait in the scratchpad.
        """
        self.system, self.allocator, self.first_context = system, allocator, first_context
        planners = [PhasePlanner(system.model, memory, layout) for layout in allocator.layouts]
        self.planner = planners[0]
        self.arrays = arrays = all(_takes_arrays(layout, system.model, first_context) for layout in allocator.layouts)
        self._verify = Kinds(lambda on, *sizes: planners[on].verify(*sizes), memory, arrays)
        self._first = Kinds(lambda on, *sizes: planners[on].first_level(*sizes), memory, arrays)
        self._further = Kinds(lambda on, *sizes: planners[on].further_level(*sizes), memory, arrays)
        self._own = Kinds(lambda on, *sizes: planners[on].own_level(*sizes), memory, arrays)
        self._guess = Kinds(lambda on, tokens: planners[on].guess(tokens), memory, arrays)
        self.cache = cache
        beside = self.cache.beside
        self._waiting = Kinds(lambda on, *sizes: planners[on].verify_waiting(*sizes, beside), memory, arrays)
        self._further_waiting = Kinds(lambda on, *sizes: planners[on].further_level_waiting(*sizes), memory, arrays)
        self._compaction = Kinds(lambda on, moved: planners[on].compaction(moved), memory, arrays)
        self.written = Kinds(lambda on, *sizes: planners[on].written(*sizes), memory, arrays)
        self._draft = Kinds(lambda on, heads: planners[on].draft(heads), memory, arrays=False)
        self._migration = Kinds(lambda *pair: self.planner.migration(allocator.moves(*pair)), memory, arrays=False)

    @property
    def error_bound(self) -> float | None:
        """Largest relative error of what was priced, in time, against exact runs; None where every phase was one."""
        return self.planner.memory.prices.bound

    def kind_of(self, l_spec: int, context: int) -> tuple[int, int, int]:
        """What decides the cost of a verify pass: tokens charged, positions in whole blocks, blocks appended to."""
        charged, keys, blocks = _only(self._kinds(np.array([l_spec]), np.array([context - self.first_context])))
        return charged, keys, blocks

    def step_phases(self, l_spec: int, context: int, moved: int = 0, heads: int | None = None) -> tuple[Phase, ...]:
        """The phases of one step, in their order: verify, move what was accepted out of place, draft anew.

        Args:
            l_spec: Tokens verified, the root included.
            context: Tokens before the step.
            moved: What is put in place, as for ``decode``.
            heads: Draft heads that run; all with a tree and none without if left out.
        """
        if heads is None:
            heads = heads_of(self.planner.model) if l_spec > 1 else 0
        charged, keys, blocks = self.kind_of(l_spec, context)
        if self.cache.waits(np.array(l_spec)):
            whole, held = (ceil_div(n, KEY_BLOCK) * KEY_BLOCK for n in (context, self.cache.held(context)))
            phases = self.planner.verify_waiting(charged, whole, held, self.cache.beside)
        else:
            phases = self.planner.verify(charged, keys, blocks)
        up, written, in_blocks = (int(n) for n in self.cache.entries(np.array(moved)))
        if written > 0:
            phases += self.planner.written(written, in_blocks)
        if up > 0:
            phases += self.planner.compaction(up)
        ran = min(heads, heads_of(self.planner.model))
        return phases + self.planner.draft(ran) + self._level_phases(l_spec, context, heads)

    def _level_phases(self, l_spec: int, context: int, levels: int) -> tuple[Phase, ...]:
        """Of a network: a pass over the planned number of committed tokens, then one per further level."""
        if levels < 1 or network_of(self.system.model) is None:
            return ()
        place, depth = np.array([context - self.first_context]), np.array(levels)
        first, further = (
            _only(self._blocks(tokens, place))
            for tokens in (expected_reads(depth)[None], level_width(np.array([l_spec]), depth))
        )
        if self._own_levels:
            first_pass, size = self.planner.first_level(*first), np.array([l_spec])
            return first_pass + tuple(
                phase for level in range(2, levels + 1) for phase in self._own_phases(level, size, depth, place)
            )
        width, held = further[0], ceil_div(context, KEY_BLOCK) * KEY_BLOCK
        waits = bool(self.cache.level_waits(np.array(width)))
        one = self.planner.further_level_waiting(width, held) if waits else self.planner.further_level(*further)
        return self.planner.first_level(*first) + one * (levels - 1)

    @property
    def _own_levels(self) -> bool:
        """Whether each level has a network of its own."""
        network = network_of(self.system.model)
        return network is not None and network.copies > 1

    def _own_phases(self, level: int, size: IntArray, depth: IntArray, place: IntArray) -> tuple[Phase, ...]:
        """One level of a tree by a network of its own, behind the planned number of committed tokens."""
        reads = own_reads((size, depth), expected_reads(depth), level)
        guesses = int(level_width(size, depth)[0])
        return self.planner.own_level(*_only(self._blocks(reads, place))) + self.planner.guess(guesses)

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
            moved: int64 [steps], what is put in place: entries as for ``DraftCache.put_in_place``.
            placement: int64 [steps], where the weights lie.
            heads: int64 [steps], draft heads that ran, where there are heads; ``drafting`` prices a network.
            turn: int64 [steps], to which turn each belongs; all cost fields are then float64 [turns].
        """
        counted, ran = _Counted(turn), np.minimum(heads, heads_of(self.system.model))
        verify, waits, nowhere = self._kinds(l_spec, position), self.cache.waits(l_spec), np.zeros_like(moved)
        whole, memory = self._whole(context := self.first_context + position), self._whole(self.cache.held(context))
        up, written, blocks = self.cache.entries(moved)
        return _together(
            (self._verify, *counted((placement, *verify), ~waits)),
            (self._waiting, *counted((placement, verify[0], whole, memory), waits)),
            (self._compaction, *counted((nowhere, up), up > 0)),
            (self.written, *counted((nowhere, written, blocks), written > 0)),
            (self._draft, *counted((placement, ran), ran > 0)),
        )

    def drafting(
        self,
        position: IntArray,
        l_spec: IntArray,
        committed: IntArray,
        placement: IntArray,
        depth: IntArray,
        turn: IntArray | None = None,
    ) -> Cost:
        """Cost of all passes of a network that drafts; nothing where none does.

        Args:
            position: int64 [steps], tokens of the turn before.
            l_spec: int64 [steps], tokens verified.
            committed: int64 [steps], tokens committed, which the first pass reads.
            placement: int64 [steps], where the weights lie.
            depth: int64 [steps], levels drafted.
            turn: int64 [steps], to which turn each belongs; all cost fields are then float64 [turns].
        """
        if network_of(self.system.model) is None or not depth.any():
            return Cost()
        counted, further = _Counted(turn), np.maximum(depth - 1, 0)
        first_kinds = placement, *self._blocks(committed, position)
        width = level_width(l_spec, depth)
        if self._own_levels:
            own: list[tuple[Kinds, IntArray, FloatArray]] = [(self._first, *counted(first_kinds, depth > 0))]
            for level in range(2, int(depth.max()) + 1):
                reads = own_reads((l_spec, depth), committed, level)
                layers = placement, *self._blocks(reads, position)
                own += [
                    (self._own, *counted(layers, depth >= level)),
                    (self._guess, *counted((placement, width), depth >= level)),
                ]
            return _together(*own)
        further_kinds = placement, *self._blocks(width, position)
        whole, waits = self._whole(self.first_context + position), self.cache.level_waits(width)
        held = placement, width, whole
        return _together(
            (self._first, *counted(first_kinds, depth > 0)),
            (self._further, *counted(further_kinds, (further > 0) & ~waits, further)),
            (self._further_waiting, *counted(held, (further > 0) & waits, further)),
        )

    def levels(self, position: IntArray, tokens: IntArray, guessing: IntArray) -> Cost:
        """Cost of single passes of a network, int64 [passes] each: tokens of the turn before, read, and guessing."""
        kinds, fills = (np.zeros_like(tokens), *self._blocks(tokens, position)), guessing < tokens
        return _together((self._first, *_Counted()(kinds, fills)), (self._further, *_Counted()(kinds, ~fills)))

    def migrations(self, placement: IntArray, turn: IntArray | None = None) -> Cost:
        """Cost of changes of placement between steps. Arguments as for ``decode``."""
        before = np.concatenate([placement[:1], placement[:-1]])
        moves = _Counted(turn)((before, placement), before != placement)
        return _together((self._migration, *moves))

    def prefill(self, tokens: int) -> Cost:
        """Cost of the pass over a prompt of so many tokens."""
        phases = self.planner.prefill(tokens)
        for phase in phases:
            for asked in phase.memory.asked:
                asked.expect(np.array([float(phase.copies)]))
        return cost_of(phases, self.planner.memory)

    def _kinds(self, l_spec: IntArray, position: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """int64 [steps] each, as ``kind_of`` says."""
        return self._blocks(self.system.charged(l_spec), position)

    def _whole(self, positions: Count) -> IntArray:
        """So many positions in whole blocks: int64 [steps]."""
        return np.asarray(ceil_div(positions, KEY_BLOCK) * KEY_BLOCK)

    def _blocks(self, tokens: IntArray, position: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """Of passes over so many tokens: tokens, positions in whole blocks, blocks appended to; int64 [passes] each."""
        context = self.first_context + position
        last = context + tokens
        blocks = (last - 1) // KEY_BLOCK - context // KEY_BLOCK + 1
        return tokens, -(-last // KEY_BLOCK) * KEY_BLOCK, blocks


def _only(columns: Sequence[IntArray]) -> list[int]:
    """The element of each of some arrays that have one."""
    return [int(column[0]) for column in columns]


class _Counted:
    """Counts steps that are alike, all of them or turn by turn."""

    def __init__(self, turn: IntArray | None = None) -> None:
        self._turn, self._turns = turn, 0 if turn is None else int(turn.max()) + 1

    def __call__(
        self, columns: Sequence[IntArray], chosen: BoolArray | None = None, times: IntArray | None = None
    ) -> tuple[IntArray, FloatArray]:
        """Steps that differ, int64 [kinds, columns], and how often each occurs: float64 [kinds], or [kinds, turns].

        Steps may be chosen, and each count ``times`` over.
        """
        pick: BoolArray | slice = slice(None) if chosen is None or chosen.all() else chosen
        kinds, which = _distinct([column[pick] for column in columns])
        weights = None if times is None else times[pick]
        if self._turn is None:
            return kinds, np.bincount(which, weights, minlength=len(kinds)).astype(np.float64)
        counts = np.bincount(which * self._turns + self._turn[pick], weights, minlength=len(kinds) * self._turns)
        return kinds, counts.reshape(-1, self._turns).astype(np.float64)


def _together(*parts: "tuple[Kinds, IntArray, FloatArray]") -> Cost:
    """Cost of kinds of steps and how often they occur; all are expected before the first is priced."""
    for kinds, rows, counts in parts:
        kinds.expect(rows, counts)
    return reduce(add, (kinds(rows, counts) for kinds, rows, counts in parts))


def _distinct(columns: Sequence[IntArray]) -> tuple[IntArray, IntArray]:
    """Rows that differ, sorted, and which of them each is: each row is one number while they are compared."""
    limits = [int(column.max(initial=0)) + 1 for column in columns]
    code = columns[0]
    for column, limit in zip(columns[1:], limits[1:], strict=True):
        code = code * limit + column
    found, which = _numbered(code, prod(limits))
    kinds = np.empty((len(found), len(columns)), np.int64)
    for i in range(len(columns) - 1, -1, -1):
        found, kinds[:, i] = np.divmod(found, limits[i])
    return kinds, which


def _numbered(code: IntArray, codes: int) -> tuple[IntArray, IntArray]:
    """Numbers that occur, ascending, of so many that might, and which of them each is."""
    if codes > MOST_CODES:
        return np.unique(code, return_inverse=True)
    occurs, number = np.zeros(codes, np.bool_), np.empty(codes, np.int64)
    occurs[code] = True
    found = np.flatnonzero(occurs)
    number[found] = np.arange(len(found))
    return found, number[code]


class Kinds:
    """What kinds of a step cost, each priced once."""

    def __init__(self, plan: Callable[..., tuple[Phase, ...]], memory: PackageCommands, arrays: bool) -> None:
        """Take what lays a kind out: given a placement or its like, and sizes, of which it may take arrays at once."""
        self._plan, self._memory, self._arrays = plan, memory, arrays
        self._planned: list[tuple[list[tuple[int, ...]], tuple[Phase, ...]]] = []
        self._known: dict[tuple[int, ...], FloatArray] = {}

    def expect(self, kinds: IntArray, counts: FloatArray) -> None:
        """Lay out those that are new; arguments as for the call."""
        rows = [tuple(row) for row in kinds.tolist()]
        times = {row: float(np.sum(n)) for row, n in zip(rows, counts, strict=True)}
        new = [row for row in rows if row not in self._known]
        groups = [[row] for row in new]
        if self._arrays:
            groups = [[row for row in new if row[0] == first] for first in dict.fromkeys(row[0] for row in new)]
        for here in groups:
            sizes = np.array(here, np.int64).T[1:] if self._arrays else here[0][1:]
            phases = self._plan(here[0][0], *sizes)
            self._planned.append((here, phases))
            for phase in phases:
                for asked in phase.memory.asked:
                    asked.expect(phase.copies * np.array([times[row] for row in here]))

    def __call__(self, kinds: IntArray, counts: FloatArray) -> Cost:
        """Cost of all steps: int64 [kinds, 1 + sizes] that occur float64 [kinds] times, or [kinds, turns]."""
        return cost_from(self.table(kinds).T @ counts) if len(kinds) else Cost()

    def table(self, kinds: IntArray) -> FloatArray:
        """Time and events of each kind, all expected before: float64 [kinds, 1 + events]."""
        for here, phases in self._planned:
            self._known |= dict(zip(here, table_of(cost_of(phases, self._memory), len(here)), strict=True))
        self._planned = []
        return np.stack([self._known[tuple(row)] for row in kinds.tolist()])


def command_costs(
    system: System,
    first_context: int,
    contexts: int,
    made: Allocator | None = None,
    refresh_intervals: int = REFRESH_INTERVALS,
    cache: DraftCache | None = None,
) -> CommandCosts | None:
    """Prices at command level; None for a system without a command level, as its devices or its allocator say.

    Args:
        system: The model on its machine.
        first_context: Shortest context, which is also the length of the prompt.
        contexts: How many consecutive contexts the run may meet.
        made: The allocator of the system for these contexts, where there is one already.
        refresh_intervals: As for ``PackageCommands``.
        cache: Which drafts wait in the scratchpad, where that is known.

    Raises:
        InputError: The model does not fit the machine, or the command level does not know its dies.
    """
    allocator: Any = made or allocator_of(system, first_context + contexts)
    if not has_command_level(system, allocator, first_context):
        return None
    memory = PackageCommands(system.platform, refresh_intervals, system.exact)
    settled = cache or settled_cache(system, allocator, first_context)
    return CommandCosts(system, allocator, memory, first_context, settled)


def has_command_level(system: System, allocator: object, context: int = 1) -> bool:
    """Whether an allocator says who computes what, and every device that it names lays out its part.

    A platform may say that it has none all the same, since its die is none that commands are written for. ``context``
    is one that is priced anyway, if any is.
    """
    model = system.model
    if system.platform.command_level == "none":
        return False
    layouts: Sequence[Layout] = getattr(allocator, "layouts", ())
    first = {id(device): (device, op, n) for one in layouts for op, device, n in _shares(one, model, context)}
    return bool(layouts) and all(device.phase_parts(op, n) is not None for device, op, n in first.values())


def _takes_arrays(layout: Layout, model: ModelSpec, context: int) -> bool:
    """Whether a layout and all its devices lay out arrays over the kinds of a step at once."""
    shares = _shares(layout, model, context)
    return all(getattr(one, "lays_out_arrays", False) for one in (layout, *(device for _, device, _ in shares)))


def _shares(layout: Layout, model: ModelSpec, context: int) -> Iterator[tuple[PlainOperator, Device, int | None]]:
    """Who computes how much of each operator of a pass of one token."""
    parts = (part for op in verify_operators(model, 1, context) for part, _ in by_load(op))
    return ((part, *share) for part in parts for division in layout.divided(part) for share in division.shares)
