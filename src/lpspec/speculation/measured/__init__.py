"""What others measured on the real Medusa models, with its source: head accuracies and MT-bench passes."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpspec.arrays import FloatArray
from lpspec.errors import InputError, unknown_name
from lpspec.speculation.rank_trace import ANY_DRAFTER, RankTrace

MEASURED_RANKS = 5  # the source logs the top five of every head
FITTED_RANKS = slice(1, MEASURED_RANKS)  # ranks 2 to 5: the first lies far above any power law
MAX_RANKS = 127  # a rank is int8

PRIOR_MODEL = "vicuna-7b"
"""Whose measured head accuracies the pruner starts from, whatever it runs on; it learns the rest."""


EAGLE3_RATE = 0.75
"""How often a first guess of EAGLE-3 is right where all before it were."""

EAGLE_MISSES = [0.504, 0.182, 0.088, 0.060, 0.048, 0.022, 0.022, 0.023, 0.009]
"""How often the right guess has rank 1, 2, ... where the first one is wrong (``tools/make_eagle3_traces.py``)."""


class MtbenchTurns(NamedTuple):
    """One model's 160 turns of MT-bench, turn 1 and 2 of question 81, then of 82, and so on to 160."""

    tokens: NDArray[np.int32]
    """[160] tokens that the turn generated."""
    passes: NDArray[np.int32]
    """[160] verify passes that Medusa took for them with its tree mc_sim_7b_63."""
    labels: tuple[str, ...]
    """Question, turn and category, such as ``"mtbench-81-1 writing"``."""


def head_accuracy(model: str) -> FloatArray:
    """How often the true token has each of the first five ranks in each head's list: float [heads, ranks].

    Source: FasterDecoding/Medusa, assets/medusa_acc.csv: the last logged training batch, each value with a
    standard error of up to 0.0067.

    Args:
        model: A model that was measured, such as ``vicuna-7b``.

    Raises:
        InputError: Nobody measured this model.
    """
    return np.array(_of_model("medusa_head_accuracy.toml", model)["rank_probability"], dtype=np.float64)


def caveat(model: str) -> str:
    """What the source itself warns of about this model's head accuracies; empty for most.

    Raises:
        InputError: Nobody measured this model.
    """
    return str(_of_model("medusa_head_accuracy.toml", model).get("caveat", ""))


def rank_probabilities(model: str, top_k: int = 10) -> FloatArray:
    """How often the true token has each rank in each head's list: float [5 heads, top_k].

    Ranks 1 to 5 are measured; those beyond are extrapolated by each head's power law through ranks 2 to 5
    (least squares in the logarithms).

    Args:
        model: A model that was measured, such as ``vicuna-7b``.
        top_k: How many ranks, 1 to 127.

    Raises:
        InputError: Nobody measured this model, or `top_k` is out of range.
    """
    if not 1 <= top_k <= MAX_RANKS:
        raise InputError(f"rank probabilities: top_k {top_k} is not possible, allowed are 1 to {MAX_RANKS}")
    return _extrapolated(model, top_k).copy()


@cache
def _extrapolated(model: str, top_k: int) -> FloatArray:
    measured = head_accuracy(model)
    log_rank = np.log(np.arange(1, max(top_k, MEASURED_RANKS) + 1))
    slope, level = np.polyfit(log_rank[FITTED_RANKS], np.log(measured[:, FITTED_RANKS]).T, 1)
    extrapolated = np.exp(level[:, None] + slope[:, None] * log_rank[None, MEASURED_RANKS:])
    return np.hstack([measured, extrapolated])[:, :top_k]


def prior_accuracy(heads: int, top_k: int) -> FloatArray:
    """What the pruner believes before the first step: float64 [heads, top_k], Medusa's measured accuracies.

    Heads beyond the five that were measured start like the fifth.
    """
    measured = rank_probabilities(PRIOR_MODEL, top_k)
    return measured[np.minimum(np.arange(heads), len(measured) - 1)]


def prior_for(drafter: str, trace: RankTrace, heads: int, top_k: int) -> FloatArray:
    """What the pruner believes before the first step: float64 [heads, top_k].

    Args:
        drafter: The kind that drafts.
        trace: Whose drafts are right. Where it is of no drafter, as one drawn from a number that was given, all that is
            known beforehand is what it was drawn from, so that is believed.
        heads: Draft heads, or levels.
        top_k: Length of their lists.
    """
    if trace.drafter == ANY_DRAFTER:
        return np.pad(trace.accuracy[:heads], ((0, 0), (0, top_k - trace.top_k)))
    return prior_accuracy(heads, top_k) if drafter in ("medusa", "none") else prior_of_levels(heads, top_k)


def prior_of_levels(levels: int, top_k: int) -> FloatArray:
    """What the pruner believes before the first step of a drafter that drafts level by level: float64 [levels, top_k].

    A first guess is right in three of four cases where all before it were, at every depth, as EAGLE-3's are on MT-bench
    (.74 .73 .76 .76 .74 .74 .76, vLLM issue 26191); where it is not, ranks are those of the recorded misses of this
    package's demo-eagle2. A drafter that is worse teaches so within some 64 guesses; one that is better would take long
    to show it if little were expected of it, since depths that are not drafted teach nothing.
    """
    misses = np.array(EAGLE_MISSES + [EAGLE_MISSES[-1]] * max(0, top_k - 1 - len(EAGLE_MISSES)))[: top_k - 1]
    accuracy = np.concatenate([[EAGLE3_RATE], (1 - EAGLE3_RATE) * misses])
    return np.tile(accuracy, (levels, 1))


def mtbench_turns(model: str) -> MtbenchTurns:
    """Tokens and verify passes of every MT-bench turn, decoded greedily by Medusa.

    Source: FasterDecoding/Medusa, llm_judge/data/mt_bench/model_answer, run 0.

    Args:
        model: A model that was measured, such as ``vicuna-7b``.

    Raises:
        InputError: Nobody measured this model.
    """
    rows = [
        (tokens, passes, f"mtbench-{first + place}-{turn} {category}")
        for category, first in _load("medusa_mtbench.toml")["first_question"].items()
        for place, turns in enumerate(_questions(_of_model("medusa_mtbench.toml", model)[category]))
        for turn, (tokens, passes) in enumerate(turns, start=1)
    ]
    tokens, passes, labels = zip(*rows, strict=True)
    return MtbenchTurns(np.array(tokens, dtype=np.int32), np.array(passes, dtype=np.int32), labels)


def _questions(category: dict[str, list[int]]) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """The (tokens, passes) of turn 1 and of turn 2, for each question of a category."""
    turn_1 = zip(category["turn_1_tokens"], category["turn_1_passes"], strict=True)
    turn_2 = zip(category["turn_2_tokens"], category["turn_2_passes"], strict=True)
    return list(zip(turn_1, turn_2, strict=True))


def _of_model(file_name: str, model: str) -> dict[str, Any]:
    models = _load(file_name)["models"]
    if model not in models:
        raise unknown_name("measured model", model, models)
    found: dict[str, Any] = models[model]
    return found


@cache
def _load(file_name: str) -> dict[str, Any]:
    return tomllib.loads(files(__name__).joinpath(file_name).read_text(encoding="utf-8"))
