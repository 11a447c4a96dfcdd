"""The compiled sweeps against the rules as a flat table, tried on every pair of commands of random streams.

The table can be held beside the standard's: rule, commands before, commands after, where both must be, CK. Most of
these streams break many rules; the sweeps must find exactly those commands that some pair finds.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest

from lpspec.dram.check.checker import CheckOptions, check_commands
from lpspec.dram.check.table import command_table

RL, WL, BL_MIN, BL_MAX = 17, 9, 2, 4


class Command(NamedTuple):
    ck: int
    name: str
    rank: int
    group: int
    bank: int

    @property
    def flat(self) -> int:
        return 4 * self.group + self.bank


Where = Callable[[Command, Command], bool]


def rank(a: Command, b: Command) -> bool:
    return a.rank == b.rank


def other_rank(a: Command, b: Command) -> bool:
    return a.rank != b.rank


def bank(a: Command, b: Command) -> bool:
    return rank(a, b) and a.flat == b.flat


def group(a: Command, b: Command) -> bool:
    return rank(a, b) and a.group == b.group


def other_group(a: Command, b: Command) -> bool:
    return rank(a, b) and a.group != b.group


def pair(a: Command, b: Command) -> bool:
    return rank(a, b) and a.flat % 8 == b.flat % 8


def other_pair(a: Command, b: Command) -> bool:
    return rank(a, b) and a.flat % 8 != b.flat % 8


SEEDS = 40
BUSY = "ACT1 PRE PREAB REFAB REFPB"
PAIR_RULES: list[tuple[str, str, str, Where, int]] = [
    ("nRCD", "ACT2", "RD WR", bank, 15),
    ("nRAS", "ACT2", "PRE", bank, 34),
    ("nRAS", "ACT2", "PREAB", rank, 34),
    ("nRC", "ACT2", "ACT1", bank, 49),
    ("nRPpb", "PRE", "ACT1", bank, 15),
    ("nRPpb", "PRE", "REFPB", pair, 15),
    ("nRPpb", "PRE", "REFAB", rank, 15),
    ("nRPab", "PREAB", "ACT1 REFPB REFAB", rank, 17),
    ("nRTP", "RD", "PRE", bank, 8),
    ("nRTP", "RD", "PREAB", rank, 8),
    ("nWR", "WR", "PRE", bank, WL + BL_MIN + 28),
    ("nWR", "WR", "PREAB", rank, WL + BL_MIN + 28),
    ("nPPD", "PRE PREAB", "PRE PREAB", rank, 2),
    ("nRRD", "ACT1", "ACT1", rank, 4),
    ("nRRD", "ACT2", "ACT2", rank, 4),
    ("nCCD_S", "RD", "RD", other_group, 2),
    ("nCCD_S", "WR", "WR", other_group, 2),
    ("nCCD_L", "RD", "RD", group, 4),
    ("nCCD_L", "WR", "WR", group, 4),
    ("nWTR_S", "WR", "RD", other_group, WL + BL_MIN + 5),
    ("nWTR_L", "WR", "RD", group, WL + BL_MAX + 10),
    ("nRTW", "RD", "WR", other_group, RL + BL_MIN + 2 - WL),
    ("nRTW", "RD", "WR", group, RL + BL_MAX + 2 - WL),
    ("nRFCab", "REFAB", BUSY, rank, 224),
    ("nRFCpb", "REFPB", "ACT1 PRE REFPB", pair, 112),
    ("nRFCpb", "REFPB", "PREAB REFAB", rank, 112),
    ("nPBR2PBR", "REFPB", "REFPB", rank, 72),
    ("nPBR2ACT", "REFPB", "ACT1", other_pair, 6),
]
CHECKED = {rule for rule, *_ in PAIR_RULES} | {"nFAW", "on DQ"}
ON_DQ = {"DQ", "nRKSW", "rank_turnaround"}


def begins_ck(command: Command) -> int:
    return command.ck + (RL if command.name == "RD" else WL)


def meets_on_dq(a: Command, b: Command) -> bool:
    """Whether the burst of ``b``, commanded after ``a``, is too near to that of ``a`` or wrongly before it."""
    apart = abs(begins_ck(b) - begins_ck(a))
    if not other_rank(a, b):
        return apart < BL_MIN
    early_write = a.name == "RD" and b.name == "WR" and b.ck - a.ck < RL + BL_MIN + 2 - WL
    return apart < BL_MIN + 2 or early_write


@cache
def by_pairs(stream: tuple[Command, ...]) -> set[tuple[str, int]]:
    """Every (rule, command) that a pair of commands breaks."""
    broken: set[tuple[str, int]] = set()
    for j, after in enumerate(stream):
        for before in stream[:j]:
            for rule, first, second, where, delay_ck in PAIR_RULES:
                named = before.name in first.split() and after.name in second.split()
                if named and where(before, after) and after.ck - before.ck < delay_ck:
                    broken.add((rule, j))
            if {before.name, after.name} <= {"RD", "WR"} and meets_on_dq(before, after):
                broken.add(("on DQ", j))
        for half in ("ACT1", "ACT2"):
            activations = [c.ck for c in stream[: j + 1] if c.name == half and rank(c, after)]
            if after.name == half and len(activations) > 4 and activations[-1] - activations[-5] < 16:
                broken.add(("nFAW", j))
    return broken


def random_stream(seed: int, length: int = 100) -> tuple[Command, ...]:
    """Commands at random on two ranks, favouring a few of them now and then so that every distance occurs."""
    rng = np.random.default_rng(seed)
    names = ["ACT1", "ACT2", "RD", "WR", "PRE", "PREAB", "REFAB", "REFPB"]
    weights = rng.dirichlet([0.4] * len(names))
    ck = np.cumsum(rng.integers(1, rng.integers(2, 12), length))
    stream = []
    for k in range(length):
        name = names[int(rng.choice(len(names), p=weights))]
        in_group = int(rng.integers(2 if name == "REFPB" else 4))
        bank_in_group = int(rng.integers(rng.integers(1, 5)))
        stream.append(Command(int(ck[k]), name, int(rng.integers(2)), in_group, bank_in_group))
    return tuple(stream)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_the_sweeps_find_what_some_pair_of_commands_breaks(seed: int) -> None:
    stream = random_stream(seed)
    columns = zip(*((c.ck, c.name, c.rank, c.group, c.bank, 5, 0) for c in stream), strict=True)
    report = check_commands(command_table(*columns), CheckOptions(ranks=2, wck="always-on", kept=10_000))
    named = {("on DQ" if v.rule in ON_DQ else v.rule, v.command_index) for v in report.violations}
    assert {finding for finding in named if finding[0] in CHECKED} == by_pairs(stream)


def test_the_random_streams_break_every_rule_of_the_table() -> None:
    assert {rule for seed in range(SEEDS) for rule, _ in by_pairs(random_stream(seed))} == CHECKED
