"""One decoder layer by torch's operators: what all layers of a pass share, attention, and the feed-forward layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat

import torch
from torch import Tensor
from torch.nn import functional

from lpspec.decoding.backend import Backend, Computing, StackPass
from lpspec.decoding.checkpoint import Tensors
from lpspec.decoding.kv_cache import LayerCache, Window
from lpspec.decoding.linear import Linear, take_linear
from lpspec.decoding.llama_config import LlamaConfig
from lpspec.decoding.rope import rotated
from lpspec.decoding.torch_backend import TORCH


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What all layers of one pass share.

    Args:
        table: [positions, 2, head_dim], see ``RopeTable``.
        positions: int64 [n].
        mask: [n, m], 0 where a token attends and -inf where not, for the last m keys; all before are attended at. None
            for causal attention among the n tokens.
        keys: Tokens that may be attended at: those of the text, and the n.
    """

    table: Tensor
    positions: Tensor
    mask: Tensor | None
    keys: int

    @cached_property
    def whole_mask(self) -> Tensor | None:
        """The mask over all keys."""
        if self.mask is None or self.mask.shape[1] == self.keys:
            return self.mask
        return functional.pad(self.mask, (self.keys - self.mask.shape[1], 0))


@dataclass(eq=False)
class Attention:
    """Grouped-query attention with rotary positions; queries, keys and values come from one multiplication."""

    qkv: Linear
    out: Linear
    heads: int
    kv_heads: int
    head_dim: int

    def __call__(
        self, x: Tensor, around: Surroundings, kv: LayerCache | None = None, onto: Tensor | None = None
    ) -> Tensor:
        """Attend from x [..., n, inputs], behind this layer's part of the cache if there is one; add to ``onto``."""
        qkv = self.qkv(x).view(*x.shape[:-1], self.heads + 2 * self.kv_heads, self.head_dim)
        q, k, v = self._rotate(qkv, around, kv)
        mask, grouped = around.whole_mask, self.heads != self.kv_heads
        y = functional.scaled_dot_product_attention(q, k, v, mask, is_causal=mask is None, enable_gqa=grouped)
        return self.out(y.transpose(-3, -2).reshape(*x.shape[:-1], self.heads * self.head_dim), onto)

    def _rotate(self, qkv: Tensor, around: Surroundings, kv: LayerCache | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [batch, heads, n, head_dim], and all keys and values likewise, those of the cache included."""
        turned = self.heads + self.kv_heads
        qkv = qkv if qkv.dim() == 4 else qkv.unsqueeze(0)
        qk = rotated(qkv[..., :turned, :], around.table, around.positions).transpose(1, 2)
        q, k, v = qk[:, : self.heads], qk[:, self.heads :], qkv[:, :, turned:].transpose(1, 2)
        if kv is None:
            return q, k, v
        kv.data[0, :, kv.start : kv.end], kv.data[1, :, kv.start : kv.end] = k[0], v[0]
        return q, kv.keys, kv.values


@dataclass(eq=False)
class GatedMlp:
    """The gated SiLU feed-forward layer; gate and up come from one multiplication."""

    gate_up: Linear
    down: Linear

    def __call__(self, x: Tensor, onto: Tensor | None = None) -> Tensor:
        """Map x [..., hidden size] to the same shape, and add it to ``onto``."""
        gate, up = self.gate_up(x).chunk(2, -1)
        product = functional.silu(gate) * up if torch.is_grad_enabled() else functional.silu(gate, True).mul_(up)
        return self.down(product, onto)


@dataclass(eq=False)
class DecoderLayer:
    """One layer: attention, then the gated feed-forward, each after a norm and added to the residual stream.

    ``input_norm`` is None in EAGLE's layer, whose input goes into attention as it is.
    """

    input_norm: Tensor | None
    attention: Attention
    post_norm: Tensor
    mlp: GatedMlp
    eps: float

    def __call__(self, x: Tensor, around: Surroundings, kv: LayerCache | None = None) -> Tensor:
        """Map the residual stream x [..., n, hidden size] to the next."""
        normed = x if self.input_norm is None else rms_norm(x, self.input_norm, self.eps)
        return self.feed_forward(self.attention(normed, around, kv, x))

    def feed_forward(self, x: Tensor) -> Tensor:
        """The layer's second half."""
        return self.mlp(rms_norm(x, self.post_norm, self.eps), x)


@dataclass(eq=False)
class Stack:
    """Decoder layers one after the other, and the norm after the last, if there is one."""

    layers: Sequence[DecoderLayer]
    norm: Tensor | None
    eps: float
    backend: Backend = TORCH

    def __call__(self, x: Tensor, around: Surroundings, cache: Window | None = None) -> tuple[Tensor, Sequence[Tensor]]:
        """Map x [..., n, hidden size], behind a cache if there is one, to as much; and give every layer's output."""
        return self._run(x, around, cache)

    @cached_property
    def _run(self) -> StackPass:
        return self.backend.stack(self)

    def by_operators(
        self, x: Tensor, around: Surroundings, cache: Window | None = None
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """The same by torch's operators, but for what ``Linear`` multiplies."""
        streams = []
        for layer, kv in zip(self.layers, repeat(None) if cache is None else cache.layers, strict=False):
            x = layer(x, around, kv)
            streams.append(x)
        return x if self.norm is None else rms_norm(x, self.norm, self.eps), streams


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Divide x [..., width] by its root mean square and scale it."""
    return functional.rms_norm(x, (x.shape[-1],), weight, eps)


def additive_mask(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where ``mask`` is true and -inf elsewhere: what attention adds to its scores."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, float("-inf"))


def take_layer(
    config: LlamaConfig,
    tensors: Tensors,
    prefix: str,
    computing: Computing,
    attention_inputs: int | None = None,
    input_norm: bool = True,
) -> DecoderLayer:
    """Fuse the weights of one decoder layer, whose names begin with ``prefix``.

    Args:
        config: Dimensions and constants.
        tensors: Where the weights are.
        prefix: Such as ``"model.layers.0."``.
        computing: How the layer computes.
        attention_inputs: Width of what goes into attention; None for the hidden size.
        input_norm: False where the layer has no norm before attention.

    Raises:
        InputError: A tensor is missing or has another shape.
    """
    spec = config.spec
    a, m = f"{prefix}self_attn.", f"{prefix}mlp."
    qkv = {f"{a}q_proj": spec.query_width, f"{a}k_proj": spec.kv_width, f"{a}v_proj": spec.kv_width}
    gate_up = {f"{m}gate_proj": spec.intermediate_size, f"{m}up_proj": spec.intermediate_size}

    def linear(outputs: dict[str, int], inputs: int, bias: bool = False) -> Linear:
        return take_linear(tensors, outputs, inputs, bias, computing)

    def norm(name: str) -> Tensor:
        return tensors.take(f"{prefix}{name}.weight", spec.hidden_size).to(computing.device, computing.dtype)

    attention = Attention(
        linear(qkv, attention_inputs or spec.hidden_size, spec.qkv_bias),
        linear({f"{a}o_proj": spec.hidden_size}, spec.query_width, spec.out_bias),
        spec.heads,
        spec.kv_heads,
        spec.head_dim,
    )
    mlp = GatedMlp(
        linear(gate_up, spec.hidden_size), linear({f"{m}down_proj": spec.hidden_size}, spec.intermediate_size)
    )
    before = norm("input_layernorm") if input_norm else None
    after = norm("post_attention_layernorm")
    return DecoderLayer(before, attention, after, mlp, config.rms_norm_eps)
