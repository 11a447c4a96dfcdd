"""The measured figures as shipped: published totals always, every value where the reference data lie."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from lpspec.errors import InputError
from lpspec.speculation import measured
from lpspec.speculation.geometric import geometric_trace
from lpspec.speculation.rank_trace import load_trace

REFERENCE = Path(__file__).parents[3] / "shared/data"
MODELS = ("vicuna-7b", "vicuna-13b", "vicuna-33b")
TOTALS = {"vicuna-7b": (43754, 17058), "vicuna-13b": (44180, 16743), "vicuna-33b": (54413, 21647)}

needs_reference = pytest.mark.skipif(not REFERENCE.exists(), reason="the reference data are not beside the checkout")


def reference_rows(file_name: str, model: str) -> list[dict[str, str]]:
    with (REFERENCE / file_name).open() as file:
        return [row for row in csv.DictReader(file) if row["model"] == f"{model}-v1.3"]


@pytest.mark.parametrize("model", MODELS)
def test_head_accuracy_falls_with_rank_and_head(model: str) -> None:
    accuracy = measured.head_accuracy(model)
    assert accuracy.shape == (5, 5)
    assert (np.diff(accuracy, axis=1) < 0).all()
    assert (np.diff(accuracy[:, 0]) < 0).all()
    assert (accuracy.sum(axis=1) < 1).all()


@needs_reference
@pytest.mark.parametrize("model", MODELS)
def test_head_accuracy_is_as_published(model: str) -> None:
    rows = reference_rows("medusa_head_accuracy.csv", model)
    published = [[float(row[f"rank{rank}_prob"]) for rank in range(1, 6)] for row in rows]
    assert measured.head_accuracy(model).tolist() == published


def test_only_the_failed_training_run_has_a_caveat() -> None:
    assert [bool(measured.caveat(model)) for model in MODELS] == [False, False, True]


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("top_k", [1, 4, 5, 6, 10, 40])
def test_ranks_to_five_are_measured_and_the_rest_follows_a_falling_power_law(model: str, top_k: int) -> None:
    probability = measured.rank_probabilities(model, top_k)
    assert probability.shape == (5, top_k)
    assert np.array_equal(probability[:, :5], measured.head_accuracy(model)[:, :top_k])
    assert (probability.sum(axis=1) < 1).all()
    log_slopes = np.diff(np.log(probability[:, 5:])) / np.diff(np.log(np.arange(6, top_k + 1)))
    assert (log_slopes < 0).all()
    assert np.allclose(log_slopes, log_slopes[:, :1])


@needs_reference
@pytest.mark.parametrize("model", MODELS)
def test_extrapolation_agrees_with_the_reference_fit(model: str) -> None:
    fit = json.loads((REFERENCE / "acceptance_model_fit.json").read_text())["fits"][f"{model}-v1.3"]
    expected = np.array(fit["rank_prob_heads"])  # rounded to five decimals
    assert np.abs(measured.rank_probabilities(model) - expected).max() < 1e-5


@pytest.mark.parametrize("model", MODELS)
def test_mtbench_totals_are_as_published(model: str) -> None:
    tokens, passes, labels = measured.mtbench_turns(model)
    assert (tokens.sum(), passes.sum()) == TOTALS[model]
    assert len(tokens) == len(passes) == len(labels) == len(set(labels)) == 160
    assert (labels[0], labels[1], labels[-1]) == (
        "mtbench-81-1 writing",
        "mtbench-81-2 writing",
        "mtbench-160-2 humanities",
    )


@needs_reference
@pytest.mark.parametrize("model", MODELS)
def test_every_mtbench_turn_is_as_published(model: str) -> None:
    rows = [row for row in reference_rows("mtbench_medusa_steps.csv", model) if row["run"] == "0"]
    tokens, passes, labels = measured.mtbench_turns(model)
    assert list(zip(labels, tokens.tolist(), passes.tolist(), strict=True)) == [
        (
            f"mtbench-{row['question_id']}-{row['turn']} {row['category']}",
            int(row["new_tokens"]),
            int(row["steps"]),
        )
        for row in rows
    ]


def test_unknown_models_and_ranks_are_refused() -> None:
    with pytest.raises(InputError, match=r"unknown measured model 'vicuna-7': did you mean 'vicuna-7b'\?"):
        measured.head_accuracy("vicuna-7")
    with pytest.raises(InputError, match="unknown measured model"):
        measured.mtbench_turns("gpt-2")
    with pytest.raises(InputError, match="top_k 0 is not possible, allowed are 1 to 127"):
        measured.rank_probabilities("vicuna-7b", 0)


def test_the_prior_is_what_medusa_measured() -> None:
    expected = measured.head_accuracy("vicuna-7b")
    assert np.array_equal(measured.prior_accuracy(4, 5), expected[:4])
    assert np.array_equal(measured.prior_accuracy(8, 3)[5:], np.repeat(expected[4:5, :3], 3, axis=0))


def test_of_a_number_that_was_given_the_prior_is_the_number() -> None:
    trace = geometric_trace("0.72@3")
    prior = measured.prior_for("mtp", trace, 2, 3)
    assert prior[:, 0] == pytest.approx([0.72, 0.72], abs=0.005)
    assert (prior[:, 1:] == 0).all()
    prior[:] = 0  # the pruner changes its own
    assert measured.prior_for("mtp", trace, 2, 3)[0, 0] > 0.7


def test_of_a_drafter_of_a_kind_the_prior_is_the_kinds_whatever_the_trace_has() -> None:
    trace = load_trace("llama3.1-8b-eagle3")
    assert np.array_equal(measured.prior_for("medusa", trace, 4, 5), measured.prior_accuracy(4, 5))
    assert np.array_equal(measured.prior_for("eagle3", trace, 4, 5), measured.prior_of_levels(4, 5))
