"""What programs of attention take in PIM ranks: QK^T and PV of some heads, as the cache lies there."""

from abc import ABC, abstractmethod
from dataclasses import replace
from functools import reduce
from itertools import pairwise
from operator import add, mul

import numpy as np

from lpspec.devices.cost import Real
from lpspec.devices.kv_share import Heads, KvShare
from lpspec.devices.memory_timing import MemoryTiming
from lpspec.devices.pim_work import PimWork, chosen
from lpspec.llm.counts import Count, ceil_div, plain
from lpspec.machine.die import DieSpec
from lpspec.machine.pim_format import PimFormat
from lpspec.machine.platform_spec import PimSpec


class PimHeads(ABC):
    """The part of PIM ranks that counts commands of attention, and bursts of inputs and results."""

    spec: PimSpec
    timing: MemoryTiming
    die: DieSpec
    row_columns: int
    chunks: dict[int, int]
    """Bytes of one token in a set of registers, by the bytes of an input."""

    def passes(self, tokens: Count) -> Count:
        """Passes over the weights: one serves up to N_ALU tokens."""
        return ceil_div(tokens, self.spec.alus.n)

    @abstractmethod
    def busy_ns(self, work: PimWork) -> Real:
        """Time of a program."""

    def scores_of(self, heads: Heads) -> PimWork:
        """The same of heads as the memory sees them, by ranks together or in turn: whichever ends sooner."""
        together = self._scores_together(heads)
        if self.spec.scores_order == "together" or not self._may_take_turns(heads):
            return together
        in_turn = self._scores_in_turn(heads, together)
        return chosen(together, in_turn, plain(np.asarray(self.busy_ns(in_turn) < self.busy_ns(together))))

    def _may_take_turns(self, heads: Heads) -> bool:
        """Whether there are several ranks, all rows of a tile may be open at once, and registers hold its inputs."""
        rows = ceil_div(heads.share.head_dim, self.row_columns)
        sets = rows * self._input_sets(self.row_columns, heads.share.form)
        return self.spec.concurrent_ranks.n > 1 and int(rows) <= self.spec.banks_per_mpu.n and int(sets) <= 2

    def _scores_in_turn(self, heads: Heads, together: PimWork) -> PimWork:
        """The same commands but for MACs, which fewer ranks take at once, and queries, which are sent once a pass."""
        share, queries = heads.share, heads.queries
        matrices, ranks = share.matrices(heads.pim), self.spec.concurrent_ranks.n
        slots = ceil_div(share.part_keys(heads.keys), self.die.mpus * share.form.lanes(self.spec.lanes.n))
        rows, passes = ceil_div(share.head_dim, self.row_columns), self.passes(queries)
        full, left = matrices // ranks, matrices % ranks
        macs = full * self._macs_in_turn(slots, ranks, share.head_dim) + sum(
            (left == some) * self._macs_in_turn(slots, some, share.head_dim) for some in range(1, ranks)
        )
        runs = (full + (left > 0)) * passes * (slots > 0)
        return replace(
            together,
            passes=runs,
            macs=macs * passes,
            rows=runs * rows,
            input_sets=matrices * passes * self._input_sets(share.head_dim, share.form) * (slots > 0),
            input_bursts=matrices * self._input_bursts(queries, share.head_dim, share.form) * (slots > 0),
            in_turn=1,
        )

    def _macs_in_turn(self, tiles: Count, ranks: int, k: int) -> Count:
        """MAC commands of so many tiles of each rank, which follow each other a row apart."""
        rows = ceil_div(k, self.row_columns)
        if ranks == 1:
            return tiles * k
        streamed = ((rows + 1) * tiles + ranks - 2) * (tiles > 0)
        rest = k - (rows - 1) * self.row_columns  # of the last row
        if rows == 1:
            return streamed * rest
        return (streamed + 1) // 2 * self.row_columns + streamed // 2 * rest

    def _scores_together(self, heads: Heads) -> PimWork:
        """The same where all ranks compute, then read back one after the other."""
        share, queries, kv_heads = heads.share, heads.queries, heads.pim
        matrices, keys = share.matrices(kv_heads), share.part_keys(heads.keys)
        slots = ceil_div(keys, self.die.mpus * share.form.lanes(self.spec.lanes.n))
        units, tiles = matrices * slots, ceil_div(matrices, self.spec.concurrent_ranks.n) * slots
        passes, rows = self.passes(queries), ceil_div(share.head_dim, self.row_columns)
        runs, die_runs = tiles * passes, units * passes
        return PimWork(
            passes=runs,
            macs=runs * share.head_dim,
            rows=runs * rows,
            die_passes=die_runs,
            die_macs=die_runs * share.head_dim,
            die_rows=die_runs * rows,
            token_macs=units * (queries * share.head_dim),
            input_sets=die_runs * self._input_sets(share.head_dim, share.form),
            input_bursts=units * self._input_bursts(queries, share.head_dim, share.form),
            output_bursts=matrices * self._result_bursts(keys) * queries,
            share=share.mean_share(kv_heads),
            form=share.form,
        )

    def values_of(self, heads: Heads) -> PimWork:
        """The same of heads as the memory sees them."""
        if self.spec.input_reach == "mpus":
            return self._values_apart(heads)
        share, queries, dies = heads.share, heads.queries, self.spec.concurrent_ranks.n
        matrices, keys = share.matrices(heads.pim), share.part_keys(heads.keys)
        together, slots = self._values_side_by_side(share)
        full, left = matrices // (dies * together), matrices % (dies * together)
        dies_with = self._dies_with(full, left, together)
        each = [self.passes(queries * some) for some in range(1, together + 1)]
        passes = (full * each[-1] + self.passes(queries * ceil_div(left, dies))) * slots
        die_passes = reduce(add, map(mul, each, dies_with)) * slots
        sent = [(queries, matrices)]  # where each token begins a burst of its own, a head on a shared die does, too
        if not self._begins_bursts(share.form):
            sent = [(queries * some, dies_with[some - 1]) for some in range(1, together + 1)]
        rows = ceil_div(keys, self.row_columns)
        return PimWork(
            passes=passes,
            macs=passes * keys,
            rows=passes * rows,
            die_passes=die_passes,
            die_macs=die_passes * keys,
            die_rows=die_passes * rows,
            token_macs=matrices * (slots * queries) * keys,
            input_sets=die_passes * self._input_sets(keys, share.form),
            input_bursts=reduce(add, (self._input_bursts(n, keys, share.form) * on for n, on in sent)) * slots,
            output_bursts=matrices * (queries * self._result_bursts(share.value_width)),
            share=share.mean_share(heads.pim),
            form=share.form,
        )

    def _values_side_by_side(self, share: KvShare) -> tuple[int, int]:
        """Heads whose values share the MPUs of a die, and tiles of a head, one after the other."""
        together = share.values_per_die(self.die.mpus, self.spec.lanes.n)
        return together, ceil_div(share.value_width, self.die.mpus // together * share.form.lanes(self.spec.lanes.n))

    def _dies_with(self, full: Count, left: Count, together: int) -> list[Count]:
        """Dies that take 1, 2, ... heads side by side, summed over full rounds and the heads that are left then."""
        dies = self.spec.concurrent_ranks.n
        of_left: list[Count] = [np.minimum(np.maximum(left - some * dies, 0), dies) for some in range(together)]
        found = [some - more for some, more in pairwise([*of_left, 0])]
        return [*found[:-1], found[-1] + full * dies]

    def _values_apart(self, heads: Heads) -> PimWork:
        """The same where heads that share a die have inputs of their own: each ALU serves all of them at once."""
        share, queries, keys = heads.share, heads.queries, heads.share.part_keys(heads.keys)
        dies, matrices = self.spec.concurrent_ranks.n, share.matrices(heads.pim)
        together, slots = self._values_side_by_side(share)
        full, left = matrices // (dies * together), matrices % (dies * together)
        units = (full * dies + np.minimum(left, dies)) * slots
        passes, tiles = self.passes(queries), (full + np.minimum(left, 1)) * slots
        rows = ceil_div(keys, self.row_columns)
        return PimWork(
            passes=tiles * passes,
            macs=tiles * passes * keys,
            rows=tiles * passes * rows,
            die_passes=units * passes,
            die_macs=units * passes * keys,
            die_rows=units * passes * rows,
            token_macs=units * queries * keys,
            input_sets=units * passes * self._input_sets(keys, share.form),
            input_bursts=matrices * slots * self._input_bursts(queries, keys, share.form),
            output_bursts=matrices * queries * self._result_bursts(share.value_width),
            share=share.mean_share(heads.pim),
            form=share.form,
        )

    def served_values(self, heads: Heads) -> PimWork:
        """Values with the tokens of the MAC commands as they are issued: for the dies with the most, others idling."""
        if self.spec.input_reach == "mpus":
            return self.values_of(heads)
        work, queries, dies = self.values_of(heads), heads.queries, self.spec.concurrent_ranks.n
        together, slots = self._values_side_by_side(heads.share)
        matrices = heads.share.matrices(heads.pim)
        full, left = matrices // (dies * together), matrices % (dies * together)
        most = ceil_div(left, dies)
        with_most = left - np.maximum(most - 1, 0) * dies
        issued = np.minimum(queries * most, self.passes(queries * np.maximum(most - 1, 0)) * self.spec.alus.n)
        less = issued * (np.asarray(most) > 1)
        tokens = (full * together * queries + less) * dies + with_most * (queries * most - less)
        return replace(work, token_macs=tokens * slots * heads.share.part_keys(heads.keys))

    def _input_sets(self, k: Count, form: PimFormat) -> Count:
        """Sets of registers that k inputs of a token fill, one after the other."""
        return ceil_div(k * form.input_bytes, self.chunks[form.input_bytes])

    def _input_bursts(self, tokens: Count, k: Count, form: PimFormat) -> Count:
        """Bursts that send k inputs of each token to one die, pass by pass, set by set."""
        alus, burst, chunk = self.spec.alus.n, self.timing.burst_bytes, self.chunks[form.input_bytes]
        whole, rest = divmod(k * form.input_bytes, chunk)
        if self._begins_bursts(form):
            return tokens * (whole * (chunk // burst) + ceil_div(rest, burst))

        def of_a_pass(served: Count) -> Count:
            last = ceil_div(((served - 1) * chunk + rest) * (served > 0) * (rest > 0), burst)
            return whole * ceil_div(chunk * served, burst) + last

        return tokens // alus * of_a_pass(alus) + of_a_pass(tokens % alus)

    def _begins_bursts(self, form: PimFormat) -> bool:
        """Whether each token begins a burst of its own in a set of registers."""
        return self.chunks[form.input_bytes] % self.timing.burst_bytes == 0

    def _result_bursts(self, outputs: Count) -> Count:
        """Bursts that hold so many accumulators of one token: those of an MPU's lanes together."""
        lanes, bits, burst_bits = self.spec.lanes.n, self.spec.accumulator_bits.n, 8 * self.timing.burst_bytes
        return outputs // lanes * ceil_div(lanes * bits, burst_bits) + ceil_div(outputs % lanes * bits, burst_bits)
