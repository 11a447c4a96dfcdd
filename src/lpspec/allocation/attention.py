"""The DAU's split of attention: whole key-value heads go to either side, scores and values both."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from functools import partial

import numpy as np

from lpspec.allocation.head_tables import HeadTable
from lpspec.allocation.key_blocks import by_blocks, by_lanes, in_whole_blocks
from lpspec.allocation.memo import Memo
from lpspec.allocation.parts import Part
from lpspec.allocation.position_splits import Weight, best_by_positions, divisible, scores_cost, values_cost
from lpspec.arrays import FloatArray, IntArray
from lpspec.devices.cost import Activity, Cost, Real, off_chip_read
from lpspec.devices.kv_append import append_to_dram, append_to_pim, blocks_of_positions
from lpspec.devices.kv_share import KeyShare, KvShare
from lpspec.devices.npu import Npu
from lpspec.devices.pim import LpddrPim
from lpspec.devices.pim_work import PimWork
from lpspec.llm.counts import Count
from lpspec.llm.operators import Attention
from lpspec.machine.energy_profile import EnergyProfile

BLOCKS_BEFORE, BLOCKS_BEYOND = 30, 2
"""Blocks of keys that are decided along with one: those of a thousand tokens."""


class AttentionSplits(ABC):
    """The part of a hybrid allocator that divides heads between NPU and PIM."""

    npu: Npu
    pim: LpddrPim
    profile: EnergyProfile | None
    max_tokens: int
    kv_on_dram: bool
    attention_layers: int
    saves_time: bool
    _memo: Memo
    _heads_over: dict[Attention, dict[int, tuple[FloatArray, IntArray]]]

    @abstractmethod
    def _of_products(self, profile: EnergyProfile) -> FloatArray:
        """Time and energy of what a step has beside attention, for each size: float64 [2, sizes]."""

    def _attention_cost(self, op: Attention) -> Iterator[Part | Cost]:
        """Whole key-value heads go to either side; new keys and values are written to every side in use."""
        self.pim.check_precision(op)
        lanes = self.pim.spec.lanes.n
        yield by_blocks(op, lanes, self._heads_cost)
        yield by_lanes(op, lanes, self.appends)

    def _heads_cost(self, op: Attention) -> Cost:
        """Scores and values of all layers over whole blocks of keys."""
        if self.pim.spec.attention_split == "positions":
            return self._share_cost(op, self.key_share(op)) * float(op.count)
        latency_ns, pim_heads = self.attention_split(op)
        return Cost(latency_ns * op.count, self._heads_activity(op, pim_heads))

    def pim_cache(self, op: Attention) -> KvShare:
        """How new keys and values are dealt to the PIM ranks, which always keep them."""
        return self.pim.kv_share(op)

    def appends(self, op: Attention, read_first: bool = False) -> Cost:
        """New keys and values of all layers, or moved ones, on PIM ranks and, where it keeps them, on the DRAM rank."""
        if not op.writes:
            return Cost()
        blocks = blocks_of_positions(op.context, op.tokens, self.pim.spec.lanes.n)
        cost = append_to_pim(self.pim, op, blocks, read_first)
        if self.kv_on_dram:
            cost += append_to_dram(self.pim.timing, op, read_first)
        return cost * float(op.count)

    def _heads_activity(self, op: Attention, pim_heads: Count) -> Activity:
        """Events of all layers of attention of which PIM computes some heads and the NPU the others; writes apart."""
        works = self.pim.scores(op, pim_heads), self.pim.values(op, pim_heads)
        on_pim = self._pim_activity(op, pim_heads, works) * float(op.count)
        return self.npu.attention_activity(op, op.kv_heads - pim_heads) + on_pim

    def _pim_activity(self, op: Attention, pim_heads: Count, works: tuple[PimWork, PimWork]) -> Activity:
        """Events of QK^T and PV in PIM in one layer of it, and of the reads of what is beside its keys and values."""
        on_pim = self.pim.activity(*works)
        return on_pim + off_chip_read(2 * op.scale_bytes * pim_heads * op.keys) if op.scale_bytes else on_pim

    def heads_on_pim(self, op: Attention) -> IntArray:
        """Key-value heads on PIM, which are decided anew whenever another block of lanes has been filled with keys."""
        return self.attention_split(in_whole_blocks(op, self.pim.spec.lanes.n))[1]

    def key_share(self, op: Attention) -> KeyShare:
        """What PIM computes of attention over whole blocks: some heads, or where that is better positions of all.

        Time decides, with energy at the power of the products where a profile is known; it never takes longer then.
        """
        found = KeyShare(self.attention_split(op)[1], op.keys, op.keys)
        if self.pim.spec.attention_split == "heads" or not self.kv_on_dram or not divisible(op):
            return found
        weights, cost = self._share_weights(), self._share_cost(op, found)
        for weight in weights:
            other = best_by_positions(self.npu, self.pim, op, weight)
            its = self._share_cost(op, other)
            better = np.asarray(weights[-1](op, its) < weights[-1](op, cost))
            if self.saves_time:
                better &= np.asarray(its.latency_ns) <= cost.latency_ns
            found = KeyShare(
                np.where(better, other.heads, found.heads),
                np.where(better, other.scores_keys, found.scores_keys),
                np.where(better, other.values_keys, found.values_keys),
            )
            cost = self._share_cost(op, found)
        return found

    def least_by_positions_ns(self, op: Attention) -> float:
        """Time of one layer over whole blocks of keys, divided by positions so that it ends soonest."""
        return float(self._share_cost(op, best_by_positions(self.npu, self.pim, op, _time)).latency_ns)

    def _share_weights(self) -> list[Weight]:
        """What positions are divided by, the last one what counts: time, then energy and what time is worth in it."""
        profile = self.profile
        if profile is None:
            return [_time]
        took_ns, took_pj = self._of_products(profile)
        worth_pj = took_pj / took_ns

        def with_energy(op: Attention, cost: Cost) -> FloatArray:
            size = np.minimum(op.tokens, self.max_tokens) - 1
            return np.asarray(self._energy_pj(cost, profile) + worth_pj[size] * cost.latency_ns)

        return [_time, with_energy]

    def _share_cost(self, op: Attention, share: KeyShare) -> Cost:
        """Scores, then values, of one layer."""
        return scores_cost(self.npu, self.pim, op, share) + values_cost(self.npu, self.pim, op, share)

    def attention_ns(self, op: Attention) -> FloatArray:
        """Time of one layer over whole blocks of keys."""
        if self.pim.spec.attention_split == "heads":
            return self.attention_split(op)[0]
        return np.asarray(self._share_cost(op, self.key_share(op)).latency_ns)

    def attention_split(self, op: Attention) -> tuple[FloatArray, IntArray]:
        """Time of one layer, ns, and key-value heads on PIM, for every entry of the grid."""
        if self.profile is None or not np.size(op.keys) or np.max(op.tokens) > self.max_tokens:
            return self._best_heads(op)
        keys, tokens = np.asarray(op.keys), np.asarray(op.tokens)
        found, row = np.unique(keys, return_inverse=True)
        latency_ns, heads = self._heads_by_size(op, found, self.profile)
        at = row.reshape(keys.shape), tokens - 1
        return latency_ns[at], heads[at]

    def _heads_by_size(self, op: Attention, keys: IntArray, profile: EnergyProfile) -> tuple[FloatArray, IntArray]:
        """Time of one layer, and heads on PIM, over some numbers of keys, for trees of 1, 2, 3 and more tokens.

        Each is [keys, sizes]. Each kind of layers is held against its share of the products, so that a step of all of
        them is, too.
        """
        known = self._heads_over.setdefault(_kind_of(op), {})
        if wanted := {k for k in keys.tolist() if k not in known}:
            if len(wanted) == 1:  # that of a step alone: those of the run before it cost little more along with it
                wanted |= _blocks_around(max(wanted), self.pim.spec.lanes.n) - known.keys()
            beside = self._of_products(profile) * (op.count / self.attention_layers)
            for table, its_keys in self._tabulated(op, sorted(wanted)):
                its, rows = (np.array(part) for part in zip(*its_keys, strict=True))
                energy = partial(self._heads_energy_pj, op, profile)
                if self.pim.spec.scores_order == "together":
                    decided = table.decided(rows, op.count, beside, energy)
                else:
                    usual = self._heads_together(op, its, profile)
                    decided = table.no_worse(rows, op.count, beside, energy, usual)
                known |= dict(zip(its.tolist(), zip(*decided, strict=True), strict=True))
        found = [known[k] for k in keys.tolist()]
        return np.stack([ns for ns, _ in found]), np.stack([heads for _, heads in found])

    def _heads_together(self, op: Attention, keys: IntArray, profile: EnergyProfile) -> IntArray:
        """Heads that PIM would have if its ranks computed scores together: int64 [keys, sizes]."""
        other = copy(self)
        other.pim, other._memo, other._heads_over = copy(self.pim), Memo(), {}
        other.pim.spec = self.pim.spec.model_copy(update={"scores_order": "together"})
        return other._heads_by_size(op, keys, profile)[1]

    def _tables_of(self, op: Attention) -> dict[int, tuple[HeadTable, int]]:
        """The table for each number of keys, and the row in it, wherever weights lie."""
        return self._memo.heads_of.setdefault((_kind_of(op), self.kv_on_dram), {})

    def _tabulated(self, op: Attention, keys: list[int]) -> Iterator[tuple[HeadTable, list[tuple[int, int]]]]:
        """Tables for some numbers of keys, each with those that it has and their rows; one for all that are new."""
        known = self._tables_of(op)
        if new := [k for k in keys if k not in known]:
            table = self._head_table(op, np.array(new, np.int64)[:, None])
            known |= {k: (table, row) for row, k in enumerate(new)}
        for table in {id(known[k][0]): known[k][0] for k in keys}.values():
            yield table, [(k, known[k][1]) for k in keys if known[k][0] is table]

    def _head_table(self, op: Attention, keys: IntArray) -> HeadTable:
        """Time of one layer with every choice, over some numbers of keys, int64 [keys, 1]."""
        one, heads = self._one_layer(op, keys), np.array(self._allowed_heads(op)[::-1])
        latency_ns = self._attention_makespan_ns(one, heads[:, None, None])
        return HeadTable(keys, heads, latency_ns, len(heads) - 1 - np.argmin(latency_ns[::-1], axis=0))

    def _heads_energy_pj(
        self, op: Attention, profile: EnergyProfile, keys: IntArray, pim_heads: IntArray, latency_ns: FloatArray
    ) -> FloatArray:
        """Energy of one layer over some numbers of keys, int64 [keys, 1], as ``HeadTable`` asks for it."""
        activity = self._heads_activity(self._one_layer(op, keys), pim_heads)
        return np.broadcast_to(self._energy_pj(Cost(latency_ns, activity), profile), latency_ns.shape)

    def _one_layer(self, op: Attention, keys: IntArray) -> Attention:
        """A layer of trees of 1, 2, 3 and more tokens over whole blocks of keys."""
        return replace(op, count=1, tokens=np.arange(1, self.max_tokens + 1)).over(keys)

    def _best_heads(self, op: Attention) -> tuple[FloatArray, IntArray]:
        """Time of one layer, and the heads of the best division, each size by itself."""
        choices = np.array(self._allowed_heads(op))
        each = choices.reshape(-1, *[1] * np.broadcast(op.keys, op.tokens).ndim)
        latency_ns = self._attention_makespan_ns(op, each)
        best = np.argmin(self._heads_weight(op, each, latency_ns), axis=0)
        return np.take_along_axis(latency_ns, best[None], 0)[0], choices[best]

    def _heads_weight(self, op: Attention, pim_heads: IntArray, latency_ns: FloatArray) -> FloatArray:
        """What the division of the heads of one layer minimises: time."""
        return latency_ns

    def _allowed_heads(self, op: Attention) -> list[int]:
        """Candidates, most heads on PIM first, each the same work for every channel.

        Without a copy on the DRAM rank, either side takes all.
        """
        if self.kv_on_dram:
            return list(range(op.kv_heads, -1, -self.pim.kv_share(op).quantum))
        return [op.kv_heads, 0]

    def _attention_makespan_ns(self, op: Attention, pim_heads: Count) -> FloatArray:
        """Time of one layer: scores, then values, each as long as the slowest of PIM, arrays and bus."""
        return self._beside_npu_ns(op, pim_heads, (self.pim.scores(op, pim_heads), self.pim.values(op, pim_heads)))

    def _beside_npu_ns(self, op: Attention, pim_heads: Count, works: tuple[PimWork, PimWork]) -> FloatArray:
        """The same, given what PIM does for QK^T and PV."""
        npu_heads = op.kv_heads - pim_heads
        keys_bytes, values_bytes = self.npu.halves_read_bytes(op, npu_heads)
        if op.scale_bytes:
            scales_bytes = op.scale_bytes * pim_heads * op.keys
            keys_bytes, values_bytes = keys_bytes + scales_bytes, values_bytes + scales_bytes
        scores, values = works
        scores_ns = np.maximum(self._beside_ns(scores, keys_bytes), self.npu.scores_compute_ns(op, npu_heads))
        values_ns = np.maximum(self._beside_ns(values, values_bytes), self.npu.values_compute_ns(op, npu_heads))
        return np.asarray(scores_ns + values_ns)

    def _beside_ns(self, work: PimWork, read_bytes: Real) -> Real:
        """Time of PIM and the bus, on which the NPU reads so much beside it."""
        return np.maximum(self.pim.busy_ns(work), self.pim.bus_ns(work, read_bytes))

    def _energy_pj(self, cost: Cost, profile: EnergyProfile) -> FloatArray:
        """Energy, of all dies meanwhile too."""
        return np.asarray(sum(self.pim.timing.energy_pj(cost, profile).values()), np.float64)


def _blocks_around(keys: int, lanes: int) -> set[int]:
    """Numbers of keys in whole blocks before so many, and a few beyond, that larger trees have; none if it is none."""
    if keys % lanes:
        return set()
    return set(range(max(keys - BLOCKS_BEFORE * lanes, lanes), keys + BLOCKS_BEYOND * lanes + 1, lanes))


def _kind_of(op: Attention) -> Attention:
    """The same for all layers of a kind."""
    return replace(op, tokens=1, context=0, pairs=1, read=None)


def _time(_: Attention, cost: Cost) -> FloatArray:
    return np.asarray(cost.latency_ns)
