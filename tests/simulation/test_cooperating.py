"""Several drafters on whole systems: what each constant does, what pipelining saves, and who is not concerned."""

from typing import Any

import pytest

from lpspec.errors import InputError
from lpspec.experiments.setting import load_setting
from lpspec.scenario import Scenario
from lpspec.simulation.cooperating import accepted_by
from lpspec.simulation.requests import load_requests
from lpspec.simulation.run import Run, simulate
from lpspec.simulation.serve import serve
from lpspec.simulation.served_run import ServedRun

NETWORK: dict[str, Any] = {"model": "llama3-8b", "drafter": "draft-model:llama3.2-1b", "acceptance": "0.7"}


def run_of(batch: int = 1, changes: dict[str, str] | None = None, system: str = "cosine", **options: Any) -> Any:
    asked = {**NETWORK, "new_tokens": 24, "batch": batch, **options}
    found = load_setting(Scenario(systems=(system,)).replace(changes=changes or {}, **asked))
    if batch == 1:
        return simulate(found.systems[0], found.trace, found.scenario.workload, found.policy, "analytic")
    requests = load_requests(found.scenario.workload, found.trace)
    return serve(found.systems[0], requests, batch, found.policy, "analytic")


def figures(run: Run | ServedRun) -> tuple[float, float, float]:
    return run.decode_ns, float(run.decode_pj.sum()), run.mean_acceptance_length


@pytest.mark.parametrize(
    "change",
    [
        {"drafters.count": "3"},
        {"drafters.cooperating": "3"},
        {"drafters.elsewhere": "0.5"},
        {"drafters.common": "0.1"},
        {"drafters.kept": "0.2"},
        {"drafters.exploration": "0.9"},
        {"drafters.link": "2 ms"},
        {"drafters.gpu.bandwidth": "400 GB/s"},
        {"drafters.gpu.bus_efficiency": "0.5"},
        {"drafters.gpu.launch": "10 us"},
    ],
    ids=str,
)
def test_every_constant_of_the_drafters_counts(change: dict[str, str]) -> None:
    assert figures(run_of(changes=change)) != figures(run_of())


@pytest.mark.parametrize("batch", [1, 8])
def test_drafting_apart_is_hidden_behind_verification_but_never_all_of_both(batch: int) -> None:
    plain, ahead = (run_of(batch, {"step_order": order}) for order in ("sequential", "pipelined"))
    assert 0.5 * plain.decode_ns < ahead.decode_ns < 0.9 * plain.decode_ns


def test_more_drafters_of_a_request_commit_more_and_cost_more_energy() -> None:
    one, two = (run_of(tree="4", changes={"drafters.cooperating": n}) for n in ("1", "2"))
    assert two.mean_acceptance_length > one.mean_acceptance_length
    assert two.decode_ns < one.decode_ns
    assert two.tokens_per_j < one.tokens_per_j


def test_heads_of_the_model_take_the_trace_as_it_is_one_after_the_other() -> None:
    heads: dict[str, Any] = {"drafter": "medusa", "acceptance": None, "trace": "vicuna-7b"}
    found = load_setting(Scenario(systems=("cosine", "a100")).replace(model="llama3-8b", trace="vicuna-7b"))
    assert all(accepted_by(system, found.trace) is found.trace for system in found.systems)
    orders = [figures(run_of(changes={"step_order": order}, **heads)) for order in ("sequential", "pipelined")]
    assert orders[0] == orders[1]


def test_more_than_there_are_cannot_cooperate() -> None:
    with pytest.raises(InputError, match="6 of 5 drafters cannot cooperate"):
        run_of(changes={"drafters.cooperating": "6"})
