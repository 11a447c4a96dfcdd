"""Why a model does not fit a hybrid package, in one line."""

from typing import TYPE_CHECKING

from lpspec.allocation.placement import NoRoomError

if TYPE_CHECKING:
    from lpspec.allocation.hybrid import BalancedAllocator


def why_no_room(allocator: "BalancedAllocator", name: str, max_tokens: int) -> str:
    """One line: whether the weights fit at all, and if so with which context they cease to."""
    fits = -1
    low, high = 0, allocator.max_kv_tokens
    while low < high:
        middle = (low + high) // 2
        try:
            allocator._place(middle)
            fits, low = middle, middle + 1
        except NoRoomError:
            high = middle
    memory = allocator.memory
    ranks = f"PIM {memory.pim_capacity_bytes / 2**30:.2f} GiB, DRAM {memory.dram_capacity_bytes / 2**30:.2f} GiB"
    if fits <= max_tokens:
        return f"{allocator.model.name} does not fit {name}: no placement satisfies both kinds of ranks ({ranks})"
    return (
        f"{allocator.model.name} does not fit {name} beyond a context of {fits - max_tokens} tokens, where the cache "
        f"outgrows the ranks ({ranks}); asked for is {allocator.max_kv_tokens - max_tokens}"
    )
