"""A pass as the chain of phases that it is, each timed by commands: a transformer has hardly any other freedom.

In a phase, PIM computes its columns or heads while the NPU reads the weights or keys of the others from the DRAM rank
and multiplies them; it ends when all are done. Vector work is a phase of the NPU's vector units.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from lpspec.allocation.hybrid import BalancedAllocator, GemmSplit
from lpspec.devices.cost import Activity, Cost
from lpspec.devices.npu import Npu
from lpspec.devices.package_commands import Heads, MemoryPart, PackageCommands
from lpspec.llm.counts import ceil_div
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.operators import (
    Attention,
    Elementwise,
    Gemm,
    Operator,
    draft_operators,
    eagle_operators,
    prefill_operators,
    verify_operators,
)

KEY_BLOCK = 32
"""Positions that lie side by side in the lanes of a column; a cache is computed block by block, the rest masked."""

Unit = Literal["matrix", "vector"]


@dataclass(frozen=True, slots=True)
class Phase:
    """Identical copies of a phase, one per layer for most.

    Attributes:
        name: The operator, or its half.
        copies: How often it runs.
        memory: Time and events of the memory, of one copy.
        npu_ns: Time of the NPU's arrays or lanes beside it.
        unit: Which of them.
        activity: Everything that one copy does, memory included.
        pim_columns: Columns or heads that PIM computes; 0 if it has no part.
    """

    name: str
    copies: int
    memory: MemoryPart
    npu_ns: float
    unit: Unit
    activity: Activity
    pim_columns: int = 0

    @property
    def latency_ns(self) -> float:
        """Time of one copy, ns: both halves begin together, and the next phase when both are done."""
        return max(self.memory.latency_ns, self.npu_ns)


class PhasePlanner:
    """Lays the passes of one model on one platform out as phases."""

    def __init__(self, model: ModelSpec, npu: Npu, memory: PackageCommands, split: BalancedAllocator | None) -> None:
        """Take who works, and who decides what PIM computes; nobody does where the NPU is alone."""
        self.model, self.npu, self.memory, self.split = model, npu, memory, split

    def verify(self, tokens: int, keys: int, append_blocks: int) -> tuple[Phase, ...]:
        """A verify pass.

        Args:
            tokens: Tokens verified.
            keys: Positions attended to, whole blocks, the new tokens included.
            append_blocks: Blocks of positions that the new tokens lie in.
        """
        operators = verify_operators(self.model, tokens, keys - tokens)
        return tuple(phase for op in operators for phase in self._phases(op, append_blocks))

    def draft(self, heads: int) -> tuple[Phase, ...]:
        """The pass through the first draft heads."""
        return tuple(phase for op in draft_operators(self.model, heads) for phase in self._phases(op, 1))

    def eagle(self, tokens: int, keys: int, append_blocks: int, guessing: int) -> tuple[Phase, ...]:
        """A pass through the EAGLE layer, of which some tokens guess; the rest is as for ``verify``."""
        operators = eagle_operators(self.model, tokens, keys - tokens, guessing)
        return tuple(phase for op in operators for phase in self._phases(op, append_blocks))

    def prefill(self, prompt_tokens: int) -> tuple[Phase, ...]:
        """The pass over a prompt, all of it on the NPU."""
        alone = PhasePlanner(self.model, self.npu, self.memory, None)
        operators = prefill_operators(self.model, prompt_tokens)
        blocks = ceil_div(prompt_tokens, KEY_BLOCK)
        found = [phase for op in operators for phase in alone._phases(op, blocks)]
        if self.split is None:
            return tuple(found)
        attention = next(op for op in operators if isinstance(op, Attention))
        appends = self._append(attention, blocks)
        return tuple(appends if phase.name == appends.name else phase for phase in found)

    def compaction(self, moved: int) -> tuple[Phase, ...]:
        """Keys and values of accepted tokens move up to the root's: read and written again, in every layer."""
        attention = next(op for op in verify_operators(self.model, moved, 0) if isinstance(op, Attention))
        return (self._append(attention, ceil_div(moved, KEY_BLOCK), read_first=True),)

    def _phases(self, op: Operator, append_blocks: int) -> Iterator[Phase]:
        if isinstance(op, Elementwise):
            yield self._vector(op)
        elif isinstance(op, Gemm):
            if self.split is None:
                yield self._product_on_npu(op)
            else:
                yield from (self._product(op, split) for split in self.split.gemm_splits(op))
        else:
            yield self._append(op, append_blocks)
            yield from self._attention(op)

    def _vector(self, op: Elementwise) -> Phase:
        once = op.vector_ops / op.count
        memory = self.memory.reads(float(op.memory_bytes / op.count))
        compute_ns = float(once / (self.npu.spec.vector_tops * 1e3))
        return Phase(op.name, op.count, memory, compute_ns, "vector", memory.activity + Activity(macs_int8=once / 2))

    def _product_on_npu(self, op: Gemm) -> Phase:
        memory = self.memory.reads(float(self.npu.gemm_read_bytes(op)))
        compute_ns = float(self.npu.product_compute_ns(op))
        activity = memory.activity + self.npu.gemm_on_chip(op, op.n)
        return Phase(op.name, op.count, memory, compute_ns, "matrix", activity)

    def _product(self, op: Gemm, split: GemmSplit) -> Phase:
        pim_columns = int(split.pim_columns)
        npu_columns = op.n - pim_columns
        npu_bytes = float(self.npu.gemm_read_bytes(op, npu_columns))
        memory = self.memory.product(int(op.tokens), op.k, pim_columns, npu_bytes)
        compute_ns = float(self.npu.gemm_compute_ns(op.tokens, op.k, npu_columns))
        on_chip = self.npu.gemm_on_chip(op, npu_columns)
        copies = split.placed.gemm.count
        return Phase(op.name, copies, memory, compute_ns, "matrix", memory.activity + on_chip, pim_columns)

    def _attention(self, op: Attention) -> Iterator[Phase]:
        pim_heads = int(self.split.heads_on_pim(op)) if self.split is not None else 0
        npu_heads = op.kv_heads - pim_heads
        queries = int(op.tokens) * (op.heads // op.kv_heads)
        heads = Heads(pim_heads, op.kv_heads, op.head_dim, queries, int(op.keys))
        npu, npu_bytes = self.npu, float(self.npu.attention_read_bytes(op, npu_heads)) / 2
        scores_ns, values_ns = npu.scores_compute_ns(op, npu_heads), npu.values_compute_ns(op, npu_heads)
        halves = (
            ("scores", self.memory.scores(heads, npu_bytes), scores_ns, npu.scores_on_chip(op, npu_heads)),
            ("values", self.memory.values(heads, npu_bytes), values_ns, npu.values_on_chip(op, npu_heads)),
        )
        for name, memory, compute_ns, on_chip in halves:
            yield Phase(name, op.count, memory, float(compute_ns), "matrix", memory.activity + on_chip, pim_heads)

    def _append(self, op: Attention, blocks: int, read_first: bool = False) -> Phase:
        """New keys and values are written to every side in use, one after the other."""
        name = "kv_compaction" if read_first else "kv_append"
        write_bytes = float(op.kv_write_bytes / op.count)
        memory = MemoryPart()
        if self.split is None or self.split.kv_on_dram:
            memory += self.memory.append_to_dram(write_bytes, read_first)
        if self.split is not None:
            memory += self.memory.append_to_pim(op.kv_heads, op.head_dim, blocks, int(op.tokens), read_first)
        return Phase(name, op.count, memory, 0.0, "vector", memory.activity)


def in_order(phases: Sequence[Phase]) -> Iterator[Phase]:
    """Every copy in the order of execution: neighbours that run equally often are one loop, over layers or heads.

    A product may lie in several placements, which share its copies: the first layers have the first one.
    """
    products = [list(same) for _, same in groupby(phases, key=lambda phase: phase.name)]
    for _, body in groupby(products, key=lambda same: sum(phase.copies for phase in same)):
        rounds = [[phase for phase in same for _ in range(phase.copies)] for same in body]
        for layer in zip(*rounds, strict=True):
            yield from layer


def cost_of(phases: tuple[Phase, ...], memory: PackageCommands) -> Cost:
    """Cost of phases one after the other; refresh goes on, and dies stand by, while the memory has nothing to do."""
    latency_ns = sum(phase.latency_ns * phase.copies for phase in phases)
    activity = Activity()
    memory_ns = 0.0
    for phase in phases:
        activity += phase.activity * float(phase.copies)
        memory_ns += phase.memory.latency_ns * phase.copies
    idle_refreshes = (latency_ns - memory_ns) / memory.refresh_interval_ns * memory.dies
    idle_die_ns = latency_ns * memory.dies - activity.active_die_ns
    return Cost(latency_ns, activity + Activity(refreshed_dies=idle_refreshes, idle_die_ns=idle_die_ns))
