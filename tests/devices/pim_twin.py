"""PIM by enumeration: every column of weights dealt to its MPU, every MAC command issued and counted.

Independent of the closed forms under test: plain loops, times written out, and nothing from lpspec but the platform
that is described.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from lpspec.devices.pim import LpddrPim
from lpspec.machine.loading import load_platform

CK_NS = 1.25  # LPDDR5-6400
BURST_NS = 2.5  # BL/n_min of 2 CK
REFRESH_EVERY_NS, REFRESH_NS = 3906.25, 21.25 + 210.0  # rows closed, then refreshed
CLOSE_NS = 10.0 + 21.25  # nRTP, nRPab
ANSWER_NS = 21.25  # nCL
SENSE_NS = 18.75  # nRCD
NEXT_FOUR_NS, EACH_NS = 20.0, 5.0  # activations under nFAW and nRRD
SET_INPUTS = 64


@dataclass(frozen=True)
class Machine:
    """What the enumeration needs to know; the defaults are LP-Spec's Table II."""

    ranks: int = 3
    channels: int = 4
    banks: int = 16
    banks_per_mpu: int = 2
    lanes: int = 32
    alus: int = 4
    row_bytes: int = 2048
    accumulator_bytes: int = 4
    mac_interval_ns: int = 5
    mode_switch_ns: int = 100
    mode_steps: int = 2

    @property
    def mpus(self) -> int:
        return self.banks // self.banks_per_mpu

    @property
    def column_bytes(self) -> int:
        return self.lanes  # one INT8 weight per lane

    @property
    def row_columns(self) -> int:
        return self.row_bytes // self.column_bytes

    @property
    def open_ns(self) -> float:
        """Until the last bank of a die may be read, four activations per window."""
        last = 0.0
        for mpu in range(self.mpus):
            last = mpu // 4 * NEXT_FOUR_NS + mpu % 4 * EACH_NS
        return last + SENSE_NS

    def build(self) -> LpddrPim:
        """The same machine as the package under test describes it."""
        changes = {
            "memory.channels": self.channels,
            "memory.pim_ranks": self.ranks,
            "pim.concurrent_ranks": self.ranks,
            "memory.organisation.bank_groups": 1,
            "memory.timing.nCCD_L": 2,  # without groups columns follow each other at BL/n_min
            "memory.organisation.banks_per_group": self.banks,
            "memory.organisation.data_pins": self.lanes // 2,  # 16 bits a pin in BL/n_min: a burst is one column
            "memory.organisation.burst_bytes": self.column_bytes,
            "memory.organisation.row_bytes": self.row_bytes,
            "memory.timing.nRFCab": "210 ns",
            "pim.banks_per_mpu": self.banks_per_mpu,
            "pim.lanes": self.lanes,
            "pim.alus": self.alus,
            "pim.accumulator_bits": 8 * self.accumulator_bytes,
            "pim.mac_interval": f"{self.mac_interval_ns} ns",
            "pim.mode_switch": f"{self.mode_switch_ns} ns",
            "pim.mode_steps": self.mode_steps,
        }
        platform = load_platform("lp-spec", {key: str(value) for key, value in changes.items()})
        assert platform.pim is not None
        assert platform.memory is not None
        return LpddrPim(platform.pim, platform.memory)


SMALL = Machine(ranks=2, channels=2, banks=4, lanes=8, alus=3, row_bytes=32, accumulator_bytes=3, mac_interval_ns=7)
ONE_BANK = Machine(ranks=1, channels=1, banks=2, banks_per_mpu=1, lanes=4, alus=1, row_bytes=16, mode_switch_ns=0)


@dataclass
class Tally:
    """What happened on the channel that has the most to do, in one program."""

    switches: int = 0
    passes: int = 0  # one after the other
    macs: int = 0
    rows: int = 0
    die_passes: int = 0  # summed over dies
    die_macs: int = 0
    die_rows: int = 0
    token_macs: int = 0
    input_sets: int = 0
    input_bursts: int = 0
    output_bursts: int = 0

    def busy_ns(self, machine: Machine) -> float:
        """PIM's own time: commands, rows, switches, results; whoever refreshes computes the longer."""
        mac_ns, mode_ns = (ceil(ns / CK_NS) * CK_NS for ns in (machine.mac_interval_ns, machine.mode_switch_ns))
        row_ns = mac_ns * (machine.row_columns if machine.banks_per_mpu == 2 else 1)
        exposed_ns = max(0.0, CLOSE_NS + machine.open_ns - row_ns)
        total = self.switches * mode_ns + self.macs * mac_ns + (self.rows - self.passes) * exposed_ns
        total += self.passes * (machine.open_ns + ANSWER_NS) + self.output_bursts * BURST_NS
        return total / (1 - REFRESH_NS / REFRESH_EVERY_NS)

    def bus_ns(self) -> float:
        """Inputs and results on the bus of a channel, which stops to refresh, its rows closed and opened again."""
        stop_ns = 10.0 + 21.25 + 210.0 + 2.5 + SENSE_NS
        return (self.input_bursts + self.output_bursts) * BURST_NS / (1 - stop_ns / REFRESH_EVERY_NS)


@dataclass
class Die:
    """What a die computes in a tile: rows of tokens, and the lanes of each block with the tokens that want them."""

    tokens: int
    readouts: list[tuple[int, int]]


def groups_of(n: int, size: int) -> Iterator[int]:
    """Sizes of the groups of at most ``size`` that ``n`` things fill."""
    for start in range(0, n, size):
        yield min(size, n - start)


def run_tile(machine: Machine, tally: Tally, dies: list[Die], k: int, same_inputs: bool) -> None:
    """Every pass of a tile, column by column."""
    first = 0
    while first < max(die.tokens for die in dies):
        busy = [min(machine.alus, die.tokens - first) for die in dies if die.tokens > first]
        tally.passes += 1
        tally.die_passes += len(busy)
        for column in range(k):
            tally.macs += 1
            if column % machine.row_columns == 0:
                tally.rows += 1
                tally.die_rows += len(busy)
                for chunk in groups_of(min(machine.row_columns, k - column), min(SET_INPUTS, machine.row_columns)):
                    depth = min(SET_INPUTS, machine.row_columns)
                    for served in busy[:1] if same_inputs else busy:
                        places = {(t * depth + i) // machine.column_bytes for t in range(served) for i in range(chunk)}
                        tally.input_sets += 1
                        tally.input_bursts += len(places)
            for served in busy:
                tally.die_macs += 1
                tally.token_macs += served
        first += machine.alus
    for die in dies:
        for lanes, tokens in die.readouts:
            tally.output_bursts += tokens * ceil(lanes * machine.accumulator_bytes / machine.column_bytes)


def gemm(machine: Machine, tokens: int, k: int, columns: int) -> Tally:
    """One (tokens, k) x (k, columns) product: blocks of lanes to channels in turn, then to MPUs, dies and tiles."""
    tally = Tally(switches=1 + machine.mode_steps if columns else 0)
    blocks = [machine.lanes for block in range(-(-columns // machine.lanes)) if block % machine.channels == 0]
    units = [blocks[i : i + machine.mpus] for i in range(0, len(blocks), machine.mpus)]
    for i in range(0, len(units), machine.ranks):
        dies = [Die(tokens, [(lanes, tokens) for lanes in unit]) for unit in units[i : i + machine.ranks]]
        run_tile(machine, tally, dies, k, same_inputs=True)
    return tally


def fullest(positions: int, parts: int, width: int) -> int:
    """Positions of the fullest of some parts to which rows of them are dealt in turn."""
    dealt = [0] * parts
    for row, size in enumerate(groups_of(positions, width)):
        dealt[row % parts] += size
    return max(dealt)


def layout(machine: Machine, kv_heads: int, keys: int) -> tuple[int, int, int, int]:
    """Heads of the same work per channel, parts of heads on one, parts of each of them, positions of such a part."""
    quantum = max(q for q in range(1, kv_heads + 1) if kv_heads % q == 0 and machine.channels % q == 0)
    on_channel = kv_heads // quantum
    parts = 1
    while on_channel < 2 * machine.ranks and on_channel * parts % machine.ranks:
        parts += 1
    on_one = fullest(keys, machine.channels // quantum, machine.row_columns)
    return quantum, on_channel, parts, fullest(on_one, parts, machine.row_columns)


def scores(machine: Machine, queries: int, keys: int, head_dim: int, kv_heads: int, on_pim: int) -> Tally:
    """QK^T: each part of a head on a die of its own, its keys in the lanes."""
    quantum, _, parts, part_keys = layout(machine, kv_heads, keys)
    matrices = -(-on_pim // quantum) * parts
    tally = Tally(switches=1 + machine.mode_steps if on_pim else 0)
    for i in range(0, matrices, machine.ranks):
        for unit in groups_of(part_keys, machine.mpus * machine.lanes):
            readouts = [(lanes, queries) for lanes in groups_of(unit, machine.lanes)]
            dies = [Die(queries, readouts) for _ in range(min(machine.ranks, matrices - i))]
            run_tile(machine, tally, dies, head_dim, same_inputs=False)
    return tally


def values(machine: Machine, queries: int, keys: int, head_dim: int, kv_heads: int, on_pim: int) -> Tally:
    """PV: as many heads on a die as its MPUs hold, which share its inputs and so its ALUs."""
    quantum, on_channel, parts, part_keys = layout(machine, kv_heads, keys)
    matrices = -(-on_pim // quantum) * parts
    blocks = list(groups_of(head_dim, machine.lanes))
    together = max(1, min(machine.mpus // len(blocks), on_channel * parts))
    tally = Tally(switches=1 + machine.mode_steps if on_pim else 0)
    for tile in groups_of(matrices, machine.ranks * together):
        heads = [sum(1 for head in range(tile) if head % machine.ranks == die) for die in range(machine.ranks)]
        for first in range(0, len(blocks), machine.mpus // together):
            readouts = [(lanes, queries) for lanes in blocks[first : first + machine.mpus // together]]
            dies = [Die(h * queries, readouts * h) for h in heads if h]
            run_tile(machine, tally, dies, part_keys, same_inputs=False)
    return tally
