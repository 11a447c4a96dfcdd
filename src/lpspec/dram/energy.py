"""The events behind commands: what a channel did, as an energy profile prices it."""

from collections.abc import Mapping
from typing import Literal, Protocol

import numpy as np

from lpspec.machine.die import DieSpec
from lpspec.machine.energy_profile import Activity, Real
from lpspec.machine.pim_format import INT8, PimFormat

POWER_DOWN_CHANGE_NS = 10.0
"""What a die is awake for beside each refresh where it waits in power-down: tXP of 7 ns at least (public simulators,
JESD209-5) and the way back; assumed, 7 to 20 ns. Other commands are known ahead, and find it awake."""


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


def activity_of(
    commands: Commands, device: DieSpec, written: Literal["data", "activations"] = "data", form: PimFormat = INT8
) -> Activity:
    """The events of one channel's commands; standby of idle dies is left out, as it depends on the time.

    Rows count whole, however little of them is used.

    Args:
        commands: What the channel did.
        device: The die of every rank.
        written: What writes bring: data that pay for column and path as reads do, or activations (new keys and values),
            which also pay for their share of the row.
        form: What all MACs multiply.
    """
    die, bus = commands.rank_counts, commands.command_counts
    row_bits = device.organisation.row_bytes.n * 8
    burst_bits = device.organisation.burst_bytes.n * 8
    read_bits, written_bits = sum_of(bus, "RD", "RDA") * burst_bits, sum_of(bus, "WR", "WRA") * burst_bits
    mac_bits = sum_of(die, "PIM_MAC") * device.mpus * burst_bits
    rows = sum_of(die, "ACT2") + sum_of(die, "PIM_ACT") * device.mpus
    macs = commands.mac_tokens * device.macs_per_command
    data_bits, activation_bits = (written_bits, 0.0) if written == "data" else (0.0, written_bits)
    return Activity(
        activate_bits=rows * row_bits - activation_bits,
        column_bits=read_bits + mac_bits + data_bits,
        io_bits=read_bits,
        io_written_bits=data_bits,
        pim_register_bits=mac_bits + sum_of(die, "PIM_IN", "PIM_OUT") * burst_bits,
        pim_macs_int8=0.0 if form.is_wide else macs,
        macs_fp16=macs if form.is_wide else 0.0,
        activation_io_bits=sum_of(bus, "PIM_OUT") * burst_bits,
        activation_input_bits=sum_of(bus, "PIM_IN") * burst_bits,
        activation_memory_bits=activation_bits,
        refreshing_die_ns=(sum_of(die, "REFAB", "PIM_REFAB") + sum_of(die, "REFPB") / 8) * refresh_ns(device),
        active_die_ns=commands.active_ck * device.ck_ns,
    )


def standing_by(activity: Activity, device: DieSpec, rank_ck: float, power_down: bool = False) -> Activity:
    """The same with what dies draw while they wait, all rows closed.

    Args:
        activity: Of one channel's commands.
        device: The die of every rank.
        rank_ck: CK of the run, times its ranks.
        power_down: As for ``waiting``.
    """
    idle_ns = rank_ck * device.ck_ns - activity.active_die_ns
    return activity + waiting(idle_ns, activity.refreshing_die_ns, device, power_down)


def waiting(idle_ns: Real, refreshing_ns: Real, device: DieSpec, power_down: bool) -> Activity:
    """The events of dies with all rows closed.

    Args:
        idle_ns: How long, summed over dies; arrays over a grid are possible.
        refreshing_ns: How much of it they refresh.
        device: The die.
        power_down: Whether they wait in power-down, which they leave for each refresh, or in standby.
    """
    if not power_down:
        return Activity(idle_die_ns=idle_ns)
    awake_ns = np.minimum(refreshing_ns * (1 + POWER_DOWN_CHANGE_NS / refresh_ns(device)), idle_ns)
    return Activity(idle_die_ns=awake_ns, power_down_die_ns=idle_ns - awake_ns)


def refresh_ns(device: DieSpec) -> float:
    """How long a die takes for one all-bank refresh, ns; of its density."""
    return device.timing.nRFCab.n * device.ck_ns


def sum_of(counts: Mapping[str, float], *names: str) -> float:
    """How many of these commands there are."""
    return sum(counts.get(name, 0.0) for name in names)
