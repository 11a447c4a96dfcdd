"""A pruner of your own on equal ground with the DTP: verify every node whose path is likely enough.

Run it: python examples/custom_pruner.py
"""

import numpy as np
from numpy.typing import NDArray

from lpspec import compare
from lpspec.simulation.workload import PRUNERS
from lpspec.speculation.token_tree import TokenTree


class ThresholdPruner:
    """Keep every path whose probability is above a threshold, and learn nothing."""

    def __init__(self, accuracy: NDArray[np.float64], threshold: float = 0.05) -> None:
        """Decide once, from the prior accuracies (float64 [heads, top_k])."""
        paths: list[tuple[int, ...]] = []
        deepest: list[tuple[tuple[int, ...], float]] = [((), 1.0)]
        for guesses in accuracy:
            grown = [((*path, rank), p * guess) for path, p in deepest for rank, guess in enumerate(guesses)]
            deepest = [(path, p) for path, p in grown if p > threshold]
            paths += [path for path, _ in deepest]
        self.tree = TokenTree.from_paths(paths)

    def choose(self, price: NDArray[np.float64]) -> TokenTree:
        """Ignore the machine, float64 [heads + 1, sizes]: always the same tree, with as many heads as it is deep."""
        return self.tree

    def observe(self, position: int, ranks: NDArray[np.int8], tree: TokenTree, committed: int) -> None:
        """Ignore what happened."""


def main() -> None:
    """Compare it with the DTP on LP-Spec."""
    PRUNERS["threshold"] = ThresholdPruner
    for tree in ("dtp", "threshold"):
        run = compare(systems=["lp-spec"], fidelity="analytic", tree=tree).runs[0]
        print(f"{tree:10} L_spec {run.mean_l_spec:5.2f}, {run.tokens_per_s:6.1f} token/s, {run.edp_s_mj:.3f} s·mJ")


if __name__ == "__main__":
    main()
