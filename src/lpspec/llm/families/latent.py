"""Families with latent attention: DeepSeek and those that follow it."""

from typing import Any

from lpspec.llm.config_keys import words
from lpspec.llm.families.family import COMMON, Family, Keys, gated, layer, model, types_of
from lpspec.llm.families.mixtures import ROUTING, behind_dense_ones
from lpspec.llm.layers import LatentAttention


def latent(k: Keys, **own: Any) -> LatentAttention:
    """DeepSeek's attention by its usual keys."""
    return LatentAttention(
        heads=k.num_attention_heads,
        query_rank=k.q_lora_rank,
        latent_dim=k.kv_lora_rank,
        nope_dim=k.qk_nope_head_dim,
        rotary_dim=k.qk_rope_head_dim,
        value_dim=k.v_head_dim or k.hidden_size // k.num_attention_heads,
        bias=k.attention_bias,
        **own,
    )


def deepseek(k: Keys) -> dict[str, Any]:
    """DeepSeek V2 and V3, GLM-4.7-Flash."""
    return behind_dense_ones(k, latent(k))


def glm4_moe_lite(k: Keys) -> dict[str, Any]:
    """GLM-4.7-Flash: experts behind the first layer, unless each layer says what it is."""
    if k.first_k_dense_replace != 1:
        raise ValueError(f"first_k_dense_replace = {k.first_k_dense_replace}: allowed is 1; say it by mlp_layer_types")
    return deepseek(k)


def deepseek_v32(k: Keys) -> dict[str, Any]:
    """DeepSeek V3.2: an indexer chooses the tokens that are attended to."""
    types_of(k, ["indexed_attention"] * k.num_hidden_layers, "indexed_attention")
    return indexed(k, ["full"] * k.num_hidden_layers)


def indexed(k: Keys, kinds: list[str]) -> dict[str, Any]:
    """Layers that attend to chosen tokens: by an indexer of their own ("full") or by an earlier layer's ("shared")."""
    own = {"index_heads": k.index_n_heads, "index_dim": k.index_head_dim}
    mixers = {kind: latent(k, index_top_k=k.index_topk, **(own if kind == "full" else {})) for kind in set(kinds)}
    return behind_dense_ones(k, [mixers[kind] for kind in kinds])


def minicpm3(k: Keys) -> dict[str, Any]:
    """MiniCPM3: latent attention over dense networks, with factors."""
    one = layer(latent(k), gated(k, up_bias=k.mlp_bias, down_bias=k.mlp_bias), scaled_residuals=True)
    return model(k, [one] * k.num_hidden_layers, embedding_ops=1, logit_ops=1)


_LATENT = COMMON | {
    "attention_bias": False,
    "kv_lora_rank": 512,
    "q_lora_rank": 1536,
    "qk_nope_head_dim": 128,
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
}
_V3 = _LATENT | {
    "vocab_size": 129_280,
    "hidden_size": 7168,
    "intermediate_size": 18_432,
    "moe_intermediate_size": 2048,
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "n_shared_experts": 1,
    "n_routed_experts": 256,
    "num_experts_per_tok": 8,
    "first_k_dense_replace": 3,
    "max_position_embeddings": 4096,
    "num_nextn_predict_layers": 0,
    "moe_layer_freq": 1,
}
_NOTES = ROUTING | words("rope_interleave num_mtp_layers qk_head_dim pretraining_tp")
_ONE = {"moe_layer_freq": int}

FAMILIES: dict[str, Family] = {
    "deepseek_v2": Family(
        deepseek,
        _LATENT
        | {"vocab_size": 102_400, "n_routed_experts": 64, "n_shared_experts": 2, "num_experts_per_tok": None}
        | {"moe_intermediate_size": 1407, "first_k_dense_replace": 0, "mlp_bias": False, "moe_layer_freq": 1},
        ("DeepseekV2ForCausalLM",),
        _NOTES,
        ("deepseek",),
        types=_ONE,
    ),
    "deepseek_v3": Family(
        deepseek,
        _V3,
        ("DeepseekV3ForCausalLM",),
        _NOTES,
        ("deepseek",),
        types=_ONE,
    ),
    "deepseek_v32": Family(
        deepseek_v32,
        _V3
        | {"max_position_embeddings": 163_840, "index_topk": 2048, "index_head_dim": 128, "index_n_heads": 64}
        | {"mlp_layer_types": None, "layer_types": None, "head_dim": 64},
        ("DeepseekV32ForCausalLM",),
        _NOTES | words("mlp_bias"),
        ("deepseek",),
        types=_ONE,
    ),
    "glm4_moe_lite": Family(
        glm4_moe_lite,
        {key: value for key, value in _LATENT.items() if key != "head_dim"}
        | {"vocab_size": 154_880, "hidden_size": 2048, "intermediate_size": 10_240, "moe_intermediate_size": 1536}
        | {"num_hidden_layers": 47, "num_attention_heads": 20, "num_key_value_heads": 20, "n_shared_experts": 1}
        | {"n_routed_experts": 64, "q_lora_rank": 768, "v_head_dim": 256, "qk_nope_head_dim": 192}
        | {"num_experts_per_tok": 4, "max_position_embeddings": 202_752, "mlp_layer_types": None}
        | {"first_k_dense_replace": 1, "num_nextn_predict_layers": 0},
        ("Glm4MoeLiteForCausalLM",),
        _NOTES,
    ),
    "minicpm3": Family(
        minicpm3,
        _LATENT
        | {"vocab_size": 73_448, "hidden_size": 2560, "intermediate_size": 6400, "num_hidden_layers": 62}
        | {"num_attention_heads": 40, "num_key_value_heads": 40, "max_position_embeddings": 32_768}
        | {"tie_word_embeddings": True, "mlp_bias": False, "kv_lora_rank": 256, "q_lora_rank": 768}
        | {"qk_nope_head_dim": 64, "qk_rope_head_dim": 32, "v_head_dim": None},
        ("MiniCPM3ForCausalLM",),
        _NOTES | words("scale_emb scale_depth dim_model_base"),
        ("minicpm", "minicpm3"),
    ),
}
