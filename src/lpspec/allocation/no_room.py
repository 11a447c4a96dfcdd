"""Why a model does not fit a hybrid package, in one line."""

from collections.abc import Callable

from lpspec.allocation.placement import NoRoomError
from lpspec.machine.platform_spec import MemorySpec


def longest_held(place: Callable[[int], object], asked_tokens: int) -> int:
    """Most tokens of the cache for which there is room, where so many have none; -1 where weights have none either.

    Args:
        place: Places weights and the cache of so many tokens, or raises ``NoRoomError``.
        asked_tokens: Tokens of the cache that do not fit.
    """
    fits = -1
    low, high = 0, asked_tokens
    while low < high:
        middle = (low + high) // 2
        try:
            place(middle)
            fits, low = middle, middle + 1
        except NoRoomError:
            high = middle
    return fits


def why_no_room(
    names: tuple[str, str], memory: MemorySpec, longest_tokens: int, asked_tokens: int, tree_tokens: int
) -> str:
    """One line: whether the weights fit at all, and if so with which context they cease to.

    Args:
        names: What the model and the platform are called.
        memory: Whose ranks are too small.
        longest_tokens: Most tokens of the cache for which there is room; -1 for none.
        asked_tokens: Those that do not fit, those of a tree included.
        tree_tokens: Tokens of a tree.
    """
    model, platform = names
    ranks = f"PIM {memory.pim_capacity_bytes / 2**30:.2f} GiB, DRAM {memory.dram_capacity_bytes / 2**30:.2f} GiB"
    if longest_tokens <= tree_tokens:
        return f"{model} does not fit {platform}: no placement satisfies both kinds of ranks ({ranks})"
    return (
        f"{model} does not fit {platform} beyond a context of {longest_tokens - tree_tokens} tokens, where the cache "
        f"outgrows the ranks ({ranks}); asked for is {asked_tokens - tree_tokens}"
    )
