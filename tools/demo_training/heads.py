"""The draft heads: Medusa's and EAGLE's, taught on what the model itself writes when it decodes greedily."""

import itertools
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
        hidden: [sequences, length - 1, hidden], the model's hidden states at all tokens but the last.
        prompt: How many tokens, at the start of each sequence, are the text's.
    """

    tokens: Tensor
    hidden: Tensor
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
    """Let the model write, from random places of a text; its hidden states are kept as float16.

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
    written, hidden = [], []
    for batch in batches(prompts, 128):
        tokens, states = greedy_text(base, shape, batch, new_tokens)
        written.append(tokens)
        hidden.append(states.half())
        say(sum(map(len, written)))
    return OwnText(torch.cat(written), torch.cat(hidden), prompt)


def new_medusa(shape: Shape, heads: int, blocks: int, generator: torch.Generator) -> Weights:
    """Random weights of Medusa heads: residual blocks, before the LM head that they share with the model."""
    hidden = shape.hidden_size
    weights: Weights = {}
    for head, block in itertools.product(range(heads), range(blocks)):
        weights[f"{head}.{block}.linear.weight"] = torch.randn(hidden, hidden, generator=generator) * 0.02
        weights[f"{head}.{block}.linear.bias"] = torch.zeros(hidden)
    return weights


def new_eagle(shape: Shape, generator: torch.Generator) -> Weights:
    """An EAGLE draft layer that begins by passing the hidden state through."""
    hidden = shape.hidden_size
    weights = new_layer(EAGLE_LAYER, shape, generator, input_norm=False)
    mix = torch.cat([torch.zeros(hidden, hidden), torch.eye(hidden)], dim=1)
    return weights | {"fc.weight": mix, "fc.bias": torch.zeros(hidden)}


def medusa_loss(heads: Weights, base: Weights, own: OwnText, positions: int, generator: torch.Generator) -> Tensor:
    """Cross-entropy of every head's guess at random places of the model's own text, later heads counting less.

    Args:
        heads: What is trained.
        base: The model, not trained.
        own: Its own text.
        positions: How many places.
        generator: What draws them.
    """
    deepest = own.tokens.shape[1] - 2 - count_heads(heads)  # the last place whose guesses all lie within the sequence
    row = torch.randint(len(own.tokens), (positions,), generator=generator)
    place = torch.randint(own.prompt - 1, deepest + 1, (positions,), generator=generator)
    hidden = own.hidden[row, place].float()
    total = torch.zeros(())
    for head in range(count_heads(heads)):
        scores = medusa_logits(heads, base, head, hidden)
        total = total + LATER_HEADS**head * functional.cross_entropy(scores, own.tokens[row, place + 2 + head])
    return total


def eagle_loss(eagle: Weights, base: Weights, shape: Shape, batch: Tensor) -> Tensor:
    """Distance of the guessed hidden states, and of the distributions that follow from them, from the model's.

    Args:
        eagle: What is trained.
        base: The model, not trained.
        shape: Its dimensions.
        batch: int64 [sequences, length], the model's own text.
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
    return len({name.partition(".")[0] for name in heads})


def count_blocks(heads: Weights) -> int:
    """How many residual blocks each Medusa head has."""
    return sum(name.startswith("0.") and name.endswith(".weight") for name in heads)
