"""The training loop: Adam with warm-up and cosine decay, which goes on where it was interrupted."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from demo_training.model import Weights

SAVE_EVERY, SAY_EVERY = 100, 50


@dataclass(frozen=True)
class Plan:
    """How long and how fast to learn.

    Attributes:
        steps: Updates of the weights.
        batch: Sequences per update.
        length: Tokens per sequence.
        rate: Highest learning rate.
        decay: Weight decay of the matrices.
    """

    steps: int
    batch: int
    length: int
    rate: float
    decay: float = 0.0


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
    optimiser = _optimiser(weights, plan)
    state = folder / f"{name}.pt"
    first, seconds = _resume(state, weights, optimiser)
    begun, mean_loss = time.monotonic() - seconds, math.nan
    for step in range(first, plan.steps):
        for group in optimiser.param_groups:
            group["lr"] = plan.rate * schedule(step, plan.steps)
        loss = loss_of(torch.Generator().manual_seed(step))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights.values(), 1.0)
        optimiser.step()
        mean_loss = loss.item() if math.isnan(mean_loss) else 0.98 * mean_loss + 0.02 * loss.item()
        seconds = time.monotonic() - begun
        if (step + 1) % SAY_EVERY == 0:
            print(f"{name}: step {step + 1} of {plan.steps}, loss {mean_loss:.3f}, {seconds:.0f} s", flush=True)
        if (step + 1) % SAVE_EVERY == 0 or step + 1 == plan.steps:
            _save(state, weights, optimiser, step + 1, seconds)
    for weight in weights.values():
        weight.requires_grad_(False)
    return seconds


def schedule(step: int, steps: int) -> float:
    """Share of the highest learning rate: a short warm-up, then half a cosine down to a twentieth."""
    warm_up = min(1.0, (step + 1) / max(1, steps // 20))
    return warm_up * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps)))


def _optimiser(weights: Weights, plan: Plan) -> torch.optim.Optimizer:
    matrices = [weight for weight in weights.values() if weight.ndim > 1]
    vectors = [weight for weight in weights.values() if weight.ndim == 1]
    groups = [{"params": matrices, "weight_decay": plan.decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW([group for group in groups if group["params"]], betas=(0.9, 0.95))


def _save(state: Path, weights: Weights, optimiser: torch.optim.Optimizer, step: int, seconds: float) -> None:
    beside = state.with_suffix(".new")
    plain = {name: weight.detach() for name, weight in weights.items()}
    torch.save({"step": step, "seconds": seconds, "weights": plain, "optimiser": optimiser.state_dict()}, beside)
    beside.replace(state)


def _resume(state: Path, weights: Weights, optimiser: torch.optim.Optimizer) -> tuple[int, float]:
    if not state.exists():
        return 0, 0.0
    saved = torch.load(state, weights_only=True)
    with torch.no_grad():
        for name, weight in weights.items():
            weight.copy_(saved["weights"][name])
    optimiser.load_state_dict(saved["optimiser"])
    return saved["step"], saved["seconds"]
