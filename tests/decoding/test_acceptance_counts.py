"""Acceptance by place is what comparing every draft with the text gives; where the text ends, nothing is counted."""

from collections import Counter

import pytest
from tiny_llama import OracleDrafter, tiny_llama

from lpspec.arrays import FloatArray
from lpspec.decoding.drafter import Draft
from lpspec.decoding.generate import Generation, Step
from lpspec.experiments.acceptance import count_acceptance

MODEL = tiny_llama(seed=3)


class Remembering(OracleDrafter):
    """Keeps what it drafted."""

    def __init__(self, truth: list[int], seed: int) -> None:
        super().__init__(truth, 64, seed=seed)
        self.made: list[Draft] = []

    def draft(self, price: FloatArray) -> Draft:
        self.made.append(super().draft(price))
        return self.made[-1]


def compare_with(text: list[int], root: int, draft: Draft, reached: Counter[int], right: Counter[int]) -> None:
    """Follow the text down one tree, whose root is the token at index ``root``."""
    node = 0
    for place, token in enumerate(text[root + 1 :], 1):
        children: dict[int, int] = {}
        for child in range(1, draft.tree.size):
            if draft.tree.parent[child] == node:
                children.setdefault(int(draft.tokens[child - 1]), child)  # of equal guesses the first is taken
        if not children:
            return
        reached[place] += 1
        if token not in children:
            return
        right[place] += 1
        node = children[token]


def decode(seed: int, most: int, end_tokens: tuple[int, ...] = ()) -> tuple[Generation, Remembering]:
    prompt = [seed + 1, 7, 50 - seed]
    truth = Generation(MODEL, prompt, 40)
    list(truth)
    drafter = Remembering(truth.tokens, seed)
    model = tiny_llama(seed=3)
    model.config = model.config.model_copy(update={"end_tokens": end_tokens})
    run = Generation(model, prompt, most, drafter, max_tree=12)
    list(run)
    return run, drafter


@pytest.mark.parametrize("most", [2, 3, 5, 23])
@pytest.mark.parametrize("ends", [False, True])
def test_counts_are_those_of_comparing_drafts_with_the_text(most: int, ends: bool) -> None:
    texts: list[list[Step]] = []
    reached, right = Counter[int](), Counter[int]()
    for seed in range(12):
        run, drafter = decode(seed, most)
        if ends:  # at a token in the middle of what a pass may accept
            run, drafter = decode(seed, 40, (run.tokens[-1],))
        root = 0
        for step, draft in zip(run.steps, drafter.made, strict=True):
            compare_with(run.tokens, root, draft, reached, right)
            root += len(step.tokens)
        texts.append(run.steps)
    found = count_acceptance(texts)
    assert {at.position: at.reached for at in found} == reached
    assert {at.position: at.accepted for at in found if at.accepted} == right
    assert all(sum(at.by_rank) == at.accepted for at in found)


def test_a_draft_that_is_the_last_token_was_right() -> None:
    """With two new tokens every pass ends the text, and nearly every one had the second token in its tree."""
    steps = [decode(seed, 2)[0].steps for seed in range(12)]
    (first,) = count_acceptance(steps)
    assert (first.position, first.reached) == (1, sum(text[0].tree.size > 1 for text in steps))
    assert 0 < first.accepted <= first.reached
    assert all(text[0].accepted == 0 for text in steps)
