"""What is known beforehand of the tokens of all passes, by which weights are placed."""

from typing import NamedTuple


class Sharing(NamedTuple):
    """What is known beforehand of the tokens of all passes.

    Attributes:
        tree_size: Tokens that every tree has, the root included; None where that changes.
        requests: How many share a pass at most, each with a token at least.
    """

    tree_size: int | None = None
    requests: int = 1


ONE_REQUEST = Sharing()
"""Trees of any size, of one request at a time."""
