"""Attention and the feed-forward layer for few tokens on a CPU, each one compiled call.

What a token gets does not depend, bit for bit, on the other tokens of the pass: those that it does not attend to
contribute exact zeros, and sums are taken in the order of the keys, or in float64.
"""

from typing import NamedTuple

import numpy as np

from lpspec.arrays import IntArray
from lpspec.compiled import cached_njit
from lpspec.decoding.compiled.block_product import Float32, Weight, add_outputs
from lpspec.decoding.compiled.exponential import exp, silu


class LayerWeights(NamedTuple):
    """A decoder layer's weights; biases, and the norm before attention, are empty where there is none.

    Args:
        input_norm: [hidden size].
        qkv: [(heads + 2 kv_heads) * head_dim, hidden size], of queries, keys and values.
        qkv_bias: As many.
        out: [hidden size, heads * head_dim].
        out_bias: [hidden size].
        post_norm: [hidden size].
        gate_up: [2 width, hidden size].
        down: [hidden size, width].
    """

    input_norm: Float32
    qkv: Weight
    qkv_bias: Float32
    out: Weight
    out_bias: Float32
    post_norm: Float32
    gate_up: Weight
    down: Weight


@cached_njit(nogil=True)
def decoder_stack(
    x: Float32,
    table: Float32,
    positions: IntArray,
    mask: Float32,
    cache: Float32,
    start: int,
    layers: tuple[LayerWeights, ...],
    norm: Float32,
    eps: float,
) -> tuple[Float32, Float32]:
    """All layers one after the other: hidden states [n, hidden size] after the norm, and every layer's output.

    Args:
        x: [n, hidden size], embeddings.
        table: As for ``attend``.
        positions: Likewise.
        mask: Likewise.
        cache: [layers, 2, kv_heads, capacity, head_dim].
        start: Tokens in it.
        layers: Their weights, all in one form.
        norm: [hidden size], of the norm after them, or empty.
        eps: Of every norm.

    Returns:
        The hidden states, and the outputs [layers, n, hidden size].
    """
    streams = np.empty((len(layers), *x.shape), np.float32)
    for index, weights in enumerate(layers):
        x = decoder_layer(x, table, positions, mask, cache[index], start, weights, eps)
        streams[index] = x
    hidden = x.copy()
    if len(norm):
        norm_rows(x, norm, eps, hidden)
    return hidden, streams


@cached_njit(nogil=True)
def decoder_layer(
    x: Float32,
    table: Float32,
    positions: IntArray,
    mask: Float32,
    cache: Float32,
    start: int,
    weights: LayerWeights,
    eps: float,
) -> Float32:
    """One layer over the residual stream x [n, hidden size], left as it is; the rest is as for ``attend``."""
    stream, normed = x.copy(), x.copy()
    if len(weights.input_norm):
        norm_rows(x, weights.input_norm, eps, normed)
    attended = attend(normed, weights.qkv, weights.qkv_bias, table, positions, mask, cache, start)
    if len(weights.out_bias):
        stream += weights.out_bias
    add_outputs(attended, weights.out, stream, 0, len(weights.out))
    norm_rows(stream, weights.post_norm, eps, normed)
    add_outputs(gated(normed, weights.gate_up), weights.down, stream, 0, len(weights.down))
    return stream


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
def attend(
    x: Float32,
    weight: Weight,
    bias: Float32,
    table: Float32,
    positions: IntArray,
    mask: Float32,
    cache: Float32,
    start: int,
) -> Float32:
    """What n tokens take from the text and from each other: [n, heads * head_dim].

    Args:
        x: [n, inputs].
        weight: Of queries, keys and values, [(heads + 2 kv_heads) * head_dim, inputs].
        bias: Of the same length, or empty.
        table: As for ``rotate_into``.
        positions: int64 [n].
        mask: [n, m], 0 where a token attends and -inf where not, for the last m keys; all before are attended to.
        cache: Keys and values, [2, kv_heads, capacity, head_dim]; those of the n tokens are written from ``start`` on.
        start: Tokens in the cache.
    """
    n = x.shape[0]
    keys = start + n
    kv_heads, width = cache.shape[1], cache.shape[3]
    heads = weight.shape[0] // width - 2 * kv_heads
    group = heads // kv_heads
    projected = np.zeros((n, weight.shape[0]), np.float32)
    if len(bias):
        projected[:] = bias
    add_outputs(x, weight, projected, 0, len(weight))
    q = np.empty((1, heads, n, width), np.float32)
    rotate_into(projected.reshape(n, heads + 2 * kv_heads, width), table, positions, q, cache, start)
    scale = np.float32(1 / np.sqrt(width))
    out = np.empty((n, heads * width), np.float32)
    mixed, share = np.empty((group * n, width), np.float32), np.empty(group * n, np.float32)
    for kv_head in range(kv_heads):
        scores = np.zeros((group * n, keys), np.float32)
        queries = q[0, kv_head * group : (kv_head + 1) * group].reshape(group * n, width)
        add_outputs(queries, cache[0, kv_head, :keys], scores, 0, keys)
        mixed[:] = 0
        for row in range(group * n):
            share[row] = _weigh(scores[row], mask[row % n], scale)
        _mix(scores, cache[1, kv_head], mixed)
        for row in range(group * n):
            head = kv_head * group + row // n
            for i in range(width):
                out[row % n, head * width + i] = mixed[row, i] * share[row]
    return out


@cached_njit(nogil=True)
def rotate_into(qkv: Float32, table: Float32, positions: IntArray, q: Float32, cache: Float32, start: int) -> None:
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


@cached_njit(nogil=True, allocates=False, any_order=True)
def _weigh(scores: Float32, mask: Float32, scale: np.float32) -> np.float32:
    """Turn the scores [keys] of one query into weights, in place, and return what makes shares of them.

    ``mask`` is of the last keys.
    """
    masked = scores[len(scores) - len(mask) :]
    for key in range(len(mask)):
        masked[key] += mask[key]
    largest = _largest(scores)
    total = 0.0
    for key in range(len(scores)):
        scores[key] = exp((scores[key] - largest) * scale)
        total += scores[key]
    return np.float32(1 / total)


@cached_njit(nogil=True, allocates=False)
def _largest(values: Float32) -> np.float32:
    """The largest value, by eight comparisons at once."""
    a = b = c = d = e = f = g = h = values[0]
    whole = len(values) - len(values) % 8
    for i in range(0, whole, 8):
        a, b, c, d = max(a, values[i]), max(b, values[i + 1]), max(c, values[i + 2]), max(d, values[i + 3])
        e, f, g, h = max(e, values[i + 4]), max(f, values[i + 5]), max(g, values[i + 6]), max(h, values[i + 7])
    for i in range(whole, len(values)):
        a = max(a, values[i])
    return max(a, b, c, d, e, f, g, h)


@cached_njit(nogil=True)
def _mix(weights: Float32, values: Float32, out: Float32) -> None:
    """Add to out [rows, width] the values [keys, width] by weights [rows, keys]; key after key."""
    rows, keys = weights.shape
    key = 0
    while key + 4 <= keys:
        for row in range(rows):
            a, b, c, d = weights[row, key], weights[row, key + 1], weights[row, key + 2], weights[row, key + 3]
            for i in range(out.shape[1]):
                out[row, i] = (
                    ((out[row, i] + a * values[key, i]) + b * values[key + 1, i]) + c * values[key + 2, i]
                ) + d * values[key + 3, i]
        key += 4
    while key < keys:
        for row in range(rows):
            for i in range(out.shape[1]):
                out[row, i] += weights[row, key] * values[key, i]
        key += 1


@cached_njit(nogil=True)
def gated(x: Float32, gate_up: Weight) -> Float32:
    """silu(gate) * up of x [n, inputs], both from the weights [2 width, inputs]: [n, width]."""
    n, width = x.shape[0], gate_up.shape[0] // 2
    both = np.zeros((n, 2 * width), np.float32)
    add_outputs(x, gate_up, both, 0, len(gate_up))
    out = np.empty((n, width), np.float32)
    for row in range(n):
        _gate(both[row, :width], both[row, width:], out[row])
    return out


@cached_njit(nogil=True, allocates=False)
def _gate(gate: Float32, up: Float32, out: Float32) -> None:
    """Write silu(gate) * up, all of one length, into out."""
    for i in range(len(gate)):
        out[i] = silu(gate[i]) * up[i]
