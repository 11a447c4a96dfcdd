"""Speculative decoding: draft a tree, verify it in one pass, accept a path, keep its part of the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter_ns

import numpy as np
import torch
from torch import Tensor

from lpspec.arrays import FloatArray, IntArray
from lpspec.decoding.checked_draft import check_draft
from lpspec.decoding.drafter import ROOT_ALONE, Committed, Draft, Drafter, NoDrafter
from lpspec.decoding.transformer import Pass, Transformer
from lpspec.decoding.tree_frame import TreeFrame
from lpspec.decoding.verification import Accepted, Greedy, Verifier
from lpspec.errors import InputError
from lpspec.speculation.token_tree import TokenTree

PREFILL_ROWS = 512
"""Prompt tokens per pass of prefill: enough to be bound by arithmetic, few enough to bound the memory."""

Price = Callable[[int], FloatArray]
"""From the tokens in the cache to the price list by which a drafter sizes its tree, as for ``Drafter.draft``."""


def fixed_size(size: int) -> Price:
    """The price list under which the largest tree, up to ``size`` tokens, is always worth it."""
    free = np.ones(size)
    return lambda context: free


@dataclass(frozen=True, eq=False)
class Step:
    """One verify pass.

    Args:
        context: Tokens in the cache before it.
        tree: What was verified.
        path: Nodes of the tree that stay in the cache, the root first.
        tested: Places after the root at which the text, up to its end, tells whether a draft is right: those of
            ``right``, and one more where a draft failed.
        tokens: What the step added to the text: the accepted drafts and one token more.
        heads: Medusa heads that drafted.
        draft_ns: Time that the drafter took, learning included.
        verify_ns: Time of the pass.
        accept_ns: Time to choose the path and compact the cache.
        last_draft: The accepted node whose token is the text's last; 0 in any other pass. No cache needs it any more,
            and the path leaves it out.
    """

    context: int
    tree: TokenTree
    path: tuple[int, ...]
    tested: int
    tokens: tuple[int, ...]
    heads: int
    draft_ns: int
    verify_ns: int
    accept_ns: int
    last_draft: int = 0

    @property
    def accepted(self) -> int:
        """Drafts that saved a pass: tokens added beside the one that every pass adds."""
        return len(self.path) - 1

    @property
    def moved(self) -> int:
        """Accepted drafts out of place: keys and values lie in growth order, the j-th accepted belong at place j."""
        return sum(node != place for place, node in enumerate(self.path))

    @property
    def right(self) -> tuple[int, ...]:
        """Nodes whose tokens are the text's, one for each place after the root."""
        return self.path[1:] + ((self.last_draft,) if self.last_draft else ())


class Generation:
    """The continuation of one prompt, a step at a time.

    Args:
        model: The model whose text it is.
        prompt: Token ids, one at least.
        max_new_tokens: Where the text ends, unless one of the model's end tokens comes before.
        drafter: Who guesses ahead.
        verifier: Who decides.
        price: What verifying trees costs, by which the drafter sizes them.
        max_tree: Largest tree, root included.
        strict: Pad every pass to ``max_tree`` rows, so that each row is computed by the same kernels whatever the
            tree's size: slower, but floating point then agrees better between drafters.

    Attributes:
        tokens: Generated so far; the first comes from prefill.
        steps: Passes so far.
        prefill_ns: Time of prefill.

    Raises:
        InputError: The prompt is empty, holds ids that the model lacks, or is too long for it.
    """

    def __init__(
        self,
        model: Transformer,
        prompt: Sequence[int] | IntArray,
        max_new_tokens: int,
        drafter: Drafter | None = None,
        verifier: Verifier | None = None,
        price: Price | None = None,
        max_tree: int = 64,
        strict: bool = False,
    ) -> None:
        """Run prefill, which yields the first token."""
        self._prompt = checked_prompt(model, prompt, max_new_tokens)
        self._model, self._most, self._ends = model, max_new_tokens, frozenset(model.config.end_tokens)
        self._drafter, self._verifier = drafter or NoDrafter(), verifier or Greedy()
        self._price, self._max_tree = price or fixed_size(max_tree), max_tree
        capacity = len(self._prompt) + max_new_tokens + max_tree
        with torch.inference_mode():
            self._cache = model.new_cache(capacity)
            self._frame = TreeFrame(max_tree, model.dtype, model.device, padded=strict)
        self.steps: list[Step] = []
        start = perf_counter_ns()
        self.tokens = [self._prefill()]
        self.prefill_ns = perf_counter_ns() - start

    @property
    def finished(self) -> bool:
        """True once the text has its length or an end token."""
        return len(self.tokens) >= self._most or self.tokens[-1] in self._ends

    def __iter__(self) -> Iterator[Step]:
        """Decode to the end."""
        while not self.finished:
            yield self.step()

    @torch.inference_mode()
    def step(self) -> Step:
        """Draft, verify once, accept, compact, and let the drafter learn."""
        context = self._cache.length
        times: list[int] = []
        self._lap(times)
        price = self._price(context)[..., : self._max_tree]
        draft = self._drafter.draft(price)
        self._lap(times)
        check_draft(draft, self._drafter, price.shape[-1], self._model.config.shape.vocab_size)
        verified, logits = self._verify(draft)
        self._lap(times)
        accepted = self._verifier.accept(draft, logits)
        tokens = self._cut(accepted, draft)
        path = accepted.path[: len(tokens)]
        self._cache.compact(path)
        self._lap(times)
        self._drafter.observe(draft, _committed(tokens, verified, path))
        self._lap(times)
        self.tokens += tokens
        drafting, verifying, accepting, learning = (after - before for before, after in pairwise(times))
        right = accepted.path[1 : 1 + len(tokens)]
        failed = len(right) < len(tokens) and path[-1] in draft.tree.parent
        step = Step(
            context,
            draft.tree,
            tuple(path),
            len(right) + int(failed),
            tuple(tokens),
            draft.heads,
            drafting + learning,
            verifying,
            accepting,
            last_draft=right[-1] if len(right) == len(tokens) else 0,
        )
        self.steps.append(step)
        return step

    def _verify(self, draft: Draft) -> tuple[Pass, Tensor]:
        """One pass over the root and all drafts."""
        positions, mask = self._frame.of(draft.tree, self._cache.length)
        tokens = np.zeros(len(mask), np.int64)
        tokens[0], tokens[1 : draft.tree.size] = self.tokens[-1], draft.tokens
        rows = torch.from_numpy(tokens).to(self._model.device)
        verified = self._model.forward(rows, positions, mask, self._cache, self._drafter.taps)
        return verified, self._model.logits(verified.hidden)[: draft.tree.size]

    def _cut(self, accepted: Accepted, draft: Draft) -> list[int]:
        """What the step adds to the text, up to where it ends: there, the last token counts as the model's own."""
        tokens = [*(int(draft.tokens[node - 1]) for node in accepted.path[1:]), accepted.next_token]
        tokens = tokens[: self._most - len(self.tokens)]
        ends = [place for place, token in enumerate(tokens, 1) if token in self._ends]
        return tokens[: ends[0]] if ends else tokens

    @torch.inference_mode()
    def _prefill(self) -> int:
        """Pass the prompt through the model; the first root is decided as if by a tree of the root alone."""
        prompt, passes = torch.from_numpy(self._prompt).to(self._model.device), []
        for rows in torch.split(prompt, PREFILL_ROWS):
            passes.append(self._model.forward(rows, cache=self._cache, taps=self._drafter.taps))
            self._cache.compact(range(len(rows)))
        hidden = torch.cat([done.hidden for done in passes])
        taps = {layer: torch.cat([done.taps[layer] for done in passes]) for layer in self._drafter.taps}
        logits = self._model.logits(hidden[-1:])
        if not bool(logits.isfinite().all()):
            raise InputError(f"'{self._model.config.shape.name}' computes scores that are not finite: it says nothing")
        root = self._verifier.accept(ROOT_ALONE, logits).next_token
        self._drafter.start(self._prompt, Committed(np.append(self._prompt[1:], root), hidden, taps))
        return root

    def _lap(self, times: list[int]) -> None:
        if self._model.device.type == "cuda":
            torch.cuda.synchronize(self._model.device)
        times.append(perf_counter_ns())


def checked_prompt(model: Transformer, prompt: Sequence[int] | IntArray, max_new_tokens: int) -> IntArray:
    """The prompt as int64 [tokens].

    Raises:
        InputError: It is empty, holds ids that the model lacks, or leaves too little room in the model's context.
    """
    tokens, shape = np.asarray(prompt, dtype=np.int64), model.config.shape
    if not len(tokens):
        raise InputError("the prompt is empty, one token at least is needed")
    if max_new_tokens < 1:
        raise InputError(f"{max_new_tokens} new tokens are asked for, 1 is the least")
    if tokens.min() < 0 or tokens.max() >= shape.vocab_size:
        raise InputError(f"the prompt holds token ids outside the model's, 0 to {shape.vocab_size - 1}")
    if (needed := len(tokens) + max_new_tokens) > shape.max_context:
        raise InputError(
            f"the prompt's {len(tokens)} tokens and {max_new_tokens} new ones are {needed}, '{shape.name}' takes"
            f" {shape.max_context} at most"
        )
    return tokens


def _committed(tokens: list[int], verified: Pass, path: list[int]) -> Committed:
    together = path[-1] == len(path) - 1  # then the rows need no copy

    def kept(rows: Tensor) -> Tensor:
        return rows[: len(path)] if together else rows[path]

    return Committed(np.array(tokens), kept(verified.hidden), {tap: kept(rows) for tap, rows in verified.taps.items()})
