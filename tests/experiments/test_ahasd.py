"""AHASD's order of steps on LP-Spec's package: never slower, and bounded by what of a step drafting is."""

from lpspec.experiments.ahasd import SPEED_UP, ahasd_rows


def test_pipelined_steps_are_never_slower_and_save_no_more_than_drafting_takes() -> None:
    (row,) = ahasd_rows()
    assert row.published == SPEED_UP
    assert 1.0 <= row.simulated[0] < 1.1
    assert row.verdict == "explained"
