"""Prompt lookup against a search through the whole text, and the chances it gives its copies."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from plain_drafters import copied  # noqa: E402

from lpspec.decoding.drafter import ROOT_ALONE, Committed, Draft  # noqa: E402
from lpspec.decoding.drafters.prompt_lookup import PromptLookup  # noqa: E402

texts = st.lists(st.integers(0, 3), min_size=2, max_size=40)


def read(drafter: PromptLookup, text: list[int], cuts: list[int]) -> Draft:
    """Draft after a text that came in pieces, the first of which is the prompt with its root."""
    ends = sorted({2, len(text), *(2 + cut % (len(text) - 1) for cut in cuts)})
    first = text[: ends[0]]
    drafter.start(np.array(first[:-1]), Committed(np.array(first[1:]), torch.empty(0)))
    for start, end in pairwise(ends):
        drafter.observe(ROOT_ALONE, Committed(np.array(text[start:end]), torch.empty(0)))
    return drafter.draft(1.0 / np.arange(1, 32))


@given(text=texts, cuts=st.lists(st.integers(0, 40), max_size=5), longest=st.integers(1, 4), depth=st.integers(1, 9))
def test_copies_are_those_of_a_search(text: list[int], cuts: list[int], longest: int, depth: int) -> None:
    draft = read(PromptLookup(depth, longest), text, cuts)
    assert draft.tokens.tolist() == copied(text, longest, depth)
    assert (draft.probability > 0).all()
    assert (draft.probability <= 1).all()
    whole = read(PromptLookup(depth, longest), text, [])  # where passes began makes no difference
    assert np.array_equal(draft.probability, whole.probability)


@given(text=texts)
def test_chances_are_what_the_text_shows(text: list[int]) -> None:
    right, tried = dict.fromkeys(range(1, 4), 1), dict.fromkeys(range(1, 4), 2)
    for place in range(1, len(text)):
        before = text[:place]
        if guess := copied(before, 3, 1):
            length = next(n for n in (3, 2, 1) if n < place and seen_before(before, n))
            tried[length] += 1
            right[length] += guess[0] == text[place]
    draft = read(PromptLookup(depth=3), text, [])
    if len(draft.tokens):
        length = next(n for n in (3, 2, 1) if n < len(text) and seen_before(text, n))
        steps = [right[min(length + d, 3)] / tried[min(length + d, 3)] for d in range(3)]
        assert np.allclose(draft.probability, np.cumprod(steps), rtol=1e-6)


def seen_before(text: list[int], length: int) -> bool:
    return any(text[i : i + length] == text[-length:] for i in range(len(text) - length))


def test_a_new_text_starts_from_nothing() -> None:
    drafter = PromptLookup()
    assert len(read(drafter, [1, 2, 1, 2, 1, 2], []).tokens)
    assert not len(read(drafter, [1, 2], []).tokens)
    assert drafter.draft(np.array([1.0])).tree.size == 1
