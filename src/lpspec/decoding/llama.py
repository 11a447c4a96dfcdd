"""The forward pass of Llama, Mistral and Qwen2 models: over a prompt, one token, or all nodes of a token tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from lpspec.decoding.block_product import LANES
from lpspec.decoding.checkpoint import Checkpoint, Tensors, open_checkpoint
from lpspec.decoding.kernels import norm_rows
from lpspec.decoding.kv_cache import KvCache, LayerCache
from lpspec.decoding.layer_kernels import LayerWeights, decoder_layer, decoder_stack
from lpspec.decoding.linear import LIGHT, FloatLinear, Linear, small_enough, suits_kernels, take_linear
from lpspec.decoding.llama_config import LlamaConfig, load_config
from lpspec.decoding.quantized import quantized
from lpspec.decoding.rope import RopeTable, rotated


@dataclass(frozen=True, eq=False)
class Pass:
    """What a pass over n tokens yields.

    Args:
        hidden: [..., n, hidden size], after the final norm.
        taps: The residual stream [..., n, hidden size] after each layer asked for, 0-based.
    """

    hidden: Tensor
    taps: dict[int, Tensor]


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What all layers of one pass share.

    Args:
        table: [positions, 2, head_dim], see ``RopeTable``.
        positions: int64 [n].
        mask: [n, m], 0 where a token attends and -inf where not, for the last m keys; all before are attended at. None
            for causal attention among the n tokens.
    """

    table: Tensor
    positions: Tensor
    mask: Tensor | None

    @cached_property
    def arrays(self) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32]]:
        """Table, positions and mask as compiled loops take them."""
        assert self.mask is not None
        return self.table.numpy(), self.positions.numpy(), self.mask.contiguous().numpy()

    def over(self, keys: int) -> Surroundings:
        """The same with a mask for all keys."""
        if self.mask is None or self.mask.shape[1] == keys:
            return self
        mask = functional.pad(self.mask, (keys - self.mask.shape[1], 0))
        return Surroundings(self.table, self.positions, mask)


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
        mask, grouped = around.mask, self.heads != self.kv_heads
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
        weights = self.compiled_weights
        if kv is not None and weights is not None and x.is_contiguous() and self.takes(x.shape[0], kv.end, around.mask):
            table, positions, mask = around.arrays
            cache = kv.data.numpy()
            return torch.from_numpy(
                decoder_layer(x.numpy(), table, positions, mask, cache, kv.start, weights, self.eps)
            )
        normed = x if self.input_norm is None else rms_norm(x, self.input_norm, self.eps)
        return self.feed_forward(self.attention(normed, around, kv, x))

    def feed_forward(self, x: Tensor) -> Tensor:
        """The layer's second half."""
        return self.mlp(rms_norm(x, self.post_norm, self.eps), x)

    def takes(self, tokens: int, keys: int, mask: Tensor | None) -> bool:
        """Whether the compiled layer is the faster way for so many tokens that attend at so many keys by a mask."""
        if mask is None or self.compiled_weights is None:
            return False
        attention = keys * self.attention.heads * self.attention.head_dim
        return small_enough(tokens, max(self.compiled_weights.gate_up.size, attention))

    @cached_property
    def compiled_weights(self) -> LayerWeights | None:
        """The weights as the compiled layer takes them; None if it cannot."""
        attention, mlp = self.attention, self.mlp
        products = [linear.arrays for linear in (attention.qkv, attention.out, mlp.gate_up, mlp.down)]
        weights = [arrays for arrays in products if arrays is not None]
        norms = self.post_norm[:0] if self.input_norm is None else self.input_norm, self.post_norm
        if len(weights) < len(products) or not all(map(suits_kernels, norms)) or attention.head_dim % LANES:
            return None
        if any(weight.size > LIGHT for weight, _ in weights):
            return None
        qkv, out, (gate_up, _), (down, _) = weights
        return LayerWeights(norms[0].numpy(), *qkv, *out, norms[1].numpy(), gate_up, down)


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Divide x [..., width] by its root mean square and scale it."""
    if x.dim() == 2 and suits_kernels(x) and suits_kernels(weight) and not torch.is_grad_enabled():
        out = torch.empty_like(x)
        norm_rows(x.numpy(), weight.numpy(), eps, out.numpy())
        return out
    return functional.rms_norm(x, (x.shape[-1],), weight, eps)


class Llama:
    """A decoder with its weights.

    Args:
        config: Dimensions and constants.
        tensors: Weights by their Hugging Face names.
        dtype: Of weights and activations.
        device: Where they lie.

    Attributes:
        folder: Where its files are; None where it was not loaded from any.

    Raises:
        InputError: A tensor is missing or has another shape.
    """

    folder: Path | None = None

    def __init__(
        self,
        config: LlamaConfig,
        tensors: Tensors,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        """Fuse the weights."""
        self.config, self.dtype, self.device = config, dtype, torch.device(device)
        spec = config.spec
        self.embedding = tensors.take("model.embed_tokens.weight", spec.vocab_size, spec.hidden_size).to(device, dtype)
        self.layers = [take_layer(config, tensors, f"model.layers.{i}.", dtype, device) for i in range(spec.layers)]
        self.norm = tensors.take("model.norm.weight", spec.hidden_size).to(device, dtype)
        self.head = self._take_head(tensors)
        self._rope = RopeTable(config.rope, spec.head_dim, dtype, self.device)

    def _take_head(self, tensors: Tensors) -> Linear:
        """The output layer; a model that ties it to its embedding may still hold one in fewer bits."""
        spec = self.config.spec
        if spec.tied_embeddings and "lm_head.weight" not in tensors:
            return FloatLinear(self.embedding)
        outputs = {"lm_head": spec.vocab_size}
        return take_linear(tensors, outputs, spec.hidden_size, dtype=self.dtype, device=self.device)

    def new_cache(self, capacity: int) -> KvCache:
        """An empty cache for ``capacity`` tokens."""
        spec = self.config.spec
        return KvCache(spec.layers, spec.kv_heads, capacity, spec.head_dim, self.dtype, self.device)

    def embed(self, tokens: Tensor) -> Tensor:
        """The embeddings [..., n, hidden size] of tokens int64 [..., n]."""
        return torch.embedding(self.embedding, tokens)

    def logits(self, hidden: Tensor) -> Tensor:
        """The logits [..., n, vocabulary] of final-norm hidden states [..., n, hidden size]."""
        return self.head(hidden)

    def forward(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
        cache: KvCache | None = None,
        taps: Sequence[int] = (),
    ) -> Pass:
        """Pass tokens through all layers; with a cache they are written behind its text, for ``compact`` to keep.

        Args:
            tokens: int64 [n]; without a cache also [batch, n].
            positions: int64 [n], each token's place in the text; None: one after the other, behind the cache.
            mask: bool [n, m], true where a token attends, or that as 0 and -inf, for the last m of all text + n keys;
                those before are attended at. None: causal.
            cache: Keys and values of the text so far, if any.
            taps: Layers, 0-based, whose outputs are wanted.
        """
        n, start = tokens.shape[-1], 0 if cache is None else cache.length
        around = self.surroundings(n, start, positions, mask, start + n if cache is None else cache.capacity)
        if cache is not None and self._stack is not None and self.layers[0].takes(n, start + n, around.mask):
            return self._forward_compiled(tokens, around, cache, taps, self._stack)
        around = around.over(start + n)
        kv = [None] * len(self.layers) if cache is None else cache.windows(n)
        x, tapped = self.embed(tokens), {}
        for index, (layer, layer_kv) in enumerate(zip(self.layers, kv, strict=True)):
            x = layer(x, around, layer_kv)
            if index in taps:
                tapped[index] = x
        return Pass(rms_norm(x, self.norm, self.config.rms_norm_eps), tapped)

    def _forward_compiled(
        self,
        tokens: Tensor,
        around: Surroundings,
        cache: KvCache,
        taps: Sequence[int],
        stack: tuple[LayerWeights, ...],
    ) -> Pass:
        """The same in one call: what torch takes from call to call is most of the time of so small a pass."""
        start = cache.windows(tokens.shape[0])[0].start
        x = self.embedding.numpy()[tokens.numpy()]
        table, positions, mask = around.arrays
        norm, eps = self.norm.numpy(), self.config.rms_norm_eps
        hidden, streams = decoder_stack(x, table, positions, mask, cache.data.numpy(), start, stack, norm, eps)
        return Pass(torch.from_numpy(hidden), {tap: torch.from_numpy(streams[tap]) for tap in taps})

    @cached_property
    def _stack(self) -> tuple[LayerWeights, ...] | None:
        """All layers' weights for compiled loops, which want them in one form; None if they cannot take them."""
        found = tuple(layer.compiled_weights for layer in self.layers)
        stack = tuple(weights for weights in found if weights is not None)
        forms = {tuple(array.dtype for array in weights) for weights in stack}
        takes_all = len(stack) == len(found) and len(forms) == 1
        return stack if takes_all and suits_kernels(self.norm) and suits_kernels(self.embedding) else None

    def surroundings(
        self, n: int, start: int, positions: Tensor | None, mask: Tensor | None, limit: int
    ) -> Surroundings:
        """What all layers share in a pass over n tokens behind a text of ``start`` tokens; positions < ``limit``."""
        if positions is None:
            positions = torch.arange(start, start + n, device=self.device)
        if mask is None and start:
            mask = torch.ones(n, start + n, dtype=torch.bool, device=self.device).tril(start)
        if mask is not None and mask.dtype == torch.bool:
            mask = additive_mask(mask, self.dtype)
        return Surroundings(self._rope.up_to(limit), positions, mask)


def additive_mask(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where ``mask`` is true and -inf elsewhere: what attention adds to its scores."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill_(~mask, float("-inf"))


def take_layer(
    config: LlamaConfig,
    tensors: Tensors,
    prefix: str,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    attention_inputs: int | None = None,
    input_norm: bool = True,
) -> DecoderLayer:
    """Fuse the weights of one decoder layer, whose names begin with ``prefix``.

    Args:
        config: Dimensions and constants.
        tensors: Where the weights are.
        prefix: Such as ``"model.layers.0."``.
        dtype: Of the weights.
        device: Where they shall lie.
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
        return take_linear(tensors, outputs, inputs, bias, dtype, device)

    def norm(name: str) -> Tensor:
        return tensors.take(f"{prefix}{name}.weight", spec.hidden_size).to(device, dtype)

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
    return DecoderLayer(before, attention, norm("post_attention_layernorm"), mlp, config.rms_norm_eps)


def load_llama(
    folder: str | Path, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu", int8: bool = False
) -> Llama:
    """Load a model folder: ``config.json`` and its weights.

    Args:
        folder: Where they are.
        dtype: Of activations, and of weights that are not INT8.
        device: Where the model is to run.
        int8: Bring float weights to W8A8; a checkpoint stored so is always run so.

    Raises:
        InputError: A file is missing, damaged, or of another kind of model.
    """
    config, checkpoint = load_config(folder), open_checkpoint(folder)
    config = _as_stored(config, checkpoint)
    if int8:
        checkpoint = quantized(checkpoint)
    model = Llama(config, checkpoint, dtype, device)
    model.folder = Path(folder)
    checkpoint.refuse_rest([name for name in checkpoint.untaken if name.startswith("medusa_head.")])
    return model


def _as_stored(config: LlamaConfig, checkpoint: Checkpoint) -> LlamaConfig:
    """Untie where the file holds a head unlike the embedding, as transformers 5.23 does; a copy of it is let go."""
    head, embedding = (checkpoint.tensors.get(f"{name}.weight") for name in ("lm_head", "model.embed_tokens"))
    if not config.spec.tied_embeddings or head is None or embedding is None or head.dtype != embedding.dtype:
        return config
    if torch.equal(head, embedding):
        del checkpoint.tensors["lm_head.weight"]
        return config
    return config.model_copy(update={"spec": config.spec.model_copy(update={"tied_embeddings": False})})
