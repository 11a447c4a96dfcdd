"""How far a figure depends on which turns were run: a bootstrap over the turns of a trace.

A trace is a sample of turns, and turns differ far more than the steps of one, so whole turns are drawn anew, the same
ones for every system. What the interval leaves out is everything else: the assumptions, the model, the machine.
"""

from dataclasses import dataclass

import numpy as np

from lpspec.arrays import FloatArray
from lpspec.simulation.energy_basis import Efficiency, counted_pj
from lpspec.simulation.run import Run

RESAMPLES = 2000
SEED = 8227
"""Fixed, so that a result can be made again."""

PERCENT = 95.0


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a figure lies in 95 of 100 samples of turns."""

    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half of its width: what stands after a plus-minus sign."""
        return (self.high - self.low) / 2


class Resampling:
    """Samples of as many turns as there are, drawn with replacement."""

    def __init__(self, turns: int, resamples: int = RESAMPLES, seed: int = SEED) -> None:
        """Draw them.

        Args:
            turns: Turns of the trace.
            resamples: How many samples.
            seed: Of the generator.
        """
        draws = np.random.default_rng(seed).multinomial(turns, np.full(turns, 1 / turns), resamples)
        self._counts = draws.astype(np.float64)

    def efficiency(self, run: Run) -> Efficiency[FloatArray]:
        """What a token takes in every sample, float64 [resamples], on the energy basis of the run's platform."""
        return self.of_turns(counted_by_turn(run))

    def of_turns(self, turns: FloatArray) -> Efficiency[FloatArray]:
        """The same from what turns took.

        Args:
            turns: float64 [turns, 3] as of ``counted_by_turn``.
        """
        tokens, decode_ns, pj = (self._counts @ turns).T
        return Efficiency(tokens / (decode_ns / 1e9), pj / 1e9 / tokens)


def counted_by_turn(run: Run) -> FloatArray:
    """float64 [turns, 3]: tokens of each turn, time, ns, and energy on the basis of the run's platform, pJ."""
    assert run.by_turn is not None
    turns = run.by_turn
    pj = counted_pj(run.system.platform, turns.memory_and_macs_pj, turns.decode_ns)
    return np.column_stack([turns.tokens, turns.decode_ns, pj])


def interval(values: FloatArray) -> Interval:
    """The middle 95 percent of the values of the samples, float64 [resamples]."""
    low, high = np.percentile(values, [50 - PERCENT / 2, 50 + PERCENT / 2])
    return Interval(float(low), float(high))
