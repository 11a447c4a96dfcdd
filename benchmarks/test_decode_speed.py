"""How fast the simulator decides and decodes: ``make bench``.

The baseline is the readable decode loop with the same pruner, one Python call per step, in the same run.
"""

from collections.abc import Callable
from functools import partial
from itertools import islice

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from lpspec.allocation.memo import memo_of
from lpspec.experiments.bench import PAPER
from lpspec.experiments.reproduce import reproduce
from lpspec.experiments.systems import make_system
from lpspec.llm.loading import load_model
from lpspec.scenario import Workload
from lpspec.simulation.decode_loop import decode
from lpspec.simulation.run import decode_steps, price_steps
from lpspec.simulation.step_cost import StepCosts, step_costs
from lpspec.simulation.workload import System, TreePolicy
from lpspec.speculation.measured import prior_accuracy
from lpspec.speculation.pruner import DraftTokenPruner
from lpspec.speculation.rank_trace import RankTrace, load_trace

POLICY = TreePolicy(objective="edp")
LOOP_STEPS = 2_000


@pytest.fixture(scope="module")
def trace() -> RankTrace:
    return load_trace("vicuna-7b").with_heads(4)


@pytest.fixture(scope="module", params=["lp-spec", "npu-spec"])
def system(request: pytest.FixtureRequest) -> System:
    """LP-Spec chooses small trees, the NPU large ones: the cheap and the dear end of the pruner."""
    return make_system(request.param, load_model("llama2-7b"))


@pytest.fixture(scope="module")
def costs(system: System, trace: RankTrace) -> StepCosts:
    return step_costs(system, 128, int(trace.turn_lengths.max()))


def _report_rate(benchmark: BenchmarkFixture, name: str, count: int) -> None:
    assert benchmark.stats is not None
    benchmark.extra_info[name] = round(count / benchmark.stats["min"])


@pytest.mark.benchmark(group="decode steps, the pruner deciding every one, energy and all")
def test_compiled_loop(benchmark: BenchmarkFixture, system: System, trace: RankTrace, costs: StepCosts) -> None:
    def run() -> int:
        return len(price_steps(system, costs, decode_steps(system, trace, Workload(), POLICY, costs)).steps.position)

    _report_rate(benchmark, "steps_per_s", benchmark(run))


@pytest.mark.benchmark(group="decode steps, the pruner deciding every one, energy and all")
def test_readable_loop_baseline(benchmark: BenchmarkFixture, trace: RankTrace, costs: StepCosts) -> None:
    price = costs.prices("edp")

    def run() -> float:
        pruner = DraftTokenPruner(prior_accuracy(trace.heads, trace.top_k))
        steps = islice(decode(trace, pruner, price), LOOP_STEPS)
        return float(sum(costs.latency_ns[s.position, s.l_spec - 1] + costs.draft_ns[s.heads] for s in steps))

    benchmark.pedantic(run, rounds=3, warmup_rounds=1)  # type: ignore[no-untyped-call]
    _report_rate(benchmark, "steps_per_s", LOOP_STEPS)


@pytest.mark.benchmark(group="one decision of the pruner, called from Python")
def test_decision(benchmark: BenchmarkFixture, trace: RankTrace, costs: StepCosts) -> None:
    pruner = DraftTokenPruner(prior_accuracy(trace.heads, trace.top_k))
    price = costs.prices("edp")[0, 100]
    benchmark(pruner.choose, price)


@pytest.mark.benchmark(group="price list of a run: 1,024 contexts x 64 tree sizes")
def test_price_list(benchmark: BenchmarkFixture, system: System) -> None:
    benchmark.pedantic(step_costs, (system, 128, 1024), setup=memo_of.cache_clear, rounds=20)  # type: ignore[no-untyped-call]


@pytest.mark.benchmark(group="reproduction: 108 readings, warm, inside one process")
def test_reproduce(benchmark: BenchmarkFixture) -> None:
    once: Callable[[], object] = partial(reproduce, PAPER.replace(fidelity="analytic"))
    benchmark.pedantic(once, rounds=3, warmup_rounds=1)  # type: ignore[no-untyped-call]


def test_the_loops_that_are_compared_do_the_same(system: System, trace: RankTrace, costs: StepCosts) -> None:
    compiled = decode_steps(system, trace, Workload(), POLICY, costs)
    pruner = DraftTokenPruner(prior_accuracy(trace.heads, trace.top_k))
    readable = list(islice(decode(trace, pruner, costs.prices("edp")), LOOP_STEPS))
    assert np.array_equal(compiled.l_spec[:LOOP_STEPS], [s.l_spec for s in readable])
    assert np.array_equal(compiled.committed[:LOOP_STEPS], [s.committed for s in readable])
    assert np.array_equal(compiled.heads[:LOOP_STEPS], [s.heads for s in readable])
