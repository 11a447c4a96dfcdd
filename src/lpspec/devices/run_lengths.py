"""Over how many refresh intervals phases are run, by the share of all time that hangs on each, and behind what."""

from math import ceil, log2

from lpspec.devices.phase_prices import Job, Kin, Work
from lpspec.dram.run.steady import Enough

MOST_INTERVALS, HEAVY_SHARE = 32, 0.3
"""Refresh intervals, at most, of a run that finds what refresh adds; twice as many from a share of the time on."""

BRIEF_RUN, CROWDED_RUN = 4, 8
"""Refresh intervals of the shortest run, and at least of the two that tell what reads make of it: a run over n of them
was at most 3 % / n off, of products 0.1 % from 64 on."""

IN_STEP, WHOLE_NUMBERS, LONGER, LONGEST_RUN = 0.05, 4, 4, 128
"""Copies that without refresh are so near a whole number of refresh intervals, up to a few, run so much longer, up to
so many intervals, until refreshes have met all of their places; and so do those that may keep in step with refresh."""

LONGEST_PART = 64
"""Refresh intervals of a part of a product that stands for one on which much of the time hangs, if it is longer than
the longest run: one of 416 intervals was 0.04 % off of all time."""

TILES_BEFORE = 2
"""Tiles that go before a long copy of a product that the bus binds: debts of refresh are at their most by then."""

OWN_RUN, LONGEST_OWN_RUN = 1e-4, 256
"""Relative error of all time by a phase that may keep in step from which on it has a run of its own; refresh intervals
of one on which all of the time hangs."""

INTERVALS, FULL_SHARE = 200.0, 0.05
"""Refresh intervals of a run, over the root of the share of the time that hangs on it, less below a share; rounded up
to a power of two, so that machines share runs."""

MOST_PHASES, SHARE_OF_EACH = 8, 0.02
"""Phases without a shape, at most, whose mean is taken: each keeps in step with refresh in its own way; and the share
of the time for which one of them is enough."""

LONG_RUN, MOST_NOISE = 32, 8e-5
"""Refresh intervals from which on a run goes on, until four times as many, while what copies say of a refresh differs
so much that its standard error, of all time, may be more than this: where ranks take turns, it often is."""


def intervals_for(share: float, most: int) -> int:
    """How many refresh intervals to run where so large a share of the time hangs on it."""
    asked = INTERVALS * share**0.5 * min(1.0, share / FULL_SHARE)
    return max(BRIEF_RUN, min(most, 1 << max(0, ceil(log2(asked)))))


def phases_for(share: float) -> int:
    """How many phases tell what refresh adds to all of a family, to which so large a share of the time goes."""
    return max(1, min(MOST_PHASES, round(share / SHARE_OF_EACH)))


def enough_of(kin: Kin, copy: float, ck: float, intervals: int) -> Enough:
    """Copies of a long phase that are enough: each takes so many refresh intervals, so many CK without refresh.

    They go on until they agree, unless one alone is as long as all were to be; where ranks take turns, several have to
    agree even so if much of the time hangs on it.
    """
    steady = intervals == MOST_INTERVALS or kin.before is not None
    one_will_do = copy >= intervals >= MOST_INTERVALS and steady and (kin.beside is not None or kin.long)
    several = intervals >= LONG_RUN and not one_will_do
    return Enough(intervals, ck, MOST_NOISE * (INTERVALS / intervals) ** 2 if several else None)


def goes_before(job: Job, copy: float) -> tuple[Work, str]:
    """What goes before copies of a long phase, each of so many refresh intervals, and its name among runs."""
    kin = job.kin
    assert kin is not None
    if kin.before is not None:
        return kin.before(), "brief"
    if kin.part is not None and kin.bursts and copy >= MOST_INTERVALS:
        return kin.part(TILES_BEFORE, kin.bursts).work, "tiles"
    return job.work, "longer"
