"""The loop: the text is plain decoding's whatever is drafted, and steps say truly what was accepted."""

import numpy as np
import pytest
import torch
from tiny_llama import OracleDrafter, grow_tree, tiny_llama

from lpspec.arrays import FloatArray, IntArray
from lpspec.decoding.drafter import Committed, Draft
from lpspec.decoding.generate import Generation, Step, fixed_size
from lpspec.decoding.transformer import Transformer
from lpspec.errors import InputError

MODEL = tiny_llama(seed=3)


def plain_text(model: Transformer, prompt: list[int], tokens: int) -> list[int]:
    """Greedy decoding without a cache: one whole pass per token."""
    text = list(prompt)
    with torch.inference_mode():
        for _ in range(tokens):
            text.append(int(model.logits(model.forward(torch.tensor(text)).hidden[-1]).argmax()))
    return text[len(prompt) :]


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("seed", range(8))
def test_text_is_plain_decodings_for_any_trees(seed: int, strict: bool) -> None:
    prompt = [seed + 1, 7, 50 - seed]
    truth = plain_text(MODEL, prompt, 40)
    run = Generation(MODEL, prompt, 40, OracleDrafter(truth, 64, seed=seed), max_tree=12, strict=strict)
    steps = list(run)
    assert run.tokens == truth
    assert [token for step in steps for token in step.tokens] == truth[1:]
    assert max(step.accepted for step in steps) >= 2
    assert any(step.accepted and np.ptp(step.tree.parent) > 1 for step in steps)


def test_steps_say_what_happened() -> None:
    prompt = [9, 8, 7]
    truth = plain_text(MODEL, prompt, 30)
    position = len(prompt)
    run = Generation(MODEL, prompt, 30, OracleDrafter(truth, 64, seed=1))
    for step in run:
        assert step.context == position
        assert len(step.tokens) == step.accepted + 1
        assert step.accepted <= step.tested <= min(step.accepted + 1, step.tree.max_depth)
        assert min(step.draft_ns, step.verify_ns, step.accept_ns) > 0
        position += len(step.tokens)
    assert position == len(prompt) + 29


class FixedDrafter:
    """Always the same tokens on the same tree, and a record of what it was told."""

    depth = 2
    taps: tuple[int, ...] = (0, 1)

    def __init__(self, parents: list[int], tokens: list[int]) -> None:
        self.made = Draft(grow_tree(parents), np.array(tokens), np.ones(len(tokens)))
        self.told: list[Committed] = []

    def start(self, prompt: IntArray, known: Committed) -> None:
        self.told.append(known)

    def draft(self, price: FloatArray) -> Draft:
        return self.made

    def observe(self, draft: Draft, known: Committed) -> None:
        self.told.append(known)


def test_places_are_counted_where_a_draft_was_tested() -> None:
    prompt = [5, 6]
    _, second, third, *_ = plain_text(MODEL, prompt, 5)
    wrong = (second + 1) % 64
    for parents, tokens, accepted, tested in (
        ([0, 1], [second, third], 2, 2),
        ([0, 1], [second, (third + 1) % 64], 1, 2),
        ([0, 0, 1], [wrong, second, 3], 1, 1),  # the accepted node has no child
        ([0], [wrong], 0, 1),
        ([], [], 0, 0),
    ):
        step = Generation(MODEL, prompt, 5, FixedDrafter(parents, tokens)).step()
        assert (step.accepted, step.tested) == (accepted, tested)


def test_the_drafter_is_told_tokens_with_the_states_that_led_to_them() -> None:
    prompt = [11, 12, 13, 14]
    truth = plain_text(MODEL, prompt, 6)
    drafter = FixedDrafter([0, 0, 2], [(truth[1] + 1) % 64, truth[1], truth[2]])
    Generation(MODEL, prompt, 6, drafter).step()
    whole = MODEL.forward(torch.tensor(prompt + truth), taps=(0, 1))
    start, after = drafter.told
    assert start.tokens.tolist() == [12, 13, 14, truth[0]]
    assert after.tokens.tolist() == truth[1:4]
    for known, rows in ((start, slice(0, 4)), (after, slice(4, 7))):
        torch.testing.assert_close(known.hidden, whole.hidden[rows], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(known.taps[1], whole.taps[1][rows], atol=1e-5, rtol=1e-5)


def test_text_ends_at_its_length_and_at_an_end_token() -> None:
    prompt = [1, 2, 3]
    truth = plain_text(MODEL, prompt, 20)
    for most in range(1, 12):
        run = Generation(MODEL, prompt, most, OracleDrafter(truth, 64, seed=most))
        steps = list(run)
        assert run.tokens == truth[:most]
        assert sum(step.accepted + 1 for step in steps) == most - 1
    place = next(place for place in range(4, 20) if truth[place] not in truth[:place])
    ended = tiny_llama(seed=3)
    ended.config = ended.config.model_copy(update={"end_tokens": (truth[place],)})
    run = Generation(ended, prompt, 20, OracleDrafter(truth, 64, seed=2))
    list(run)
    assert run.tokens == truth[: place + 1]


def test_a_long_prompt_is_taken_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    prompt = [token * 11 % 64 for token in range(50)]
    monkeypatch.setattr("lpspec.decoding.generate.PREFILL_ROWS", 16)
    run = Generation(MODEL, prompt, 10)
    list(run)
    assert run.tokens == plain_text(MODEL, prompt, 10)


def test_the_price_list_is_that_of_the_context() -> None:
    asked: list[int] = []

    def price(context: int) -> FloatArray:
        asked.append(context)
        return np.ones(99)

    class Sized(FixedDrafter):
        def draft(self, price: FloatArray) -> Draft:
            assert len(price) == 8
            return self.made

    steps: list[Step] = list(Generation(MODEL, [1, 2], 4, Sized([], []), price=price, max_tree=8))
    assert asked == [step.context for step in steps] == [2, 3, 4]
    assert fixed_size(4)(17).tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("prompt", "new", "said"),
    [
        ([], 4, "the prompt is empty"),
        ([1, 64], 4, "token ids outside the model's, 0 to 63"),
        ([-1], 4, "token ids outside"),
        ([1] * 250, 7, "250 tokens and 7 new ones are 257, 'tiny' takes 256 at most"),
        ([1], 0, "0 new tokens are asked for"),
    ],
)
def test_an_impossible_prompt_is_one_clear_line(prompt: list[int], new: int, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Generation(MODEL, prompt, new)
