"""A Llama for training: batches of whole sequences, weights under the names that checkpoints give them.

The decoder of the package reads one sequence at a time through a tree mask; training reads many at once, causally.
``tests/tools`` holds the two to the same logits.
"""

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

Weights = dict[str, Tensor]

EAGLE_LAYER = "layers.0"
"""Name of the draft layer in an EAGLE checkpoint."""


@dataclass(frozen=True)
class Shape:
    """Dimensions of the model; the defaults are the demo's, 2.8 M parameters."""

    hidden_size: int = 256
    layers: int = 4
    heads: int = 4
    kv_heads: int = 2
    intermediate_size: int = 576
    vocab_size: int = 1024
    context: int = 1024
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-5

    @property
    def head_dim(self) -> int:
        """Width of an attention head."""
        return self.hidden_size // self.heads

    def config(self) -> dict[str, object]:
        """What a Hugging Face ``config.json`` says of these dimensions."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "vocab_size": self.vocab_size,
            "max_position_embeddings": self.context,
            "rope_theta": self.rope_theta,
            "rms_norm_eps": self.norm_eps,
            "hidden_act": "silu",
            "tie_word_embeddings": True,
            "attention_bias": False,
            "mlp_bias": False,
            "bos_token_id": None,
            "eos_token_id": None,
            "torch_dtype": "float16",
        }


@dataclass
class Cache:
    """Keys and values of earlier tokens, one pair [batch, kv_heads, room, head_dim] per layer.

    Attributes:
        room: Tokens that fit.
    """

    room: int
    pairs: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def extend(self, layer: str, start: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Put in new tokens of a layer, from position ``start``, and return all that it has."""
        if layer not in self.pairs:
            size = (*key.shape[:2], self.room, key.shape[3])
            self.pairs[layer] = key.new_empty(size), value.new_empty(size)
        keys, values = self.pairs[layer]
        end = start + key.shape[2]
        keys[:, :, start:end], values[:, :, start:end] = key, value
        return keys[:, :, :end], values[:, :, :end]


def new_model(shape: Shape, generator: torch.Generator) -> Weights:
    """Random weights; projections into the residual stream start smaller, by the square root of their number."""
    weights = {
        "model.embed_tokens.weight": torch.randn(shape.vocab_size, shape.hidden_size, generator=generator) * 0.02
    }
    for layer in range(shape.layers):
        weights |= new_layer(f"model.layers.{layer}", shape, generator)
    return weights | {"model.norm.weight": torch.ones(shape.hidden_size)}


def new_layer(name: str, shape: Shape, generator: torch.Generator, input_norm: bool = True) -> Weights:
    """Random weights of one decoder layer."""
    hidden, kv, inner = shape.hidden_size, shape.kv_heads * shape.head_dim, shape.intermediate_size
    small = 0.02 / (2 * shape.layers) ** 0.5
    sizes = {
        "self_attn.q_proj": (hidden, hidden, 0.02),
        "self_attn.k_proj": (kv, hidden, 0.02),
        "self_attn.v_proj": (kv, hidden, 0.02),
        "self_attn.o_proj": (hidden, hidden, small),
        "mlp.gate_proj": (inner, hidden, 0.02),
        "mlp.up_proj": (inner, hidden, 0.02),
        "mlp.down_proj": (hidden, inner, small),
    }
    weights = {
        f"{name}.{part}.weight": torch.randn(rows, columns, generator=generator) * scale
        for part, (rows, columns, scale) in sizes.items()
    }
    norms = ["post_attention_layernorm", *(["input_layernorm"] if input_norm else [])]
    return weights | {f"{name}.{norm}.weight": torch.ones(hidden) for norm in norms}


def hidden_states(weights: Weights, shape: Shape, tokens: Tensor, cache: Cache | None = None, start: int = 0) -> Tensor:
    """Hidden states after the final norm, [batch, length, hidden], of tokens int64 [batch, length].

    Args:
        weights: The model.
        shape: Its dimensions.
        tokens: Whole sequences; or, with a cache, a prompt first and then one token at a time.
        cache: Earlier tokens; extended.
        start: Position of the first token.
    """
    x = functional.embedding(tokens, weights["model.embed_tokens.weight"])
    for layer in range(shape.layers):
        x = decoder_layer(weights, f"model.layers.{layer}", shape, x, cache, start)
    return rms_norm(x, weights["model.norm.weight"], shape)


def logits(weights: Weights, hidden: Tensor) -> Tensor:
    """Scores of the next token; the LM head is the embedding table."""
    return functional.linear(hidden, weights["model.embed_tokens.weight"])


def eagle_features(eagle: Weights, base: Weights, shape: Shape, next_tokens: Tensor, hidden: Tensor) -> Tensor:
    """What EAGLE's draft layer takes for the next hidden states, [batch, length, hidden].

    Args:
        eagle: The draft layer.
        base: The model, whose embeddings it shares.
        shape: The model's dimensions, which the layer shares too.
        next_tokens: int64 [batch, length], the token after each.
        hidden: [batch, length, hidden], the hidden state (or an earlier guess of it) at each.
    """
    embedded = functional.embedding(next_tokens, base["model.embed_tokens.weight"])
    x = functional.linear(torch.cat([embedded, hidden], dim=-1), eagle["fc.weight"], eagle["fc.bias"])
    return decoder_layer(eagle, EAGLE_LAYER, shape, x)


def medusa_logits(heads: Weights, base: Weights, head: int, hidden: Tensor) -> Tensor:
    """Scores that a Medusa head gives to the token ``head + 2`` places after each hidden state."""
    block = 0
    while (weight := heads.get(f"{head}.{block}.linear.weight")) is not None:
        hidden = hidden + functional.silu(functional.linear(hidden, weight, heads[f"{head}.{block}.linear.bias"]))
        block += 1
    return logits(base, hidden)


def decoder_layer(
    weights: Weights, name: str, shape: Shape, x: Tensor, cache: Cache | None = None, start: int = 0
) -> Tensor:
    """One layer, [batch, length, hidden] to the same; a layer without input norm (EAGLE's) is given none."""
    norm = weights.get(f"{name}.input_layernorm.weight")
    normed = x if norm is None else rms_norm(x, norm, shape)
    x = x + attention(weights, f"{name}.self_attn", shape, normed, cache, start)
    normed = rms_norm(x, weights[f"{name}.post_attention_layernorm.weight"], shape)
    gate = functional.silu(functional.linear(normed, weights[f"{name}.mlp.gate_proj.weight"]))
    up = functional.linear(normed, weights[f"{name}.mlp.up_proj.weight"])
    return x + functional.linear(gate * up, weights[f"{name}.mlp.down_proj.weight"])


def attention(
    weights: Weights, name: str, shape: Shape, x: Tensor, cache: Cache | None = None, start: int = 0
) -> Tensor:
    """Causal grouped-query attention with rotary positions."""
    batch, length, _ = x.shape

    def project(part: str, heads: int) -> Tensor:
        y = functional.linear(x, weights[f"{name}.{part}_proj.weight"])
        return y.view(batch, length, heads, shape.head_dim).transpose(1, 2)

    cos, sin = rotations(shape, start, length)
    query = rotate(project("q", shape.heads), cos, sin)
    key, value = rotate(project("k", shape.kv_heads), cos, sin), project("v", shape.kv_heads)
    if cache is not None:
        key, value = cache.extend(name, start, key, value)
    group = shape.heads // shape.kv_heads
    if length == 1:  # the heads of a group are as many queries of one head
        query = query.reshape(batch, shape.kv_heads, group, shape.head_dim)
    else:
        key, value = key.repeat_interleave(group, dim=1), value.repeat_interleave(group, dim=1)
    mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=length > 1)
    mixed = mixed.view(batch, shape.heads, length, shape.head_dim).transpose(1, 2).reshape(batch, length, -1)
    return functional.linear(mixed, weights[f"{name}.o_proj.weight"])


def rotations(shape: Shape, start: int, length: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of the rotary angles, [length, head_dim] each, the halves of a head alike."""
    rate = shape.rope_theta ** -(torch.arange(0, shape.head_dim, 2) / shape.head_dim)
    angle = torch.arange(start, start + length)[:, None] * rate
    return torch.cat([angle.cos()] * 2, dim=-1), torch.cat([angle.sin()] * 2, dim=-1)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn each pair (i, i + head_dim / 2) of a head by its angle."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat([-second, first], dim=-1) * sin


def rms_norm(x: Tensor, weight: Tensor, shape: Shape) -> Tensor:
    """Scale each vector to unit mean square, then by ``weight``."""
    return functional.rms_norm(x, (shape.hidden_size,), weight, shape.norm_eps)
