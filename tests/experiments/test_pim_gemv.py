"""The GEMV of published simulators: what the exact engine gives beside them, and why."""

import pytest

from lpspec.experiments.pim_gemv import (
    PUBLISHED_SPEED_UP,
    PUBLISHED_SPEED_UP_WITH_FENCE,
    PUBLISHED_TWO_BANKS,
    PUBLISHED_WIDE_SPEED_UP,
    WIDE_FORMATS,
    GemvCase,
    all_cases,
    lines_of,
    run_gemv,
)
from lpspec.machine.pim_format import PimFormat


def test_samsungs_speed_up_lies_between_the_two_ways_to_open_sixteen_banks() -> None:
    """Eight times the bandwidth, less the row changes: 145 CK each under nFAW, 55 at once, to 256 CK of MACs."""
    slow, fast = run_gemv(GemvCase(1, "faw")), run_gemv(GemvCase(1, "at_once"))
    assert slow.speed_up < PUBLISHED_SPEED_UP[0] < PUBLISHED_SPEED_UP[1] < fast.speed_up
    assert (slow.speed_up, fast.speed_up) == pytest.approx((5.18, 6.64), abs=0.02)
    assert slow.counts["PIM_MAC"] == fast.counts["PIM_MAC"] == 2 * 4096
    assert (slow.row_ck, fast.row_ck) == (126 * 145, 126 * 55)
    for result in (slow, fast):
        assert 0 < result.other_ck < 0.03 * result.pim_ck


def test_a_fence_before_each_readback_costs_little() -> None:
    """Two tiles, two fences. The published loss would be about one fence of 150 ns for each or every other row."""
    fenced = run_gemv(GemvCase(1, "at_once", 150.0))
    plain = run_gemv(GemvCase(1, "at_once"))
    assert fenced.speed_up > PUBLISHED_SPEED_UP_WITH_FENCE
    assert 0 < fenced.pim_ck - plain.pim_ck <= 3 * 180


@pytest.mark.parametrize("activate", ["faw", "at_once"])
def test_two_banks_per_mpu_against_one(activate: str) -> None:
    """Twice the MACs, whose row changes are hidden."""
    one, two = run_gemv(GemvCase(1, activate)), run_gemv(GemvCase(2, activate))  # type: ignore[arg-type]
    assert two.counts["PIM_MAC"] == 2 * one.counts["PIM_MAC"]
    assert two.row_ck == 0
    assert PUBLISHED_TWO_BANKS[0] < two.pim_ck / one.pim_ck < PUBLISHED_TWO_BANKS[1]


def test_all_cases_are_told() -> None:
    lines = lines_of(all_cases())
    assert len(lines) == 1 + 10 + 1 + 2


@pytest.mark.parametrize("form", WIDE_FORMATS)
def test_inputs_of_16_bits_hide_beside_macs(form: PimFormat) -> None:
    """Twice the bursts, each 2 CK of a bus that is free while a row's MACs take 256: Samsung loses 6 % there."""
    slow, fast = (run_gemv(GemvCase(1, activate, form=form)) for activate in ("faw", "at_once"))
    narrow = run_gemv(GemvCase(1, "at_once", form=PimFormat(form.weight_bits)))
    assert slow.speed_up < PUBLISHED_WIDE_SPEED_UP[0] < PUBLISHED_WIDE_SPEED_UP[1] < fast.speed_up
    tiles = form.weight_bits // 4  # 1,024 outputs of the channel, 512 or 1,024 a tile
    assert fast.counts["PIM_IN"] == tiles * 4096 * 2 // 32 == 2 * narrow.counts["PIM_IN"]
    assert fast.pim_ck == pytest.approx(narrow.pim_ck, rel=1e-3)
