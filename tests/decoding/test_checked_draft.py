"""A drafter of somebody else's that gives nonsense is one line naming it; sound drafts pass."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tiny_llama import grow_tree, tiny_llama

from lpspec.decoding.drafter import Draft, NoDrafter
from lpspec.decoding.drafters import DRAFTERS, load_drafter
from lpspec.decoding.generate import Generation
from lpspec.errors import InputError

MODEL = tiny_llama()
SOUND: Any = Draft(grow_tree([0, 0, 1]), np.array([5, 6, 7]), np.array([0.5, 0.2, 0.1]))


class Giving(NoDrafter):
    depth = 3

    def __init__(self, draft: Any) -> None:
        self.given = draft

    def draft(self, price: Any) -> Any:
        return self.given


def decode(draft: Any, max_tree: int = 8) -> Generation:
    generation = Generation(MODEL, [1, 2, 3], 6, Giving(draft), max_tree=max_tree)
    list(generation)
    return generation


def test_a_sound_draft_passes() -> None:
    plain = Generation(MODEL, [1, 2, 3], 6)
    list(plain)
    assert decode(SOUND).tokens == plain.tokens


@pytest.mark.parametrize(
    ("draft", "said"),
    [
        (None, "gave a NoneType: a Draft with a TokenTree is needed"),
        (grow_tree([0]), "gave a TokenTree: a Draft with a TokenTree is needed"),
        (replace(SOUND, tree=None), "gave a Draft: a Draft with a TokenTree is needed"),
        (Draft(grow_tree([0] * 9), np.arange(9), np.ones(9)), "gave a tree of 10 tokens: allowed is 1 to 8"),
        (Draft(grow_tree([0, 1, 2, 3]), np.arange(4), np.ones(4)), "gave a tree 4 deep: allowed is its own depth, 3"),
        (replace(SOUND, tokens=np.array([5, 6])), "gave tokens that don't fit its tree: int64 [3] is needed"),
        (replace(SOUND, tokens=[5, 6, 7]), "gave tokens that don't fit its tree"),
        (replace(SOUND, tokens=np.array([5.0, 6.0, 7.0])), "gave tokens that don't fit its tree"),
        (replace(SOUND, tokens=np.array([5, -1, 7])), "gave tokens -1 to 7: allowed is 0 to 63"),
        (replace(SOUND, tokens=np.array([5, 64, 7])), "gave tokens 5 to 64: allowed is 0 to 63"),
        (replace(SOUND, probability=None), "gave probabilities that don't fit its tree: float64 [3] is needed"),
        (replace(SOUND, probability=np.array([0.5, np.nan, 0.1])), "gave probabilities that don't fit its tree"),
        (replace(SOUND, proposal=torch.zeros(2, 64)), "gave a proposal that doesn't fit its tree: [3, 64] is needed"),
    ],
)
def test_a_draft_that_cannot_be_verified_is_refused(draft: Any, said: str) -> None:
    with pytest.raises(InputError) as caught:
        decode(draft)
    assert str(caught.value).startswith(f"drafter Giving {said}")


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (None, "is a NoneType: methods start, draft and observe are needed"),
        (SOUND, "is a Draft: methods start, draft and observe are needed"),
        (type("Odd", (NoDrafter,), {"depth": None})(), "has depth None: a whole number is needed"),
        (type("Odd", (NoDrafter,), {"depth": -1})(), "has depth -1: a whole number is needed"),
        (type("Odd", (NoDrafter,), {"taps": (0, 2)})(), "has taps (0, 2): a tuple of layers is needed, each 0 to 1"),
        (type("Odd", (NoDrafter,), {"taps": [0]})(), "has taps [0]: a tuple of layers is needed, each 0 to 1"),
    ],
)
def test_what_is_no_drafter_is_refused(monkeypatch: pytest.MonkeyPatch, made: Any, said: str) -> None:
    monkeypatch.setitem(DRAFTERS, "mine", lambda model, source: made)
    with pytest.raises(InputError) as caught:
        load_drafter("mine", MODEL)
    assert str(caught.value).startswith(f"drafter 'mine' {said}")
