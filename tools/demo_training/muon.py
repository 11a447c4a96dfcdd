"""Muon: momentum whose steps turn every direction of a matrix alike.

Source: Keller Jordan, "Muon: an optimizer for hidden layers in neural networks" (2024); the size of the step is that of
Moonlight, arXiv 2502.16982, which makes Adam's learning rates fit. torch's own rounds to bfloat16, which takes the
processors that lack it thirty times as long.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

MOMENTUM = 0.95
ITERATIONS = 5
QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the Newton-Schulz iteration: singular values end near 1, not at it."""

ADAMS_STEP = 0.2
"""Root mean square of Adam's steps at a learning rate of 1."""


class Muon(torch.optim.Optimizer):
    """Trains matrices.

    Args:
        matrices: What it trains.
        rate: Learning rate.
    """

    def __init__(self, matrices: Iterable[Tensor], rate: float = 1e-3) -> None:
        """Start without momentum."""
        super().__init__(matrices, {"lr": rate})

    @torch.no_grad()
    def step(self) -> None:  # type: ignore[override]
        """Take one step against the gradients."""
        for group in self.param_groups:
            for weight in group["params"]:
                mean = self.state[weight].setdefault("mean", torch.zeros_like(weight))
                mean.lerp_(weight.grad, 1 - MOMENTUM)
                step = orthogonal(weight.grad.lerp(mean, MOMENTUM))  # Nesterov's, a step ahead of the mean
                weight.add_(step, alpha=-group["lr"] * ADAMS_STEP * max(weight.shape) ** 0.5)


def orthogonal(matrix: Tensor) -> Tensor:
    """The matrix with all its singular values near 1, by Newton-Schulz iteration."""
    a, b, c = QUINTIC
    x: Tensor = matrix / (matrix.norm() + 1e-7)
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x
