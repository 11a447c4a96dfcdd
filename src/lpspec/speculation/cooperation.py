"""Several drafters for one text: who drafts for a request, and what their drafts are worth together (CoSine).

Each drafter has a rank trace over the same text. Fused, they are worth the best rank that any of them gives the true
token: an upper bound, since a fusion by confidence also takes wrong drafts that their drafter was surer of.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lpspec.arrays import FloatArray
from lpspec.errors import InputError


def fused(ranks: Sequence[NDArray[np.int8]]) -> NDArray[np.int8]:
    """The best rank of any drafter.

    Args:
        ranks: int8 [positions, heads] of each, -1 where the true token is not in its list.

    Raises:
        InputError: There is none, or they are of different texts.
    """
    if not ranks or len({one.shape for one in ranks}) > 1:
        raise InputError("drafters to fuse: at least one is needed, all with ranks of the same positions and heads")
    best: NDArray[np.int8] = np.stack(ranks).view(np.uint8).min(axis=0).view(np.int8)  # -1 is 255 there
    return best


class Router:
    """Sends a request to the drafters of whose drafts most were accepted lately, and sometimes to another one."""

    def __init__(
        self, drafters: int, cooperating: int, memory: float, exploration: float, generator: np.random.Generator
    ) -> None:
        """Begin without knowing any of them.

        Args:
            drafters: How many there are.
            cooperating: How many draft for a request at a time.
            memory: Share of what is known that is kept at each step.
            exploration: Chance that the last of them is any other drafter.
            generator: Of what is drawn.

        Raises:
            InputError: More are to cooperate than there are.
        """
        if not 1 <= cooperating <= drafters:
            raise InputError(f"{cooperating} of {drafters} drafters cannot cooperate: allowed are 1 to {drafters}")
        self.cooperating, self.memory, self.exploration = cooperating, memory, exploration
        self.mean: FloatArray = np.full(drafters, np.inf)  # nobody is left out before it was tried
        self._generator = generator

    def choose(self) -> list[int]:
        """Those that draft in the next step, the best first."""
        tied = self._generator.permutation(len(self.mean))
        order: list[int] = tied[np.argsort(-self.mean[tied], kind="stable")].tolist()
        chosen, others = order[: self.cooperating], order[self.cooperating :]
        if others and self._generator.random() < self.exploration:
            chosen[-1] = others[int(self._generator.integers(len(others)))]
        return chosen

    def observe(self, drafter: int, accepted: int) -> None:
        """Learn how many drafts of one of them were right in a step, whether or not it drafted for the request."""
        known = self.mean[drafter]
        self.mean[drafter] = accepted if np.isinf(known) else self.memory * known + (1 - self.memory) * accepted
