"""The events behind commands: what a channel did, as an energy profile prices it."""

from collections.abc import Mapping
from typing import Literal, Protocol

from lpspec.machine.die import DieSpec
from lpspec.machine.energy_profile import Activity


class Commands(Protocol):
    """Commands that a channel issued, or the mean of several runs."""

    @property
    def command_counts(self) -> Mapping[str, float]:
        """By name; one that several ranks take counts once."""

    @property
    def rank_counts(self) -> Mapping[str, float]:
        """By name, each times the ranks that take it."""

    @property
    def mac_tokens(self) -> float:
        """Sum over PIM_MACs of ranks times tokens served."""

    @property
    def active_ck(self) -> float:
        """CK with a row open, summed over ranks."""


def activity_of(commands: Commands, device: DieSpec, written: Literal["data", "activations"] = "data") -> Activity:
    """The events of one channel's commands; standby of idle dies is left out, as it depends on the time.

    Rows count whole, however little of them is used.

    Args:
        commands: What the channel did.
        device: The die of every rank.
        written: What writes bring: data that pay for column and path as reads do, or activations (new keys and values),
            which also pay for their share of the row.
    """
    die, bus = commands.rank_counts, commands.command_counts
    row_bits = device.organisation.row_bytes.n * 8
    burst_bits = device.organisation.burst_bytes.n * 8
    read_bits, written_bits = sum_of(bus, "RD", "RDA") * burst_bits, sum_of(bus, "WR", "WRA") * burst_bits
    mac_bits = sum_of(die, "PIM_MAC") * device.mpus * burst_bits
    rows = sum_of(die, "ACT2") + sum_of(die, "PIM_ACT") * device.mpus
    data_bits, activation_bits = (written_bits, 0.0) if written == "data" else (0.0, written_bits)
    return Activity(
        activate_bits=rows * row_bits - activation_bits,
        column_bits=read_bits + mac_bits + data_bits,
        io_bits=read_bits + data_bits,
        pim_register_bits=mac_bits + sum_of(die, "PIM_IN", "PIM_OUT") * burst_bits,
        macs_int8=commands.mac_tokens * device.macs_per_command,
        activation_io_bits=sum_of(bus, "PIM_IN", "PIM_OUT") * burst_bits,
        activation_memory_bits=activation_bits,
        refreshed_dies=sum_of(die, "REFAB", "PIM_REFAB") + sum_of(die, "REFPB") / 8,
        active_die_ns=commands.active_ck * device.tCK.ns,
    )


def standing_by(activity: Activity, device: DieSpec, rank_ck: float) -> Activity:
    """The same with what dies draw while they wait, all rows closed.

    Args:
        activity: Of one channel's commands.
        device: The die of every rank.
        rank_ck: CK of the run, times its ranks.
    """
    return activity + Activity(idle_die_ns=rank_ck * device.tCK.ns - activity.active_die_ns)


def sum_of(counts: Mapping[str, float], *names: str) -> float:
    """How many of these commands there are."""
    return sum(counts.get(name, 0.0) for name in names)
