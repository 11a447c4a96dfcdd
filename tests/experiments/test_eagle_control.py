"""Controllers of EAGLE-2's trees: what gate and route do, what drafting takes, and who wins on real drafts."""

import subprocess
import sys

import numpy as np
import pytest

from lpspec.allocation.hybrid import BalancedAllocator
from lpspec.arrays import FloatArray
from lpspec.decoding.draft_trace import (
    DraftTrace,
    ReplayedSteps,
    demo_draft_trace,
    demo_rank_trace,
    gated_sizes,
    replay_sizes,
)
from lpspec.devices.cost import COMPONENTS
from lpspec.experiments.eagle_control import (
    ControlBench,
    Gate,
    Priced,
    draft_passes,
    eagle_system,
    sigma_for,
)
from lpspec.experiments.peers import CAPIM_ACCEPTED, CAPIM_ROUTES
from lpspec.experiments.systems import make_system
from lpspec.llm.loading import load_model
from lpspec.simulation.step_cost import step_costs
from lpspec.simulation.workload import System


@pytest.fixture(scope="module")
def system() -> System:
    return eagle_system(make_system("lp-spec", load_model("llama2-7b")))


@pytest.fixture(scope="module")
def bench(system: System) -> ControlBench:
    return ControlBench(system, demo_draft_trace(), 128)


def two_positions() -> DraftTrace:
    """One turn; at its first position the text runs through nodes 1 and 3."""
    return DraftTrace(
        parent=np.array([[0, 0, 1, 3], [0, -1, -1, -1]]),
        rank=np.array([[0, 1, 0, 0], [0, -1, -1, -1]]),
        probability=np.array([[0.5, 0.3, 0.25, 0.125], [0.1, 0, 0, 0]]),
        true_path=np.array([[1, -1, -1], [-1, -1, -1]]),
        turn_lengths=np.array([2]),
        labels=("",),
        name="two",
        model="none",
        drafter="by hand",
        description="",
        source="written in a test",
    )


def passes_of(trace: DraftTrace, sigma: float) -> list[tuple[int, int, int]]:
    steps = replay_sizes(trace, gated_sizes(trace, sigma))
    return list(zip(*(column.tolist() for column in draft_passes(trace, steps, Gate(sigma, 1))), strict=True))


def test_a_gate_drafts_beyond_what_passes_it_and_no_gate_beyond_ten_of_every_level() -> None:
    trace = two_positions()
    assert passes_of(trace, -1) == [(0, 2, 1), (2, 1, 1)]  # node 1 passes; the step commits two tokens, and ends
    assert passes_of(trace, -1.5) == [(0, 2, 1), (2, 2, 2), (4, 1, 1)]  # nodes 1 and 2, then 3
    assert passes_of(trace, -np.inf) == [(0, 2, 1), (2, 10, 10), (12, 10, 10)]


@pytest.mark.parametrize(("mu", "alone"), [(1, 0), (4, 3), (5, 4), (64, 6)])
def test_smaller_trees_than_mu_run_on_pim_alone(
    bench: ControlBench, monkeypatch: pytest.MonkeyPatch, mu: int, alone: int
) -> None:
    sizes = np.array([1, 2, 3, 4, 5, 60])
    steps = ReplayedSteps(np.zeros(6, np.int64), sizes, np.ones(6, np.int64), np.zeros(6, np.int64))
    monkeypatch.setattr(bench, "steps", lambda control: steps)
    seen: dict[str, list[int]] = {}

    def watch(name: str, steps: ReplayedSteps) -> FloatArray:
        seen[name] = steps.l_spec.tolist()
        return np.ones(2)

    monkeypatch.setattr(bench.pim, "verify", lambda steps, fidelity: watch("pim", steps))
    monkeypatch.setattr(bench.split, "verify", lambda steps, fidelity: watch("split", steps))
    bench.run(Gate(-1, mu))
    assert seen == {"pim": sizes[:alone].tolist(), "split": sizes[alone:].tolist()}


def test_routes_are_the_allocators_of_their_names(bench: ControlBench) -> None:
    assert bench.pim.system.platform.allocator == "pim-only"
    assert bench.split.system.platform.allocator == "replicated"


def test_more_on_pim_alone_is_slower_and_takes_less_energy(bench: ControlBench) -> None:
    runs = [bench.run(Gate(-2.7, mu)) for mu in (1, 2, 4, 8, 16, 64)]
    assert np.all(np.diff([run.tokens_per_s for run in runs]) < 0)
    assert np.all(np.diff([run.tokens_per_j for run in runs]) > 0)
    assert len({run.mean_accepted for run in runs}) == 1


def test_prices_beat_every_gate_in_speed(bench: ControlBench) -> None:
    by_price = bench.run(Priced("throughput")).tokens_per_s
    gates = [bench.run(Gate(sigma, 1)).tokens_per_s for sigma in np.arange(-4, 0, 0.25)]
    assert max(gates) < by_price
    assert by_price > 1.2 * bench.run(Gate(0.1, 1)).tokens_per_s  # no drafts, but drafting


def test_the_fitted_gate_leaves_as_many_nodes_as_asked_for(bench: ControlBench) -> None:
    assert bench.run(Gate(sigma_for(bench.trace, 2.63), 1)).mean_nodes == pytest.approx(2.63, abs=0.15)


def test_commands_price_drafting_near_the_analytic_level(bench: ControlBench) -> None:
    analytic, command = (bench.run(Priced("throughput"), fidelity) for fidelity in ("analytic", "command"))
    assert command.tokens_per_s == pytest.approx(analytic.tokens_per_s, rel=0.12)
    assert command.tokens_per_j == pytest.approx(analytic.tokens_per_j, rel=0.12)
    assert command.drafting_share == pytest.approx(analytic.drafting_share, rel=0.12)


def test_the_split_leaves_the_npu_one_percent_of_the_weights(bench: ControlBench) -> None:
    """And CAPIM's two routes differ, per pass of 1 + 1.55 tokens, by the energy of nine percent over the same path."""
    system = bench.split.system
    costs = step_costs(system, 128, 1)
    all_pj = 8 * system.model.weight_bytes * system.profile.io.pj_per_bit
    assert costs.energy_pj[COMPONENTS.index("io"), 0, 3] / all_pj == pytest.approx(0.01, abs=0.003)
    (_, split_per_j), (_, pim_per_j) = CAPIM_ROUTES.values()
    saved_pj = 1e12 * (1 + CAPIM_ACCEPTED) * (1 / split_per_j - 1 / pim_per_j)
    assert saved_pj / all_pj == pytest.approx(0.09, abs=0.01)


def test_an_eagle_layer_takes_room(system: System, bench: ControlBench) -> None:
    allocator = bench.split.allocator
    assert isinstance(allocator, BalancedAllocator)
    column_map = allocator.column_map(128)
    assert {name for name, _, _ in column_map.blocks.label if name.startswith("eagle")} == {
        "eagle_mix",
        "eagle_qkv",
        "eagle_out",
        "eagle_gate_up",
        "eagle_down",
    }
    of_a_token = sum(int(room.taken_bytes(np.array([1, 0])).sum()) for room in column_map.blocks.cache)
    assert of_a_token == 33 * 2 * 4096 == system.model.kv_bytes_per_token


def test_shipped_traces_are_of_one_text_and_say_whose() -> None:
    drafts, ranks = demo_draft_trace(), demo_rank_trace()
    assert drafts.turn_lengths.tolist() == ranks.turn_lengths.tolist()
    assert drafts.model == ranks.model
    assert "demo" in drafts.name
    assert "demo" in ranks.name
    assert (drafts.nodes, drafts.true_path.shape[1], int(drafts.depth.max())) == (59, 6, 6)
    mantissa, _ = np.frexp(drafts.probability)
    assert np.all(mantissa * 64 == np.round(mantissa * 64))
    first = ranks.ranks[:, 0] >= 0
    assert 0.9 < first.mean() <= 1  # the true next token is nearly always among ten, for either drafter
    assert (drafts.true_path[:, 0] > 0).mean() == pytest.approx(first.mean(), abs=0.08)


def test_replaying_drafts_needs_no_torch() -> None:
    ask = "import sys, lpspec.experiments.peers, lpspec.report.peers_table; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", ask], check=True)
