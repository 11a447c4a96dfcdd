"""Acceptance by one number: every draft is right with the same chance, whatever came before.

The knob is the one that serving engines have for benchmarks: vLLM's ``synthetic_acceptance_length`` and SGLang's
``SGLANG_SIMULATE_ACC_LEN`` are the mean length as here, with the token that the model itself adds; TensorRT-LLM's
``TLLM_SPEC_DECODE_FORCE_NUM_ACCEPTED_TOKENS`` is one less. They differ in how lengths scatter around the mean: vLLM
and SGLang (``match-expected``) take the two whole numbers beside it, while a chain whose drafts are right with one
chance is geometric, which decides what a shorter or deeper tree is worth.
"""

import re
from typing import NamedTuple

import numpy as np

from lpspec.arrays import FloatArray
from lpspec.errors import InputError, shown
from lpspec.speculation.chains import chain_ranks, draw_first_guesses
from lpspec.speculation.rank_trace import ANY_DRAFTER, RankTrace

MOST_DRAFTS = 63
"""Drafts of the largest tree, which has 64 tokens."""

USUAL_DRAFTS = 16
"""Depth where a rate is given alone: beyond, a rate of 0.8 leaves less than 3 % of passes."""

TURNS, TURN_TOKENS = 160, 256
"""Text that is drawn: as many turns as MT-bench has, and about as long as a phone's answers."""

SEED = 20

_FORM = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:@([0-9]{1,9}))?")


class Geometric(NamedTuple):
    """Chains of ``drafts`` guesses, each of which is right with chance ``rate``."""

    rate: float
    drafts: int

    @property
    def survival(self) -> FloatArray:
        """By depth, the chance that all guesses so far are right: float64 [drafts]."""
        return self.rate ** np.arange(1.0, self.drafts + 1)

    @property
    def mean_length(self) -> float:
        """Tokens that a pass is expected to commit, the root included: 1 + rate + rate^2 + ... + rate^drafts."""
        return 1.0 + float(self.survival.sum())


def read_acceptance(text: str) -> Geometric:
    """Read ``3.24@7``, the mean tokens per pass with seven drafts, or ``0.72``, the chance of a draft to be right.

    Raises:
        InputError: It is neither, or no chance gives such a mean.
    """
    form = _FORM.fullmatch(text.strip())
    if form is None:
        raise InputError(
            f"acceptance '{shown(text, 40)}' is neither a mean length with its drafts, such as 3.24@7, nor the chance "
            "of a draft to be right, such as 0.72"
        )
    number, drafts = float(form[1]), USUAL_DRAFTS if form[2] is None else int(form[2])
    if not 1 <= drafts <= MOST_DRAFTS:
        raise InputError(f"acceptance '{text}': {drafts} drafts are not possible, allowed are 1 to {MOST_DRAFTS}")
    if form[2] is None and number > 1:
        raise InputError(f"acceptance '{text}': a mean length needs the drafts of a pass, such as {number:g}@7")
    if form[2] is None or number < 1:
        return Geometric(number, drafts)
    if number > drafts + 1:
        raise InputError(f"acceptance '{text}': {drafts} drafts give 1 to {drafts + 1} tokens per pass")
    return Geometric(rate_of_mean(number, drafts), drafts)


def rate_of_mean(length: float, drafts: int) -> float:
    """The chance at which so many drafts come to a mean length, by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if Geometric(middle, drafts).mean_length < length else (low, middle)
    return low


def geometric_trace(text: str) -> RankTrace:
    """The trace of a text such as ``3.24@7``: chains only, for nobody says what a second guess would be worth.

    Raises:
        InputError: As for ``read_acceptance``.
    """
    meant = read_acceptance(text)
    generator, turn_lengths = np.random.default_rng(SEED), np.full(TURNS, TURN_TOKENS, np.int32)
    right = draw_first_guesses(meant.survival, turn_lengths, generator)
    rates = np.full(meant.drafts, meant.rate)
    said = f"{meant.mean_length:.4g} tokens per pass with chains of {meant.drafts} drafts"
    return RankTrace(
        chain_ranks(right, rates, turn_lengths, generator),
        turn_lengths,
        1,
        ("",) * TURNS,
        name=text.strip(),
        model="any",
        kind="synthetic",
        description=f"Synthetic, by one number: every draft is right with chance {meant.rate:.4g}, which is {said}. No "
        "text is harder than another, and no second guess is known, so trees are chains.",
        source="none: the number was given",
        seed=SEED,
        drafter=ANY_DRAFTER,
    )
