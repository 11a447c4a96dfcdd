"""What allocators give back, checked where it comes in: they may be user-defined."""

from typing import TYPE_CHECKING, Any

import numpy as np

from lpspec.allocation.parts import CostInParts
from lpspec.arrays import IntArray
from lpspec.devices.cost import Activity, Cost
from lpspec.errors import InputError, shown

if TYPE_CHECKING:
    from lpspec.allocation.placement import PlacedGemm


def checked_cost(cost: object, allocator: str, what: str, shape: tuple[int, ...]) -> Cost:
    """The cost that an allocator gave for a grid of passes.

    Args:
        cost: What it gave.
        allocator: Its name.
        what: What was priced.
        shape: The grid, [contexts, tree sizes].

    Raises:
        InputError: It is no cost, or its numbers are negative, not finite, or of another shape.
    """
    if isinstance(cost, CostInParts):
        for part, its_shape in ((cost.beside, shape), *((part.cost, part.shape) for part in cost.parts)):
            checked_cost(part, allocator, what, its_shape)
        return cost
    if not isinstance(cost, Cost) or not isinstance(cost.activity, Activity):
        raise InputError(f"allocator '{allocator}' gave {_said(cost)} for {what}: a Cost is needed")
    counts = cost.activity._asdict()
    for name, value in {"latency_ns": cost.latency_ns, **counts}.items():
        if not _is_grid(value, shape):
            raise InputError(
                f"allocator '{allocator}' gave a {name} for {what} that cannot be: one number or float64 "
                f"{list(shape)} is needed, 0 or more"
            )
    return cost


def checked_tiles(tiles: object, placed: "PlacedGemm", allocator: type) -> IntArray:
    """The numbers of tiles that an allocator lets PIM compute.

    Raises:
        InputError: There are none, or some that one of the sides does not hold.
    """
    found = np.asarray(tiles)
    if found.ndim != 1 or found.dtype.kind not in "iu" or not found.size:
        raise InputError(
            f"{allocator.__name__}.allowed_tiles gave {_said(tiles)}: int64 [choices] is needed, one at least"
        )
    if found.min() < placed.fewest or found.max() > placed.most:
        raise InputError(
            f"{allocator.__name__}.allowed_tiles gave {found.min()} to {found.max()} tiles of '{placed.gemm.name}': "
            f"allowed is {placed.fewest} to {placed.most}"
        )
    return found


def _is_grid(value: Any, shape: tuple[int, ...]) -> bool:
    """Whether these are numbers of 0 and more that fill the grid."""
    if isinstance(value, float):
        return 0 <= value < np.inf
    array = np.asarray(value)
    if array.dtype.kind not in "iuf" or not (array.min(initial=0) >= 0 and array.max(initial=0) < np.inf):
        return False
    return array.ndim <= len(shape) and all(
        mine in (1, there) for mine, there in zip(array.shape[::-1], shape[::-1], strict=False)
    )


def _said(value: object) -> str:
    return shown(repr(value), 40) if value is None or isinstance(value, int | float) else f"a {type(value).__name__}"
