"""One decoder layer by torch's operators: what all layers of a pass share, attention, and the feed-forward layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat

import torch
from torch import Tensor
from torch.nn import functional

from lpspec.decoding.architecture import FULL, LayerKind
from lpspec.decoding.backend import Backend, StackPass
from lpspec.decoding.kv_cache import LayerCache, Window
from lpspec.decoding.linear import Linear
from lpspec.decoding.pass_context import PassContext
from lpspec.decoding.torch_backend import TORCH


@dataclass(eq=False)
class Attention:
    """Grouped-query attention with rotary positions; queries, keys and values come from one multiplication.

    ``query_norm`` and ``key_norm`` are [head_dim], or [heads, head_dim] where a token's heads are normalised as one.
    """

    qkv: Linear
    out: Linear
    heads: int
    kv_heads: int
    head_dim: int
    kind: LayerKind = FULL
    query_norm: Tensor | None = None
    key_norm: Tensor | None = None
    eps: float = 0.0
    scale: float | None = None
    cap: float | None = None

    @property
    def is_plain(self) -> bool:
        """Whether it is Llama's."""
        others = (self.query_norm, self.key_norm, self.scale, self.cap)
        return self.kind == FULL and all(other is None for other in others)

    def __call__(
        self, x: Tensor, context: PassContext, kv: LayerCache | None = None, onto: Tensor | None = None
    ) -> Tensor:
        """Attend from x [..., n, inputs], behind this layer's part of the cache if there is one; add to ``onto``."""
        qkv = self.qkv(x).view(*x.shape[:-1], self.heads + 2 * self.kv_heads, self.head_dim)
        q, k, v = self._rotate(qkv, context, kv)
        mask, grouped = context.mask_within(self.kind.window), self.heads != self.kv_heads
        if self.cap is None:
            y = functional.scaled_dot_product_attention(
                q, k, v, mask, is_causal=mask is None, scale=self.scale, enable_gqa=grouped
            )
        else:
            y = self._capped(q, k, v, context.causal_mask(x.dtype) if mask is None else mask)
        return self.out(y.transpose(-3, -2).reshape(*x.shape[:-1], self.heads * self.head_dim), onto)

    def _rotate(self, qkv: Tensor, context: PassContext, kv: LayerCache | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [batch, heads, n, head_dim], and all keys and values likewise, those of the cache included."""
        turned = self.heads + self.kv_heads
        qkv = qkv if qkv.dim() == 4 else qkv.unsqueeze(0)
        qk = context.rotated(self._normed(qkv[..., :turned, :]), self.kind.rotation).transpose(1, 2)
        q, k, v = qk[:, : self.heads], qk[:, self.heads :], qkv[:, :, turned:].transpose(1, 2)
        if kv is None:
            return q, k, v
        kv.data[0, :, kv.start : kv.end], kv.data[1, :, kv.start : kv.end] = k[0], v[0]
        return q, kv.keys, kv.values

    def _normed(self, qk: Tensor) -> Tensor:
        """Queries and keys [..., heads + kv_heads, head_dim], normalised if they are to be."""
        if self.query_norm is None or self.key_norm is None:
            return qk
        q, k = qk[..., : self.heads, :], qk[..., self.heads :, :]
        normed = [
            functional.rms_norm(part, tuple(norm.shape), norm, self.eps)
            for part, norm in ((q, self.query_norm), (k, self.key_norm))
        ]
        return torch.cat(normed, -2)

    def _capped(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
        """Attention whose scores are squeezed by a hyperbolic tangent."""
        assert self.cap is not None
        k, v = (side.repeat_interleave(self.heads // self.kv_heads, 1) for side in (k, v))
        scores = q @ k.mT * (self.scale or self.head_dim**-0.5)
        scores = torch.tanh(scores / self.cap) * self.cap + mask
        return scores.softmax(-1, dtype=torch.float32).to(q.dtype) @ v


@dataclass(eq=False)
class GatedMlp:
    """The gated feed-forward layer; gate and up come from one multiplication."""

    gate_up: Linear
    down: Linear
    activation: str = "silu"

    def __call__(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """Map x [..., hidden size] to the same shape, and add it to ``onto``."""
        gate, up = self.gate_up(x).chunk(2, -1)
        if self.activation != "silu":
            product = functional.gelu(gate, approximate="tanh") * up
        else:
            product = functional.silu(gate) * up if torch.is_grad_enabled() else functional.silu(gate, True).mul_(up)
        return self.down(product, onto)


@dataclass(eq=False)
class DecoderLayer:
    """One layer: attention, then the gated feed-forward, each between norms and added to the residual stream.

    Args:
        input_norm: Before attention; None where there is none.
        attention: Attention.
        post_norm: Before the feed-forward layer, likewise.
        mlp: The feed-forward layer.
        eps: Of the norms.
        attention_norm: After attention, likewise.
        mlp_norm: After the feed-forward layer, likewise.
        factor: Of what is added to the stream.
    """

    input_norm: Tensor | None
    attention: Attention
    post_norm: Tensor | None
    mlp: GatedMlp
    eps: float
    attention_norm: Tensor | None = None
    mlp_norm: Tensor | None = None
    factor: float = 1.0

    @property
    def is_plain(self) -> bool:
        """Whether it is Llama's, or that without its first norm."""
        norms = self.post_norm is not None and self.attention_norm is None and self.mlp_norm is None
        return norms and self.factor == 1 and self.mlp.activation == "silu" and self.attention.is_plain

    def __call__(self, x: Tensor, context: PassContext, kv: LayerCache | None = None) -> Tensor:
        """Map the residual stream x [..., n, hidden size] to the next."""
        normed = self._normed(x, self.input_norm)
        if self._adds_at_once(self.attention_norm):
            return self.feed_forward(self.attention(normed, context, kv, x))
        return self.feed_forward(
            x + self.factor * self._normed(self.attention(normed, context, kv), self.attention_norm)
        )

    def feed_forward(self, x: Tensor) -> Tensor:
        """The layer's second half."""
        normed = self._normed(x, self.post_norm)
        if self._adds_at_once(self.mlp_norm):
            return self.mlp(normed, x)
        return x + self.factor * self._normed(self.mlp(normed), self.mlp_norm)

    def _normed(self, x: Tensor, norm: Tensor | None) -> Tensor:
        return x if norm is None else rms_norm(x, norm, self.eps)

    def _adds_at_once(self, norm: Tensor | None) -> bool:
        return norm is None and self.factor == 1


@dataclass(eq=False)
class Stack:
    """Decoder layers one after the other, and the norm after the last, if there is one."""

    layers: Sequence[DecoderLayer]
    norm: Tensor | None
    eps: float
    backend: Backend = TORCH

    def __call__(self, x: Tensor, context: PassContext, cache: Window | None = None) -> tuple[Tensor, Sequence[Tensor]]:
        """Map x [..., n, hidden size], behind a cache if there is one, to as much; and give every layer's output."""
        return self._run(x, context, cache)

    @cached_property
    def _run(self) -> StackPass:
        return self.backend.stack(self)

    def by_operators(
        self, x: Tensor, context: PassContext, cache: Window | None = None
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """The same by torch's operators, but for what ``Linear`` multiplies."""
        streams = []
        for layer, kv in zip(self.layers, repeat(None) if cache is None else cache.layers, strict=False):
            x = layer(x, context, kv)
            streams.append(x)
        return x if self.norm is None else rms_norm(x, self.norm, self.eps), streams


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Divide x [..., width] by its root mean square and scale it."""
    return functional.rms_norm(x, (x.shape[-1],), weight, eps)
