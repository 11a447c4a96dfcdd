"""A pass as the chain of phases that it is, each timed at command level: a transformer has hardly any other freedom.

In a phase, PIM computes its columns or heads while the NPU reads the weights or keys of the others from the DRAM rank
and multiplies them; it ends when all are done. Vector work is a phase of the NPU's vector units.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from itertools import groupby
from operator import add

import numpy as np

from lpspec.allocation.allocator import Layout, WeightMove
from lpspec.allocation.key_blocks import in_whole_blocks
from lpspec.arrays import FloatArray
from lpspec.devices.cost import Activity, Cost, Real, activity_from
from lpspec.devices.device import PhasePart, Unit
from lpspec.devices.package_commands import MemoryPart, PackageCommands, sum_of_tables, tables_of
from lpspec.errors import InputError
from lpspec.llm.counts import Count, ceil_div, plain
from lpspec.llm.draft_work import draft_operators, draft_prompt_operators, level_head, level_layers, level_operators
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.operators import Attention, Operator, StateUpdate, prefill_operators, verify_operators
from lpspec.llm.work import by_load
from lpspec.machine.energy_profile import NOTHING
from lpspec.simulation.draft_cache import KEY_BLOCK, waiting

NO_COLUMNS: Count = 0


@dataclass(frozen=True, slots=True)
class Phase:
    """Identical copies of a phase, one per layer for most; times are numbers, or arrays over kinds of a step.

    Attributes:
        name: The operator, or its half.
        copies: How often it runs; how often that is expected, perhaps not a whole number, of products with experts.
        memory: Time and events of the memory, of one copy.
        npu_ns: Time of the NPU's arrays or lanes beside it, or of another device's own units.
        unit: Which of them.
        own: What these do in one copy, memory excluded.
        pim_columns: Columns or heads that PIM computes; 0 if it has no part.
    """

    name: str
    copies: Real
    memory: MemoryPart
    npu_ns: Real
    unit: Unit
    own: Activity = NOTHING
    pim_columns: Count = 0

    @property
    def latency_ns(self) -> Real:
        """Time of one copy, ns: both halves begin together, and the next phase when both are done."""
        return _later(self.memory.latency_ns, self.npu_ns)

    @property
    def activity(self) -> Activity:
        """Everything that one copy does, memory included."""
        return self.memory.activity + self.own


def _later(one: Real, other: Real) -> Real:
    """The larger, element by element of arrays."""
    numbers = isinstance(one, float) and isinstance(other, float)
    return max(one, other) if numbers else np.maximum(one, other)


class PhasePlanner:
    """Lays the passes of one model on one platform out as phases."""

    def __init__(self, model: ModelSpec, memory: PackageCommands, layout: Layout) -> None:
        """Take whose memory commands are issued, and who says which device computes what."""
        self.model, self.memory, self.layout = model, memory, layout

    def verify(self, tokens: Count, keys: Count, append_blocks: Count) -> tuple[Phase, ...]:
        """A verify pass, or arrays of kinds of it where layout and devices take arrays.

        Args:
            tokens: Tokens verified.
            keys: Positions attended to, whole blocks, the new tokens included.
            append_blocks: Blocks of positions that the new tokens lie in.
        """
        return self.chain(verify_operators(self.model, tokens, keys - tokens), append_blocks)

    def verify_waiting(self, tokens: Count, keys: Count, held: Count, beside: int) -> tuple[Phase, ...]:
        """A verify pass whose tokens wait in the scratchpad.

        Args:
            tokens: Tokens verified.
            keys: Positions of the context, whole blocks.
            held: Those in memory, likewise.
            beside: Accepted tokens that wait, too.
        """
        return self.chain(waiting(verify_operators(self.model, tokens, keys), held=held, beside=beside), 0)

    def chain(self, operators: Sequence[Operator], append_blocks: Count) -> tuple[Phase, ...]:
        """Operators of a verify or draft pass, one after the other, of whose new tokens lie in so many blocks."""
        return tuple(phase for op in operators for phase in self._phases(op, append_blocks))

    def draft(self, heads: int) -> tuple[Phase, ...]:
        """The pass through the first draft heads."""
        return self.chain(draft_operators(self.model, heads), 1)

    def first_level(self, tokens: Count, keys: Count, append_blocks: Count) -> tuple[Phase, ...]:
        """The pass of a network that drafts over committed tokens, the last of which guesses; else as ``verify``."""
        operators = level_operators(self.model, tokens, keys - tokens, tokens * 0 + 1, fills=True)
        return self.chain(operators, append_blocks)

    def further_level(self, tokens: Count, keys: Count, append_blocks: Count) -> tuple[Phase, ...]:
        """A pass of a network that drafts over the drafts of a level, all of which guess; else as ``verify``."""
        return self.chain(level_operators(self.model, tokens, keys - tokens, tokens), append_blocks)

    def further_level_waiting(self, tokens: Count, keys: Count) -> tuple[Phase, ...]:
        """The same pass whose drafts wait in the scratchpad, over ``keys`` positions before, whole blocks."""
        return self.chain(waiting(level_operators(self.model, tokens, keys, tokens)), 0)

    def own_level(self, tokens: Count, keys: Count, append_blocks: Count) -> tuple[Phase, ...]:
        """A pass up to the head of the one network that drafts a level: committed tokens and drafts, as ``verify``."""
        return self.chain(level_layers(self.model, tokens, keys - tokens, fills=True), append_blocks)

    def guess(self, tokens: Count) -> tuple[Phase, ...]:
        """The head of such a pass behind so many of its tokens."""
        return self.chain(level_head(self.model, tokens), 0)

    def migration(self, moves: Mapping[WeightMove, int]) -> tuple[Phase, ...]:
        """Weights change sides between two steps, while nothing else runs."""
        found = []
        for move, copies in moves.items():
            memory = self.memory.move(*move)
            name = "weights_to_pim" if move.to_pim else "weights_to_dram"
            found.append(Phase(name, copies, memory, 0.0, "vector"))
        return tuple(found)

    def prefill(self, prompt_tokens: int) -> tuple[Phase, ...]:
        """The pass over a prompt."""
        operators = prefill_operators(self.model, prompt_tokens) + draft_prompt_operators(self.model, prompt_tokens)
        blocks = ceil_div(prompt_tokens, KEY_BLOCK)
        return tuple(phase for op in operators for phase in self._phases(op, blocks, prompt=True))

    def compaction(self, moved: Count) -> tuple[Phase, ...]:
        """Keys and values of accepted tokens move up to the root's: read and written again, in every layer."""
        kinds = (op for op in verify_operators(self.model, moved, 0) if isinstance(op, Attention) and op.writes)
        return tuple(self._append(op, ceil_div(moved, KEY_BLOCK), read_first=True) for op in kinds)

    def written(self, tokens: Count, blocks: Count) -> tuple[Phase, ...]:
        """Accepted tokens leave the scratchpad and are written in every layer.

        Args:
            tokens: How many.
            blocks: Blocks of positions that they lie in.
        """
        kinds = [op for op in verify_operators(self.model, tokens, 0) if isinstance(op, Attention) and op.writes]
        return tuple(replace(self._append(op, blocks), own=_leaving(op)) for op in kinds)

    def _phases(self, op: Operator, append_blocks: Count, prompt: bool = False) -> Iterator[Phase]:
        """Every device of a division does its part of the same phases."""
        if isinstance(op, Attention) and op.writes:
            yield self._append(op, append_blocks)
        if isinstance(op, Attention) and not prompt and self.layout.pim_cache(op) is not None:
            op = in_whole_blocks(op, KEY_BLOCK)
        for part, share in by_load(op):
            for division in self.layout.divided(part, prompt):
                parts = [device.phase_parts(part, amount) or () for device, amount in division.shares]
                for pieces in zip(*parts, strict=True):
                    yield self._together(pieces, division.copies * share)
        if isinstance(op, StateUpdate):
            yield Phase(f"{op.name}_write", op.count, self.memory.append_to_dram(op.state_bytes), 0.0, "vector")

    def _together(self, pieces: Sequence[PhasePart], copies: Real) -> Phase:
        """What one computes in the package goes beside what all read from it."""
        read_bytes = sum(piece.read_bytes for piece in pieces)
        inside = next((piece for piece in pieces if piece.in_memory is not None), None)
        if inside is None or inside.in_memory is None:
            memory, amount = self.memory.reads(read_bytes), NO_COLUMNS
        else:
            memory, amount = inside.in_memory(self.memory, read_bytes), inside.amount
        activity = reduce(add, (piece.activity for piece in pieces))
        busy_ns = reduce(_later, (piece.busy_ns for piece in pieces))
        slowest = max(pieces, key=lambda piece: float(np.sum(piece.busy_ns)))
        return Phase(pieces[0].name, copies, memory, busy_ns, slowest.unit, activity, amount)

    def _append(self, op: Attention, blocks: Count, read_first: bool = False) -> Phase:
        """New keys and values are written to every side in use, one after the other."""
        name = "kv_compaction" if read_first else "kv_append"
        write_bytes = plain(op.kv_write_bytes / op.count)
        memory = MemoryPart()
        if self.layout.kv_on_dram:
            memory += self.memory.append_to_dram(write_bytes, read_first)
        share = self.layout.pim_cache(op)
        if share is not None:
            memory += self.memory.append_to_pim(share, blocks, plain(op.tokens), read_first)
        return Phase(name, op.count, memory, 0.0, "vector")


def _leaving(op: Attention) -> Activity:
    """Keys and values of one layer's tokens are read from the scratchpad."""
    return Activity(scratchpad_bits=plain(op.kv_write_bytes / op.count) * 8.0)


def in_order(phases: Sequence[Phase]) -> Iterator[Phase]:
    """Every copy in the order of execution: neighbours that run equally often are one loop, over layers or heads.

    A product may lie in several placements, which share its copies: the first layers have the first one.

    Raises:
        InputError: Products with experts, of which only expected numbers are known.
    """
    products = [list(same) for _, same in groupby(phases, key=lambda phase: phase.name)]
    for _, body in groupby(products, key=lambda same: sum(map(_whole_copies, same))):
        rounds = [[phase for phase in same for _ in range(_whole_copies(phase))] for same in body]
        for layer in zip(*rounds, strict=True):
            yield from layer


def _whole_copies(phase: Phase) -> int:
    if not isinstance(phase.copies, int):
        raise InputError(
            f"'{phase.name}' runs {float(np.max(phase.copies)):.4g} times a step on average, as experts do: "
            "one step in its true order is known for models without experts only"
        )
    return phase.copies


def cost_of(phases: tuple[Phase, ...], memory: PackageCommands) -> Cost:
    """Cost of phases one after the other; refresh goes on, and dies stand by, while the memory has nothing to do."""
    tables = tables_of([phase.memory for phase in phases])
    took_ns = (_later(plain(table[0]), phase.npu_ns) for table, phase in zip(tables, phases, strict=True))
    latency_ns = reduce(add, (ns * phase.copies for ns, phase in zip(took_ns, phases, strict=True)), 0.0)
    own = (phase.own * (phase.copies * 1.0) for phase in phases if phase.own is not NOTHING)
    table = sum_of_tables(_times(table, phase.copies) for table, phase in zip(tables, phases, strict=True))
    activity = reduce(add, own, activity_from(table[1:])) + memory.refreshing(latency_ns - plain(table[0]))
    return Cost(latency_ns, activity + memory.waiting(latency_ns, activity))


def _times(table: FloatArray, copies: Real) -> FloatArray:
    """So many copies of a memory's part of a phase; one of arrays where copies are."""
    return (table[:, None] if np.ndim(copies) > 0 and table.ndim == 1 else table) * copies
