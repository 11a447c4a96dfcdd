"""The base model: trained on the texts, then asked for its own greedy text."""

import torch
from torch import Tensor
from torch.nn import functional

from demo_training.model import Cache, Shape, Weights, hidden_states, logits
from demo_training.optimise import Plan
from demo_training.text import batches, windows


def base_loss(weights: Weights, shape: Shape, plan: Plan, tokens: Tensor, generator: torch.Generator) -> Tensor:
    """Cross-entropy of the next token over random windows, nats."""
    batch = windows(tokens, plan.batch, plan.length + 1, generator)
    scores = logits(weights, hidden_states(weights, shape, batch[:, :-1]))
    return functional.cross_entropy(scores.flatten(0, 1), batch[:, 1:].flatten())


@torch.inference_mode()
def heldout_loss(weights: Weights, shape: Shape, tokens: Tensor, length: int) -> float:
    """Mean cross-entropy over consecutive windows of a text, nats per token; each begins without context."""
    usable = (len(tokens) - 1) // length * length
    inputs, targets = tokens[:usable].view(-1, length), tokens[1 : usable + 1].view(-1, length)
    total = 0.0
    for piece, target in zip(batches(inputs, 16), batches(targets, 16), strict=True):
        scores = logits(weights, hidden_states(weights, shape, piece))
        total += float(functional.cross_entropy(scores.flatten(0, 1), target.flatten(), reduction="sum"))
    return total / usable


@torch.inference_mode()
def greedy_text(weights: Weights, shape: Shape, prompts: Tensor, new_tokens: int) -> tuple[Tensor, Tensor]:
    """Let the model go on greedily.

    Args:
        weights: The model.
        shape: Its dimensions.
        prompts: int64 [count, length].
        new_tokens: How many tokens it adds to each.

    Returns:
        The whole sequences, int64 [count, length + new_tokens], and the hidden states of all but the last token of
        each, [count, length + new_tokens - 1, hidden].
    """
    cache = Cache(prompts.shape[1] + new_tokens)
    sequence = step = prompts
    hidden: list[Tensor] = []
    for _ in range(new_tokens):
        hidden.append(hidden_states(weights, shape, step, cache, sequence.shape[1] - step.shape[1]))
        step = logits(weights, hidden[-1][:, -1:]).argmax(dim=-1)
        sequence = torch.cat([sequence, step], dim=1)
    return sequence, torch.cat(hidden, dim=1)
