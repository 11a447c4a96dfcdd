"""The timing rules of one LPDDR5 channel as a table: from, to, level, latency.

Read a row as: after any of the commands on the left at CK t, none of those on the right goes to the same level before
t + latency.
``bank``, ``bank_group`` and ``rank`` mean the same one, ``other_rank`` every other rank of the channel.
A latency is a formula over the timings of the device; where it comes out below one it is one, since the CA bus takes
one command per CK. What a pair (from, to) of latencies cannot say stands in ``WINDOWS`` and ``SPANS``.
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

from lpspec.arrays import IntArray
from lpspec.machine.die import DieSpec

Level = Literal["bank", "bank_group", "rank", "other_rank"]
LEVELS: tuple[Level, ...] = ("bank", "bank_group", "rank", "other_rank")

COMMANDS = (
    *("ACT1", "ACT2", "RD", "WR", "PRE", "PREAB", "REFAB", "REFPB", "RDA", "WRA", "CAS"),
    *("PIM_ENTER", "PIM_EXIT", "PIM_ACT", "PIM_PRE", "PIM_IN", "PIM_MAC", "PIM_OUT", "PIM_REFAB"),
)
"""Every command that the channel carries; the index is the command's code in the engine."""

PIM_COMMANDS = tuple(name for name in COMMANDS if name.startswith("PIM_"))

MASKED = tuple(name for name in PIM_COMMANDS if name != "PIM_OUT")
"""Commands that several ranks take at once, whose rank is a bit mask."""

CLASSES = ("ACT1", "ACT2", "RD", "WR", "PRE", "PREAB", "REFAB", "REFPB")
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


_JEDEC = "public simulators, JESD209-5"
_RD, _WR, _COLUMN = ("RD", "RDA"), ("WR", "WRA"), ("RD", "RDA", "WR", "WRA")
_IDLE = ("REFAB", "PIM_ENTER")  # what needs the whole rank precharged

RULE_GROUPS: tuple[RuleGroup, ...] = (
    RuleGroup(
        "activate",
        f"{_JEDEC}; counted from ACT-2. ACT to ACT of a rank holds between ACT-1s and between ACT-2s",
        (
            Rule(("ACT1",), ("ACT2",), "bank", "1"),
            Rule(("ACT2",), _COLUMN, "bank", "nRCD"),
            Rule(("ACT2",), ("PRE",), "bank", "nRAS"),
            Rule(("ACT2",), ("PREAB",), "rank", "nRAS"),
            Rule(("ACT2",), ("ACT1",), "bank", "nRC"),
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
            Rule(_WR, ("PRE",), "bank", "nCWL + nBL_min + nWR"),
            Rule(_WR, ("PREAB",), "rank", "nCWL + nBL_min + nWR"),
        ),
    ),
    RuleGroup(
        "auto-precharge",
        f"{_JEDEC}; the precharge starts by itself when PRE would be legal, so ACT-2 also holds back what follows it",
        (
            Rule(("RDA",), ("ACT1", "REFPB"), "bank", "nRTP + nRPpb"),
            Rule(("RDA",), _IDLE, "rank", "nRTP + nRPpb"),
            Rule(("WRA",), ("ACT1", "REFPB"), "bank", "nCWL + nBL_min + nWR + nRPpb"),
            Rule(("WRA",), _IDLE, "rank", "nCWL + nBL_min + nWR + nRPpb"),
            Rule(("ACT2",), ("REFPB",), "bank", "nRAS + nRPpb"),
            Rule(("ACT2",), _IDLE, "rank", "nRAS + nRPpb"),
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
            Rule(_RD, _WR, "rank", "nCL + nBL_min + 2 - nCWL"),
            Rule(_RD, _WR, "bank_group", "nCL + nBL_max + 2 - nCWL"),
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
            Rule(("PIM_OUT",), ("WR",), "rank", "nCL + nBL_min + 2 - nCWL"),
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
    return _value(ast.parse(formula, mode="eval").body, timings)


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
    """All timings that formulas may name, CK."""
    return device.timing.counts() | {"nMODE": device.mode_ck, "nMAC": device.mac_ck}


def latency_table(device: DieSpec) -> IntArray:
    """Least CK from one command to another: int64 [level, from command, to class], 0 where no rule binds them."""
    return _latencies(tuple(timings_of(device).items())).copy()


@cache
def _latencies(counts: tuple[tuple[str, int], ...]) -> IntArray:
    timings = dict(counts)
    table = np.zeros((len(LEVELS), len(COMMANDS), len(CLASSES)), np.int64)
    for rule in (rule for group in RULE_GROUPS for rule in group.rules):
        latency = max(1, evaluate(rule.latency, timings))
        for before in rule.before:
            for after in rule.after:
                cell = (
                    LEVELS.index(rule.level),
                    COMMANDS.index(before),
                    CLASSES.index(_WAITS_AS.get(after, after)),
                )
                table[cell] = max(table[cell], latency)
    return table


def activation_window_ck(device: DieSpec, command: str) -> int:
    """CK in which a rank takes so many of an activation's halves as ``WINDOWS`` says."""
    (window,) = (window for window in WINDOWS if window.command == command)
    return evaluate(window.length, timings_of(device))


def span_ck(device: DieSpec, name: str) -> int:
    """Length of a span of ``SPANS``, CK."""
    (span,) = (span for span in SPANS if span.name == name)
    return evaluate(span.length, timings_of(device))
