"""The training loop: Adam or Muon with warm-up and cosine decay, which goes on where it was interrupted."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.optim import Optimizer

from demo_training.model import Weights
from demo_training.muon import Muon

SAVE_EVERY, SAY_EVERY = 100, 50


@dataclass(frozen=True)
class Plan:
    """How long and how fast to learn.

    Attributes:
        steps: Updates of the weights.
        batch: Sequences per update; of Medusa heads, places in the model's own text.
        length: Tokens per sequence.
        rate: Highest learning rate.
        decay: Weight decay of the matrices, under Adam.
        muon: Whether Muon trains the matrices, whose steps turn every direction alike, rather than Adam.
    """

    steps: int
    batch: int
    length: int
    rate: float
    decay: float = 0.0
    muon: bool = False


def train(name: str, weights: Weights, plan: Plan, loss_of: Callable[[torch.Generator], Tensor], folder: Path) -> float:
    """Train weights in place and return seconds taken since the beginning, interruptions left out.

    Args:
        name: Of the state file in ``folder``, from which an interrupted training goes on.
        weights: What is trained.
        plan: How long and how fast.
        loss_of: The loss of a step, from a generator that is the step's own.
        folder: Where the state is kept.
    """
    for weight in weights.values():
        weight.requires_grad_()
    optimisers = _optimisers(weights, plan)
    state = folder / f"{name}.pt"
    first, seconds = _resume(state, weights, optimisers)
    begun, mean_loss = time.monotonic() - seconds, math.nan
    for step in range(first, plan.steps):
        loss = loss_of(torch.Generator().manual_seed(step))
        _update(weights, optimisers, loss, plan.rate * schedule(step, plan.steps))
        mean_loss = loss.item() if math.isnan(mean_loss) else 0.98 * mean_loss + 0.02 * loss.item()
        seconds = time.monotonic() - begun
        if (step + 1) % SAY_EVERY == 0:
            print(f"{name}: step {step + 1} of {plan.steps}, loss {mean_loss:.3f}, {seconds:.0f} s", flush=True)
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == plan.steps:
            _save(state, weights, optimisers, step + 1, seconds)
    for weight in weights.values():
        weight.requires_grad_(False)
    return seconds


def schedule(step: int, steps: int) -> float:
    """Share of the highest learning rate: a short warm-up, then half a cosine down to a twentieth."""
    warm_up = min(1.0, (step + 1) / max(1, steps // 20))
    return warm_up * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def _optimisers(weights: Weights, plan: Plan) -> list[Optimizer]:
    """Of the matrices, and of the vectors, which know no decay."""
    matrices = [weight for weight in weights.values() if weight.ndim > 1]
    vectors = [weight for weight in weights.values() if weight.ndim == 1]
    betas = (0.9, 0.95)
    of_matrices: Optimizer = (
        Muon(matrices) if plan.muon else torch.optim.AdamW(matrices, weight_decay=plan.decay, betas=betas)
    )
    return [of_matrices, torch.optim.AdamW(vectors, weight_decay=0.0, betas=betas)]


def _update(weights: Weights, optimisers: list[Optimizer], loss: Tensor, rate: float) -> None:
    """Take one step down the slope of a loss."""
    for weight in weights.values():
        weight.grad = None
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
    for optimiser in optimisers:
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()


def _save(state: Path, weights: Weights, optimisers: list[Optimizer], step: int, seconds: float) -> None:
    beside = state.with_suffix(".new")
    plain = {name: weight.detach() for name, weight in weights.items()}
    memories = [optimiser.state_dict() for optimiser in optimisers]
    torch.save({"step": step, "seconds": seconds, "weights": plain, "optimisers": memories}, beside)
    beside.replace(state)


def _resume(state: Path, weights: Weights, optimisers: list[Optimizer]) -> tuple[int, float]:
    if not state.exists():
        return 0, 0.0
    saved = torch.load(state, weights_only=True)
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(saved["weights"][name])
    for optimiser, memory in zip(optimisers, saved["optimisers"], strict=True):
        optimiser.load_state_dict(memory)
    return saved["step"], saved["seconds"]
