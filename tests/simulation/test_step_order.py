"""Drafting beside verification is never longer than one after the other, and gains nothing where all is shared."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpspec.errors import InputError
from lpspec.experiments.setting import load_setting
from lpspec.scenario import Scenario
from lpspec.simulation.requests import load_requests
from lpspec.simulation.run import Run, simulate
from lpspec.simulation.serve import serve
from lpspec.simulation.step_order import pipelined_ns, right_ahead, run_ahead
from lpspec.simulation.steps import Steps
from lpspec.speculation.rank_trace import RankTrace, load_trace

TIMES = st.floats(0.0, 1e9)


def run_of(system: str, order: str, fidelity: str = "analytic", **options: Any) -> Run:
    given: dict[str, Any] = {"model": "llama3-8b", "drafter": "eagle3", "new_tokens": 24, **options}
    found = load_setting(Scenario(systems=(system,)).replace(changes={"step_order": order}, **given))
    return simulate(found.systems[0], found.trace, found.scenario.workload, found.policy, fidelity)  # type: ignore[arg-type]


@given(draft=TIMES, verify=TIMES, share=st.floats(0.0, 1.0))
def test_both_at_once_take_no_longer_than_one_after_the_other(draft: float, verify: float, share: float) -> None:
    both = pipelined_ns(draft, verify, share * (draft + verify))
    assert max(draft, verify) <= both <= (draft + verify) * (1 + 1e-12)
    assert pipelined_ns(draft, verify, 0.0) == max(draft, verify)


def test_a_guess_is_right_where_the_whole_path_and_the_next_token_are() -> None:
    """By hand: trees of one level; tokens at 0 and 2 have two right first guesses, that at 4 ends its turn."""
    ranks = np.array([[0, 0], [0, 0], [0, 0], [0, -1], [-1, -1], [3, -1], [-1, -1]], np.int8)
    trace = load_trace("vicuna-7b").with_heads(2)
    given = RankTrace(**{**vars(trace), "ranks": ranks, "turn_lengths": np.array([5, 2]), "labels": ("one", "two")})
    position, committed = np.array([0, 2, 4, 0, 1]), np.array([2, 2, 1, 1, 1])
    one, none = np.ones(5, np.int64), np.zeros(5, np.int64)
    steps = Steps(position, one * 2, committed, none, one, none)
    assert right_ahead(given, steps).tolist() == [True, True, False, False, False]


def test_running_ahead_saves_time_where_it_was_right_and_loses_energy_where_not() -> None:
    """Nothing shared, drafting half as long as verifying, energy small: it runs ahead once a guess has been right."""
    right = np.array([True, True, False, True])
    shared, verify, draft = np.full(4, 0.5), np.full(4, 2.0), np.full(4, 1.0)
    draft_pj, pj = np.full((1, 4), 0.1), np.full((1, 4), 10.0)
    saved, lost = run_ahead(right, shared, verify, draft, draft_pj, pj)
    assert saved.tolist() == [0.0, 1.0, 0.0, 0.0]  # not before anything is known; nothing follows the last step
    assert lost.tolist() == [[0.0, 0.0, 0.1, 0.0]]
    dear, _ = run_ahead(right, shared, verify, draft, draft_pj * 100, pj)
    assert dear.tolist() == [0.0, 1.0, 0.0, 0.0]  # all were right so far, so nothing seems to be lost
    never, nothing = run_ahead(~right, np.ones(4), verify, draft, draft_pj, pj)
    assert not never.any()
    assert not nothing.any()


@pytest.mark.parametrize("fidelity", ["analytic", "command"])
def test_a_machine_that_shares_everything_gains_nothing(fidelity: str) -> None:
    """LP-Spec's allocation unit keeps PIM ranks and NPU busy with every product, be it the drafter's or the model's."""
    plain, ahead = (run_of("lp-spec", order, fidelity, new_tokens=8) for order in ("sequential", "pipelined"))
    assert ahead.decode_ns == pytest.approx(plain.decode_ns, rel=2e-3)
    assert ahead.edp_s_mj <= plain.edp_s_mj * (1 + 1e-9)


@pytest.mark.parametrize("fidelity", ["analytic", "command"])
def test_where_npu_and_pim_take_turns_time_is_saved(fidelity: str) -> None:
    plain, ahead = (
        run_of("pim-spec", order, fidelity, new_tokens=30, acceptance="0.95", tree="4x3")
        for order in ("sequential", "pipelined")
    )
    assert np.array_equal(plain.steps.l_spec, ahead.steps.l_spec)
    assert ahead.decode_ns < plain.decode_ns
    assert ahead.decode_pj.sum() > plain.decode_pj.sum()
    assert ahead.by_turn is not None
    assert ahead.by_turn.decode_ns.sum() == pytest.approx(ahead.decode_ns)
    assert ahead.by_turn.memory_and_macs_pj.sum() == pytest.approx(ahead.decode_pj.sum())


@pytest.mark.parametrize(
    ("system", "drafter"), [("lp-spec", "medusa"), ("npu", "eagle3"), ("lp-spec", "prompt-lookup")]
)
def test_what_cannot_run_ahead_is_refused(system: str, drafter: str) -> None:
    with pytest.raises(InputError, match="step_order is pipelined"):
        run_of(system, "pipelined", drafter=drafter)


def test_several_requests_with_heads_are_refused() -> None:
    found = load_setting(Scenario(systems=("lp-spec",)).replace(changes={"step_order": "pipelined"}, new_tokens=8))
    with pytest.raises(InputError, match="step_order is pipelined"):
        serve(found.systems[0], load_requests(found.scenario.workload, found.trace), 4, found.policy)
