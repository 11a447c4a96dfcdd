"""Room that keys and values take on every rank of a package, by how many tokens a request has.

Layers of one kind keep as much for a token: their heads are dealt to the channels, and those of a channel go to its PIM
ranks in turn, layer by layer; a copy on the DRAM ranks lies in one piece.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np

from lpspec.arrays import IntArray
from lpspec.llm.counts import ceil_div
from lpspec.llm.operators import Attention
from lpspec.machine.platform_spec import MemorySpec


@dataclass(frozen=True)
class CacheRoom:
    """Room of the cache of one kind of layers.

    Attributes:
        token_bytes: int64 [sides, ranks], what one token takes; ranks are the PIM ranks, then the DRAM ranks as one.
        most: Tokens that are kept: those of a window, and of a pass; None for all.
    """

    token_bytes: IntArray
    most: int | None

    def taken_bytes(self, tokens: IntArray) -> IntArray:
        """What so many tokens on each side, int64 [sides], take in all: int64 [ranks]."""
        taken: IntArray = (tokens if self.most is None else np.minimum(tokens, self.most)) @ self.token_bytes
        return taken


def cache_rooms(attention: Iterable[Attention], memory: MemorySpec) -> tuple[CacheRoom, ...]:
    """Deal the heads of every kind of layers.

    Args:
        attention: One for each kind of layers, in their order, with as many tokens as a pass may have.
        memory: The package.
    """
    rooms, layers = [], 0
    for op in attention:
        if op.writes:
            most = None if op.window is None else op.window - 1 + int(np.max(op.tokens))
            rooms.append(CacheRoom(_dealt(op, layers, memory), most))
            layers += op.count
    return tuple(rooms)


def room_bytes(rooms: Sequence[CacheRoom], tokens: IntArray) -> IntArray:
    """What so many tokens on each side, int64 [sides], take in all kinds of layers: int64 [ranks]."""
    return reduce(add, (room.taken_bytes(tokens) for room in rooms), np.zeros(1, np.int64))


def _dealt(op: Attention, first_layer: int, memory: MemorySpec) -> IntArray:
    """int64 [sides, ranks], bytes of one token: the heads of a channel go to the ranks in turn, layer by layer.

    On PIM ranks values lie apart even where they are part of the keys.
    """
    ranks = memory.pim_ranks.n
    heads_per_channel = ceil_div(op.kv_heads, memory.channels.n)
    place = np.arange(op.kv_heads) % heads_per_channel + np.arange(first_layer, first_layer + op.count)[:, None]
    heads = np.bincount((place % ranks).ravel(), minlength=ranks)
    head_bytes = replace(op, latent=False).kv_bytes_per_token // (op.count * op.kv_heads)
    return np.array([[*(heads * head_bytes).tolist(), 0], [0] * ranks + [op.kv_bytes_per_token]], np.int64)
