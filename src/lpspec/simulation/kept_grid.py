"""Prices of passes kept from run to run: of one machine, a pass over so many tokens in a context costs the same.

Prompts differ between runs, and with them the contexts that passes meet; most of these are the same.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeAlias

from lpspec.arrays import FloatArray
from lpspec.simulation.price_grid import GridEnergy

Kept: TypeAlias = dict[Hashable, Any]
"""What one placement of the weights of one machine and model is asked for again and again."""

Prices: TypeAlias = tuple[FloatArray, GridEnergy]
"""Time, float64 [contexts, sizes], and energy of a grid."""

MORE = 1024
"""Contexts that are priced beyond those asked for, as soon as a second run asks for others than the first."""

FEWEST = 32
"""Contexts that are kept at least: fewer do not meet every lane of a block, and their parts are added up otherwise."""

MOST = 4096
"""Contexts that are kept: one takes some 4 KB with 64 sizes."""


@dataclass(frozen=True)
class Grid:
    """Prices of consecutive contexts, the first of so many tokens."""

    first: int
    latency_ns: FloatArray
    energy: GridEnergy

    @property
    def end(self) -> int:
        """The context behind the last."""
        return self.first + len(self.latency_ns)

    def of(self, first: int, contexts: int) -> Prices:
        """A part of it."""
        if contexts == len(self.latency_ns):
            return self.latency_ns, self.energy
        part = slice(first - self.first, first - self.first + contexts)
        return self.latency_ns[part], self.energy.rows(part)


def grid_of(kept: Kept, key: Hashable, asked: tuple[int, int], end: int, price: Callable[[int, int], Prices]) -> Prices:
    """Prices of consecutive contexts, those that are known as they are kept.

    Args:
        kept: What is known; holds these contexts afterwards, too.
        key: What else prices depend on.
        asked: The first context, and how many.
        end: The first context that the model has no room for.
        price: Prices so many contexts from a first one on, each as if it were alone.
    """
    first, contexts = asked
    if contexts < FEWEST:
        return price(first, contexts)
    known: Grid | None = kept.get(key)
    if known is None or not known.first <= first <= first + contexts <= known.end:
        start, stop = first, first + contexts
        if known is not None:
            together = min(start, known.first), min(max(stop, known.end) + MORE, end)
            if together[1] - together[0] <= MOST:
                start, stop = together
        latency_ns, energy = price(start, stop - start)
        latency_ns.flags.writeable = False
        kept[key] = known = Grid(start, latency_ns, energy)
    return known.of(first, contexts)


def once(kept: Kept, key: Hashable, find: Callable[[], Any]) -> Any:
    """What is found once for a key."""
    if key not in kept:
        kept[key] = find()
    return kept[key]
