"""Families with experts over a cache of keys and values."""

from typing import Any

from lpspec.llm.config_keys import words
from lpspec.llm.families.dense import BOTH, FULL
from lpspec.llm.families.family import (
    COMMON,
    FACTORS,
    LAYER_NORM,
    Dimension,
    Family,
    Keys,
    attention,
    every,
    experts,
    gated,
    layer,
    model,
    rotary_part,
    types_of,
    width_of,
    windows_of,
)
from lpspec.llm.feed_forward import Experts, FeedForward

ROUTING = words(
    """
    router_jitter_noise output_router_logits norm_topk_prob routed_scaling_factor n_group topk_group topk_method
    router_aux_loss_coef scoring_func aux_loss_alpha seq_aux ep_size input_jitter_noise moe_router_topk_scaling_factor
    use_routing_bias router_bias_update_rate
    """
)
"""How a router weighs and trains."""


def mixtral(k: Keys) -> dict[str, Any]:
    """Mixtral: experts in all layers."""
    network = experts(k, k.num_local_experts, k.num_experts_per_tok, k.intermediate_size)
    return model(k, [layer(attention(k, k.sliding_window), network)] * k.num_hidden_layers)


def phimoe(k: Keys) -> dict[str, Any]:
    """Phi-3.5-MoE."""
    network = experts(k, k.num_local_experts, k.num_experts_per_tok, k.intermediate_size)
    bias = {"qkv_bias": k.attention_bias, "out_bias": k.attention_bias}
    layers = [layer(attention(k, k.sliding_window, **bias), network)] * k.num_hidden_layers
    return model(k, layers, norm=LAYER_NORM, head_bias=k.lm_head_bias)


def sparse_or_dense(k: Keys, sparse: Experts, index: int) -> Experts | FeedForward:
    """Qwen's rule: experts in every so many layers, but in those that are named never."""
    dense = index in (k.mlp_only_layers or ()) or k.num_experts == 0 or (index + 1) % k.decoder_sparse_step
    return gated(k) if dense else sparse


def qwen2_moe(k: Keys) -> dict[str, Any]:
    """Qwen1.5 and Qwen2 with experts and one gated network for all tokens."""
    sparse = experts(
        k,
        k.num_experts,
        k.num_experts_per_tok,
        k.moe_intermediate_size,
        shared_width=k.shared_expert_intermediate_size,
        shared_gate=True,
    )
    window = k.sliding_window if k.use_sliding_window else None
    usual = [
        "sliding_attention" if window is not None and i % 2 == 0 and i < k.max_window_layers else FULL
        for i in range(k.num_hidden_layers)
    ]
    types = types_of(k, usual, BOTH)
    if window is None and "sliding_attention" in types:
        raise ValueError("layer_types names sliding_attention, and use_sliding_window is false")
    layers = [
        layer(attention(k, window if kind != FULL else None, qkv_bias=k.qkv_bias), sparse_or_dense(k, sparse, i))
        for i, kind in enumerate(types)
    ]
    return model(k, layers)


def qwen3_moe(k: Keys) -> dict[str, Any]:
    """Qwen3 with experts."""
    sparse = experts(k, k.num_experts, k.num_experts_per_tok, k.moe_intermediate_size)
    window = k.sliding_window if k.use_sliding_window else None
    own = {"query_norm": width_of(k), "key_norm": width_of(k), "qkv_bias": k.attention_bias}
    mixer = attention(k, window, out_bias=k.attention_bias, **own)
    return model(k, [layer(mixer, sparse_or_dense(k, sparse, i)) for i in range(k.num_hidden_layers)])


def olmoe(k: Keys) -> dict[str, Any]:
    """OLMoE."""
    kv_heads = k.num_key_value_heads or k.num_attention_heads
    key_norm = kv_heads * (k.hidden_size // k.num_attention_heads)
    own = {"query_norm": k.hidden_size, "key_norm": key_norm, "qkv_bias": k.attention_bias}
    mixer = attention(k, out_bias=k.attention_bias, **own)
    network = experts(k, k.num_experts, k.num_experts_per_tok, k.intermediate_size)
    return model(k, [layer(mixer, network)] * k.num_hidden_layers)


def granitemoe(k: Keys) -> dict[str, Any]:
    """Granite 3 with experts, and perhaps a network for all tokens."""
    network = experts(
        k,
        k.num_local_experts,
        k.num_experts_per_tok,
        k.intermediate_size,
        shared_width=getattr(k, "shared_intermediate_size", 0),
    )
    one = layer(attention(k, qkv_bias=k.attention_bias, out_bias=k.attention_bias), network, scaled_residuals=True)
    return model(k, [one] * k.num_hidden_layers, embedding_ops=1, logit_ops=1)


def gpt_oss(k: Keys) -> dict[str, Any]:
    """gpt-oss: every other layer slides; heads have sinks; experts have biases."""
    network = experts(
        k,
        k.num_local_experts,
        k.num_experts_per_tok,
        k.intermediate_size,
        biases=True,
        router_weights=k.num_local_experts,
    )
    own = {"qkv_bias": k.attention_bias, "out_bias": k.attention_bias, "sinks": True}
    windows = windows_of(k, types_of(k, every(k, 2, "sliding_attention", FULL), BOTH))
    return model(k, [layer(attention(k, window, **own), network) for window in windows])


def glm4_moe(k: Keys) -> dict[str, Any]:
    """GLM-4.5 and 4.6: the first layers dense."""
    norms = {"query_norm": width_of(k), "key_norm": width_of(k)} if k.use_qk_norm else {}
    mixer = attention(k, qkv_bias=k.attention_bias, **norms)
    return behind_dense_ones(k, mixer)


def behind_dense_ones(k: Keys, mixer: Any) -> dict[str, Any]:
    """Layers of which the first ones are dense, the others have experts; drafting layers have experts too.

    Args:
        k: Their keys.
        mixer: That of all layers, or a list with one for each.
    """
    mixers = mixer if isinstance(mixer, list) else [mixer] * k.num_hidden_layers
    count, shared = (
        getattr(k, f"n_{kind}_experts", None) or getattr(k, name, None)
        for kind, name in (("routed", "num_experts"), ("shared", "num_shared_experts"))
    )
    if count is None:
        raise ValueError("n_routed_experts is needed")
    sparse = experts(
        k,
        count,
        k.num_experts_per_tok,
        k.moe_intermediate_size,
        shared_width=(shared or 0) * k.moe_intermediate_size,
        shared_bias=getattr(k, "mlp_bias", False),
    )
    dense = gated(k, up_bias=getattr(k, "mlp_bias", False), down_bias=getattr(k, "mlp_bias", False))
    kinds = getattr(k, "mlp_layer_types", None)
    if kinds is None:
        first = min(k.first_k_dense_replace, k.num_hidden_layers)
        kinds = ["dense"] * first + ["sparse"] * (k.num_hidden_layers - first)
    else:
        types_of(k, kinds, "dense sparse", "mlp_layer_types")
    pairs = zip(mixers, kinds, strict=True)
    return model(k, [layer(mixer, dense if kind == "dense" else sparse) for mixer, kind in pairs])


def minimax_m2(k: Keys) -> dict[str, Any]:
    """MiniMax-M2: norms over all heads at once."""
    width = width_of(k)
    own = {"query_norm": k.num_attention_heads * width, "key_norm": (k.num_key_value_heads or 0) * width}
    if k.rotary_dim is not None and rotary_part(k) == 1:
        own["rotary_dim"] = min(k.rotary_dim, width)
    mixer = attention(k, **own)
    network = experts(k, k.num_local_experts, k.num_experts_per_tok, k.intermediate_size)
    return model(k, [layer(mixer, network)] * k.num_hidden_layers)


def ernie_moe(k: Keys) -> dict[str, Any]:
    """ERNIE 4.5 with experts in the layers between two."""
    last = k.num_hidden_layers - 1 if k.moe_layer_end_index == -1 else k.moe_layer_end_index
    sparse = experts(
        k,
        k.moe_num_experts,
        k.moe_k,
        k.moe_intermediate_size,
        shared_width=k.moe_num_shared_experts * k.moe_intermediate_size,
        shared_bias=k.use_bias,
        router_weights=k.moe_num_experts,
    )
    dense = gated(k, up_bias=k.use_bias, down_bias=k.use_bias)
    mixer = attention(k, qkv_bias=k.use_bias, out_bias=k.use_bias)
    chosen = [
        (i + 1) % k.moe_layer_interval == 0 and k.moe_layer_start_index <= i <= last for i in range(k.num_hidden_layers)
    ]
    return model(k, [layer(mixer, sparse if has else dense) for has in chosen], head_bias=k.use_bias)


def hunyuan_moe(k: Keys) -> dict[str, Any]:
    """Hunyuan with experts and a network of the same width for all tokens."""
    own = {"query_norm": width_of(k), "key_norm": width_of(k), "qkv_bias": k.attention_bias}
    mixer = attention(k, out_bias=k.attention_bias, **own)
    counts, tops = (
        value if isinstance(value, list) else [value] * k.num_hidden_layers for value in (k.num_experts, k.moe_topk)
    )
    if len(set(counts)) > 1 or not len(counts) == len(tops) == k.num_hidden_layers:
        raise ValueError("num_experts and moe_topk must be one number, or one that is the same for each layer")
    networks = [
        experts(k, count, top, k.intermediate_size, shared_width=k.intermediate_size)
        for count, top in zip(counts, tops, strict=True)
    ]
    return model(k, [layer(mixer, network) for network in networks])


def llama4(k: Keys) -> dict[str, Any]:
    """Llama 4: three of four layers see a chunk of the text, the others all of it without positions."""
    turned = k.no_rope_layers or [int((i + 1) % k.no_rope_layer_interval != 0) for i in range(k.num_hidden_layers)]
    if len(turned) != k.num_hidden_layers:
        raise ValueError(f"no_rope_layers must be {k.num_hidden_layers} entries, one for each layer")
    usual = ["chunked_attention" if rope else FULL for rope in turned]
    types = types_of(k, usual, "full_attention chunked_attention")
    step = k.interleave_moe_layer_step
    sparse_layers = k.moe_layers if k.moe_layers is not None else range(step - 1, k.num_hidden_layers, step)
    sparse = experts(
        k, k.num_local_experts, k.num_experts_per_tok, k.intermediate_size, shared_width=k.intermediate_size
    )
    dense = gated(k, k.intermediate_size_mlp)
    bias = {"qkv_bias": k.attention_bias, "out_bias": k.attention_bias}
    layers = [
        layer(
            attention(
                k,
                k.attention_chunk_size if kind != FULL else None,
                chunk=kind != FULL,
                rotary_dim=None if rope else 0,
                **bias,
            ),
            sparse if i in sparse_layers else dense,
        )
        for i, (kind, rope) in enumerate(zip(types, turned, strict=True))
    ]
    return model(k, layers)


_GRANITE = COMMON | FACTORS | {"attention_bias": False, "num_local_experts": 8, "num_experts_per_tok": 2}
_QWEN = COMMON | {
    "vocab_size": 151_936,
    "hidden_size": 2048,
    "num_hidden_layers": 24,
    "max_position_embeddings": 32_768,
    "use_sliding_window": False,
    "sliding_window": 4096,
    "decoder_sparse_step": 1,
    "mlp_only_layers": None,
}

FAMILIES: dict[str, Family] = {
    "mixtral": Family(
        mixtral,
        COMMON
        | {"intermediate_size": 14_336, "num_key_value_heads": 8, "max_position_embeddings": 131_072, "head_dim": None}
        | {"sliding_window": None, "num_local_experts": 8, "num_experts_per_tok": 2},
        ("MixtralForCausalLM",),
        ROUTING,
    ),
    "phimoe": Family(
        phimoe,
        COMMON
        | {"vocab_size": 32_064, "intermediate_size": 6400, "num_key_value_heads": 8, "attention_bias": False}
        | {"max_position_embeddings": 131_072, "sliding_window": None, "num_local_experts": 16}
        | {"num_experts_per_tok": 2, "lm_head_bias": False, "original_max_position_embeddings": 4096},
        ("PhimoeForCausalLM", "PhiMoEForCausalLM"),
        ROUTING,
        ("phimoe", "slimmoe"),
    ),
    "qwen2_moe": Family(
        qwen2_moe,
        _QWEN
        | {"intermediate_size": 5632, "num_attention_heads": 16, "num_key_value_heads": 16, "max_window_layers": 28}
        | {"moe_intermediate_size": 1408, "shared_expert_intermediate_size": 5632, "num_experts_per_tok": 4}
        | {"num_experts": 60, "qkv_bias": True, "layer_types": None},
        ("Qwen2MoeForCausalLM",),
        ROUTING,
    ),
    "qwen3_moe": Family(
        qwen3_moe,
        _QWEN
        | {"intermediate_size": 6144, "num_key_value_heads": 4, "head_dim": None, "attention_bias": False}
        | {"moe_intermediate_size": 768, "num_experts_per_tok": 8, "num_experts": 128},
        ("Qwen3MoeForCausalLM",),
        ROUTING | words("max_window_layers use_qk_norm"),
    ),
    "olmoe": Family(
        olmoe,
        COMMON
        | {"vocab_size": 50_304, "hidden_size": 2048, "intermediate_size": 2048, "num_hidden_layers": 16}
        | {"num_attention_heads": 16, "max_position_embeddings": 4096, "attention_bias": False, "clip_qkv": None}
        | {"num_experts_per_tok": 8, "num_experts": 64},
        ("OlmoeForCausalLM",),
        ROUTING,
    ),
    "granitemoe": Family(granitemoe, _GRANITE, ("GraniteMoeForCausalLM",), ROUTING),
    "granitemoeshared": Family(
        granitemoe,
        _GRANITE | {"shared_intermediate_size": 0},
        ("GraniteMoeSharedForCausalLM",),
        ROUTING,
        types={"shared_intermediate_size": int},
    ),
    "gpt_oss": Family(
        gpt_oss,
        COMMON
        | {"vocab_size": 201_088, "hidden_size": 2880, "intermediate_size": 2880, "num_hidden_layers": 36}
        | {"num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 64, "sliding_window": 128}
        | {"max_position_embeddings": 131_072, "num_local_experts": 128, "num_experts_per_tok": 4}
        | {"layer_types": None, "attention_bias": True},
        ("GptOssForCausalLM",),
        ROUTING | words("swiglu_alpha swiglu_limit initial_context_length"),
    ),
    "glm4_moe": Family(
        glm4_moe,
        COMMON
        | {"vocab_size": 151_552, "intermediate_size": 10_944, "num_hidden_layers": 46, "num_attention_heads": 96}
        | {"num_key_value_heads": 8, "head_dim": None, "max_position_embeddings": 131_072, "attention_bias": False}
        | {"moe_intermediate_size": 1408, "num_experts_per_tok": 8, "n_shared_experts": 1, "n_routed_experts": 128}
        | {"first_k_dense_replace": 1, "use_qk_norm": False, "partial_rotary_factor": 0.5},
        ("Glm4MoeForCausalLM",),
        ROUTING | words("num_nextn_predict_layers num_mtp_layers"),
    ),
    "minimax_m2": Family(
        minimax_m2,
        COMMON
        | {"vocab_size": 200_064, "hidden_size": 3072, "intermediate_size": 1536, "num_hidden_layers": 62}
        | {"num_attention_heads": 48, "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 196_608}
        | {"num_local_experts": 256, "num_experts_per_tok": 8, "rotary_dim": None},
        ("MiniMaxM2ForCausalLM",),
        ROUTING
        | words(
            """
            attn_type_list layernorm_full_attention_beta layernorm_linear_attention_beta layernorm_mlp_beta
            qk_norm_type use_qk_norm shared_moe_mode max_model_len num_mtp_modules
            mtp_transformer_layers use_mtp mlp_intermediate_size shared_intermediate_size"""
        ),
        ("minimax_m2",),
        types={"rotary_dim": Dimension},
        turns_part=True,
    ),
    "ernie4_5_moe": Family(
        ernie_moe,
        COMMON
        | {"vocab_size": 103_424, "hidden_size": 2560, "intermediate_size": 12_288, "num_hidden_layers": 28}
        | {"num_attention_heads": 20, "num_key_value_heads": 4, "max_position_embeddings": 131_072, "use_bias": False}
        | {"tie_word_embeddings": True, "moe_intermediate_size": 1536, "moe_k": 6, "moe_num_experts": 64}
        | {"moe_num_shared_experts": 2, "moe_layer_start_index": 1, "moe_layer_end_index": -1}
        | {"moe_layer_interval": 1, "head_dim": None},
        ("Ernie4_5_MoeForCausalLM", "Ernie4_5_MoEForCausalLM"),
        ROUTING
        | words("moe_norm_min moe_capacity moe_gate moe_use_aux_free compression_ratio use_rmsnorm")
        | words("num_nextn_predict_layers"),
        ("ernie4_5_moe",),
    ),
    "hunyuan_v1_moe": Family(
        hunyuan_moe,
        COMMON | {"vocab_size": 290_943, "attention_bias": False, "num_experts": 1, "moe_topk": 1, "head_dim": None},
        ("HunYuanMoEV1ForCausalLM",),
        ROUTING
        | words(
            """
            use_qk_norm qk_norm use_rotary_pos_emb norm_type pool_type attention_head_dim moe_drop_tokens class_num
            moe_random_routing_dropped_token moe_layer_num_skipped num_shared_expert cla_share_factor use_mixed_mlp_moe
            org_vocab_size num_media_embeds mask_init_id group_limited_greedy moe_intermediate_size
            dense_list im_start_id im_end_id im_newline_id text_start_id text_end_id sep_id"""
        ),
        ("hunyuan",),
        types={"num_experts": int | list[int], "moe_topk": int | list[int]},
    ),
    "llama4_text": Family(
        llama4,
        COMMON
        | {"vocab_size": 202_048, "hidden_size": 5120, "intermediate_size": 8192, "intermediate_size_mlp": 16_384}
        | {"num_hidden_layers": 48, "num_attention_heads": 40, "num_key_value_heads": 8, "head_dim": 128}
        | {"max_position_embeddings": 131_072, "num_experts_per_tok": 1, "num_local_experts": 16, "moe_layers": None}
        | {"interleave_moe_layer_step": 1, "no_rope_layers": None, "no_rope_layer_interval": 4}
        | {"attention_chunk_size": 8192, "layer_types": None, "attention_bias": False},
        ("Llama4ForCausalLM",),
        ROUTING
        | words("use_qk_norm attn_temperature_tuning floor_scale attn_scale for_llm_compressor cache_implementation"),
    ),
}
