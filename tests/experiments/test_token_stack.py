"""TokenStack over AttAcc: the order of the four models, their mean, and arrivals served one by one."""

import pytest

from lpspec.experiments.token_stack import CLASSES, GAINS, MEAN_GAIN, full_batch, token_stack_rows, work_of
from lpspec.simulation.serve import serve
from lpspec.simulation.workload import TreePolicy

ROWS = {row.id: row for row in token_stack_rows()}


def test_the_four_models_come_in_the_papers_order() -> None:
    found = [ROWS[f"token_stack_{model}"].simulated[0] for model in GAINS]
    assert list(GAINS.values()) == sorted(GAINS.values())
    assert found == sorted(found)
    assert found[-1] > found[0]


def test_the_mean_is_within_a_fifth_and_energy_within_ten_points() -> None:
    assert ROWS["token_stack_mean"].published == (MEAN_GAIN, MEAN_GAIN)
    assert ROWS["token_stack_mean"].ratio == pytest.approx(1, abs=0.2)
    low, high = ROWS["token_stack_energy"].published
    assert low - 10 <= ROWS["token_stack_energy"].simulated[0] <= high + 10


@pytest.mark.slow
@pytest.mark.parametrize("model", GAINS)
def test_arrivals_served_one_by_one_come_out_alike(model: str) -> None:
    """Continuous batching of 512 requests (64 where few fit), whose ends overlap, in the class of 430 tokens."""
    speed = {}
    for name in ("attacc-8", "token-stack"):
        system, requests = work_of(name, model, CLASSES[1], 64 if model == "gpt3-175b" else 512)
        speed[name] = serve(system, requests, 256, TreePolicy()).served_tokens_per_s
    full = (
        full_batch("token-stack", model, CLASSES[1]).tokens_per_s
        / full_batch("attacc-8", model, CLASSES[1]).tokens_per_s
    )
    assert speed["token-stack"] / speed["attacc-8"] == pytest.approx(full, rel=0.12)
