"""Where keys and values of a tree wait until it is known which of its tokens are accepted.

In place: a pass writes those of all its tokens into memory before its attention reads them, and accepted drafts that
lie out of place are moved up. In the scratchpad: a pass reads only the context from memory, the NPU's vector lanes
multiply the tree's tokens with each other, and what is accepted is written to memory once, where it belongs. In blocks
in the scratchpad: what is accepted waits on until a block of positions is full, and is written together; a key is one
byte of as many columns as a head is wide, so a full block takes the bursts that one key takes.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import TypeAlias

import numpy as np

from lpspec.allocation.allocator import Allocator
from lpspec.arrays import BoolArray, FloatArray, IntArray
from lpspec.devices.cost import Activity, Cost
from lpspec.devices.kv_append import blocks_of_positions, put_in_dram
from lpspec.llm.counts import Count, ceil_div, packed_bytes, plain
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.operators import Attention, Elementwise, Gemm, Operator, verify_operators
from lpspec.machine.platform_spec import PlatformSpec
from lpspec.simulation.kept_grid import Prices
from lpspec.simulation.price_grid import GridEnergy
from lpspec.simulation.workload import MAX_TREE_SIZE, System

KEY_BLOCK = 32
"""Positions that lie side by side in the lanes of a column; a cache is computed block by block, the rest masked."""

LEAST_TREE = 8
"""Tokens of a tree that have room at least beside a block that fills. Assumed, 4 to 16: PIM takes four in a pass."""

Operators: TypeAlias = tuple[Operator, ...]


@dataclass(frozen=True, slots=True)
class DraftCache:
    """Whose drafts wait in the scratchpad: those of trees from a smallest one up to a largest one.

    Attributes:
        most: Tokens of the largest tree that waits there; 0 where all are written in place.
        block: Accepted tokens that are written together, a power of two up to ``KEY_BLOCK``; 1 for every pass's own.
        least: Tokens of the smallest tree; 2 at least without blocks, since a root alone is accepted.
    """

    most: int = 0
    block: int = 1
    least: int = 1

    def waits(self, size: IntArray) -> BoolArray:
        """Whether trees of so many tokens wait."""
        return (size >= self.least) & (size <= self.most)

    @property
    def beside(self) -> int:
        """Accepted tokens that wait in the mean, rounded up."""
        return self.block // 2

    def held(self, context: Count) -> Count:
        """Tokens of a context that are in memory: full blocks, and what a shorter prompt wrote."""
        held: Count = plain(np.where(np.less(context, self.block), context, context - context % self.block))
        return held

    def level_waits(self, width: IntArray) -> BoolArray:
        """Whether a drafting pass over so many drafts waits: a tree with so wide a level has at least twice as many."""
        return 2 * width <= self.most

    def entries(self, entry: IntArray) -> tuple[IntArray, IntArray, IntArray]:
        """Drafts that are moved up, tokens that are written, and the blocks that these lie in, of an entry."""
        if not self.most:
            return entry, np.zeros_like(entry), np.zeros_like(entry)
        kind, amount = np.divmod(entry, MAX_TREE_SIZE)
        if self.block == 1:
            written = np.where(kind == 0, 0, amount + 1)
            return np.where(kind == 0, amount, 0), written, -(-written // KEY_BLOCK) + (kind == 2)
        written = np.where(kind == 1, amount + 1, np.where(kind == 2, self.block, 0))
        return np.where(kind == 1, 0, amount), written, -(-written // KEY_BLOCK)

    def priced(self, waits: BoolArray, price: Callable[[IntArray, bool], Prices]) -> Prices:
        """Prices of passes of 1, 2, ... tokens, those that wait and others apart; given sizes and whether they wait."""
        ends = [*(np.flatnonzero(np.diff(waits)) + 1).tolist(), len(waits)]
        starts = [0, *ends[:-1]]
        found = [price(np.arange(a + 1, b + 1), bool(waits[a])) for a, b in zip(starts, ends, strict=True)]
        energy = reduce(GridEnergy.beside, (energy for _, energy in found))
        return np.concatenate([ns for ns, _ in found], axis=-1), energy

    def put_in_place(self, size: IntArray, committed: IntArray, moved: IntArray, context: IntArray) -> IntArray:
        """Entry, in a list of what is put in place after a pass, of each pass.

        Entries below ``MAX_TREE_SIZE`` are drafts that are moved up; from there on 1, 2, ... tokens are written, in as
        few blocks of ``KEY_BLOCK`` positions as can be. From twice as many on 1, 2, ... tokens are written in one more;
        with blocks that wait, both happens: a tree that has no room lies in memory behind a block, which is written.

        Args:
            size: Tokens verified.
            committed: Tokens committed.
            moved: Accepted drafts out of place.
            context: Tokens before.
        """
        if not self.most:
            return moved
        if self.block == 1:
            more = blocks_of_positions(context, committed, KEY_BLOCK) > ceil_div(committed, KEY_BLOCK)
            return np.where(self.waits(size), MAX_TREE_SIZE * (1 + more) - 1 + committed, moved)
        full = ((context + committed) // self.block - context // self.block) * self.block
        written = np.where(full > 0, MAX_TREE_SIZE - 1 + np.minimum(full, MAX_TREE_SIZE), 0)
        return np.where(self.waits(size), written, 2 * MAX_TREE_SIZE + moved)

    def planned(self, cost: FloatArray, sizes: int, context: IntArray) -> FloatArray:
        """What is put in place after passes of 1, 2, ... tokens before it is known what is accepted.

        Of a tree one draft is written with the root. That drafts are moved up is left out, and so is what blocks take:
        they take as much for each token, whatever the tree. One that has no room has a whole block written before it.

        Args:
            cost: float64 [entries], of what is put in place.
            sizes: Tokens of a pass at most.
            context: int64 [contexts], tokens before.

        Returns:
            float64 [contexts, sizes], or [1, sizes] where contexts are alike.
        """
        if not self.most:
            return np.zeros((1, sizes))
        size = np.arange(1, sizes + 1)
        if self.block == 1:
            return cost[self.put_in_place(size, np.minimum(size, 2), np.zeros_like(size), context[:, None])]
        block: FloatArray = cost[MAX_TREE_SIZE - 1 + self.block] * ~self.waits(size)[None]
        return block


IN_PLACE = DraftCache()
"""No draft waits."""


def draft_cache_of(platform: PlatformSpec, model: ModelSpec, requests: int = 1) -> DraftCache:
    """What a platform's ``draft_cache`` comes to for a model: as many tokens as the scratchpad has room for.

    Keys and values of all layers wait beside the activations of the widest product; each of several requests has its
    part of the room.
    """
    if platform.draft_cache == "in-place" or platform.npu is None:
        return IN_PLACE
    products = (op for op in verify_operators(model, 1, 0) if isinstance(op, Gemm))
    widest = max(int(packed_bytes(op.k + op.n, model.activation_bits)) for op in products)
    of_token = model.kv_bytes_per_token + widest
    most = platform.npu.scratchpad.bytes // (requests * of_token)
    if platform.draft_cache == "scratchpad-blocks":
        block = KEY_BLOCK
        while block > 1 and most - (block - 1) < LEAST_TREE:
            block //= 2
        most -= block - 1
        if block > 1:
            return DraftCache(min(most, MAX_TREE_SIZE), block)
    return DraftCache(most, least=2) if most > 1 else IN_PLACE


def waiting(operators: Sequence[Operator], waits: bool = True, held: Count | None = None, beside: int = 0) -> Operators:
    """The same pass with its new tokens' keys and values in the scratchpad, if they wait there.

    Args:
        operators: Of the pass.
        waits: Whether they do.
        held: Tokens of the context that are in memory; all of it if left out.
        beside: Accepted tokens that wait in the scratchpad, too.
    """
    if not waits:
        return tuple(operators)
    return tuple(part for op in operators for part in _waiting(op, held, beside))


def _waiting(op: Operator, in_memory: Count | None, beside: int) -> Iterator[Operator]:
    if not isinstance(op, Attention):
        yield op
        return
    window = None if op.window is None else np.maximum(op.window - op.tokens - beside, 1 - op.tokens)
    context = (op.context if in_memory is None else in_memory) - op.tokens  # with the tokens, what is in memory
    held = replace(op, context=context, window=window, writes=False)  # type: ignore[arg-type]
    yield replace(held, pairs=op.tokens * held.keys)
    numbers = op.head_dim + op.value_width
    elements = op.heads * op.tokens * ((op.tokens + beside) * numbers + op.value_width)
    passed = (2 * op.tokens + beside) * op.kv_bytes_per_token  # written once and read once; others are only read
    yield Elementwise(f"{op.name}_of_tree", op.count, elements, 2, 0, passed)


def put_in_place_cost(
    system: System, allocator: Allocator, tokens: IntArray, read_first: bool, later: bool = False
) -> Cost:
    """Keys and values of so many accepted tokens are written in every layer, in as few blocks of positions as can be.

    Those that lie out of place are read before. An allocator that does not say what it costs has them in the plain DRAM
    of the package, if the platform has one.

    Args:
        system: Whose they are.
        allocator: Knows where keys and values lie.
        tokens: int64 [sizes], 1 at least.
        read_first: Whether they lie out of place in memory, or wait in the scratchpad.
        later: Whether what waits there lies in one block of ``KEY_BLOCK`` positions more, where it can.
    """
    name = "compaction_cost" if read_first else "append_cost"
    own: Callable[[Attention], Cost] | None = getattr(allocator, name, None)

    def of(op: Attention) -> Cost:
        return put_in_dram(system.platform, op, read_first) if own is None else own(op)

    kinds = [op for op in verify_operators(system.model, tokens, 0) if isinstance(op, Attention) and op.writes]
    if read_first:
        return sum((of(op) for op in kinds), Cost())
    total = Cost()
    for op in kinds:
        total += of(replace(op, context=KEY_BLOCK - 1)) if later else of(op)
        total += Cost(0.0, Activity(scratchpad_bits=op.kv_write_bytes * 8.0))
    return total
