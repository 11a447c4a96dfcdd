"""What drafters give back, checked before it is verified: they may be user-defined."""

from __future__ import annotations

from typing import Any

import numpy as np

from lpspec.decoding.drafter import Draft, Drafter
from lpspec.errors import InputError
from lpspec.speculation.token_tree import TokenTree


def check_drafter(drafter: object, name: str, layers: int) -> None:
    """Refuse what is no drafter for a model of so many layers.

    Raises:
        InputError: A method is missing, or depth or taps cannot be.
    """
    if not all(callable(getattr(drafter, method, None)) for method in ("start", "draft", "observe")):
        raise InputError(f"drafter '{name}' is a {type(drafter).__name__}: methods start, draft and observe are needed")
    depth, taps = getattr(drafter, "depth", None), getattr(drafter, "taps", None)
    if not isinstance(depth, int) or depth < 0:
        raise InputError(f"drafter '{name}' has depth {depth!r}: a whole number is needed, 0 or more")
    if not isinstance(taps, tuple) or not all(isinstance(layer, int) and 0 <= layer < layers for layer in taps):
        raise InputError(f"drafter '{name}' has taps {taps!r}: a tuple of layers is needed, each 0 to {layers - 1}")


def check_draft(draft: object, drafter: Drafter, most: int, vocabulary: int) -> None:
    """Refuse a draft that cannot be verified.

    Args:
        draft: What the drafter gave.
        drafter: Who gave it.
        most: Tokens of the largest tree that may be verified, the root included.
        vocabulary: Tokens that the model knows.

    Raises:
        InputError: It is no draft, its tree is too large or too deep, or tokens and probabilities don't fit the tree.
    """
    if not isinstance(draft, Draft) or not isinstance(draft.tree, TokenTree):
        raise _wrong(drafter, f"gave a {type(draft).__name__}: a Draft with a TokenTree is needed")
    nodes = draft.tree.size - 1
    if nodes >= most:
        raise _wrong(drafter, f"gave a tree of {nodes + 1} tokens: allowed is 1 to {most}")
    if draft.tree.max_depth > drafter.depth:
        raise _wrong(drafter, f"gave a tree {draft.tree.max_depth} deep: allowed is its own depth, {drafter.depth}")
    if not _is_row(draft.tokens, nodes, "iu"):
        raise _wrong(drafter, f"gave tokens that don't fit its tree: int64 [{nodes}] is needed")
    if nodes and not 0 <= draft.tokens.min() <= draft.tokens.max() < vocabulary:
        raise _wrong(
            drafter, f"gave tokens {draft.tokens.min()} to {draft.tokens.max()}: allowed is 0 to {vocabulary - 1}"
        )
    if not _is_row(draft.probability, nodes, "f") or np.isnan(draft.probability).any():
        raise _wrong(drafter, f"gave probabilities that don't fit its tree: float64 [{nodes}] is needed")
    if draft.proposal is not None and tuple(draft.proposal.shape) != (nodes, vocabulary):
        raise _wrong(drafter, f"gave a proposal that doesn't fit its tree: [{nodes}, {vocabulary}] is needed")


def _is_row(values: Any, length: int, kinds: str) -> bool:
    fits = isinstance(values, np.ndarray) and values.shape == (length,)
    return fits and (length == 0 or values.dtype.kind in kinds)  # numpy takes an empty list for floats


def _wrong(drafter: object, what: str) -> InputError:
    return InputError(f"drafter {type(drafter).__name__} {what}")
