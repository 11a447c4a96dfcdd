"""User-defined pruners, every tree of theirs checked before it is verified."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lpspec.arrays import FloatArray
from lpspec.errors import InputError, shown
from lpspec.speculation.pruner import Pruner
from lpspec.speculation.token_tree import TokenTree


class CheckedPruner:
    """A pruner with a watch on the trees that it chooses."""

    def __init__(self, name: str, pruner: Pruner, heads: int, top_k: int) -> None:
        """Take the pruner.

        Args:
            name: What messages call it.
            pruner: The pruner.
            heads: Draft heads that there are.
            top_k: Length of their lists.

        Raises:
            InputError: It is no pruner.
        """
        if not all(callable(getattr(pruner, method, None)) for method in ("choose", "observe")):
            raise InputError(f"pruner '{name}' is a {type(pruner).__name__}: methods choose and observe are needed")
        self.name, self._pruner, self._heads, self._top_k, self._depth = name, pruner, heads, top_k, 0

    def choose(self, price: FloatArray) -> TokenTree:
        """Choose a tree, as ``Pruner.choose`` does.

        Raises:
            InputError: It is no tree, has no price, or is deeper or wider than the heads and their lists.
        """
        tree: object = self._pruner.choose(price)
        if not isinstance(tree, TokenTree):
            raise InputError(f"pruner '{self.name}' chose a {type(tree).__name__}: a TokenTree is needed")
        if tree.size > (most := price.shape[-1]):
            raise InputError(f"pruner '{self.name}' chose a tree of {tree.size} tokens: allowed is 1 to {most}")
        if tree.max_depth > self._heads:
            raise InputError(
                f"pruner '{self.name}' chose a tree {tree.max_depth} deep: allowed is {self._heads}, one level a head"
            )
        if tree.rank.max() >= self._top_k:
            raise InputError(
                f"pruner '{self.name}' chose guess {tree.rank.max()} of a head: its list ends at {self._top_k - 1}"
            )
        self._depth = tree.max_depth
        return tree

    @property
    def heads(self) -> int | None:
        """Draft heads to run for the tree chosen last; None where the pruner does not say.

        Raises:
            InputError: Fewer than the tree is deep, more than there are, or no number.
        """
        heads: object = getattr(self._pruner, "heads", None)
        if heads is None:
            return None
        if not isinstance(heads, int | np.integer) or not self._depth <= heads <= self._heads:
            raise InputError(
                f"pruner '{self.name}' runs {shown(repr(heads), 20)} heads for a tree {self._depth} deep: allowed is "
                f"{self._depth} to {self._heads}"
            )
        return int(heads)

    @property
    def best_rate(self) -> Callable[[FloatArray], float] | None:
        """What the pruner expects, tokens per price; None where it does not say."""
        rate: Callable[[FloatArray], float] | None = getattr(self._pruner, "best_rate", None)
        return rate

    def observe(self, position: int, ranks: NDArray[np.int8], tree: TokenTree, committed: int) -> None:
        """Learn from a step, as ``Pruner.observe`` does."""
        self._pruner.observe(position, ranks, tree, committed)
