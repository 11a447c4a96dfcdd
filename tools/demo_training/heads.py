"""The draft heads: Medusa's and EAGLE's, taught on what the model itself writes when it decodes greedily."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from demo_training.base import greedy_text
from demo_training.model import (
    EAGLE_LAYER,
    Shape,
    Weights,
    eagle_features,
    hidden_states,
    logits,
    medusa_logits,
    new_layer,
)
from demo_training.text import batches, windows

LATER_HEADS = 0.8
"""Weight of a Medusa head's loss against that of the head before it, as Medusa-1 has it."""

UNROLLED = 3
"""Passes over EAGLE's own guesses in training: the second and third see what drafting will see."""

FEATURE_LOSS = 1.0
"""Weight of the distance between guessed and true hidden states against that between the token distributions."""


@dataclass(frozen=True)
class OwnText:
    """Sequences that begin with a few tokens of a text and go on as the model greedily does.

    Attributes:
        tokens: int64 [sequences, length].
        prompt: How many of them, at the start of each, are the text's.
    """

    tokens: Tensor
    prompt: int


def write_own_text(
    base: Weights,
    shape: Shape,
    text: Tensor,
    sequences: int,
    prompt: int,
    new_tokens: int,
    say: Callable[[int], None] = lambda done: None,
) -> OwnText:
    """Let the model write, from random places of a text.

    Args:
        base: The model.
        shape: Its dimensions.
        text: int64 [tokens], where prompts are taken from.
        sequences: How many to write.
        prompt: Tokens of each prompt.
        new_tokens: Tokens that the model adds to each.
        say: Told how many are done.
    """
    prompts = windows(text, sequences, prompt, torch.Generator().manual_seed(1))
    written: list[Tensor] = []
    for batch in batches(prompts, 64):
        written.append(greedy_text(base, shape, batch, new_tokens))
        say(sum(map(len, written)))
    return OwnText(torch.cat(written), prompt)


def new_medusa(base: Weights, shape: Shape, heads: int) -> Weights:
    """Medusa heads that begin as the LM head: a residual block that adds nothing, then a copy of its matrix."""
    hidden = shape.hidden_size
    weights: Weights = {}
    for head in range(heads):
        weights[f"{head}.0.linear.weight"] = torch.zeros(hidden, hidden)
        weights[f"{head}.0.linear.bias"] = torch.zeros(hidden)
        weights[f"{head}.1.weight"] = base["model.embed_tokens.weight"].clone()
    return weights


def new_eagle(shape: Shape, generator: torch.Generator) -> Weights:
    """An EAGLE draft layer that begins by passing the hidden state through."""
    hidden = shape.hidden_size
    weights = new_layer(EAGLE_LAYER, shape, generator, input_norm=False)
    mix = torch.cat([torch.zeros(hidden, hidden), torch.eye(hidden)], dim=1)
    return weights | {"fc.weight": mix, "fc.bias": torch.zeros(hidden)}


def medusa_loss(heads: Weights, base: Weights, shape: Shape, batch: Tensor) -> Tensor:
    """Cross-entropy of every head's guess, later heads counting less.

    Args:
        heads: What is trained.
        base: The model, not trained.
        shape: Its dimensions.
        batch: int64 [sequences, length], the model's own text.
    """
    with torch.no_grad():
        hidden = hidden_states(base, shape, batch)
    total = torch.zeros(())
    for head in range(count_heads(heads)):
        ahead = head + 2
        scores = medusa_logits(heads, head, hidden[:, :-ahead])
        total = total + LATER_HEADS**head * functional.cross_entropy(scores.flatten(0, 1), batch[:, ahead:].flatten())
    return total


def eagle_loss(eagle: Weights, base: Weights, shape: Shape, batch: Tensor) -> Tensor:
    """Distance of the guessed hidden states, and of the distributions that follow from them, from the model's.

    Arguments are as for ``medusa_loss``.
    """
    with torch.no_grad():
        hidden = hidden_states(base, shape, batch)
        truth = functional.softmax(logits(base, hidden), dim=-1)
    total = torch.zeros(())
    known = hidden[:, :-1]
    for depth in range(UNROLLED):
        guess = eagle_features(eagle, base, shape, batch[:, 1 + depth :], known)
        distance = functional.smooth_l1_loss(guess, hidden[:, 1 + depth :])
        mismatch = functional.cross_entropy(logits(base, guess).flatten(0, 1), truth[:, 1 + depth :].flatten(0, 1))
        total = total + LATER_HEADS**depth * (FEATURE_LOSS * distance + mismatch)
        known = guess[:, :-1]
    return total


def count_heads(heads: Weights) -> int:
    """How many Medusa heads there are."""
    return sum(name.endswith(".1.weight") for name in heads)
