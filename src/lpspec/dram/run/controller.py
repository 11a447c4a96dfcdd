"""How the near-data memory controller in front of a channel is set up, and what of it the compiled engine takes."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lpspec.arrays import IntArray
from lpspec.dram.engine import state
from lpspec.dram.rules import WINDOWS, activation_window_ck, in_commands, latency_table, span_ck, timings_of
from lpspec.errors import InputError, unknown_name
from lpspec.machine.controller_spec import LONGEST_TIMEOUT_CK, PAGE_TIMEOUT_CK
from lpspec.machine.die import DieSpec

Refresh = Literal["none", "all-bank", "per-bank"]
Wck = Literal["on-demand", "always-on"]
Page = Literal["open", "closed", "timeout"]
Fairness = Literal["pim-first", "npu-first", "round-robin"]

_REFRESH = {
    "none": state.REFRESH_NONE,
    "all-bank": state.REFRESH_ALL,
    "per-bank": state.REFRESH_PAIR,
}
_FAIRNESS = {
    "pim-first": state.PIM_FIRST,
    "npu-first": state.NPU_FIRST,
    "round-robin": state.ROUND_ROBIN,
}


@dataclass(frozen=True, slots=True)
class Controller:
    """Policies of the controller: FR-FCFS over two queues of 32 requests, and who yields to whom.

    Args:
        ranks: Ranks on the channel, 1 to 8.
        refresh: ``all-bank`` (REFAB each nREFI), ``per-bank`` (REFPB on a pair of banks, eight per nREFI) or ``none``.
        postpone: Refreshes of nREFI each that a busy rank may put off, 0 to 8; an idle rank refreshes at once.
        wck: ``on-demand`` starts WCK by CAS; ``always-on`` never needs one.
        page: ``open`` keeps a row open until another one of its bank is wanted: the last queued access to the row
            closes it where a request for another one is queued; ``closed`` closes it with that access in any case;
            ``timeout`` also closes a row that no queued request is for after ``page_timeout`` CK without a command.
        page_timeout: CK that an unused row stays open under ``timeout``, by default ``PAGE_TIMEOUT_CK``.
        drain_high: Queued writes at which they are drained.
        drain_low: Queued writes down to which they are drained while reads wait.
        age_cap: CK after which a request goes before any other, counted from when it gets a place in a queue; 0 for
            never. One alone is served within it; several that are due at once go one after the other, oldest first.
        patience: CK that a read waits for an older write to its address before writes are drained for it.
        fairness: Who gets a slot that NPU and PIM program both could use.
        quantum: Bursts on DQ after which ``round-robin`` hands it over.
        pim_wait: CK that ``npu-first`` keeps a PIM burst waiting at most.
        own_bus: Ranks with a command bus of their own, over which PIM commands go: in the CK of one the other bus may
            take a command to other ranks. Empty for one bus to all ranks.
    """

    ranks: int = 1
    refresh: Refresh = "all-bank"
    postpone: int = 0
    wck: Wck = "on-demand"
    page: Page = "open"
    page_timeout: int | None = None
    drain_high: int = state.QUEUE
    drain_low: int = state.QUEUE // 2
    age_cap: int = 2048
    patience: int = 256
    fairness: Fairness = "pim-first"
    quantum: int = 16
    pim_wait: int = 4096
    own_bus: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no controller can be."""
        _within("ranks", self.ranks, 1, 8)
        _within("postpone", self.postpone, 0, 8)
        _within("drain_high", self.drain_high, 1, state.QUEUE)
        _within("drain_low", self.drain_low, 0, self.drain_high - 1)
        if self.page_timeout is not None:
            _within("page_timeout", self.page_timeout, 1, LONGEST_TIMEOUT_CK)
            if self.page != "timeout":
                raise InputError(f"page_timeout counts under page = timeout only: page is {self.page}")
        _within("age_cap", self.age_cap, 0, 1 << 30)
        _within("patience", self.patience, 0, 1 << 30)
        _within("quantum", self.quantum, 1, 1 << 30)
        _within("pim_wait", self.pim_wait, 0, 1 << 30)
        if any(not 0 <= rank < self.ranks for rank in self.own_bus):
            raise InputError(f"own_bus names ranks {list(self.own_bus)}: allowed are 0 to {self.ranks - 1}")
        _choice("refresh", self.refresh, _REFRESH)
        _choice("wck", self.wck, {"on-demand": 0, "always-on": 1})
        _choice("page", self.page, {"open": 0, "closed": 1, "timeout": 2})
        _choice("fairness", self.fairness, _FAIRNESS)


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InputError(f"{name} is {value}: allowed is {low} to {high}")


def _choice(name: str, value: str, allowed: dict[str, int]) -> int:
    if value not in allowed:
        raise unknown_name(name, value, allowed)
    return allowed[value]


def all_bank_activate_ck(device: DieSpec) -> tuple[int, int]:
    """Span of one all-bank activation: CK from PIM_ACT to its last bank's, and to the rank's next PIM_ACT.

    Four banks are activated nRRD apart, the next four once nFAW and four nRRD have passed. A die that does not compute
    takes none.
    """
    if device.pim_side is None:
        return 0, 0
    t = timings_of(device)
    four = max(t["nFAW"], 4 * t["nRRD"])
    rounds = -(-device.mpus // 4)
    last = (rounds - 1) * four + 3 * t["nRRD"]
    return (0 if device.pim.activate == "at_once" else last), rounds * four


def _longest_wait_ck(age_cap: int, t: dict[str, int]) -> int:
    """CK after which a request must be looked after so that it is served within the age cap, if it is one alone."""
    if age_cap == 0:
        return 1 << 40
    turn = t["nCL"] + t["nBL_max"] + t["nCWL"] + t["nWTR_L"]
    row = t["nCWL"] + t["nBL_min"] + t["nWR"] + t["nRC"] + t["nFAW"] + t["nAAD"] + t["nRCD"]
    data = t["nWCKPST"] + max(t["nCL"], t["nCWL"]) + t["nBL_min"]
    return max(1, age_cap - turn - row - data)


def channel_of(device: DieSpec, controller: Controller) -> IntArray:
    """A channel at CK 0, ready to run.

    Raises:
        InputError: Dies with other banks than the engine is compiled for, or timings that are too long for it.
    """
    die = device.organisation
    shape = (die.bank_groups.n, die.banks_per_group.n)
    compiled = (state.BANKS >> state.GROUP_BITS, 1 << state.GROUP_BITS)
    if shape != compiled or any(window.count != state.IN_FAW for window in WINDOWS):
        raise InputError(f"{device.name} has {shape[0]} x {shape[1]} banks: the engine is compiled for {compiled}")
    t, lpddr6 = timings_of(device), device.standard == "LPDDR6"
    last, again = all_bank_activate_ck(device)
    values = {
        state.P_RANKS: controller.ranks,
        state.P_REFRESH: _REFRESH[controller.refresh],
        state.P_POSTPONE: controller.postpone,
        state.P_WCK_ALWAYS: int(controller.wck == "always-on"),
        state.P_DRAIN_HIGH: controller.drain_high,
        state.P_DRAIN_LOW: controller.drain_low,
        state.P_PAGE_CLOSED: int(controller.page == "closed"),
        state.P_POLICY: _FAIRNESS[controller.fairness],
        state.P_QUANTUM: controller.quantum,
        state.P_PATIENCE: controller.patience,
        state.P_NREFI: span_ck(device, "refresh_interval"),
        state.P_NFAW_ACT1: activation_window_ck(device, "ACT1"),
        state.P_NFAW_ACT2: activation_window_ck(device, "ACT2"),
        state.P_NAAD: span_ck(device, "ACT2_after_ACT1"),
        state.P_NCL: t["nCL"],
        state.P_NCWL: t["nCWL"],
        state.P_NBL: t["nBL_min"],
        state.P_WCKPST: span_ck(device, "WCK_after_burst"),
        state.P_WCKIDLE: span_ck(device, "WCK_after_CAS"),
        state.P_WAIT: controller.pim_wait,
        state.P_NMODE: t["nMODE"],
        state.P_NMAC: t["nMAC"],
        state.P_NRCD: in_commands(device, t["nRCD"]),
        state.P_NRAS: in_commands(device, t["nRAS"]),
        state.P_NRTP: in_commands(device, t["nRTP"]),
        state.P_NRPAB: in_commands(device, t["nRPab"]),
        state.P_NRFCAB: in_commands(device, t["nRFCab"]),
        state.P_OPENED: in_commands(device, last),
        state.P_ACT_ACT: in_commands(device, again),
        state.P_SLOTS: device.slots_per_set,
        state.P_OUTS: device.readback_bursts,
        state.P_NPPD: in_commands(device, t["nPPD"]),
        state.P_STEP: device.clocks.ck_per_command,
        state.P_RESYNC: int(lpddr6 and controller.wck == "on-demand"),
        state.P_BANKS: state.BANKS,
        state.P_TIMEOUT: (controller.page_timeout or PAGE_TIMEOUT_CK) if controller.page == "timeout" else 0,
        state.P_LONGEST: _longest_wait_ck(controller.age_cap, t),
        state.P_OWN_BUS: sum(1 << rank for rank in set(controller.own_bus)),
        state.P_GAP: device.segment_gap_ck,
    }
    parameter = np.zeros(state.PARAMETERS, np.int64)
    parameter[list(values)] = list(values.values())
    latency = latency_table(device)
    if latency.max() > state.MOST_CK:
        raise InputError(f"{device.name}: {latency.max()} CK between two commands: the engine takes {state.MOST_CK}")
    return state.new_channel(parameter, latency)
