"""What the independent checker has to be told about a channel: names and numbers, nothing that schedules commands."""

from dataclasses import replace
from typing import Literal

from lpspec.dram.check.checker import MAX_RANKS, CheckOptions, PimRules
from lpspec.dram.check.timing import timing_from
from lpspec.dram.run.controller import Refresh, Wck
from lpspec.machine.die import DieSpec


def check_options(
    device: DieSpec,
    ranks: int = 1,
    pim_ranks: tuple[int, ...] = (),
    wck: Wck = "on-demand",
    refresh: Refresh = "none",
    activation: Literal["both", "ACT2", "ACT1"] = "both",
    concurrent: int = MAX_RANKS,
) -> CheckOptions:
    """A channel of these dies in the checker's terms.

    Args:
        device: The die of every rank.
        ranks: Ranks of the channel.
        pim_ranks: Those that can enter PIM mode.
        wck: Whether accesses need a CAS once WCK has stopped.
        refresh: How banks are kept alive; ``none`` expects nobody to.
        activation: The halves of an activation between which nRRD and nFAW hold.
        concurrent: Ranks that may compute at once.
    """
    timing = device.timing.counts() | {"nMODE": device.mode_ck, "nMAC": device.mac_ck}
    timing["nRKSW"] = timing.pop("nRTRS")
    timing["lpddr6"] = int(device.standard == "LPDDR6")
    if device.mode is not None:
        timing["rows_from_act1"] = int(device.mode.rows_from == "ACT-1")
        timing["nSEG"] = 2 * device.segment_gap_ck
    rules = PimRules(concurrent_ranks=concurrent)
    if pim_ranks or device.pim_side is not None:
        pim = device.pim
        rules = PimRules(pim.alus.n, pim.input_depth.n, pim.banks_per_mpu.n, pim.activate, concurrent)
        rules = replace(rules, mode_steps=pim.mode_steps.n, lanes=pim.most_lanes)
    return CheckOptions(
        ranks=ranks,
        pim_ranks=pim_ranks,
        timing=timing_from(timing),
        wck=wck,
        refresh=refresh,
        pim=rules,
        rows=device.organisation.rows.n,
        activation=activation,
        beats=device.organisation.burst_beats,
        columns=device.organisation.columns * device.organisation.burst_beats,
    )
