"""Prompt lookup: what followed the last few tokens where they stood before follows them again, or so it guesses."""

from __future__ import annotations

import numpy as np

from lpspec.arrays import FloatArray, IntArray
from lpspec.decoding.confidence_tree import chain
from lpspec.decoding.drafter import Committed, Draft

DEPTH = 10
"""Tokens copied at most, as in the method's first publication (apoorvumang/prompt-lookup-decoding)."""

LONGEST = 3
"""Tokens looked for at most; then fewer, down to one. Source: as for ``DEPTH``."""


class PromptLookup:
    """Copies from the text so far.

    How likely a copied token is right is what the text itself shows: how often copying was right after a match of
    this length, counting one success and one failure before the first. So a draft depends on the text alone.

    Args:
        depth: Tokens copied at most.
        longest: Tokens looked for at most.
    """

    taps: tuple[int, ...] = ()

    def __init__(self, depth: int = DEPTH, longest: int = LONGEST) -> None:
        """Wait for a text."""
        self.depth, self.longest = depth, longest
        self._forget()

    def start(self, prompt: IntArray, known: Committed) -> None:
        """Forget the text before, and read the prompt and the first root."""
        self._forget()
        for token in (int(prompt[0]), *known.tokens.tolist()):
            self._read(token)

    def observe(self, draft: Draft, known: Committed) -> None:
        """Read what was committed."""
        for token in known.tokens.tolist():
            self._read(token)

    def draft(self, price: FloatArray) -> Draft:
        """Copy what followed the latest earlier place of the longest run of last tokens that stood there."""
        length, place = self._match()
        if not length:
            return chain(np.zeros(0, np.int64), np.zeros(0), price)
        text = self._text
        period = len(text) - place  # a copy that reaches the end of the text goes on with itself
        tokens = np.array([text[place + i % period] for i in range(self.depth)], np.int64)
        lengths = np.minimum(length + np.arange(self.depth), self.longest)
        return chain(tokens, np.cumprod(self._right[lengths] / self._tried[lengths]), price)

    def _forget(self) -> None:
        self._text: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}  # the place after the latest earlier stand of a run of tokens
        self._right = np.ones(self.longest + 1)
        self._tried = np.full(self.longest + 1, 2.0)

    def _read(self, token: int) -> None:
        """Score what would have been copied here, then take the token in."""
        length, place = self._match()
        if length:
            self._tried[length] += 1
            self._right[length] += self._text[place] == token
        for run in self._runs():
            self._after[run] = len(self._text)
        self._text.append(token)

    def _match(self) -> tuple[int, int]:
        """How many last tokens stood earlier in the text, and the place after them; (0, 0) if not even one did."""
        for run in self._runs():
            if (place := self._after.get(run)) is not None:
                return len(run), place
        return 0, 0

    def _runs(self) -> list[tuple[int, ...]]:
        """The last tokens of the text, longest run first."""
        longest = min(self.longest, len(self._text))
        return [tuple(self._text[-n:]) for n in range(longest, 0, -1)]
