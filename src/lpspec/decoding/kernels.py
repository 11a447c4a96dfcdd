"""Compiled loops for the CPU: what torch does there with a slow loop, or with ten calls on a few numbers each."""

import numpy as np
from numpy.typing import NDArray

from lpspec.compiled import cached_njit

Float32 = NDArray[np.float32]


@cached_njit(nogil=True)
def norm_rows(x: Float32, weight: Float32, eps: float, out: Float32) -> None:
    """Write each row of x [n, width], divided by its root mean square and scaled by weight [width], into out."""
    n, width = x.shape
    for row in range(n):
        a = b = c = d = np.float32(0)  # four sums, so that an addition need not wait for the one before it
        k = 0
        while k + 3 < width:
            a += x[row, k] * x[row, k]
            b += x[row, k + 1] * x[row, k + 1]
            c += x[row, k + 2] * x[row, k + 2]
            d += x[row, k + 3] * x[row, k + 3]
            k += 4
        while k < width:
            a += x[row, k] * x[row, k]
            k += 1
        scale = np.float32(1 / np.sqrt(((a + b) + (c + d)) / width + eps))
        for k in range(width):
            out[row, k] = x[row, k] * scale * weight[k]


@cached_njit(nogil=True)
def rotate_into(
    qkv: Float32, table: Float32, positions: NDArray[np.int64], q: Float32, cache: Float32, start: int
) -> None:
    """Rotate queries and keys of qkv [n, heads + 2 kv_heads, head_dim], and lay all three out by head.

    Args:
        qkv: Queries, keys and values of n tokens.
        table: [positions, 2, head_dim], cosine and sine, negative in its first half.
        positions: int64 [n].
        q: [1, heads, n, head_dim], written.
        cache: Keys and values, [2, kv_heads, capacity, head_dim], written from ``start`` on.
        start: Tokens in the cache.
    """
    n, _, width = qkv.shape
    heads, kv_heads, half = q.shape[1], cache.shape[1], width // 2
    for token in range(n):
        cos, sin = table[positions[token], 0], table[positions[token], 1]
        for head in range(heads + kv_heads):
            row = q[0, head, token] if head < heads else cache[0, head - heads, start + token]
            for i in range(half):
                x, y = qkv[token, head, i], qkv[token, head, i + half]
                row[i] = x * cos[i] + y * sin[i]
                row[i + half] = y * cos[i + half] + x * sin[i + half]
        for head in range(kv_heads):
            cache[1, head, start + token] = qkv[token, heads + kv_heads + head]


@cached_njit(nogil=True)
def move_rows(data: NDArray[np.generic], start: int, keep: NDArray[np.int64]) -> None:
    """Move rows ``start + keep[i]`` of data [blocks, rows, width] to ``start + i``; ``keep`` ascends."""
    for block in range(data.shape[0]):
        for place, kept in enumerate(keep):
            if kept != place:
                data[block, start + place] = data[block, start + kept]
