"""Gemma 1 to 4 and 3n."""

from typing import Any

from lpspec.llm.config_keys import words
from lpspec.llm.families.dense import BOTH, FULL
from lpspec.llm.families.family import (
    ACTIVATIONS,
    COMMON,
    Dimension,
    Family,
    Keys,
    attention,
    every,
    gated,
    layer,
    model,
    types_of,
    windows_of,
)
from lpspec.llm.feed_forward import Experts
from lpspec.llm.layer import Layer, More
from lpspec.llm.layers import ADD_OPS, RMS_NORM_OPS, SIGMOID_OPS, SOFT_CAP_OPS
from lpspec.llm.structure import PerLayerEmbedding


def gemma(k: Keys) -> dict[str, Any]:
    """Gemma 1."""
    one = layer(attention(k, **_biased(k)), gated(k))
    return model(k, [one] * k.num_hidden_layers, embedding_ops=1)


def gemma2(k: Keys) -> dict[str, Any]:
    """Gemma 2: every other layer slides; scores and logits are bounded."""
    windows = windows_of(k, types_of(k, every(k, 2, "sliding_attention", FULL), BOTH))
    own = _biased(k) | {"score_cap": k.attn_logit_softcapping is not None}
    return _gemma(k, [layer(attention(k, window, **own), gated(k), **_TWO) for window in windows])


def gemma3(k: Keys) -> dict[str, Any]:
    """Gemma 3: five of six layers slide; norms on queries and keys."""
    windows = windows_of(k, types_of(k, every(k, k.sliding_window_pattern, "sliding_attention", FULL), BOTH))
    own = _biased(k) | {"score_cap": k.attn_logit_softcapping is not None}
    own |= {"query_norm": k.head_dim, "key_norm": k.head_dim}
    return _gemma(k, [layer(attention(k, window, **own), gated(k), **_TWO) for window in windows])


def gemma3n(k: Keys) -> dict[str, Any]:
    """Gemma 3n: four streams, low-rank additions, a further embedding for each layer, late layers without a cache."""
    types = types_of(k, every(k, 5, "sliding_attention", FULL), BOTH)
    windows, first_shared = windows_of(k, types), _first_shared(k, types)
    widths = k.intermediate_size
    if isinstance(widths, int):
        widths = [widths] * k.num_hidden_layers
    if len(widths) != k.num_hidden_layers:
        raise ValueError(f"intermediate_size must be one number, or {k.num_hidden_layers}, one for each layer")
    hidden, streams, rank, own = k.hidden_size, k.altup_num_inputs, k.laurel_rank, k.hidden_size_per_layer_input
    more = (
        More(name="altup_norm", width=2 * hidden, ops=RMS_NORM_OPS, weights=hidden),
        More(name="altup_router", k=hidden, width=streams),
        More(name="altup_predict", k=streams, width=streams**2),
        More(name="altup_correct", k=streams, width=streams),
        More(name="altup_mix", width=streams * hidden, ops=2 * streams + 2, weights=hidden),
        More(name="laurel_down", k=hidden, width=rank, kind="ffn_up"),
        More(name="laurel_up", k=rank, width=hidden, kind="ffn_down"),
        More(name="laurel_norm", width=hidden, ops=RMS_NORM_OPS + ADD_OPS, weights=hidden),
        *_layer_embedding(k, own),
    )
    layers = [
        layer(attention(k, window, **_normed(k, k.head_dim, i >= first_shared)), gated(k, width), more=more, **_TWO)
        for i, (window, width) in enumerate(zip(windows, widths, strict=True))
    ]
    projections = [
        More(name=f"altup_{name}", k=hidden, width=hidden * (streams - 1), kind="other") for name in ("split", "join")
    ]
    return _gemma(k, layers, more=tuple(projections)) | _embedded(k, own)


def gemma4(k: Keys) -> dict[str, Any]:
    """Gemma 4: full layers have wider heads, and perhaps values that are the keys; perhaps experts beside a network."""
    types = types_of(k, every(k, 6, "sliding_attention", FULL), BOTH)
    types[-1] = FULL
    windows, first_shared = windows_of(k, types), _first_shared(k, types)
    own = k.hidden_size_per_layer_input or 0
    layers: list[Layer] = []
    for i, (window, kind) in enumerate(zip(windows, types, strict=True)):
        shared, full = i >= first_shared, kind == FULL
        width, kv_heads = _own_heads(k, i, full)
        said = _normed(k, width, shared) | {"kv_heads": kv_heads, "keys_are_values": full and k.attention_k_eq_v}
        wide = k.intermediate_size * (2 if k.use_double_wide_mlp and shared else 1)
        more = (*_layer_embedding(k, own), *_experts_beside(k)) if own or k.enable_moe_block else ()
        layers.append(layer(attention(k, window, **said), gated(k, wide), more=more, **_TWO))
    return _gemma(k, layers) | _embedded(k, own)


def _own_heads(k: Keys, index: int, full: bool) -> tuple[int, int]:
    """Width and number of the cached heads of a layer of Gemma 4.

    Raises:
        ValueError: What is said of single layers goes beyond both.
    """
    if k.per_layer_config is None:
        other = k.num_global_key_value_heads if full and k.attention_k_eq_v else None
        return k.global_head_dim if full else k.head_dim, other or k.num_key_value_heads
    of_layers = k.per_layer_config if isinstance(k.per_layer_config, dict) else {"": k.per_layer_config}
    said = of_layers.get(str(index), of_layers.get(index, {}))
    known = {"head_dim": k.head_dim, "num_key_value_heads": k.num_key_value_heads}
    layers_known = {str(i) for i in range(k.num_hidden_layers)}
    if set(map(str, of_layers)) - layers_known or not isinstance(said, dict) or set(said) - set(known):
        raise ValueError("per_layer_config: allowed are head_dim and num_key_value_heads of layers by number")
    if any(type(value) is not int or not 0 < value < 2**24 for value in said.values()):
        raise ValueError("per_layer_config: head_dim and num_key_value_heads are numbers above 0")
    found = known | said
    return found["head_dim"], found["num_key_value_heads"]


_TWO = {"attention_norms": 2, "mlp_norms": 2}


def _biased(k: Keys) -> dict[str, Any]:
    return {"qkv_bias": k.attention_bias, "out_bias": k.attention_bias}


def _normed(k: Keys, width: int, shared: bool) -> dict[str, Any]:
    """Attention of Gemma 3n and 4, with norms on queries, keys and values, or with queries alone."""
    own = {"head_dim": width, "query_norm": width, "shares_cache": shared, **_biased(k)}
    return own if shared else own | {"key_norm": width, "value_norm": True}


def _first_shared(k: Keys, types: list[str]) -> int:
    """The first layer that has the cache of another one."""
    first: int = k.num_hidden_layers - k.num_kv_shared_layers
    if k.num_kv_shared_layers and (first < 1 or set(types[:first]) != set(types)):
        raise ValueError("num_kv_shared_layers leaves no layer of each kind whose cache could be shared")
    return first


def _gemma(k: Keys, layers: list[Layer], **own: Any) -> dict[str, Any]:
    capped = SOFT_CAP_OPS if k.final_logit_softcapping is not None else 0
    return model(k, layers, embedding_ops=1, logit_ops=capped, **own)


def _layer_embedding(k: Keys, width: int) -> tuple[More, ...]:
    """What a layer makes of its part of the further embedding."""
    if not width:
        return ()
    hidden = k.hidden_size
    return (
        More(name="layer_gate", k=hidden, width=width, kind="ffn_up", ops=SIGMOID_OPS + 1),
        More(name="layer_projection", k=width, width=hidden, kind="ffn_down"),
        More(name="layer_norm", width=hidden, ops=RMS_NORM_OPS + ADD_OPS, weights=hidden),
    )


def _embedded(k: Keys, width: int) -> dict[str, Any]:
    if not width:
        return {}
    return {"per_layer_embedding": PerLayerEmbedding(rows=k.vocab_size_per_layer_input, width=width)}


def _experts_beside(k: Keys) -> tuple[Any, ...]:
    if not k.enable_moe_block:
        return ()
    if not (k.num_experts and k.top_k_experts and k.moe_intermediate_size):
        raise ValueError("enable_moe_block needs num_experts, top_k_experts and moe_intermediate_size")
    hidden = k.hidden_size
    return (
        More(name="experts_norms", width=3 * hidden, ops=RMS_NORM_OPS, weights=3 * hidden),
        Experts(
            experts=k.num_experts,
            top_k=k.top_k_experts,
            width=k.moe_intermediate_size,
            activation=ACTIVATIONS[k.hidden_activation],
            router_weights=hidden + k.num_experts,
        ),
    )


_GEMMA = COMMON | {
    "vocab_size": 256_000,
    "hidden_size": 2304,
    "intermediate_size": 9216,
    "num_hidden_layers": 26,
    "num_attention_heads": 8,
    "num_key_value_heads": 4,
    "head_dim": 256,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": True,
    "attention_bias": False,
    "use_bidirectional_attention": None,
}
_NEWER = {key: value for key, value in _GEMMA.items() if key != "hidden_act"} | {
    "hidden_activation": "gelu_pytorch_tanh",
    "final_logit_softcapping": 30.0,
    "sliding_window": 4096,
    "layer_types": None,
}
_LOCAL = {"rope_local_base_freq": 10_000.0}
_NOTES = words("query_pre_attn_scalar hidden_act attn_logit_softcapping cache_implementation")

FAMILIES: dict[str, Family] = {
    "gemma": Family(
        gemma,
        _GEMMA
        | {"hidden_size": 3072, "intermediate_size": 24_576, "num_hidden_layers": 28, "num_attention_heads": 16}
        | {"num_key_value_heads": 16, "hidden_act": "gelu_pytorch_tanh"},
        ("GemmaForCausalLM",),
        words("hidden_activation"),
    ),
    "gemma2": Family(
        gemma2,
        _NEWER | {"attn_logit_softcapping": 50.0},
        ("Gemma2ForCausalLM",),
        _NOTES,
        repeated={"sliding_window_size": "sliding_window"},
    ),
    "gemma3_text": Family(
        gemma3,
        _NEWER
        | _LOCAL
        | {"vocab_size": 262_208, "max_position_embeddings": 131_072, "final_logit_softcapping": None}
        | {"attn_logit_softcapping": None, "sliding_window_pattern": 6},
        ("Gemma3ForCausalLM",),
        _NOTES,
    ),
    "gemma3n_text": Family(
        gemma3n,
        _NEWER
        | _LOCAL
        | {"vocab_size": 262_400, "hidden_size": 2048, "intermediate_size": 16_384, "num_hidden_layers": 35}
        | {"num_key_value_heads": 2, "max_position_embeddings": 32_768, "sliding_window": 512}
        | {"vocab_size_per_layer_input": 262_144, "hidden_size_per_layer_input": 256, "altup_num_inputs": 4}
        | {"num_kv_shared_layers": 15, "laurel_rank": 64},
        ("Gemma3nForCausalLM",),
        _NOTES | words("altup_active_idx altup_coef_clip altup_correct_scale activation_sparsity_pattern"),
        types={"intermediate_size": Dimension | list[Dimension]},
    ),
    "gemma4_text": Family(
        gemma4,
        _NEWER
        | {"vocab_size": 262_144, "num_hidden_layers": 30, "max_position_embeddings": 131_072, "sliding_window": 512}
        | {"final_logit_softcapping": None, "vocab_size_per_layer_input": 262_144, "hidden_size_per_layer_input": 256}
        | {"attention_k_eq_v": False, "num_kv_shared_layers": 0, "enable_moe_block": False, "num_experts": None}
        | {"use_double_wide_mlp": False, "top_k_experts": None, "moe_intermediate_size": None}
        | {"global_head_dim": 512, "num_global_key_value_heads": None, "per_layer_config": None},
        ("Gemma4ForCausalLM",),
        _NOTES,
        types={"num_global_key_value_heads": Dimension | None, "hidden_size_per_layer_input": int | None},
    ),
}
