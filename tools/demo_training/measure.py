"""What the finished model is worth: loss on held-out text, and what its Medusa heads get right on its own text."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from demo_training.heads import OwnText, count_heads
from demo_training.model import Shape, Weights, hidden_states, logits, medusa_logits
from demo_training.text import batches
from lpspec.speculation.pruner import DraftTokenPruner
from lpspec.speculation.rank_trace import count_passes
from lpspec.speculation.token_tree import accepted_lengths

TOP_K = 10


@dataclass(frozen=True)
class Acceptance:
    """What Medusa heads get right on text that the model wrote from held-out prompts.

    Attributes:
        accuracy: float64 [heads, top_k], share of positions where head h's k-th guess is the true token.
        tokens_per_pass: By tree size, root included: tokens committed per verify pass with the most probable tree.
    """

    accuracy: NDArray[np.float64]
    tokens_per_pass: dict[int, float]


@torch.inference_mode()
def head_ranks(heads: Weights, base: Weights, shape: Shape, text: OwnText) -> NDArray[np.int8]:
    """Rank of the true token in every head's list: int8 [sequences, new tokens, heads], as ``RankTrace`` counts.

    Row i takes the i-th new token for the root of a pass: the hidden state before it guesses the tokens after it.
    """
    written = text.tokens.shape[1] - text.prompt
    ranks = np.full((len(text.tokens), written, count_heads(heads)), -1, np.int8)
    hidden = hidden_states(base, shape, text.tokens)[:, text.prompt - 1 : -1]
    for head in range(ranks.shape[2]):
        scores = medusa_logits(heads, base, head, hidden[:, : written - 1 - head])
        true = text.tokens[:, text.prompt + 1 + head :]
        found = scores.topk(TOP_K, dim=-1).indices == true[..., None]  # [sequences, positions, top_k]
        rank = torch.where(found.any(dim=-1), found.int().argmax(dim=-1), -1)
        ranks[:, : written - 1 - head, head] = rank.numpy()
    return ranks


def acceptance(ranks: NDArray[np.int8], sizes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)) -> Acceptance:
    """Sum up ranks, int8 [sequences, new tokens, heads]."""
    heads = ranks.shape[2]
    known = [ranks[:, : -1 - head, head] for head in range(heads)]  # the tokens that lie within the sequence
    accuracy = np.array([[float((rank == k).mean()) for k in range(TOP_K)] for rank in known])
    return Acceptance(accuracy, {size: tokens_per_pass(ranks, accuracy, size) for size in sizes})


def tokens_per_pass(ranks: NDArray[np.int8], accuracy: NDArray[np.float64], size: int) -> float:
    """Tokens committed per verify pass when every pass verifies the tree of this size that is most probable."""
    price = np.full(size, np.inf)
    price[-1] = 1.0
    tree = DraftTokenPruner(accuracy, max_size=size).choose(price)
    passes = sum(count_passes(accepted_lengths(tree, turn)) for turn in ranks)
    return float(ranks.shape[0] * ranks.shape[1] / passes)


def first_choice(base: Weights, shape: Shape, tokens: Tensor, length: int) -> float:
    """Share of a text's tokens that are the model's first choice."""
    usable = (len(tokens) - 1) // length * length
    inputs, targets = tokens[:usable].view(-1, length), tokens[1 : usable + 1].view(-1, length)
    right = 0
    with torch.inference_mode():
        for piece, target in zip(batches(inputs, 16), batches(targets, 16), strict=True):
            scores = logits(base, hidden_states(base, shape, piece))
            right += int((scores.argmax(dim=-1) == target).sum())
    return right / usable
