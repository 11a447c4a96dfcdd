"""The shipped synthetic traces: they replay to the published figures, and their tool draws them again."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray

from lpspec.speculation import measured
from lpspec.speculation.medusa_trees import named_tree
from lpspec.speculation.rank_trace import load_trace, trace_names, verify_passes

ROOT = Path(__file__).parents[2]
MODELS = ("vicuna-7b", "vicuna-13b", "vicuna-33b")
TREE = named_tree("mc_sim_7b_63")

# Medusa on MT-bench: total tokens over total verify passes.
TOKENS_PER_PASS = {"vicuna-7b": 2.565, "vicuna-13b": 2.639, "vicuna-33b": 2.514}


def load_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_traces", ROOT / "tools/make_traces.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    return tool


def rank_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Spearman's correlation: Pearson's of the ranks, ties sharing their mean."""

    def ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
        below = (values[:, None] > values).sum(axis=1)
        not_above = (values[:, None] >= values).sum(axis=1)
        return np.asarray((below + not_above) / 2, dtype=np.float64)

    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def test_the_shipped_traces_are_listed() -> None:
    assert set(MODELS) <= set(trace_names())


@pytest.mark.parametrize("name", MODELS)
def test_a_trace_says_what_it_is(name: str) -> None:
    trace = load_trace(name)
    figures = measured.mtbench_turns(name)
    assert (trace.name, trace.kind, trace.top_k, trace.heads, trace.turns) == (name, "synthetic", 10, 5, 160)
    assert trace.seed is not None
    assert trace.labels == figures.labels
    assert np.array_equal(trace.turn_lengths, figures.tokens)
    for word in ("Synthetic", "measured", "extrapolated", "independently", measured.caveat(name)):
        assert word in trace.description
    assert "FasterDecoding/Medusa" in trace.source


@pytest.mark.parametrize("name", MODELS)
def test_replaying_medusas_tree_takes_the_measured_passes(name: str) -> None:
    trace, figures = load_trace(name), measured.mtbench_turns(name)
    passes = verify_passes(trace, TREE)
    assert trace.positions / passes.sum() == pytest.approx(TOKENS_PER_PASS[name], rel=0.01)
    assert rank_correlation(figures.tokens / passes, figures.tokens / figures.passes) >= 0.9
    assert np.array_equal(passes, figures.passes)  # every turn was drawn until it fitted


def test_harder_text_takes_the_tokens_per_pass_of_spec_bench() -> None:
    """Every turn takes more passes than on MT-bench, by one factor, as far as whole passes allow."""
    trace, figures = load_trace("vicuna-7b-spec-bench"), measured.mtbench_turns("vicuna-7b")
    passes = verify_passes(trace, TREE)
    assert trace.positions / passes.sum() == pytest.approx(2.32, abs=0.005)
    assert np.array_equal(trace.turn_lengths, figures.tokens)
    more = passes / figures.passes
    assert (np.abs(more - 2.565 / 2.32) * figures.passes <= 1).all()
    assert "Spec-Bench" in trace.description
    assert "Spec-Bench" in trace.source


@pytest.mark.parametrize("name", MODELS)
def test_ranks_lie_near_the_head_accuracies_that_they_were_drawn_from(name: str) -> None:
    """Within 0.08: tilts move all accuracies by what MT-bench is easier or harder than the training text."""
    trace = load_trace(name)
    drawn = np.stack([(trace.ranks == rank).mean(axis=0) for rank in range(trace.top_k)], axis=1)
    assert np.abs(drawn - measured.rank_probabilities(name)).max() < 0.08
    assert (np.diff(drawn[:, 0]) < 0).all()


@pytest.mark.parametrize("name", MODELS)
def test_the_files_are_small(name: str) -> None:
    assert (ROOT / f"src/lpspec/speculation/traces/{name}.npz").stat().st_size < 150_000


@pytest.mark.parametrize("name", MODELS)
def test_the_tool_draws_the_same_trace_again(name: str) -> None:
    assert load_tool().make_trace(name).content_hash == load_trace(name).content_hash
