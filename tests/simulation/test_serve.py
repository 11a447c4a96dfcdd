"""Requests served on whole systems: one at a time gives what single requests give, and nothing is lost in a batch."""

from typing import Any

import numpy as np
import pytest

from lpspec.errors import InputError
from lpspec.experiments.setting import Setting, load_setting
from lpspec.scenario import Scenario
from lpspec.scenario.names import Fidelity
from lpspec.simulation.requests import load_requests
from lpspec.simulation.run import simulate
from lpspec.simulation.serve import serve
from lpspec.simulation.served_run import Distribution, ServedRun

ANALYTIC = ("npu", "npu-spec", "pim", "pim-spec", "lp-spec", "attacc-spec", "rtx3090-spec")


def setting(system: str, **options: Any) -> Setting:
    return load_setting(Scenario(systems=(system,)).replace(new_tokens=24, **options))


def served(system: str, batch: int, fidelity: Fidelity = "analytic", **options: Any) -> ServedRun:
    found = setting(system, **options)
    requests = load_requests(found.scenario.workload, found.trace)
    return serve(found.systems[0], requests, batch, found.policy, fidelity)


def assert_as_today(system: str, fidelity: Fidelity, **options: Any) -> None:
    found = setting(system, **options)
    one = simulate(found.systems[0], found.trace, found.scenario.workload, found.policy, fidelity)
    run = served(system, 1, fidelity, **options)
    for name in ("position", "l_spec", "committed", "heads", "moved"):
        assert np.array_equal(getattr(run.steps, name), getattr(one.steps, name)), name
    assert run.decode_ns == pytest.approx(one.decode_ns, rel=1e-11)
    assert run.decode_pj == pytest.approx(one.decode_pj, rel=1e-11)
    assert run.first_ns - run.joined_ns == pytest.approx(one.prefill_ns, rel=1e-9)
    assert run.prefill_pj.sum() == pytest.approx(one.prefill_pj * len(run.requests), rel=1e-11)
    assert run.counted.tokens_per_j == pytest.approx(one.tokens_per_j, rel=1e-11)
    assert run.counted.edp_s_mj == pytest.approx(one.edp_s_mj, rel=1e-11)
    assert (run.fidelity, run.error_bound) == (one.fidelity, one.error_bound)


@pytest.mark.parametrize("system", ANALYTIC)
def test_one_at_a_time_is_what_a_run_of_single_requests_is(system: str) -> None:
    """Every decision is the same; sums are taken in another order, so totals agree to 11 digits."""
    assert_as_today(system, "analytic")


@pytest.mark.parametrize(
    "options",
    [
        {"tree": "16"},
        {"tree": "8x2"},
        {"tree": "1"},
        {"tree": "mc_sim_7b_63"},
        {"objective": "throughput"},
        {"objective": "energy", "basis": "board"},
        {"learning": "verified-nodes"},
        {"learning": "chain-feedback"},
        {"heads": "all"},
        {"root_counts": False},
        {"model": "llama3.2-1b", "energy_profile": "micron-y52p"},
    ],
    ids=str,
)
def test_so_it_is_under_every_option(options: dict[str, Any]) -> None:
    for system in ("npu-spec", "lp-spec"):
        assert_as_today(system, "analytic", **options)


@pytest.mark.parametrize(("system", "fidelity"), [("lp-spec-plus", "analytic"), ("lp-spec", "command")])
def test_a_sample_of_requests_is_served_as_if_it_had_come_alone(system: str, fidelity: Fidelity) -> None:
    found = setting(system, model="tinyllama")
    requests = load_requests(found.scenario.workload, found.trace)
    draws = list(np.random.default_rng(3).integers(0, len(requests), (2, len(requests))))
    run = serve(found.systems[0], requests, 4, found.policy, fidelity, draws)
    assert run.samples is not None
    assert run.decode_ns == serve(found.systems[0], requests, 4, found.policy, fidelity).decode_ns
    for which, (tokens, ns, pj) in zip(draws, run.samples.tolist(), strict=True):
        alone = serve(found.systems[0], requests.drawn(which), 4, found.policy, fidelity)
        assert tokens == alone.tokens == found.trace.turn_lengths[which].clip(max=24).sum()
        assert ns == pytest.approx(alone.decode_ns, rel=1e-3)  # a phase is estimated from those that are exact
        assert pj == pytest.approx(alone.decode_pj.sum(), rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize("system", ["npu-spec", "pim-spec", "lp-spec"])
def test_so_it_is_at_command_level(system: str) -> None:
    """With every phase run by itself: which others are combined from a few depends on what is priced together."""
    assert_as_today(system, "command", exact=True)


@pytest.mark.slow
def test_what_is_combined_stays_within_its_bound_of_single_requests() -> None:
    found = setting("pim-spec")
    one = simulate(found.systems[0], found.trace, found.scenario.workload, found.policy, "command")
    run = served("pim-spec", 1, "command")
    assert run.error_bound is not None
    assert one.error_bound is not None
    assert run.decode_ns == pytest.approx(one.decode_ns, rel=run.error_bound + one.error_bound)


@pytest.mark.parametrize("system", ["npu-spec", "lp-spec", "rtx3090-spec"])
@pytest.mark.parametrize("batch", [3, 16])
def test_nothing_is_lost_in_a_batch(system: str, batch: int) -> None:
    """Tokens of requests are those asked for, a pass takes what its parts take, and busy and idle time fill the run."""
    run = served(system, batch, requests="poisson:3/s:200")
    steps, requests = run.steps, run.requests
    assert np.array_equal(np.bincount(steps.request, steps.committed), requests.new_tokens)
    assert (np.bincount(steps.verify_pass) <= batch).all()
    assert len(np.unique(steps.verify_pass)) == run.passes
    assert (run.joined_ns >= requests.arrival_ns).all()
    assert (np.diff(run.joined_ns) >= 0).all()  # first come, first served
    assert (run.done_ns > run.first_ns).all()
    busy = np.sort(np.concatenate([run.joined_ns, run.pass_begin_ns]))
    ends = np.sort(np.concatenate([run.first_ns, run.pass_end_ns]))
    gaps = busy[1:] - ends[:-1]
    assert (gaps >= -1e-3).all()  # one thing at a time
    idle = gaps[gaps > 1e-3].sum() / run.makespan_ns
    assert run.idle_share == pytest.approx(idle, abs=1e-9)
    between = run.between_tokens_ms
    waited_ms = (run.done_ns - run.first_ns).sum() / 1e6
    assert between.mean == pytest.approx(waited_ms / run.tokens, rel=1e-9)
    assert between.p50 <= between.p90 <= between.p99


def test_energy_of_a_batch_is_that_of_its_passes() -> None:
    """Summed anew, pass by pass, from the price list."""
    from lpspec.simulation.batch_cost import batch_costs
    from lpspec.simulation.batch_room import make_room
    from lpspec.simulation.pass_parts import Span

    run = served("lp-spec", 4)
    room = make_room(run.system, run.requests, 4, 64)
    contexts = run.requests.last_context - 128
    costs = batch_costs(run.system, room.allocator, Span(128, contexts, 64, 4, np.array([128])))
    total_pj = 0.0
    for number in range(run.passes):
        mine = run.steps.verify_pass == number
        sizes, positions, moved = run.steps.l_spec[mine], run.steps.position[mine], run.steps.moved[mine]
        pass_ns = costs.shared_ns[sizes.sum()] + costs.own_ns[positions, sizes - 1].sum()
        total_pj += costs.shared_pj[:, sizes.sum()].sum() + costs.own_pj[positions, sizes - 1].sum()
        for head in range(1, 5):
            running = int((run.steps.heads[mine] >= head).sum())
            pass_ns += costs.draft_ns[head, running] - costs.draft_ns[head - 1, running]
            total_pj += (costs.draft_pj[:, head, running] - costs.draft_pj[:, head - 1, running]).sum()
        pass_ns += costs.compaction_ns[moved].sum()
        total_pj += costs.compaction_pj[:, moved].sum()
        assert run.pass_end_ns[number] - run.pass_begin_ns[number] == pytest.approx(pass_ns, rel=1e-9)
    assert run.decode_pj.sum() == pytest.approx(total_pj, rel=1e-11)


@pytest.mark.parametrize("system", ["npu", "npu-spec", "pim", "pim-spec", "lp-spec", "rtx3090-spec"])
def test_throughput_does_not_fall_with_a_larger_batch(system: str) -> None:
    """All are there at once; a half per cent covers what the pruner learns in another order, and ends of turns."""
    found = [served(system, batch, objective="throughput").counted.tokens_per_s for batch in (1, 2, 3, 4, 5, 8, 16, 32)]
    assert (np.array(found[1:]) >= 0.995 * np.array(found[:-1])).all(), found


def test_where_memory_is_short_requests_wait_for_room() -> None:
    """51 GB of caches, 16 GiB of memory: never more blocks than there is room for, and fewer requests a pass."""
    found = setting("npu", model="llama2-7b", prompt_tokens=3000)
    requests = load_requests(found.scenario.workload, found.trace)
    platform = found.systems[0].platform
    many = serve(found.systems[0], requests, 64, found.policy)
    assert many.is_short
    assert many.peak_bytes <= platform.capacity_bytes
    assert many.mean_batch < 16
    few = serve(found.systems[0], requests, 2, found.policy)
    assert not few.is_short
    assert few.mean_batch == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize(
    ("options", "system", "said"),
    [
        ({"prompt_tokens": 4090}, "npu", "reads at most 4096 tokens: a prompt of 4090 with 24 new tokens needs 4114"),
        ({"changes": {"allocator": "dynamic"}}, "lp-spec", "requests and batches take static or replicated"),
        ({"tree": "64x9"}, "lp-spec", "a tree 9 deep is not possible"),
    ],
)
def test_what_cannot_be_served_is_said_in_one_line(options: dict[str, Any], system: str, said: str) -> None:
    with pytest.raises(InputError) as refused:
        served(system, 4, **options)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_request_larger_than_the_whole_memory_is_refused() -> None:
    """The weights fit half of the memory, and so does the cache of a short request, but not that of a long one."""
    half = {"memory.channels": "2"}
    assert served("npu", 4, model="llama3-8b", prompt_tokens=1000, changes=half).is_short is False
    with pytest.raises(InputError, match=r"does not fit mobile-npu: .* needs? .* GiB"):
        served("npu", 4, model="llama3-8b", prompt_tokens=8000, changes=half)


def test_percentiles_are_values_that_so_many_do_not_exceed() -> None:
    found = Distribution.of(np.arange(1.0, 101.0))
    assert (found.mean, found.p50, found.p90, found.p99) == (50.5, 50.0, 90.0, 99.0)
    weighted = Distribution.of(np.array([3.0, 1.0, 2.0]), np.array([1.0, 97.0, 2.0]))
    assert (weighted.p50, weighted.p90, weighted.p99) == (1.0, 1.0, 2.0)
