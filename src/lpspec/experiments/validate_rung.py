"""One rung of the ladder: two things that were come by in different ways, and by how much they differ."""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Rung:
    """One comparison.

    Attributes:
        name: What is compared with what.
        figure: What was found, in words.
        passed: Whether it holds; None if it was not tried.
        values: The numbers behind it.
        lines: What does not hold, or holds for a reason, one line each.
    """

    name: str
    figure: str
    passed: bool | None
    values: dict[str, float] = field(default_factory=dict)
    lines: tuple[str, ...] = ()


Advance = Callable[[str], None]
"""Told how far a rung is."""
