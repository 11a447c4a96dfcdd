"""The study varies one thing at a time, and its experiments say what the analytic level says."""

from collections.abc import Callable
from math import ceil

import pytest

from lpspec.experiments.ablation import FULL, Reduced, ablation
from lpspec.experiments.assumption_sets import PLAIN
from lpspec.experiments.bench import PAPER, Bench
from lpspec.experiments.published import PUBLISHED
from lpspec.experiments.study import STAGES, TRACE, Assumption, Study, _alternatives, study
from lpspec.experiments.sweeps import LENGTHS, context_lengths, rank_split, speculation_lengths
from lpspec.llm.loading import load_model
from lpspec.report.study_figures import study_figures
from lpspec.report.study_table import study_blocks, study_document
from lpspec.scenario import Scenario
from lpspec.scenario.names import FIDELITIES, OBJECTIVES
from lpspec.simulation.run import Run
from lpspec.speculation.rank_trace import load_trace

MODEL = load_model("llama2-7b")
CLOSED = PAPER.replace(fidelity="analytic")
ALONE = Scenario(fidelity="analytic", objective="throughput")


@pytest.fixture(scope="module")
def whole() -> tuple[Study, int]:
    stages = 0

    def advance() -> None:
        nonlocal stages
        stages += 1

    result = study(PAPER.replace(fidelity="analytic"), advance)
    return result, stages


def test_alternatives_differ_from_the_base_in_one_thing_alone() -> None:
    base = Assumption(PLAIN, "attacc", TRACE)
    for parameter, values in _alternatives(base).items():
        assert base in values.values(), parameter
        others = [assumption for assumption in values.values() if assumption != base]
        assert len({*values.values()}) == len(values)
        for other in others:
            flat, flat_base = _flat(other), _flat(base)
            assert sum(flat[key] != flat_base[key] for key in flat) == 1, parameter


def _flat(assumption: Assumption) -> dict[str, object]:
    assumption_set = assumption.assumption_set
    parts: dict[str, object] = {name: getattr(assumption_set, name) for name in assumption_set.__slots__}
    return parts | {"profile": assumption.profile, "trace": assumption.trace, "size": assumption.size}


def test_a_size_is_held_throughout() -> None:
    bench = Bench(PAPER)
    assert bench.result(PLAIN, 6).mean_l_spec == 6
    assert bench.result(PLAIN).simulated != bench.result(PLAIN, 6).simulated


def test_harder_text_takes_more_passes_as_measured() -> None:
    easy, hard = load_trace(TRACE), load_trace("vicuna-7b-spec-bench")
    assert easy.positions == hard.positions
    results = [Bench(PAPER.replace(trace=trace.name)).result(PLAIN, 4).simulated for trace in (easy, hard)]
    assert results[1]["lp_spec_tokens_per_s"] < results[0]["lp_spec_tokens_per_s"]
    assert results[1]["npu_tokens_per_s"] == pytest.approx(results[0]["npu_tokens_per_s"])  # doesn't speculate


def test_gemv_pim_takes_a_pass_per_token_and_gemm_alus_one_for_four() -> None:
    """From 9 tokens on the NPU, which reads weights once for all of them, verifies for GEMV PIM, which still drafts."""
    points = {(p.system, p.l_spec): p for p in speculation_lengths(CLOSED, MODEL)}
    macs_ms, refreshing = 13.17, 168 / 3125  # a pass of MACs over all tiles; nRFCab / nREFI
    for length in LENGTHS[1:]:
        gemv_ms, npu_ms = (points[name, length].latency_ms for name in ("pim-spec", "npu-spec"))
        longer_ms = gemv_ms - points["pim-spec", 2].latency_ms
        passes_ms = (length - 2) * macs_ms / (1 - refreshing)
        if length < 9:
            assert passes_ms <= longer_ms <= 1.02 * passes_ms  # opening the first row of each tile, reading it back
        else:
            assert points["npu-spec", 1].latency_ms < gemv_ms < npu_ms
        assert points["lp-spec", length].latency_ms < min(gemv_ms, npu_ms)
    steps = [points["lp-spec", length].latency_ms for length in (2, 4, 5, 8)]
    assert steps[1] / steps[0] < 1.05 < steps[2] / steps[1]
    assert [ceil(length / 4) for length in (2, 4, 5, 8)] == [1, 1, 2, 2]


@pytest.fixture(scope="module")
def reduced() -> dict[str, tuple[Reduced, ...]]:
    trace = load_trace(TRACE)
    return {name: ablation(CLOSED.replace(new_tokens=64, objective=name), MODEL, trace) for name in OBJECTIVES}


BETTER: dict[str, Callable[[Run], float]] = {
    "throughput": lambda run: run.tokens_per_s,
    "energy": lambda run: run.tokens_per_j,
    "edp": lambda run: 1 / run.edp_s_mj,
}


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_no_reduced_form_of_lp_spec_beats_it_on_its_objective(
    reduced: dict[str, tuple[Reduced, ...]], objective: str
) -> None:
    first, *others = reduced[objective]
    better = BETTER[objective]
    assert first.name == FULL
    saves = "without a second mode switch"  # what it leaves out takes time
    for part in others:
        allowed = 1.005 if part.name == saves else 1 + 1e-9
        assert better(part.run) <= better(first.run) * allowed, part.name
    assert better(first.run) <= better({part.name: part.run for part in others}[saves]) * (1 + 1e-9)
    worse = {part.name for part in others if better(part.run) < 0.99 * better(first.run)}
    assert {"without the pruner (DTP)", "without GEMM ALUs", "without PIM", "without speculation"} <= worse


def test_the_dau_matters_for_speed_and_its_objective_for_energy(reduced: dict[str, tuple[Reduced, ...]]) -> None:
    fast = {part.name: part.run for part in reduced["throughput"]}
    frugal = {part.name: part.run for part in reduced["energy"]}
    assert fast["without the split (DAU)"].tokens_per_s < 0.96 * fast[FULL].tokens_per_s
    assert frugal["DAU for speed alone"].tokens_per_j < 0.96 * frugal[FULL].tokens_per_j


def test_both_levels_agree_on_which_parts_matter() -> None:
    """Five percent of slower commands leave the order of parts as it is."""
    trace = load_trace(TRACE)
    orders = []
    for fidelity in FIDELITIES:
        found = ablation(PAPER.replace(new_tokens=8, fidelity=fidelity), MODEL, trace)
        assert all(part.run.fidelity == fidelity for part in found)
        big = [part for part in found if part.name not in ("DAU for speed alone", "without migration", FULL)]
        orders.append([part.name for part in sorted(big, key=lambda part: part.run.edp_s_mj)])
    assert orders[0] == orders[1]


def test_more_pim_ranks_make_a_pass_faster() -> None:
    points = rank_split(ALONE.replace(new_tokens=32), MODEL, load_trace(TRACE))
    speeds = [point.run.tokens_per_s for point in points]
    assert speeds == sorted(speeds)
    assert all(point.pim_ranks + point.dram_ranks == 4 for point in points)


def test_longer_contexts_never_help() -> None:
    points = context_lengths(ALONE.replace(tree="4"), MODEL, load_trace(TRACE), (64, 1024))
    for short, long in zip(points[::2], points[1::2], strict=True):
        assert short.run.system == long.run.system
        assert long.run.tokens_per_s < short.run.tokens_per_s


@pytest.mark.slow
def test_the_best_joint_assumption_set_is_no_worse_than_any_variation_of_it(whole: tuple[Study, int]) -> None:
    result, stages = whole
    assert stages == STAGES
    assert result.joint == 108 * 3 * 2
    for sensitivity in result.sensitivities:
        for outcome in sensitivity.outcomes:
            if outcome.assumption.size is None:  # the joint search leaves sizes to the pruner
                assert round(result.best.result.worst_factor, 2) <= round(outcome.result.worst_factor, 2)


@pytest.mark.slow
def test_the_joint_search_beats_the_machine_alone(whole: tuple[Study, int]) -> None:
    result, _ = whole
    machine_alone = min(Bench(PAPER).results(), key=lambda r: r.worst_factor)
    assert result.best.result.worst_factor <= machine_alone.worst_factor
    assert set(result.residuals) == {published.id for published in PUBLISHED}
    assert result.unmatched == {name: r for name, r in result.residuals.items() if not 0.8 <= r <= 1.25}


@pytest.mark.slow
def test_table_document_and_figures_hold_every_experiment(whole: tuple[Study, int]) -> None:
    result, _ = whole
    document = study_document(result)
    assert {"best", "residuals", "sensitivities", "l_spec", "parts", "ranks", "contexts", "provenance"} <= set(document)
    assert len(list(study_blocks(result))) > 8
    assert len(study_figures(result)) == 5
    assert document["provenance"]["config"]["workload"]["prompt_tokens"] == PAPER.workload.prompt_tokens
