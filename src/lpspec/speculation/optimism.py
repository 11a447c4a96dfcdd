"""Optimism about draft heads that ran in fewer steps than others, since their drafts were not wanted.

A head that does not run teaches nothing: one that seemed bad for a while would seem so forever, and so would all where
none runs. Trees are therefore chosen by what heads may be worth. Of a head that ran in a part of the steps remembered,
the odds that its list holds the true token are raised by as many standard errors as it lacks beside a head that always
ran. One that always ran is taken as it was seen.
"""

from typing import NamedTuple

import numpy as np

from lpspec.arrays import FloatArray
from lpspec.native.functions import native
from lpspec.scenario.names import LearningRule

STANDARD_ERRORS = 0.75
"""Assumed, range 0.7 to 1: with 0, EDP of Llama3-8B under ``specpim`` stays 1.3 % from the best fixed tree's, with 0.6
0.8 %; with 1, short turns of a batch of 16 lose 0.2 % to drafts tried in vain, with 2 a batch of four 1.1 %."""

LEAST_CHANCE = 1e-3
"""Chances are taken to be at least this far from 0 and 1, so that their odds have an error."""

LEAST_SHARE = 1e-9
"""A head is taken to have run in this part of the steps at least, so that what it lacks is a number."""


class Runs(NamedTuple):
    """How often heads ran of late, and what they may therefore be worth, for each table of accuracies."""

    share: FloatArray  # [tables, heads], of the steps remembered; the prior counts as steps in which all ran
    steps: FloatArray  # [tables], remembered
    optimistic: FloatArray  # [tables, heads, top_k], accuracies that trees are chosen by


def make_runs(shape: tuple[int, int, int], prior_weight: float) -> Runs:
    """Begin with priors, [tables, heads, top_k] of them, that are worth so many steps."""
    return Runs(np.ones(shape[:2]), np.full(shape[0], prior_weight), np.zeros(shape))


@native()
def raise_odds(accuracy: FloatArray, runs: Runs, table: int, errors: float) -> None:
    """Find what heads may be worth.

    Args:
        accuracy: float64 [heads, top_k], as it was seen.
        runs: How often heads ran; ``optimistic`` changes.
        table: Whose accuracies they are.
        errors: Standard errors by which odds are raised; 0 takes all heads as they were seen.
    """
    for head in range(accuracy.shape[0]):
        seen, optimistic, share = accuracy[head], runs.optimistic[table, head], runs.share[table, head]
        inside, odds = 0.0, 1.0
        if errors > 0.0 and share < 1.0:
            for k in range(seen.shape[0]):
                inside += seen[k]
            inside = min(max(inside, LEAST_CHANCE), 1.0 - LEAST_CHANCE)
            lacking = 1.0 / np.sqrt(max(share, LEAST_SHARE)) - 1.0
            odds = 1.0 + errors * lacking / np.sqrt(runs.steps[table] * inside * (1.0 - inside))
        rise = odds / (1.0 - inside + inside * odds)
        for k in range(seen.shape[0]):
            optimistic[k] = min(seen[k] * rise, 1.0)


@native()
def count_run(runs: Runs, table: int, heads_run: int, memory: float) -> None:
    """Average a step into the shares: so many heads ran; as in accuracies, earlier steps are forgotten in the end."""
    runs.steps[table] = steps = min(runs.steps[table] + 1.0, memory)
    for head in range(runs.share.shape[1]):
        ran = 1.0 if head < heads_run else 0.0
        runs.share[table, head] += (ran - runs.share[table, head]) / steps


def standard_errors(rule: LearningRule) -> float:
    """Standard errors by which odds are raised: none under the paper's rule, which knows verified nodes alone."""
    return 0.0 if rule == "verified-nodes" else STANDARD_ERRORS
