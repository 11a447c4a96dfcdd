"""Families of phases: combinations of those that were run, against counts that are affine and some that are not."""

import numpy as np
import pytest

from lpspec.arrays import FloatArray
from lpspec.devices.phase_family import Family, Member
from lpspec.devices.phase_prices import Job, Work
from lpspec.devices.stream_jobs import nothing
from lpspec.dram.run.session import CK, COUNTED

FEATURES = ((100.0, 40.0), (100.0, 80.0), (100.0, 200.0), (100.0, 320.0))


def ran(job: Job) -> FloatArray:
    """What a phase of those features takes: a tenth more than they say."""
    counts = np.zeros(COUNTED)
    counts[CK] = 1.1 * sum(job.key)
    return counts


def odd(job: Job) -> FloatArray:
    """The same, but of the longest one, which takes half as much again."""
    return ran(job) * (1.5 if job.key == FEATURES[-1] else 1.0)


def member(features: tuple[float, float], weight: float = 1.0) -> Member:
    """A member of the family whose job is known by its features."""
    return Member(lambda: Job(features, Work(nothing, nothing)), (*features, 0.0, 0.0), sum(features), weight)


def test_what_was_not_run_is_combined_from_what_was() -> None:
    family, members = Family(ran), [member(features) for features in FEATURES]
    family.learn(members, members[:3], 1.0)
    found = family.counts(members)[:, CK]
    assert found.tolist() == pytest.approx([1.1 * sum(features) for features in FEATURES], rel=1e-12)
    assert family.error < 1e-12


def test_an_anchor_counts_as_it_ran_and_has_no_error_left() -> None:
    family, members = Family(odd), [member(features) for features in FEATURES]
    family.learn(members[:2], [*members[:2], members[-1]], 1.0)  # the last one checks it, and does not fit
    assert family.counts(members)[-1, CK] == odd(members[-1].make())[CK]
    assert family.error_of(members[-1]) == 0.0
    assert family.error_of(members[2]) == family.error


def test_the_error_of_a_family_is_what_its_last_check_was_off() -> None:
    family, members = Family(odd), [member(features) for features in FEATURES]
    family.learn(members[:2], [*members[:2], members[-1]], 1.0)
    assert family.error == pytest.approx(1 - 1 / 1.5, rel=1e-9)
    assert family.error_of(members[2]) == family.error
