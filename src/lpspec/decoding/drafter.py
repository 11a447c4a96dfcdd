"""What a drafter proposes, what it may learn from, and what every drafter can do."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from lpspec.arrays import FloatArray, IntArray
from lpspec.speculation.token_tree import TokenTree

if TYPE_CHECKING:  # replaying a trace needs no torch
    from torch import Tensor


@dataclass(frozen=True, eq=False)
class Draft:
    """A token tree with its tokens: what one verify pass checks besides the root.

    Args:
        tree: Node 0 is the root, the token that is already certain; nodes are in growth order.
        tokens: int64 [size - 1], the proposed token of nodes 1, 2, ...; siblings that were not drawn differ.
        probability: float64 [size - 1], the drafter's estimate that a node is accepted, all its ancestors included.
        proposal: float32 [size - 1, vocabulary], the distribution that each token was drawn from, given the siblings
            before it; None where drafts are no random draws. Whether a drawn node is in the tree may depend on its
            ancestors and earlier siblings but not on its own token, or sampling is no longer the model's.
        heads: Medusa heads that ran.
    """

    tree: TokenTree
    tokens: IntArray
    probability: FloatArray
    proposal: Tensor | None = None
    heads: int = 0


@dataclass(frozen=True, eq=False)
class Committed:
    """Tokens newly known, each with the hidden state that led to it.

    Args:
        tokens: int64 [c], the accepted drafts, then the model's own next token, which is the next root. After prefill:
            the prompt from its second token on, then the first root.
        hidden: [c, hidden size], final-norm hidden states at the inputs that produced them: row 0 at the old root (at
            the prompt's first token after prefill), then at the accepted drafts.
        taps: The same rows of each layer output that the drafter asked for.
    """

    tokens: IntArray
    hidden: Tensor
    taps: dict[int, Tensor] = field(default_factory=dict)


class Drafter(Protocol):
    """Guesses the tokens after the root. ``depth``: the most drafts that a pass can accept; ``taps``: layers wanted."""

    depth: int
    taps: tuple[int, ...]

    def start(self, prompt: IntArray, known: Committed) -> None:
        """Begin a new text: ``prompt`` is int64 [tokens], ``known`` holds as many rows."""
        ...

    def draft(self, price: FloatArray) -> Draft:
        """Choose the tree worth verifying.

        Args:
            price: float64 [sizes], what verifying 1, 2, ... tokens costs; infinite forbids that. For Medusa heads it
                may be [heads + 1, sizes], as for ``Pruner.choose``.
        """
        ...

    def observe(self, draft: Draft, known: Committed) -> None:
        """Learn what the verify pass of ``draft`` committed."""
        ...


ROOT_ALONE = Draft(
    TokenTree(np.array([-1]), np.array([0]), np.array([-1])), np.zeros(0, np.int64), np.zeros(0, np.float64)
)


class NoDrafter:
    """Plain decoding: the tree is the root alone."""

    depth = 0
    taps: tuple[int, ...] = ()

    def start(self, prompt: IntArray, known: Committed) -> None:
        """Nothing to prepare."""

    def draft(self, price: FloatArray) -> Draft:
        """Propose nothing, whatever it costs."""
        return ROOT_ALONE

    def observe(self, draft: Draft, known: Committed) -> None:
        """Nothing to learn."""
