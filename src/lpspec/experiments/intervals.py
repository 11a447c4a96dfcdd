"""How far a figure depends on which turns were run: a bootstrap over the turns of a trace.

A trace is a sample of turns, and turns differ far more than the steps of one, so whole turns are drawn anew, the same
ones for every system. Where requests share passes, what is drawn is served anew. What the interval leaves out is
everything else: the assumptions, the model, the machine.
"""

from dataclasses import dataclass

import numpy as np

from lpspec.arrays import FloatArray, IntArray
from lpspec.simulation.energy_basis import Efficiency, counted_pj
from lpspec.simulation.run import Run
from lpspec.simulation.served_run import ServedRun

RESAMPLES = 2000
SEED = 8227
"""Fixed, so that a result can be made again."""

PERCENT = 95.0

ROUNDING = 1.0 + 1e-9
"""A ratio of no more than this is no larger than 1."""

NORMAL = 1.96
"""Standard deviations to either side that hold as many of a normal distribution."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a figure lies in 95 of 100 samples of turns."""

    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of its width: what stands after a plus-minus sign."""
        return (self.high - self.low) / 2


@dataclass(frozen=True, slots=True)
class Sampled(Interval):
    """A ratio to something else in samples of turns, the same samples of both where they have one trace.

    Attributes:
        mean: Over the samples.
        most: The largest.
        above: Samples in which it is above 1.
        count: Samples.
    """

    mean: float
    most: float
    above: int
    count: int


class Resampling:
    """Samples of as many turns as there are, drawn with replacement."""

    def __init__(self, turns: int, seed: int = SEED) -> None:
        """Draw them.

        Args:
            turns: Turns of the trace.
            seed: Of the generator.
        """
        draws = np.random.default_rng(seed).multinomial(turns, np.full(turns, 1 / turns), RESAMPLES)
        self._counts = draws.astype(np.float64)

    def efficiency(self, run: Run) -> Efficiency[FloatArray]:
        """What a token takes in every sample, float64 [resamples], on the energy basis of the run's platform."""
        return self.of_turns(counted_by_turn(run))

    def of_turns(self, turns: FloatArray) -> Efficiency[FloatArray]:
        """The same from what turns took.

        Args:
            turns: float64 [turns, 3] as of ``counted_by_turn``.
        """
        return efficiency_of((self._counts @ turns).T)


def efficiency_of(samples: FloatArray) -> Efficiency[FloatArray]:
    """What a token takes in each sample, float64 [samples], from float64 [3, samples] of tokens, time, ns, and pJ."""
    tokens, decode_ns, pj = samples
    return Efficiency(tokens / (decode_ns / 1e9), pj / 1e9 / tokens)


def drawn_requests(count: int, samples: int) -> IntArray:
    """Samples of as many requests as there are, drawn with replacement, in any order: int64 [samples, requests]."""
    return np.random.default_rng(SEED).integers(0, count, (samples, count))


def counted_of_samples(run: ServedRun) -> FloatArray:
    """float64 [samples, 3]: tokens of each sample, time, ns, and energy on the basis of the run's platform, pJ."""
    assert run.samples is not None
    tokens, ns, pj = run.samples.T
    return np.column_stack([tokens, ns, counted_pj(run.system.platform, pj, ns)])


def counted_by_turn(run: Run) -> FloatArray:
    """float64 [turns, 3]: tokens of each turn, time, ns, and energy on the basis of the run's platform, pJ."""
    assert run.by_turn is not None
    turns = run.by_turn
    pj = counted_pj(run.system.platform, turns.memory_and_macs_pj, turns.decode_ns)
    return np.column_stack([turns.tokens, turns.decode_ns, pj])


def sampled(ratios: FloatArray, of: Interval) -> Sampled:
    """Ratios in samples, float64 [samples], whose interval is known."""
    above = int((ratios > ROUNDING).sum())
    return Sampled(of.low, of.high, float(ratios.mean()), float(ratios.max()), above, len(ratios))


def interval_of_few(values: FloatArray) -> Interval:
    """Where 95 percent lie of what has the mean and the deviation of a few samples, as of a normal distribution."""
    mean, width = float(values.mean()), NORMAL * float(values.std(ddof=1))
    return Interval(mean - width, mean + width)


def interval(values: FloatArray) -> Interval:
    """The middle 95 percent of the values of the samples, float64 [resamples]."""
    low, high = np.percentile(values, [50 - PERCENT / 2, 50 + PERCENT / 2])
    return Interval(float(low), float(high))
