"""LPDDR5-PIM dies: output-stationary products inside the banks (LP-Spec sections V-A and V-B).

The 32 lanes of an MPU are 32 output columns. One MAC command makes every MPU of every die that computes read
32 weights of one k and multiply them with up to N_ALU tokens, so L tokens take ceil(L / N_ALU) passes over the
weights. Inputs are broadcast over the data bus (one burst reaches all ranks of a channel; every channel needs its
own), accumulators are read back over it once a tile is done. While one bank of an MPU streams its row, the other
opens the next; with one bank per MPU nothing streams meanwhile.

These are the counts of the programs in ``lpspec.dram.pim.products``, times the timings of the die: a pass opens its
first rows under nFAW, streams its columns, and reads its accumulators back; all dies stop together to refresh.
"""

from copy import copy
from functools import reduce
from operator import add
from typing import Self

import numpy as np

from lpspec.devices.cost import Activity, Real
from lpspec.devices.kv_share import Heads, KvShare
from lpspec.devices.memory_timing import timing_of
from lpspec.devices.pim_format import format_of
from lpspec.devices.pim_heads import PimHeads
from lpspec.devices.pim_work import PimWork
from lpspec.llm.counts import Count, ceil_div, plain
from lpspec.llm.operators import Attention, Gemm
from lpspec.machine.pim_format import INT8, PimFormat
from lpspec.machine.platform_spec import MemorySpec, PimSpec


class PimPrograms(PimHeads):
    """Programs of products and attention on the PIM ranks of a package: counts, times and events."""

    def __init__(self, pim: PimSpec, memory: MemorySpec) -> None:
        """Take the data of one platform."""
        self.spec = pim
        self.timing = timing_of(memory)
        self.memory = memory
        self.channels = memory.channels.n
        self.pim_ranks = memory.pim_ranks.n
        self.die = memory.die_with(pim)
        self.mpus_per_rank = memory.dies_per_rank * self.die.mpus
        self.slice_columns = self.mpus_per_rank * pim.lanes.n
        self.row_columns = self.die.organisation.columns
        self.chunks = {width: min(pim.input_depth.n // width, self.row_columns) * width for width in (1, 2)}
        self._lay_out()
        self._set_times()

    def _lay_out(self) -> None:
        """Begin with products whose k is not shared, and heads that are not dealt."""
        self.tile_columns = self.slice_columns * self.spec.concurrent_ranks.n
        self.k_split: frozenset[str] = frozenset()
        self._dealt_to: dict[str, int] = {}

    def computing(self, pim: PimSpec) -> Self:
        """The same dies, of which as many ranks compute at once as ``pim`` says."""
        other = copy(self)
        other.spec = pim
        other._lay_out()
        return other

    def _set_times(self) -> None:
        """Times of single events, ns; what commands wait for in whole CK waits for whole CK here too."""
        device, pim = self.die, self.spec
        t, ck_ns = device.timing, device.ck_ns
        four_ck = max(t.nFAW.n, 4 * t.nRRD.n)
        last_ck = (device.mpus - 1) // 4 * four_ck + min(device.mpus - 1, 3) * t.nRRD.n
        opened_ck = (0 if pim.activate == "at_once" else last_ck) + t.nRCD.n
        self.mac_ns = device.mac_ck * ck_ns
        self.mode_ns = device.mode_ck * ck_ns
        self.open_ns = opened_ck * ck_ns
        self.answer_ns = t.nCL.n * ck_ns
        hidden_ns = self.row_columns * self.mac_ns if pim.banks_per_mpu.n > 1 else self.mac_ns
        self.next_row_ns = max(0.0, (t.nRTP.n + t.nRPab.n) * ck_ns + self.open_ns - hidden_ns)
        self.turnaround_ns = (t.nCL.n + t.nRTRS.n - t.nCWL.n) * ck_ns

    # What programs take

    def busy_ns(self, work: PimWork) -> Real:
        """Time from entering to leaving PIM mode; a program without work takes none."""
        switches_ns = ((self.spec.mode_steps.n + 1) * self.mode_ns) * np.minimum(work.passes, 1)
        passes_ns = work.passes * (self.open_ns + self.answer_ns)
        if self.next_row_ns:
            passes_ns = passes_ns + (work.rows - work.passes) * self.next_row_ns
        readback_ns = work.output_bursts * self.timing.burst_ns
        streamed_ns = work.macs * self.mac_ns
        together_ns = (switches_ns + passes_ns + streamed_ns + readback_ns) / self.timing.pim_share
        if self.spec.scores_order == "together":
            return together_ns
        # queries first; then MACs beside readback, whose WCK starts anew for each rank; the last one reads back alone
        last_ns = work.passes * readback_ns / np.maximum(work.die_passes, 1)
        sent_ns = work.input_bursts * self.timing.burst_ns
        starts_ns = work.die_passes * (3 * self.timing.device.ck_ns)
        beside_ns = np.maximum(streamed_ns, readback_ns) + starts_ns + sent_ns + last_ns
        in_turn_ns = (switches_ns + work.passes * (self.open_ns + self.answer_ns) + beside_ns) / self.timing.pim_share
        took_ns: Real = plain(np.where(work.in_turn, in_turn_ns, together_ns))
        return took_ns

    def bus_ns(self, work: PimWork, read_bytes: Real = 0.0) -> Real:
        """Time of the data buses for inputs, results, and what the NPU reads besides from all channels.

        The bus turns from the NPU's reads to each set of inputs and back.
        """
        bytes_on_bus = read_bytes + self.bus_bytes(work)
        turns_ns = np.where(np.asarray(read_bytes) > 0, work.input_sets * self.turnaround_ns, 0.0)
        return bytes_on_bus / self.timing.bus_gb_per_s + turns_ns

    def bus_bytes(self, work: PimWork) -> Real:
        """Bytes of inputs and results on the data buses, all channels as loaded as this one."""
        return (work.input_bursts + work.output_bursts) * self.timing.burst_bytes * self.channels

    def activity(self, *programs: PimWork) -> Activity:
        """Events of one program, or of several with the same heads, on all channels."""

        def counted(name: str) -> Real:
            count: Real = reduce(add, (getattr(work, name) for work in programs))
            return count

        form, total = programs[0].form, programs[0].share * float(self.channels)
        die_macs, burst_bits = counted("die_macs"), self.timing.burst_bytes * 8.0 * total
        array_bits = die_macs * (self.die.mpus * burst_bits)
        stops = die_macs * (self.mac_ns / (2 * self.timing.refresh_interval_ns))  # each closes a row too early
        rows = (counted("die_rows") + stops) * (self.die.mpus * total)
        input_bits, result_bits = counted("input_bursts") * burst_bits, counted("output_bursts") * burst_bits
        open_ns = die_macs * (self.mac_ns * total) + counted("die_passes") * (self.open_ns * total)
        macs = counted("token_macs") * (float(self.die.mpus * form.lanes(self.spec.lanes.n)) * total)
        return Activity(
            activate_bits=rows * (self.die.organisation.row_bytes.n * 8.0),
            column_bits=array_bits,
            pim_register_bits=array_bits + input_bits + result_bits,
            pim_macs_int8=0.0 if form.is_wide else macs,
            macs_fp16=macs if form.is_wide else 0.0,
            activation_io_bits=result_bits,
            activation_input_bits=input_bits,
            active_die_ns=open_ns,
        )

    # Programs

    def product(self, op: Gemm, columns: Count) -> PimWork:
        """Some columns of one copy of a product, as its weights lie."""
        return self.gemm(op.tokens, op.k, columns, format_of(op), op.name in self.k_split)

    def product_activity(self, op: Gemm, columns: Count) -> Activity:
        """Events of the same, the NPU's additions with them."""
        return self.activity(self.product(op, columns)) + self.added(op, columns)

    def gemm(self, tokens: Count, k: int, columns: Count, form: PimFormat = INT8, k_split: bool = False) -> PimWork:
        """One (tokens, k) x (k, columns) product; zero columns are no work.

        With ``k_split`` all ranks share the k of each die's worth of outputs that is left over when tiles are full: a
        tile of its own, shorter, in which every rank has other inputs and reads back sums of its own.
        """
        lanes, ranks = form.lanes(self.spec.lanes.n), self.spec.concurrent_ranks.n
        blocks = ceil_div(ceil_div(columns, lanes), self.channels)
        units = ceil_div(blocks, self.die.mpus)
        left = units % ranks * (k_split and self.may_split_k(k))
        tiles = ceil_div(units - left, ranks)
        passes, rows = self.passes(tokens), ceil_div(k, self.row_columns)
        part_rows = ceil_div(rows, ranks)
        left_blocks = (blocks - (units - left) * self.die.mpus) * (left > 0)
        sent = tiles + left
        return PimWork(
            passes=sent * passes,
            macs=(tiles * k + left * np.minimum(part_rows * self.row_columns, k)) * passes,
            rows=(tiles * rows + left * part_rows) * passes,
            die_passes=(units + left * (ranks - 1)) * passes,
            die_macs=units * passes * k,
            die_rows=units * passes * rows,
            token_macs=units * tokens * k,
            input_sets=sent * passes * self._input_sets(k, form),
            input_bursts=sent * self._input_bursts(tokens, k, form),
            output_bursts=tokens * (blocks + left_blocks * (ranks - 1)) * self._result_bursts(lanes),
            form=form,
        )

    def may_split_k(self, k: int) -> bool:
        """Whether there are several ranks, and a row of k for each."""
        return 1 < self.spec.concurrent_ranks.n <= ceil_div(k, self.row_columns)

    def added(self, op: Gemm, columns: Count) -> Activity:
        """The NPU's vector lanes add what ranks with other inputs have summed, as it comes in, which takes no time."""
        if op.name not in self.k_split or not self.may_split_k(op.k):
            return Activity()
        ranks, slice_columns = self.spec.concurrent_ranks.n, format_of(op).lanes(self.slice_columns)
        slices = ceil_div(columns, slice_columns)
        left = slices % ranks
        outputs = (columns - (slices - left) * slice_columns) * (left > 0)
        return Activity(macs_int8=op.tokens * outputs * ((ranks - 1) / 2))

    def kv_share(self, op: Attention) -> KvShare:
        """How the cache of a layer is dealt to channels and dies."""
        dealt_to, ranks = self._dealt_to.get(op.name), self.spec.concurrent_ranks.n
        dealt = op.kv_heads, op.head_dim, self.channels, ranks, self.row_columns, dealt_to, op.value_dim
        return KvShare(*dealt, form=format_of(op))

    def deal(self, op: Attention) -> None:
        """Deal each head to as many dies, or to fewer, as compute this attention soonest; its cache stays like that.

        Heads that are dealt take further inputs and results, and short ones leave dies without a position.
        """
        self._dealt_to.pop(op.name, None)
        took_ns = {}
        for dies in range(1, self.kv_share(op).parts + 1):
            self._dealt_to[op.name] = dies
            works = self.scores(op, op.kv_heads), self.values(op, op.kv_heads)
            took_ns[dies] = sum(float(np.maximum(self.busy_ns(work), self.bus_ns(work))) for work in works)
        self._dealt_to[op.name] = min(took_ns, key=lambda dies: took_ns[dies])

    def scores(self, op: Attention, kv_heads: Count) -> PimWork:
        """QK^T of one layer for some of its key-value heads: every part of a head on one die, keys in its lanes."""
        return self.scores_of(Heads(kv_heads, self.kv_share(op), op.queries, op.keys))

    def values(self, op: Attention, kv_heads: Count) -> PimWork:
        """PV of one layer for some of its key-value heads.

        Where all MPUs of a die take the same inputs, heads that share a die share its ALUs: their tokens add up.
        """
        return self.values_of(Heads(kv_heads, self.kv_share(op), op.queries, op.keys))
