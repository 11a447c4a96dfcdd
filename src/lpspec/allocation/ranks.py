"""How many PIM ranks compute at once: all that may, or fewer where a step ends sooner.

With more ranks a tile is wider. It takes no more time to compute, but its results are read back one after the other,
and PIM takes whole tiles: a narrow product, of which the NPU computes the rest, may be balanced better by smaller ones.
"""

from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

from lpspec.errors import InputError
from lpspec.machine.platform_spec import PlatformSpec


@runtime_checkable
class SavesTime(Protocol):
    """An allocator whose PIM ranks may be fewer than could compute at once, where that saves time."""

    saves_time: bool

    def step_ns(self, tokens: int) -> float:
        """Time of a step of so many tokens in the longest context."""
        ...

    def least_step_ns(self, tokens: int, platform: PlatformSpec, enough_ns: float) -> float:
        """The same at least with as many ranks at once as ``platform`` has, wherever weights lie; or some if enough."""
        ...


Made = TypeVar("Made")


def soonest(make: Callable[[PlatformSpec], Made], platform: PlatformSpec, tokens: int) -> Made:
    """The allocator for as many ranks at once as let a step of so many tokens end soonest; of equals, the most.

    Args:
        make: Makes an allocator for a machine; one that does not save time has all ranks.
        platform: The machine.
        tokens: The tree size that counts most.

    Raises:
        InputError: The model does not fit the machine.
    """
    first = make(platform)
    if platform.pim is None or platform.pim.concurrent_ranks.n == 1:
        return first
    if not isinstance(first, SavesTime) or not first.saves_time:
        return first
    best, best_ns = first, first.step_ns(tokens)
    for ranks in range(platform.pim.concurrent_ranks.n - 1, 0, -1):
        fewer = _with_ranks(platform, ranks)
        if first.least_step_ns(tokens, fewer, best_ns) >= best_ns:
            continue
        try:
            other = make(fewer)
        except InputError:  # slices lie on other ranks, of which one may overflow
            continue
        if isinstance(other, SavesTime) and other.step_ns(tokens) < best_ns:
            best, best_ns = other, other.step_ns(tokens)
    return best


def _with_ranks(platform: PlatformSpec, ranks: int) -> PlatformSpec:
    """The same machine, of whose PIM ranks so many compute at once."""
    assert platform.pim is not None
    at_once = platform.pim.concurrent_ranks.model_copy(update={"value": ranks})
    return platform.model_copy(update={"pim": platform.pim.model_copy(update={"concurrent_ranks": at_once})})
