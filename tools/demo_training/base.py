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
def greedy_text(weights: Weights, shape: Shape, prompts: Tensor, new_tokens: int) -> Tensor:
    """Prompts int64 [count, length] and what the model greedily goes on with: [count, length + new_tokens]."""
    cache = Cache()
    sequence = prompts
    step = prompts
    for _ in range(new_tokens):
        hidden = hidden_states(weights, shape, step, cache, sequence.shape[1] - step.shape[1])
        step = logits(weights, hidden[:, -1:]).argmax(dim=-1)
        sequence = torch.cat([sequence, step], dim=1)
    return sequence
