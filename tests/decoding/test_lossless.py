"""Texts are equal, or part where the model itself can hardly tell two tokens apart."""

import pytest
import torch
from lossless import EPSILON, first_parting
from tiny_llama import OracleDrafter, tiny_llama

from lpspec.decoding.generate import Generation


def test_equal_texts_do_not_part() -> None:
    assert first_parting(tiny_llama(), [1, 2], [3, 4], [3, 4]) is None


def test_the_gap_is_that_of_the_first_difference() -> None:
    model = tiny_llama(seed=8)
    logits = model.logits(model.forward(torch.tensor([1, 2, 3])).hidden[-1]).sort().values
    found = first_parting(model, [1, 2], [3, 4, 5], [3, 9, 5])
    assert found is not None
    assert found.place == 1
    assert found.gap == pytest.approx(float(logits[-1] - logits[-2]), abs=1e-5)
    assert not found.close_call


def test_two_equal_rows_of_the_head_are_a_close_call() -> None:
    model = tiny_llama(seed=8)
    best = int(model.logits(model.forward(torch.tensor([1, 2])).hidden[-1]).argmax())
    model.head.weight[(best + 1) % 64] = model.head.weight[best]  # type: ignore[attr-defined]
    found = first_parting(model, [1, 2], [best], [(best + 1) % 64])
    assert found is not None
    assert found.close_call


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("dtype", list(EPSILON))
def test_speculation_parts_from_plain_decoding_in_close_calls_only(dtype: torch.dtype, strict: bool) -> None:
    model = tiny_llama(seed=5, dtype=dtype)
    parted = 0
    for start in range(12):
        prompt = [start, 3, 60 - start]
        plain = Generation(model, prompt, 40, max_tree=16, strict=strict)
        list(plain)
        ahead = Generation(model, prompt, 40, OracleDrafter(plain.tokens, 64, seed=start), max_tree=16, strict=strict)
        list(ahead)
        parting = first_parting(model, prompt, plain.tokens, ahead.tokens)
        assert parting is None or parting.close_call
        parted += parting is not None
    assert parted == 0 or dtype == torch.bfloat16
