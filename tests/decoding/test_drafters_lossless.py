"""Whoever drafts, and whatever trees cost: the text is the one that the model writes alone."""

from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from head_weights import medusa_weights  # noqa: E402
from trained_drafters import CONFIDENT, CONFIG, MODEL, WEIGHTS, medusa_heads  # noqa: E402

from lpspec.arrays import FloatArray  # noqa: E402
from lpspec.decoding.checkpoint import Checkpoint  # noqa: E402
from lpspec.decoding.drafter import Drafter  # noqa: E402
from lpspec.decoding.drafters.draft_model import DraftModel  # noqa: E402
from lpspec.decoding.drafters.medusa import Medusa, take_heads  # noqa: E402
from lpspec.decoding.generate import Generation  # noqa: E402
from lpspec.decoding.quantized import quantized  # noqa: E402
from lpspec.decoding.transformer import Transformer  # noqa: E402
from lpspec.speculation.pruner import FixedTree  # noqa: E402
from lpspec.speculation.token_tree import TokenTree  # noqa: E402

NEW_TOKENS = 18
PROMPTS = [np.random.default_rng([7, n]).integers(0, 24, 2 + n % 9) for n in range(24)]
EPSILON = 1e-4
"""Between the two largest logits: fp32 may round differently in passes of different widths. None was needed here."""

WIDE = TokenTree.from_paths([(a,) for a in range(5)] + [(a, b) for a in range(3) for b in range(3)] + [(0, 0, 0)])
DRAFTERS: dict[str, Callable[[], Drafter]] = {
    "medusa": lambda: Medusa(medusa_heads()),
    "medusa, one tree": lambda: Medusa(medusa_heads(), FixedTree(WIDE)),
    **CONFIDENT,
}


def any_price(seed: int) -> Callable[[int], FloatArray]:
    """Prices that forbid some sizes and differ from step to step, so that trees of all sizes are verified."""
    random = np.random.default_rng(seed)

    def price(context: int) -> FloatArray:
        sizes = np.sort(random.random(24)) + 0.5
        return np.where(random.random(24) < 0.3, np.inf, sizes)

    return price


@pytest.fixture(scope="module")
def alone() -> list[list[int]]:
    return [written(prompt, None)[0] for prompt in PROMPTS]


def written(prompt: np.ndarray, drafter: Drafter | None, seed: int = 0) -> tuple[list[int], int]:
    """The text, and how many drafts were accepted."""
    generation = Generation(MODEL, prompt, NEW_TOKENS, drafter, price=any_price(seed))
    accepted = sum(step.accepted for step in generation)
    return generation.tokens, accepted


@pytest.mark.parametrize("name", DRAFTERS)
def test_the_text_is_the_models_own(name: str, alone: list[list[int]]) -> None:
    drafter, accepted = DRAFTERS[name](), 0
    for seed, (prompt, truth) in enumerate(zip(PROMPTS, alone, strict=True)):
        text, drafts = written(prompt, drafter, seed)
        accepted += drafts
        assert text == truth or gap_where_they_part(prompt, text, truth) < EPSILON
    assert accepted > len(PROMPTS)


def gap_where_they_part(prompt: np.ndarray, text: list[int], truth: list[int]) -> float:
    """The distance between the two largest logits at the first token that differs."""
    same = next(place for place, (a, b) in enumerate(zip(text, truth, strict=True)) if a != b)
    with torch.inference_mode():
        logits = MODEL.logits(MODEL.forward(torch.tensor([*prompt, *truth[:same]])).hidden[-1])
    first, second = logits.topk(2).values.tolist()
    return float(first - second)


@pytest.mark.parametrize("precision", ["bfloat16", "w8a8"])
def test_drafters_follow_the_models_precision(precision: str) -> None:
    model = (
        Transformer(CONFIG, quantized(WEIGHTS))
        if precision == "w8a8"
        else Transformer(CONFIG, WEIGHTS, dtype=torch.bfloat16)
    )
    own = Medusa(take_heads(Checkpoint(medusa_weights(CONFIG.spec), "heads"), model))
    shared = Medusa(take_heads(Checkpoint(medusa_weights(CONFIG.spec, own=False), "heads"), model))
    for drafter in (own, shared, DraftModel(model, depth=2, width=2)):
        generation = Generation(model, PROMPTS[5], NEW_TOKENS, drafter, price=any_price(0))
        accepted = sum(step.accepted for step in generation)
        alone = Generation(model, PROMPTS[5], NEW_TOKENS)
        assert len(list(alone)) == NEW_TOKENS - 1
        assert generation.tokens == alone.tokens
    assert accepted > 2  # a model drafts well for itself
