"""The latency table of LPDDR6 at 10,667 MT/s, worked out on paper from lpddr_newer.md: every gap is whole commands."""

import pytest

from lpspec.dram.rules import CLASSES, COMMANDS, LEVELS, activation_window_ck, latency_table
from lpspec.machine.die import DieSpec
from lpspec.machine.loading import load_die


def die_of(**changes: str) -> DieSpec:
    return load_die("lpddr6-10667-16gb", {f"memory.{key.replace('__', '.')}": value for key, value in changes.items()})


def latency(die: DieSpec, level: str, before: str, after: str) -> int:
    return int(latency_table(die)[LEVELS.index(level), COMMANDS.index(before), CLASSES.index(after)])


@pytest.mark.parametrize(
    ("level", "before", "after", "ck"),
    [
        ("bank", "ACT1", "ACT2", 2),
        ("bank", "ACT2", "RD", 48),
        ("bank", "ACT2", "WR", 22),
        ("bank", "ACT2", "PRE", 54),
        ("bank", "ACT2", "ACT1", 170),  # 54 + 115, even
        ("bank", "PRE", "ACT1", 108),  # 59 + 48, even
        ("rank", "PREAB", "ACT1", 116),  # 59 + 56, even
        ("rank", "PREAB", "REFAB", 116),
        ("rank", "PRE", "REFAB", 108),
        ("rank", "PRE", "PRE", 4),
        ("rank", "ACT1", "ACT1", 10),
        ("bank", "RD", "PRE", 14),
        ("bank", "WR", "PRE", 70),  # 26 + 12 + 32
        ("bank", "RDA", "ACT1", 122),  # 14 + 107, even once
        ("bank", "WRA", "ACT1", 178),  # 70 + 107, even once
        ("rank", "RD", "RD", 6),
        ("bank_group", "RD", "RD", 10),
        ("rank", "WR", "WR", 6),
        ("bank_group", "WR", "WR", 10),
        ("rank", "RD", "WR", 42),  # 56 + 6 + 5 + 1 - 27 = 41
        ("bank_group", "RD", "WR", 48),  # 47
        ("rank", "WR", "RD", 50),  # 26 + 6 + 17 = 49
        ("bank_group", "WR", "RD", 70),
        ("other_rank", "RD", "RD", 8),
        ("other_rank", "RD", "WR", 38),  # 56 + 6 + 2 - 26
        ("other_rank", "WR", "RD", 2),
        ("rank", "REFAB", "ACT1", 1014),
    ],
)
def test_at_10667(level: str, before: str, after: str, ck: int) -> None:
    assert latency(die_of(), level, before, after) == ck


def test_rows_may_count_from_act_1() -> None:
    die = die_of(mode__rows_from="ACT-1")
    assert [latency(die, "bank", "ACT1", after) for after in ("RD", "WR", "PRE", "ACT1")] == [48, 22, 54, 170]
    assert [latency(die, "bank", "ACT2", after) for after in ("RD", "WR", "PRE", "ACT1")] == [0, 0, 0, 0]


def test_efficiency_mode() -> None:
    """RL 62 of set 1, recovery and turnaround 2 ns longer: 14, 8.25 and 14 ns are 38, 22 and 38 CK."""
    die = die_of(mode__efficiency="on")
    assert latency(die, "rank", "RD", "WR") == 48  # 62 + 6 + 5 + 1 - 27 = 47
    assert latency(die, "rank", "WR", "RD") == 54
    assert latency(die, "bank_group", "WR", "RD") == 76
    assert latency(die, "bank", "WR", "PRE") == 76


def test_a_window_is_whole_commands() -> None:
    assert activation_window_ck(die_of(), "ACT1") == 40
    assert activation_window_ck(die_of(timing__nFAW="45"), "ACT2") == 46


@pytest.mark.parametrize(
    ("mbps", "same_group"), [(6400, 6), (7500, 8), (8533, 8), (9600, 10), (12800, 12), (14400, 12)]
)
def test_one_groups_columns_are_no_two_bursts_apart(mbps: int, same_group: int) -> None:
    die = die_of(data_rate=f"{mbps} Mbps")
    assert latency(die, "rank", "RD", "RD") == 6
    assert latency(die, "bank_group", "RD", "RD") == same_group
