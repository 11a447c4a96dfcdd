"""What heads may be worth that ran less often than others."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpspec.speculation.optimism import count_run, make_runs, raise_odds

MEMORY = 100.0


def optimistic_after(accuracy: list[list[float]], ran: list[int], errors: float = 2.0) -> list[list[float]]:
    """Of accuracies whose prior is worth 25 steps, after steps in which so many heads ran."""
    seen = np.array(accuracy)
    runs = make_runs((1, *seen.shape), 25.0)
    for heads in ran:
        count_run(runs, 0, heads, MEMORY)
    raise_odds(seen, runs, 0, errors)
    return [[float(one) for one in row] for row in runs.optimistic[0]]


def test_a_head_that_lacks_three_quarters_of_the_steps_by_hand() -> None:
    """Seen 25 times of 100: an error of 1/5 for one of 1/10, over the root of .5 x .5. Odds of 1 become 1.4."""
    assert optimistic_after([[0.3, 0.2]], [0] * 75)[0] == pytest.approx([0.6 * 1.4 / 2.4, 0.4 * 1.4 / 2.4], rel=1e-12)


def test_a_head_that_always_ran_is_taken_as_it_was_seen() -> None:
    accuracy = [[0.6, 0.1], [0.3, 0.2]]
    assert optimistic_after(accuracy, [1] * 300)[0] == accuracy[0]
    assert optimistic_after(accuracy, [2] * 300) == accuracy
    assert optimistic_after(accuracy, [0] * 300, errors=0.0) == accuracy


rows = st.lists(st.floats(0.0, 0.4), min_size=2, max_size=2)


@given(rows, st.lists(st.integers(0, 1), max_size=300))
def test_odds_are_never_lowered_and_stay_probabilities(row: list[float], ran: list[int]) -> None:
    (found,) = optimistic_after([row], ran)
    assert all(after >= before for before, after in zip(row, found, strict=True))
    assert sum(found) <= 1 + 1e-12


@given(rows, st.lists(st.integers(0, 1), max_size=300), st.integers(1, 50))
def test_waiting_longer_raises_odds(row: list[float], ran: list[int], longer: int) -> None:
    (now,), (later,) = optimistic_after([row], ran), optimistic_after([row], ran + [0] * longer)
    if min(row) > 0.01:
        assert all(after > before for before, after in zip(now, later, strict=True))
