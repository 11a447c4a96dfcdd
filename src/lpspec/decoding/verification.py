"""Which drafts a verify pass accepts, and the token that follows them.

Greedy verification commits the tokens that plain greedy decoding would; sampling commits tokens with exactly the
probabilities of plain sampling. Typical acceptance does neither, and says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor, float32

from lpspec.arrays import FloatArray
from lpspec.decoding.drafter import Draft
from lpspec.errors import InputError

Seed = int | np.random.SeedSequence


@dataclass(frozen=True)
class Accepted:
    """What a verify pass commits.

    Args:
        path: Accepted nodes of the draft's tree, the root first.
        next_token: The model's own token after them.
    """

    path: list[int]
    next_token: int


class Verifier(Protocol):
    """Decides on a draft. ``lossless``: whether the text, or its distribution, is the model's own."""

    lossless: bool

    def accept(self, draft: Draft, logits: Tensor) -> Accepted:
        """Choose a path by the logits [nodes, vocabulary] that the model gave at each node."""
        ...


class Greedy:
    """Accept a draft where it is the model's most likely token."""

    lossless = True

    def accept(self, draft: Draft, logits: Tensor) -> Accepted:
        """Follow the most likely tokens down the tree."""
        best = best_tokens(logits)
        path = [0]
        for node, (parent, token) in enumerate(_edges(draft), 1):
            if parent == path[-1] and token == best[parent]:
                path.append(node)
        return Accepted(path, best[path[-1]])


def best_tokens(logits: Tensor) -> list[int]:
    """The most likely token of each row, the first of equals; numpy needs no second thread where torch wakes one."""
    on_cpu = logits.is_cpu and logits.dtype == float32
    found: list[int] = logits.numpy().argmax(-1).tolist() if on_cpu else logits.argmax(-1).tolist()
    return found


@dataclass(frozen=True)
class Target:
    """The distribution that tokens are drawn from: the model's, sharpened by temperature and cut off by top-p.

    Args:
        temperature: Divides the logits; more than 0.
        top_p: Only the most likely tokens whose probabilities first add up to this are kept; 1 keeps all.

    Raises:
        InputError: A value is out of range.
    """

    temperature: float = 1.0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 < self.temperature < float("inf"):
            raise InputError(f"temperature is {self.temperature}, allowed is more than 0 and finite; greedy has none")
        if not 0 < self.top_p <= 1:
            raise InputError(f"top-p is {self.top_p}, allowed is more than 0, up to 1")

    def probabilities(self, logits: Tensor) -> FloatArray:
        """float64 [vocabulary] from the logits [vocabulary] at one node."""
        scores = logits.detach().cpu().double().numpy()
        with np.errstate(over="ignore"):  # far below the best, at a small temperature, is -inf: probability 0
            weights = np.exp((scores - scores.max()) / self.temperature)
        probability: FloatArray = weights / weights.sum()
        return probability if self.top_p == 1 else _nucleus(probability, self.top_p)


class Sampling:
    """Draw from the model's distribution, accepting drafts so that the text is distributed as without them.

    Drafts that are no draws are accepted where the model's own draw meets them, which is exact for any tree. Drawn
    drafts are tested one sibling after the other by rejection sampling, a rejected one's probability taken off the
    target (arXiv 2211.17192, 2305.09781).

    Args:
        target: The distribution.
        seed: Of the draws.
    """

    lossless = True

    def __init__(self, target: Target, seed: Seed = 0) -> None:
        """Start the generator."""
        self.target = target
        self._random = np.random.default_rng(seed)

    def accept(self, draft: Draft, logits: Tensor) -> Accepted:
        """Draw a path and the token after it."""
        return self._meet(draft, logits) if draft.proposal is None else self._reject(draft, logits, draft.proposal)

    def _meet(self, draft: Draft, logits: Tensor) -> Accepted:
        path = [0]
        drawn = self._draw(self.target.probabilities(logits[0]))
        for node, (parent, token) in enumerate(_edges(draft), 1):
            if parent == path[-1] and token == drawn:
                path.append(node)
                drawn = self._draw(self.target.probabilities(logits[node]))
        return Accepted(path, drawn)

    def _reject(self, draft: Draft, logits: Tensor, proposal: Tensor) -> Accepted:
        path = [0]
        wanted = self.target.probabilities(logits[0])
        for node, (parent, token) in enumerate(_edges(draft), 1):
            if parent != path[-1]:
                continue
            offered = proposal[node - 1].cpu().double().numpy()
            if self._random.random() * offered[token] < wanted[token]:
                path.append(node)
                wanted = self.target.probabilities(logits[node])
            else:
                wanted = _residual(wanted, offered)
        return Accepted(path, self._draw(wanted))

    def _draw(self, probability: FloatArray) -> int:
        return draw(probability, self._random)


class TypicalAcceptance:
    """Accept any draft that is not too unlikely: faster, but NOT lossless (Medusa, arXiv 2401.10774 section 2.3.1).

    A token is accepted where its probability exceeds min(epsilon, delta * exp(-entropy)); the longest path wins.

    Args:
        target: The distribution that is judged by, and that the token after the path is drawn from.
        epsilon: Probability that is always enough; Medusa's code has 0.09.
        delta: Factor on exp(-entropy); Medusa's code has 0.3.
        seed: Of the draws.
    """

    lossless = False

    def __init__(self, target: Target, epsilon: float = 0.09, delta: float = 0.3, seed: Seed = 0) -> None:
        """Start the generator."""
        self.target, self.epsilon, self.delta = target, epsilon, delta
        self._random = np.random.default_rng(seed)

    def accept(self, draft: Draft, logits: Tensor) -> Accepted:
        """Take the longest path of typical tokens, the first of equals."""
        paths: dict[int, list[int]] = {0: [0]}
        probability = {0: self.target.probabilities(logits[0])}
        for node, (parent, token) in enumerate(_edges(draft), 1):
            if parent in paths and probability[parent][token] > self._threshold(probability[parent]):
                paths[node] = [*paths[parent], node]
                probability[node] = self.target.probabilities(logits[node])
        path = max(paths.values(), key=len)
        return Accepted(path, draw(probability[path[-1]], self._random))

    def _threshold(self, probability: FloatArray) -> float:
        some = probability[probability > 0]
        return min(self.epsilon, self.delta * float(np.exp((some * np.log(some)).sum())))


def draw(probability: FloatArray, random: np.random.Generator) -> int:
    """Draw a token from weights float64 [vocabulary] that add up to about 1."""
    cumulative = probability.cumsum()
    drawn = int(np.searchsorted(cumulative, random.random() * cumulative[-1], side="right"))
    return drawn if drawn < len(probability) else int(probability.nonzero()[0][-1])


def _nucleus(probability: FloatArray, top_p: float) -> FloatArray:
    order = np.argsort(-probability, kind="stable")
    sorted_probability = probability[order]
    before = sorted_probability.cumsum() - sorted_probability
    cut = np.zeros_like(probability)
    kept = order[before < top_p]
    cut[kept] = probability[kept]
    kept_sum: FloatArray = cut / cut.sum()
    return kept_sum


def _residual(wanted: FloatArray, offered: FloatArray) -> FloatArray:
    """What remains to be drawn once a draw from ``offered`` was rejected; a vanishing rest is rounding only."""
    rest = np.maximum(wanted - offered, 0.0)
    total = rest.sum()
    scaled: FloatArray = rest / total if total > 0 else wanted
    return scaled


def _edges(draft: Draft) -> zip[tuple[int, int]]:
    """(parent, token) of nodes 1, 2, ...: in growth order, so one sweep walks down from the root."""
    return zip(draft.tree.parent[1:].tolist(), draft.tokens.tolist(), strict=True)
