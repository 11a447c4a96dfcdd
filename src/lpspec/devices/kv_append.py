"""What it takes to write new keys and values into a package, or to move accepted ones up to the root's.

In PIM ranks a key is one byte in each of head_dim columns, so every burst is a masked write of 32 B, and values lie
apart even where they are part of the keys; in plain DRAM keys and values lie side by side. Of 4 bits two positions
share a byte, which no mask divides: bursts of keys are read before they are written; those of values are whole columns,
half as many. Counts are those of ``KvPlacement.append_places``; keys of one block of positions lie in the two banks of
one MPU, which are of one bank group and take a burst per nCCD_L, while values go to many banks.
"""

import numpy as np

from lpspec.devices.cost import Activity, Cost, Real
from lpspec.devices.memory_timing import MemoryTiming, timing_of
from lpspec.devices.pim_programs import PimPrograms
from lpspec.llm.counts import Count, ceil_div
from lpspec.llm.operators import Attention
from lpspec.machine.platform_spec import PlatformSpec


def blocks_of_positions(context: Count, tokens: Count, lanes: int) -> Count:
    """Blocks of positions, one for each lane, that new tokens lie in."""
    return (context + tokens - 1) // lanes - context // lanes + 1


def append_to_pim(pim: PimPrograms, op: Attention, blocks: Count, read_first: bool = False) -> Cost:
    """One layer's new keys and values go into the PIM ranks.

    Args:
        pim: The PIM ranks.
        op: The attention whose tokens they are.
        blocks: Blocks of positions that the tokens lie in.
        read_first: Whether they are moved: the same bursts are read before they are written.
    """
    share, spec, timing = pim.kv_share(op), pim.spec, pim.timing
    t, heads, lanes = timing.device.timing, share.on_channel, share.form.lanes(spec.lanes.n)
    blocks = columns_of_keys(blocks, max(1, lanes // spec.lanes.n))
    key_bursts = heads * blocks * op.head_dim
    value_blocks = ceil_div(op.value_width, lanes)
    value_bursts = heads * op.tokens * value_blocks
    mpus_per_group = max(1, pim.die.organisation.banks_per_group.n // spec.banks_per_mpu.n)
    in_group = blocks // pim.die.mpus * mpus_per_group + np.minimum(blocks % pim.die.mpus, mpus_per_group)
    keys_ck = np.maximum(heads * in_group * op.head_dim * t.nCCD_L.n, key_bursts * t.nBL_min.n)
    turn_ck = t.nRCD.n + timing.device.write_recovery_ck + t.nRPpb.n  # rows of keys, then rows of values
    once_ck = keys_ck + value_bursts * t.nBL_min.n + 2 * turn_ck
    latency_ns = once_ck * (timing.device.ck_ns / timing.stream_share)
    bursts = key_bursts + value_bursts
    rows = blocks * ceil_div(op.head_dim, pim.row_columns) + value_blocks * ceil_div(op.tokens, pim.row_columns)
    everywhere = pim.channels / share.spread  # positions of one row lie on one of the channels that share a head
    written_bits = bursts * (timing.burst_bytes * 8.0 * everywhere)
    row_bits = rows * (heads * pim.die.organisation.row_bytes.n * 8.0 * everywhere)
    dies = min(heads, max(1, share.concurrent // share.parts))
    written = _moved(latency_ns, written_bits, row_bits, dies * everywhere, read_first, timing)
    if not share.form.shares_bytes:
        return written
    keys_ns = (keys_ck + turn_ck) * (timing.device.ck_ns / timing.stream_share)
    keys_bits = key_bursts * (timing.burst_bytes * 8.0 * everywhere)
    key_rows = blocks * ceil_div(op.head_dim, pim.row_columns) * heads
    opened_bits = key_rows * (pim.die.organisation.row_bytes.n * 8.0 * everywhere)
    return written + _read(keys_ns, keys_bits, opened_bits, dies * everywhere, timing)


def columns_of_keys(blocks: Count, per_column: int) -> Count:
    """Columns that so many blocks of INT8 lanes may lie in, one after the other, where one holds several."""
    return blocks if per_column == 1 else (blocks + 2 * per_column - 2) // per_column


def _read(took_ns: Real, bits: Real, row_bits: Real, dies: float, timing: MemoryTiming) -> Cost:
    """Bursts of keys are read, so that the half of each byte which stays can be written again."""
    latency_ns = np.maximum(took_ns, bits / 8.0 / timing.bus_gb_per_s)
    read = Activity(
        activate_bits=row_bits,
        column_bits=bits,
        io_bits=bits,
        scratchpad_bits=2 * bits,
        local_buffer_bits=2 * bits,
        active_die_ns=latency_ns * dies,
    )
    return Cost(latency_ns, read)


def append_to_dram(timing: MemoryTiming, op: Attention, read_first: bool = False) -> Cost:
    """One layer's new keys and values go into plain DRAM."""
    write_bytes = op.kv_write_bytes / op.count
    latency_ns = write_bytes / timing.bus_gb_per_s
    return _moved(latency_ns, write_bytes * 8.0, write_bytes * 8.0, timing.channels, read_first, timing)


def put_in_dram(platform: PlatformSpec, op: Attention, read_first: bool) -> Cost:
    """Keys and values of all layers are written into the plain DRAM of a package, or moved there, all dies standing by.

    GPUs do it for less than 0.1 % of a step, which is not charged, as their kernel launches are not.
    """
    if platform.memory is None:
        return Cost()
    timing = timing_of(platform.memory)
    return timing.standing_by(append_to_dram(timing, op, read_first) * float(op.count))


def _moved(once_ns: Real, bits: Real, row_bits: Real, dies: float, read_first: bool, timing: MemoryTiming) -> Cost:
    """Bits written, or read and then written; ``dies`` keep rows open meanwhile."""
    times = 2.0 if read_first else 1.0
    least_ns = bits / 8.0 / timing.bus_gb_per_s
    latency_ns = np.maximum(once_ns, least_ns) * times
    read_bits = bits * (times - 1.0)
    activity = Activity(
        activate_bits=row_bits * times - bits,
        column_bits=read_bits,
        io_bits=read_bits,
        scratchpad_bits=2 * read_bits,
        local_buffer_bits=2 * read_bits,
        activation_memory_bits=bits,
        active_die_ns=latency_ns * float(dies),
    )
    return Cost(latency_ns, activity)
