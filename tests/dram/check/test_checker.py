"""What the checker reports of whole streams, and the channels that it refuses."""

from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rules_by_hand import (
    ALWAYS,
    check,
)

from lpspec.dram.check.checker import (
    CheckOptions,
    CommandChecker,
    CommandTable,
    PimRules,
    Violation,
    check_commands,
)
from lpspec.dram.check.table import command_table
from lpspec.errors import InputError


def streaming(tiles: int) -> CommandTable:
    """Rows of four groups opened, read twice each in turn, and closed: 20 commands in every 100 CK."""
    rows: list[tuple[Any, ...]] = []
    for group in range(4):
        rows += [(4 * group, "ACT1", 0, group, 0, 7, -1), (4 * group + 1, "ACT2", 0, group, 0, 7, -1)]
        rows += [(60 + 4 * group, "PRE", 0, group, 0, -1, -1)]
        rows += [(30 + 8 * turn + 2 * group, "RD", 0, group, 0, 7, 16 * turn) for turn in range(2)]
    rows.sort()
    tile = command_table(*zip(*rows, strict=True))
    ck = (tile.ck[None, :] + 100 * np.arange(tiles)[:, None]).ravel()
    return CommandTable(ck, *(np.tile(column, tiles) for column in tile[1:]))


def test_pieces_say_the_same_as_the_whole() -> None:
    stream = streaming(40)
    rng = np.random.default_rng(3)
    ck = np.sort(stream.ck - rng.integers(0, 3, stream.ck.size) * (rng.random(stream.ck.size) < 0.1))
    broken = stream._replace(ck=np.maximum(ck, 0))
    options = CheckOptions(wck="always-on")
    whole = check_commands(broken, options)
    assert len(whole.counts) > 3
    pieces = [CommandTable(*(column[at : at + 7] for column in broken)) for at in range(0, broken.ck.size, 7)]
    assert check_commands(pieces, options) == whole


def test_a_long_legal_stream_has_no_violations() -> None:
    report = check_commands(streaming(20_000), CheckOptions(wck="always-on"))
    assert report.legal
    assert report.commands == 400_000


def test_findings_beyond_what_is_kept_are_counted() -> None:
    report = check("|".join(f"{20 * k} RD b0.0 c0" for k in range(50)), options=replace(ALWAYS, kept=10))
    assert len(report.violations) == 10
    assert report.counts == {"state": 50}


def test_a_violation_reads_as_a_sentence() -> None:
    assert str(Violation("nRCD", 2, 15, 1, 1, 16)) == (
        "command 2 (line 4) at CK 15 breaks nRCD against command 1 at CK 1: CK 16 at the earliest"
    )
    assert str(Violation("state", 0, 5, None, None, None)) == "command 0 (line 2) at CK 5 breaks state"


def test_an_empty_stream_is_legal() -> None:
    assert CommandChecker().finish().legal
    assert Counter(CommandChecker(replace(ALWAYS, refresh="all-bank")).finish().counts) == Counter()


@pytest.mark.parametrize(
    "options",
    [
        {"ranks": 0},
        {"ranks": 9},
        {"pim_ranks": (1,)},
        {"pim": PimRules(alus=3)},
        {"pim": PimRules(input_depth=0)},
        {"pim": PimRules(concurrent_ranks=0)},
        {"pim": PimRules(mode_steps=0)},
        {"command_buses": 2},
        {"command_buses": 3, "ranks": 2, "pim_ranks": (1,)},
    ],
)
def test_a_channel_that_can_not_be_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        CheckOptions(**options)
