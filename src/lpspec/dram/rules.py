"""The timing rules of one LPDDR channel as a table: from, to, level, latency.

Read a row as: after any of the commands on the left at CK t, none of those on the right goes to the same level before
t + latency.
``bank``, ``bank_group`` and ``rank`` mean the same one, ``other_rank`` every other rank of the channel.
A latency is a formula over the timings of the device and the sums in ``SUMS``, in which the standards differ. It comes
out in whole commands, at least one: 1 CK each on LPDDR5, 2 CK on LPDDR6, where commands begin on even CK. What a pair
(from, to) of latencies cannot say stands in ``WINDOWS`` and ``SPANS``.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from lpspec.arrays import IntArray
from lpspec.machine.clock import StandardName
from lpspec.machine.die import DieSpec

Level = Literal["bank", "bank_group", "rank", "other_rank"]
LEVELS: tuple[Level, ...] = ("bank", "bank_group", "rank", "other_rank")

# fmt: off
__all__ = [  # noqa: RUF022 - in the order of their codes
    "ACT1", "ACT2", "RD", "WR", "PRE", "PREAB", "REFAB", "REFPB", "RDA", "WRA", "CAS",
    "PIM_ENTER", "PIM_EXIT", "PIM_ACT", "PIM_PRE", "PIM_IN", "PIM_MAC", "PIM_OUT", "PIM_REFAB",
]
"""What a star brings: the code of every command."""
(
    ACT1, ACT2, RD, WR, PRE, PREAB, REFAB, REFPB, RDA, WRA, CAS,
    PIM_ENTER, PIM_EXIT, PIM_ACT, PIM_PRE, PIM_IN, PIM_MAC, PIM_OUT, PIM_REFAB,
) = range(len(__all__))
# fmt: on

COMMANDS = tuple(__all__)
"""Every command that the channel carries; the index is the command's code."""

PIM_COMMANDS = tuple(name for name in COMMANDS if name.startswith("PIM_"))

MASKED = tuple(name for name in PIM_COMMANDS if name != "PIM_OUT")
"""Commands that several ranks take at once, whose rank is a bit mask."""

BY_PARITY = ("PIM_ACT", "PIM_PRE", "PIM_MAC")
"""Commands to one bank of every MPU, whose bank is a parity."""

ON_BUS = {"RD": "read", "RDA": "read", "WR": "write", "WRA": "write", "PIM_IN": "write", "PIM_OUT": "read"}
"""Commands with a burst on DQ, and which way it goes."""

ON_ROWS: Mapping[str, Literal["open", "close", "close all"]] = {
    "ACT2": "open",
    "PRE": "close",
    "PREAB": "close all",
    "PIM_ACT": "open",
    "PIM_PRE": "close",
    "PIM_REFAB": "close all",
}
"""Commands that do nothing but open or close rows of a bank, of a parity, or all of a rank."""

HOLDS_RANK = {"REFAB": "nRFCab", "PIM_REFAB": "nRFCab", "PIM_ENTER": "nMODE", "PIM_EXIT": "nMODE"}
"""Commands that take a rank as a whole, and for how long."""

CLASSES = COMMANDS[:8]
"""Commands that wait. RDA and WRA wait as RD and WR do, PIM_ENTER as REFAB, PIM_IN as WR, PIM_OUT as RD."""

_WAITS_AS = {"RDA": "RD", "WRA": "WR", "PIM_ENTER": "REFAB"}


@dataclass(frozen=True, slots=True)
class Rule:
    """After any of ``before``, none of ``after`` at the same ``level`` for ``latency`` CK (a formula)."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    level: Level
    latency: str


@dataclass(frozen=True, slots=True)
class Window:
    """At most ``count`` of ``command`` to one rank in any ``length`` CK (a formula)."""

    command: str
    count: int
    length: str


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """Rules that one part of the standard gives, with where they come from."""

    title: str
    source: str
    rules: tuple[Rule, ...]


SUMS: dict[StandardName, dict[str, str]] = {
    "LPDDR5": {"nRTW": "nCL + 2 - nCWL", "nWTP": "nCWL + nBL_min + nWR"},
    "LPDDR6": {"nRTW": "nCL + nWCK2DQO + 1 - nODTLon", "nWTP": "nCWL + nBL_max + nWR"},
}
"""Read to write beside the burst between them, and write to precharge. LPDDR6, with termination on, writes behind a
read once its data have come (tWCK2DQO) and termination is on (ODTLon), and counts recovery from WL + BL/n_max
(JESD209-6 tables 389, 390 and 273)."""

ROW = "ROW"
"""In place of the command from which nRCD, nRAS and nRC count: ACT-2, or ACT-1 where an LPDDR6 die says so."""

_JEDEC = "public simulators, JESD209-5 and JESD209-6"
_RD, _WR = ("RD", "RDA"), ("WR", "WRA")
_IDLE = ("REFAB", "PIM_ENTER")  # what needs the whole rank precharged

RULE_GROUPS: tuple[RuleGroup, ...] = (
    RuleGroup(
        "activate",
        f"{_JEDEC}; counted from ACT-2. ACT to ACT of a rank holds between ACT-1s and between ACT-2s",
        (
            Rule(("ACT1",), ("ACT2",), "bank", "1"),
            Rule((ROW,), _RD, "bank", "nRCD"),
            Rule((ROW,), _WR, "bank", "nRCDw"),
            Rule((ROW,), ("PRE",), "bank", "nRAS"),
            Rule((ROW,), ("PREAB",), "rank", "nRAS"),
            Rule((ROW,), ("ACT1",), "bank", "nRC"),
            Rule(("ACT1",), ("ACT1",), "rank", "nRRD"),
            Rule(("ACT2",), ("ACT2",), "rank", "nRRD"),
            Rule(("ACT2",), ("REFPB",), "rank", "nRRD"),
        ),
    ),
    RuleGroup(
        "precharge",
        _JEDEC,
        (
            Rule(("PRE",), ("ACT1", "REFPB"), "bank", "nRPpb"),
            Rule(("PRE",), _IDLE, "rank", "nRPpb"),
            Rule(("PREAB",), ("ACT1", "REFPB", *_IDLE), "rank", "nRPab"),
            Rule(("PRE", "PREAB"), ("PRE", "PREAB"), "rank", "nPPD"),
            Rule(_RD, ("PRE",), "bank", "nRTP"),
            Rule(_RD, ("PREAB",), "rank", "nRTP"),
            Rule(_WR, ("PRE",), "bank", "nWTP"),
            Rule(_WR, ("PREAB",), "rank", "nWTP"),
        ),
    ),
    RuleGroup(
        "auto-precharge",
        f"{_JEDEC}; the precharge starts by itself when PRE would be legal, so its row also holds back what follows it",
        (
            Rule(("RDA",), ("ACT1", "REFPB"), "bank", "nRTP + nRPpb"),
            Rule(("RDA",), _IDLE, "rank", "nRTP + nRPpb"),
            Rule(("WRA",), ("ACT1", "REFPB"), "bank", "nWTP + nRPpb"),
            Rule(("WRA",), _IDLE, "rank", "nWTP + nRPpb"),
            Rule((ROW,), ("REFPB",), "bank", "nRAS + nRPpb"),
            Rule((ROW,), _IDLE, "rank", "nRAS + nRPpb"),
        ),
    ),
    RuleGroup(
        "column commands of one rank",
        _JEDEC,
        (
            Rule(_RD, _RD, "rank", "nCCD_S"),
            Rule(_RD, _RD, "bank_group", "nCCD_L"),
            Rule(_WR, _WR, "rank", "nCCD_S"),
            Rule(_WR, _WR, "bank_group", "nCCD_L"),
            Rule(_RD, _WR, "rank", "nRTW + nBL_min"),
            Rule(_RD, _WR, "bank_group", "nRTW + nBL_max"),
            Rule(_WR, _RD, "rank", "nCWL + nBL_min + nWTR_S"),
            Rule(_WR, _RD, "bank_group", "nCWL + nBL_max + nWTR_L"),
        ),
    ),
    RuleGroup(
        "column commands of two ranks",
        "one DQ bus: bursts keep the order of their commands, with nRTRS between bursts of two ranks",
        (
            Rule(_RD, _RD, "other_rank", "nBL_min + nRTRS"),
            Rule(_WR, _WR, "other_rank", "nBL_min + nRTRS"),
            Rule(_RD, _WR, "other_rank", "nCL + nBL_min + nRTRS - nCWL"),
            Rule(_WR, _RD, "other_rank", "nCWL + nBL_min + nRTRS - nCL"),
        ),
    ),
    RuleGroup(
        "refresh",
        f"{_JEDEC}; REFpb works on bank b and b + 8, and the rules of level bank hold for both",
        (
            Rule(("REFAB",), ("ACT1", "REFPB", *_IDLE), "rank", "nRFCab"),
            Rule(("REFPB",), ("ACT1", "REFPB"), "bank", "nRFCpb"),
            Rule(("REFPB",), ("PREAB", *_IDLE), "rank", "nRFCpb"),
            Rule(("REFPB",), ("REFPB",), "rank", "nPBR2PBR"),
            Rule(("REFPB",), ("ACT1",), "rank", "nPBR2ACT"),
        ),
    ),
    RuleGroup(
        "mode switch",
        "a few row cycles, after Lee et al., ISCA 2021 (Samsung HBM-PIM); assumed",
        (Rule(("PIM_EXIT",), ("ACT1", "REFPB", *_IDLE), "rank", "nMODE"),),
    ),
    RuleGroup(
        "bursts of PIM registers",
        "as a write (PIM_IN) to each rank that latches it, and as a read (PIM_OUT); registers have no bank group",
        (
            Rule(("PIM_IN",), ("WR",), "rank", "nCCD_S"),
            Rule(("PIM_IN",), ("RD",), "rank", "nCWL + nBL_min + nWTR_S"),
            Rule(("PIM_OUT",), ("RD",), "rank", "nCCD_S"),
            Rule(("PIM_OUT",), ("WR",), "rank", "nRTW + nBL_min"),
            Rule(("PIM_IN",), ("WR",), "other_rank", "nBL_min + nRTRS"),
            Rule(("PIM_IN",), ("RD",), "other_rank", "nCWL + nBL_min + nRTRS - nCL"),
            Rule(("PIM_OUT",), ("RD",), "other_rank", "nBL_min + nRTRS"),
            Rule(("PIM_OUT",), ("WR",), "other_rank", "nCL + nBL_min + nRTRS - nCWL"),
        ),
    ),
)

WINDOWS = (Window("ACT1", 4, "nFAW"), Window("ACT2", 4, "nFAW"))
"""At most four activations of a rank in nFAW, counted at either half of the activation. Source: as ``activate``."""


@dataclass(frozen=True, slots=True)
class Span:
    """A rule that is no minimum between two commands, and that the engine has as state; its length is a formula."""

    name: str
    length: str
    text: str


SPANS = (
    Span(
        "ACT2_after_ACT1", "nAAD", "ACT-2 at most so long after its ACT-1, no other ACT-1, PRE-all or refresh between"
    ),
    Span("WCK_after_burst", "nWCKPST", "WCK of a rank runs on after its last burst; later ones need a CAS 1 CK before"),
    Span("WCK_after_CAS", "nWCKIDLE", "WCK stops again so long after a CAS that no access followed"),
    Span("refresh_interval", "nREFI", "REFab on average once per interval, REFpb eight times; at most eight postponed"),
)


def evaluate(formula: str, timings: Mapping[str, int]) -> int:
    """Value of a formula of names, integers, +, - and *, in CK."""
    return _value(_parsed(formula), timings)


@cache
def _parsed(formula: str) -> ast.expr:
    return ast.parse(formula, mode="eval").body


def _value(node: ast.expr, timings: Mapping[str, int]) -> int:
    match node:
        case ast.Name(id=name):
            return timings[name]
        case ast.Constant(value=int(value)):
            return value
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _value(left, timings) + _value(right, timings)
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return _value(left, timings) - _value(right, timings)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _value(left, timings) * _value(right, timings)
    raise ValueError(f"not a timing formula: {ast.unparse(node)}")


def timings_of(device: DieSpec) -> dict[str, int]:
    """All timings and sums that formulas may name, CK."""
    given = device.timing.counts()
    timings = {"nRCDw": given["nRCD"]} | given | {"nMODE": device.mode_ck, "nMAC": device.mac_ck}
    return timings | {name: evaluate(formula, timings) for name, formula in SUMS[device.standard].items()}


def in_commands(device: DieSpec, ck: int) -> int:
    """The CK that commands keep between them for so many: whole commands, rounded up."""
    return _in_steps(ck, device.clocks.ck_per_command)


def _in_steps(ck: int, step: int) -> int:
    return -(-ck // step) * step


def latency_table(device: DieSpec) -> IntArray:
    """Least CK from one command to another: int64 [level, from command, to class], 0 where no rule binds them."""
    row = "ACT1" if device.mode is not None and device.mode.rows_from == "ACT-1" else "ACT2"
    return _latencies(tuple(timings_of(device).items()), device.clocks.ck_per_command, row).copy()


@cache
def _latencies(counts: tuple[tuple[str, int], ...], step: int, row: str) -> IntArray:
    timings = dict(counts)
    table = np.zeros((len(LEVELS), len(COMMANDS), len(CLASSES)), np.int64)
    for rule in (rule for group in RULE_GROUPS for rule in group.rules):
        latency = max(step, _in_steps(evaluate(rule.latency, timings), step))
        for before in rule.before:
            for after in rule.after:
                cell = (
                    LEVELS.index(rule.level),
                    COMMANDS.index(row if before == ROW else before),
                    CLASSES.index(_WAITS_AS.get(after, after)),
                )
                table[cell] = max(table[cell], latency)
    return table


def activation_window_ck(device: DieSpec, command: str) -> int:
    """CK in which a rank takes so many of an activation's halves as ``WINDOWS`` says."""
    (window,) = (window for window in WINDOWS if window.command == command)
    return in_commands(device, evaluate(window.length, timings_of(device)))


def span_ck(device: DieSpec, name: str) -> int:
    """Length of a span of ``SPANS``, CK."""
    (span,) = (span for span in SPANS if span.name == name)
    return evaluate(span.length, timings_of(device))
