"""Published numbers of LP-Spec's neighbours, each within the tolerance that its facts allow, and what was fitted."""

import pytest

from lpspec.experiments.compare import compare
from lpspec.experiments.neighbours import neighbour_rows, token_ms
from lpspec.experiments.peer_row import PeerRow
from lpspec.experiments.systems import KNOWN_SYSTEMS, SYSTEMS
from lpspec.scenario import Scenario, Workload

ROWS = {row.id: row for row in neighbour_rows()}
NEIGHBOURS = (
    "a100",
    "a100-spec",
    "attacc-8",
    "token-stack",
    "cosine",
    "terafly",
    "loop-lynx",
    "leap",
    "cd-pim",
    "lp5x-pim",
)


def test_every_row_names_a_system_that_compare_knows() -> None:
    for row in ROWS.values():
        assert row.system in KNOWN_SYSTEMS
        assert row.verdict != "differs", row.id


@pytest.mark.parametrize(
    ("key", "tolerance"),
    [
        ("terafly_token", 0.03),
        ("loop_lynx_scaling", 0.03),
        ("loop_lynx_2_speed", 0.15),
        ("loop_lynx_4_speed", 0.15),
        ("leap_llama3-8b_speed", 0.005),
        ("leap_llama3-8b_energy", 0.005),
    ],
)
def test_what_was_published_comes_out(key: str, tolerance: float) -> None:
    assert ROWS[key].ratio == pytest.approx(1, abs=tolerance)
    assert "to " in ROWS[key].fitted


def test_terafly_is_bytes_over_bandwidth_and_one_constant() -> None:
    """24 layers of 12 x 2048 x 2048 weights over 246 GB/s, 640 keys and values over a quarter, 45 ns a number."""
    weights_ms = 24 * 12 * 2048**2 / (2 * 512 * 0.240) / 1e6
    attention_ms = 24 * 2 * 2048 * 640 / (2 * 128 * 0.240) / 1e6
    exposed_ms = 24 * 2048 * 45 / 1e6
    assert ROWS["terafly_token"].simulated[0] == pytest.approx(weights_ms + attention_ms + exposed_ms, rel=1e-9)


def test_other_models_of_leap_say_the_direction_alone() -> None:
    others = [row for key, row in ROWS.items() if key.startswith("leap_") and "8b" not in key]
    assert len(others) == 4
    for row in others:
        assert row.fitted.endswith("direction only")
        assert row.simulated[0] > 1


def test_a_launch_is_charged_once_a_kernel() -> None:
    """GPT-2 345M: 15 operators a layer and five around them."""
    at_once = token_ms("a100", "gpt2-345m", 128, 16)
    assert token_ms("a100", "gpt2-345m", 128, 16, gpu__launch="1 us") == pytest.approx(at_once + 0.365, rel=1e-9)


def test_the_main_comparison_is_the_papers() -> None:
    assert not set(NEIGHBOURS) & set(SYSTEMS)


@pytest.mark.parametrize("batch", [1, 4])
def test_all_run_on_the_same_model_trace_and_requests(batch: int) -> None:
    from lpspec.experiments.serving import serve_requests

    work = Workload(new_tokens=2, requests="poisson:2/s:4", batch=batch)
    served = serve_requests(Scenario(systems=NEIGHBOURS, workload=work, fidelity="analytic"))
    assert [run.system.name for run in served.runs] == list(NEIGHBOURS)
    assert len({run.tokens for run in served.runs}) == 1


def test_a_dataflow_card_reads_a_weight_for_every_token() -> None:
    """So a tree cannot pay there, and a batch takes as long as its requests one after the other."""
    runs = compare(Scenario(systems=("terafly",), workload=Workload(new_tokens=2))).runs
    assert runs[0].mean_l_spec == 1.0


def test_ranges_count_their_middle() -> None:
    row = PeerRow("a", "b", "c", (2.0, 3.0), (5.0, 5.0), "x", "analytic")
    assert row.ratio == 2.0
