"""Layers that are Llama's with few differences: biases, norms on queries and keys, windows, factors, other networks."""

from typing import Any

from lpspec.llm.families.family import (
    LAYER_NORM,
    PLAIN_LAYER_NORM,
    Keys,
    attention,
    every,
    gated,
    layer,
    model,
    plain,
    types_of,
    width_of,
    windows_of,
)
from lpspec.llm.layer import LayerGroup, More
from lpspec.llm.layers import ADD_OPS, Norm

FULL = "full_attention"
BOTH = "full_attention sliding_attention"


def _dense(k: Keys, windows: Any = None, **own: Any) -> dict[str, Any]:
    """Layers that are alike but for their windows."""
    mlp = {name: own.pop(name) for name in ("up_bias", "down_bias", "inner_norm") if name in own}
    of_layer = {name: own.pop(name) for name in ("attention_norms", "mlp_norms", "scaled_residuals") if name in own}
    of_model = {name: own.pop(name) for name in ("norm", "embedding_ops", "logit_ops", "head_bias") if name in own}
    network = own.pop("network", None) or gated(k, **mlp)
    seen = windows if windows is not None else [None] * k.num_hidden_layers
    return model(k, [layer(attention(k, window, **own), network, **of_layer) for window in seen], **of_model)


def _biased(k: Keys) -> dict[str, Any]:
    """``attention_bias`` on all four products."""
    return {"qkv_bias": k.attention_bias, "out_bias": k.attention_bias}


def _head_norms(k: Keys) -> dict[str, Any]:
    """Norms of queries and keys whose weights all heads share."""
    return {"query_norm": width_of(k), "key_norm": width_of(k)}


def _wide_norms(k: Keys) -> dict[str, Any]:
    """Norms over all heads at once."""
    width = width_of(k)
    kv_heads = k.num_key_value_heads or k.num_attention_heads
    return {"query_norm": k.num_attention_heads * width, "key_norm": kv_heads * width}


def llama(k: Keys) -> dict[str, Any]:
    """Llama 1 to 3."""
    if k.head_dim is None and k.hidden_size % k.num_attention_heads:
        raise ValueError(
            f"head_dim is needed where hidden_size ({k.hidden_size}) is not a multiple of"
            f" num_attention_heads ({k.num_attention_heads})"
        )
    types_of(k, [FULL] * k.num_hidden_layers, FULL)
    return _dense(k, up_bias=k.mlp_bias, down_bias=k.mlp_bias, **_biased(k))


def mistral(k: Keys) -> dict[str, Any]:
    """Mistral: all layers slide where there is a window."""
    kind = FULL if k.sliding_window is None else "sliding_attention"
    if types_of(k, [kind] * k.num_hidden_layers, BOTH) != [kind] * k.num_hidden_layers:
        raise ValueError("layer_types must agree with sliding_window: all layers slide, or none")
    return _dense(k, [k.sliding_window] * k.num_hidden_layers)


def ministral(k: Keys) -> dict[str, Any]:
    """Mistral with layer types."""
    kind = FULL if k.sliding_window is None else "sliding_attention"
    return _dense(k, windows_of(k, types_of(k, [kind] * k.num_hidden_layers, BOTH)))


def qwen2(k: Keys) -> dict[str, Any]:
    """Qwen2 and 2.5: biases on queries, keys and values; the last layers slide where windows are on."""
    return _dense(k, qwen_windows(k), qkv_bias=True)


def qwen3(k: Keys) -> dict[str, Any]:
    """Qwen3: norms of queries and keys."""
    return _dense(k, qwen_windows(k), **_head_norms(k), **_biased(k))


def qwen_windows(k: Keys) -> list[int | None]:
    """Windows of Qwen2 and 3, which count only where they are switched on.

    Raises:
        ValueError: Layers slide that have no window.
    """
    window = k.sliding_window if k.use_sliding_window else None
    first = k.max_window_layers if window is not None else k.num_hidden_layers
    usual = [FULL if i < first else "sliding_attention" for i in range(k.num_hidden_layers)]
    types = types_of(k, usual, BOTH)
    if window is None and "sliding_attention" in types:
        raise ValueError("layer_types names sliding_attention, and use_sliding_window is false")
    return [window if kind != FULL else None for kind in types]


def smollm3(k: Keys) -> dict[str, Any]:
    """SmolLM3: every fourth layer without positions."""
    turned = k.no_rope_layers
    if turned is None:
        turned = [int((i + 1) % k.no_rope_layer_interval != 0) for i in range(k.num_hidden_layers)]
    if len(turned) != k.num_hidden_layers:
        raise ValueError(f"no_rope_layers must be {k.num_hidden_layers} entries, one for each layer")
    slides = k.use_sliding_window and k.sliding_window is not None
    usual = ["sliding_attention" if slides and not rope else FULL for rope in turned]
    types = types_of(k, usual, BOTH)
    if "sliding_attention" in types and not slides:
        raise ValueError("layer_types names sliding_attention, and use_sliding_window is false")
    network = gated(k, up_bias=k.mlp_bias, down_bias=k.mlp_bias)
    return model(
        k,
        [
            layer(
                attention(k, k.sliding_window if kind != FULL else None, rotary_dim=None if rope else 0, **_biased(k)),
                network,
            )
            for kind, rope in zip(types, turned, strict=True)
        ],
    )


def phi(k: Keys) -> dict[str, Any]:
    """Phi 1 to 2: attention and network side by side behind one norm."""
    norms = {"query_norm": 2 * width_of(k), "key_norm": 2 * width_of(k)} if k.qk_layernorm else {}
    network = plain(k, k.intermediate_size, True, k.hidden_act)
    said = {"norm": LAYER_NORM, "mlp_norms": 0, "head_bias": True, "network": network}
    return _dense(k, qkv_bias=True, out_bias=True, **norms, **said)


def phi3(k: Keys) -> dict[str, Any]:
    """Phi 3 and 4."""
    return _dense(k, [k.sliding_window] * k.num_hidden_layers)


def olmo(k: Keys) -> dict[str, Any]:
    """OLMo: norms without weights."""
    return _dense(k, norm=Norm(kind="layer", has_weight=False), **_biased(k))


def olmo2(k: Keys) -> dict[str, Any]:
    """OLMo 2: norms behind the parts instead of before."""
    return _dense(k, **_wide_norms(k), **_biased(k))


def olmo3(k: Keys) -> dict[str, Any]:
    """OLMo 3: three of four layers slide."""
    windows = windows_of(k, types_of(k, every(k, 4, "sliding_attention", FULL), BOTH))
    return _dense(k, windows, **_wide_norms(k), **_biased(k))


def granite(k: Keys) -> dict[str, Any]:
    """Granite 3: factors on embedding, residuals and logits."""
    factors = {"embedding_ops": 1, "logit_ops": 1, "scaled_residuals": True}
    return _dense(k, up_bias=k.mlp_bias, down_bias=k.mlp_bias, **_biased(k), **factors)


def glm(k: Keys) -> dict[str, Any]:
    """GLM-4 of 2024: half of each head is turned."""
    return _dense(k, qkv_bias=k.attention_bias)


def glm4(k: Keys) -> dict[str, Any]:
    """GLM-4 of 2025: norms before and behind each part."""
    return _dense(k, qkv_bias=k.attention_bias, attention_norms=2, mlp_norms=2)


def cohere(k: Keys) -> dict[str, Any]:
    """Cohere: attention and network side by side behind one norm."""
    kv_heads = k.num_key_value_heads or k.num_attention_heads
    norms = {"query_norm": k.num_attention_heads * width_of(k), "key_norm": kv_heads * width_of(k)}
    said = {"norm": PLAIN_LAYER_NORM, "mlp_norms": 0, "logit_ops": 1}
    return _dense(k, **_biased(k), **said, **(norms if k.use_qk_norm else {}))


def cohere2(k: Keys) -> dict[str, Any]:
    """Cohere 2: three of four layers slide; the others have no positions."""
    types = types_of(k, every(k, k.sliding_window_pattern, "sliding_attention", FULL), BOTH)
    layers = [
        layer(attention(k, window, rotary_dim=0 if window is None else None, **_biased(k)), gated(k), mlp_norms=0)
        for window in windows_of(k, types)
    ]
    return model(k, layers, norm=PLAIN_LAYER_NORM, logit_ops=1)


def starcoder2(k: Keys) -> dict[str, Any]:
    """StarCoder2: layer norms, and a network without a gate."""
    network = plain(k, k.intermediate_size, k.use_bias, k.hidden_act)
    windows = [k.sliding_window] * k.num_hidden_layers
    return _dense(k, windows, norm=LAYER_NORM, network=network, qkv_bias=k.use_bias, out_bias=k.use_bias)


def helium(k: Keys) -> dict[str, Any]:
    """Helium: no bias behind the attention."""
    if width_of(k) * k.num_attention_heads != k.hidden_size:
        raise ValueError("head_dim times num_attention_heads must be hidden_size")
    return _dense(k, qkv_bias=k.attention_bias, up_bias=k.mlp_bias, down_bias=k.mlp_bias)


def stablelm(k: Keys) -> dict[str, Any]:
    """StableLM: layer norms, each head's own in front of the scores."""
    kv_heads = k.num_key_value_heads or k.num_attention_heads
    norms = {"query_norm": k.num_attention_heads * width_of(k), "key_norm": kv_heads * width_of(k)}
    parallel = {"mlp_norms": 0} if k.use_parallel_residual else {}
    return _dense(k, norm=LAYER_NORM, qkv_bias=k.use_qkv_bias, **parallel, **(norms if k.qk_layernorm else {}))


def minicpm(k: Keys) -> dict[str, Any]:
    """MiniCPM 1 and 4: Llama with factors on embedding, residuals and logits."""
    factors = {"embedding_ops": 1, "logit_ops": 1, "scaled_residuals": True}
    return _dense(k, **_biased(k), **factors)


def ernie(k: Keys) -> dict[str, Any]:
    """ERNIE 4.5."""
    bias = k.use_bias
    return _dense(k, qkv_bias=bias, out_bias=bias, up_bias=bias, down_bias=bias)


def hunyuan(k: Keys) -> dict[str, Any]:
    """Hunyuan dense: norms of queries and keys behind the rotation."""
    if k.num_experts != 1:
        raise ValueError(f"num_experts = {k.num_experts}: allowed is 1, since hunyuan_v1_dense has none to choose from")
    return _dense(k, **_head_norms(k), **_biased(k))


def bitnet(k: Keys) -> dict[str, Any]:
    """BitNet: norms within attention and network."""
    return _dense(k, out_norm=True, inner_norm=True, **_biased(k))


def apertus(k: Keys) -> dict[str, Any]:
    """Apertus: a network without a gate, whose activation has two learned numbers."""
    network = plain(k, k.intermediate_size, False, k.hidden_act)
    if k.hidden_act == "xielu":
        network = network.model_copy(update={"learned": 2})
    return _dense(k, network=network, **_head_norms(k), **_biased(k))


def arcee(k: Keys) -> dict[str, Any]:
    """Arcee: a network without a gate."""
    return _dense(k, network=plain(k, k.intermediate_size, k.mlp_bias, k.hidden_act), **_biased(k))


def nemotron(k: Keys) -> dict[str, Any]:
    """Nemotron 3 and 4 (Minitron): layer norms, and a network without a gate."""
    network = plain(k, k.intermediate_size, k.mlp_bias, k.hidden_act)
    return _dense(k, norm=LAYER_NORM, network=network, **_biased(k))


def seed_oss(k: Keys) -> dict[str, Any]:
    """Seed-OSS."""
    bias = k.mlp_bias
    return _dense(k, qkv_bias=k.attention_bias, out_bias=k.attention_out_bias, up_bias=bias, down_bias=bias)


def exaone4(k: Keys) -> dict[str, Any]:
    """EXAONE 4: norms behind the parts, three of four layers slide where there is a window."""
    pattern = k.sliding_window_pattern if k.sliding_window is not None else None
    interval = len(pattern) if isinstance(pattern, str) else pattern
    usual = every(k, interval, "sliding_attention", FULL) if interval else [FULL] * k.num_hidden_layers
    return _dense(k, windows_of(k, types_of(k, usual, BOTH)), **_head_norms(k))


def hrm_text(k: Keys) -> dict[str, Any]:
    """HRM-Text: two stacks of layers that a token passes many times."""
    runs = k.L_cycles + 1
    per_stack = k.num_layers_per_stack or k.num_hidden_layers
    if k.num_layers_per_stack and k.num_hidden_layers != per_stack * k.H_cycles * runs:
        raise ValueError(f"num_hidden_layers must be {per_stack * k.H_cycles * runs}: layers times cycles")
    bias = k.mlp_bias
    heads = {"kv_heads": k.num_attention_heads, "gate": True, **_biased(k)}
    one = layer(attention(k, **heads), gated(k, up_bias=bias, down_bias=bias))
    state = More(name="cycle_state", width=k.hidden_size, ops=ADD_OPS, weights=k.hidden_size)
    groups = tuple(LayerGroup(count=per_stack, layer=one, runs=k.H_cycles * each) for each in (k.L_cycles, 1))
    unweighted = Norm(has_weight=False)
    return model(k, [one], embedding_ops=1, more=(state,), norm=unweighted) | {"layer_groups": groups}
