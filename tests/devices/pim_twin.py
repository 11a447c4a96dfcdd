"""PIM by enumeration: every column of weights dealt to its MPU, every MAC command issued and counted.

Independent of the closed forms under test: plain loops, and nothing from lpspec but the platform that is described.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from lpspec.devices.pim import LpddrPim
from lpspec.hardware.loading import load_platform

Unit = tuple[int, int, int]  # rank, channel, MPU of the die
Work = tuple[Unit, int]  # an MPU and the number of its lanes in use


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

    @property
    def column_bytes(self) -> int:
        return self.lanes  # one INT8 weight per lane

    @property
    def units(self) -> list[Unit]:
        """MPUs in the order in which columns are dealt: a rank is full before the next one begins."""
        mpus = self.banks // self.banks_per_mpu
        return [(r, c, m) for r in range(self.ranks) for c in range(self.channels) for m in range(mpus)]

    @property
    def tile(self) -> int:
        return len(self.units) * self.lanes

    def build(self) -> LpddrPim:
        """The same machine as the package under test describes it."""
        changes = {
            "memory.channels": self.channels,
            "memory.pim_ranks": self.ranks,
            "memory.bus_efficiency": 1,
            "pim.concurrent_ranks": self.ranks,
            "pim.banks": self.banks,
            "pim.banks_per_mpu": self.banks_per_mpu,
            "pim.lanes": self.lanes,
            "pim.column_bytes": self.column_bytes,
            "pim.row_bytes": self.row_bytes,
            "pim.alus": self.alus,
            "pim.accumulator_bits": 8 * self.accumulator_bytes,
            "pim.mac_interval": f"{self.mac_interval_ns} ns",
            "pim.mode_switch": f"{self.mode_switch_ns} ns",
        }
        platform = load_platform("lp-spec", {key: str(value) for key, value in changes.items()})
        assert platform.pim is not None
        assert platform.memory is not None
        return LpddrPim(platform.pim, platform.memory)


SMALL = Machine(ranks=2, channels=2, banks=4, lanes=8, alus=3, row_bytes=32, accumulator_bytes=3, mac_interval_ns=7)
ONE_BANK = Machine(ranks=1, channels=1, banks=2, banks_per_mpu=1, lanes=4, alus=1, row_bytes=16, mode_switch_ns=0)


@dataclass
class Tally:
    """What happened."""

    commands: int = 0
    rows_opened: int = 0
    column_reads: int = 0
    macs: int = 0
    mode_switches: int = 0
    input_bytes: list[int] = field(default_factory=list)  # on the bus of each channel
    result_bytes: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, machine: Machine) -> "Tally":
        return cls(input_bytes=[0] * machine.channels, result_bytes=[0] * machine.channels)

    @property
    def bus_bytes(self) -> int:
        return sum(self.input_bytes) + sum(self.result_bytes)

    def busy_ns(self, machine: Machine) -> float:
        """PIM's own time: commands, switches, and reading results back over buses of 12.8 GB/s each."""
        bus_gb_per_s = 12.8 * machine.channels
        commands_ns = self.commands * machine.mac_interval_ns
        return commands_ns + self.mode_switches * machine.mode_switch_ns + sum(self.result_bytes) / bus_gb_per_s


def groups_of(n: int, lanes: int) -> Iterator[int]:
    """Sizes of the groups of lanes that ``n`` outputs fill."""
    for start in range(0, n, lanes):
        yield min(lanes, n - start)


def rounds(machine: Machine, groups: list[int]) -> Iterator[list[Work]]:
    """Deal groups to all MPUs, over and over."""
    units = machine.units
    for start in range(0, len(groups), len(units)):
        yield list(zip(units, groups[start : start + len(units)], strict=False))


def stream(machine: Machine, tally: Tally, works: list[Work], tokens: int, k: int) -> None:
    """One pass of up to N_ALU tokens over one round: ``k`` all-bank MAC commands to every rank with work."""
    ranks = {unit[0] for unit, _ in works}
    busy = [unit for unit in machine.units if unit[0] in ranks]
    open_row: dict[Unit, int] = {}
    for column in range(k):
        tally.commands += 1
        row = column * machine.column_bytes // machine.row_bytes
        for unit in busy:  # all banks of a rank obey, whether their result is wanted or not
            if open_row.get(unit) != row:
                open_row[unit] = row
                tally.rows_opened += 1
            tally.column_reads += 1
        for _, lanes in works:
            tally.macs += lanes * tokens


def product(machine: Machine, tally: Tally, groups: list[int], tokens: int, k: int) -> None:
    """One output-stationary product; its inputs are counted by the caller."""
    for works in rounds(machine, groups):
        for chunk in groups_of(tokens, machine.alus):
            stream(machine, tally, works, chunk, k)
        for (_, channel, _), lanes in works:
            tally.result_bytes[channel] += tokens * lanes * machine.accumulator_bytes


def gemm(machine: Machine, tokens: int, k: int, columns: int) -> Tally:
    """One (tokens, k) x (k, columns) product."""
    tally = Tally.of(machine)
    if columns:
        tally.mode_switches = 2
    groups = list(groups_of(columns, machine.lanes))
    product(machine, tally, groups, tokens, k)
    for _ in rounds(machine, groups):  # registers do not hold a whole input, so every tile has it sent anew
        for channel in range(machine.channels):
            tally.input_bytes[channel] += tokens * k
    return tally


def attention(machine: Machine, queries: int, keys: int, head_dim: int, kv_heads: int) -> Tally:
    """One layer of attention: scores against groups of keys, then values by groups of dimensions."""
    tally = Tally.of(machine)
    if kv_heads:
        tally.mode_switches = 4
    product(machine, tally, kv_heads * list(groups_of(keys, machine.lanes)), queries, head_dim)
    product(machine, tally, kv_heads * list(groups_of(head_dim, machine.lanes)), queries, keys)
    for _ in range(kv_heads):
        for channel in range(machine.channels):
            tally.input_bytes[channel] += queries * head_dim  # keys of a head lie on all channels
        tally.input_bytes[0] += queries * keys  # its values on one; which one does not matter here
    return tally
