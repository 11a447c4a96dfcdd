"""Families that have others' layers in another arrangement, or under keys of their own."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from pydantic import NonNegativeInt

from lpspec.llm.config_keys import words
from lpspec.llm.families.dense import BOTH, FULL, llama
from lpspec.llm.families.family import (
    COMMON,
    Dimension,
    Family,
    Keys,
    attention,
    every,
    experts,
    gated,
    layer,
    model,
    types_of,
    width_of,
    windows_of,
)
from lpspec.llm.families.gemma import FAMILIES as GEMMA
from lpspec.llm.families.gpt_style import FAMILIES as GPT_STYLE
from lpspec.llm.families.hybrids import MAMBA, MAMBA_NOTES, MAMBA_TYPES, mamba_of
from lpspec.llm.families.latent import FAMILIES as LATENT
from lpspec.llm.families.latent import indexed, latent
from lpspec.llm.families.llama_like import FAMILIES as LLAMA_LIKE
from lpspec.llm.families.mixtures import FAMILIES as MIXTURES
from lpspec.llm.families.mixtures import ROUTING, behind_dense_ones
from lpspec.llm.layers import SOFT_CAP_OPS


def cwm(k: Keys) -> dict[str, Any]:
    """Code World Model: of four layers, the first sees all and the others slide."""
    usual = [FULL if i % 4 == 0 else "sliding_attention" for i in range(k.num_hidden_layers)]
    network = gated(k, up_bias=k.mlp_bias, down_bias=k.mlp_bias)
    return model(k, [layer(attention(k, window), network) for window in windows_of(k, types_of(k, usual, BOTH))])


def internlm3(k: Keys) -> dict[str, Any]:
    """InternLM 3: Llama with biases everywhere or nowhere; how the others would be computed no library says."""
    if k.attention_bias != k.mlp_bias:
        raise ValueError(f"attention_bias ({k.attention_bias}) and mlp_bias ({k.mlp_bias}) must agree")
    return llama(k)


def internlm2(k: Keys) -> dict[str, Any]:
    """InternLM 2: Llama with queries, keys and values in one product."""
    bias = {"qkv_bias": k.bias, "out_bias": k.bias}
    return model(k, [layer(attention(k, **bias), gated(k))] * k.num_hidden_layers)


def dots1(k: Keys) -> dict[str, Any]:
    """dots.llm1: experts behind the first layers; norms of queries and keys."""
    usual = [
        "sliding_attention" if k.sliding_window is not None and i >= k.max_window_layers else FULL
        for i in range(k.num_hidden_layers)
    ]
    own = {"query_norm": width_of(k), "key_norm": width_of(k)}
    own |= {"qkv_bias": k.attention_bias, "out_bias": k.attention_bias}
    mixers = [attention(k, window, **own) for window in windows_of(k, types_of(k, usual, BOTH))]
    return behind_dense_ones(k, mixers)


def solar_open(k: Keys) -> dict[str, Any]:
    """Solar Open: experts in all layers."""
    network = experts(
        k,
        k.n_routed_experts,
        k.num_experts_per_tok,
        k.moe_intermediate_size,
        shared_width=k.n_shared_experts * k.moe_intermediate_size,
    )
    return model(k, [layer(attention(k, qkv_bias=k.attention_bias), network)] * k.num_hidden_layers)


def exaone_moe(k: Keys) -> dict[str, Any]:
    """K-EXAONE: three of four layers slide; experts behind the first."""
    pattern = k.sliding_window_pattern if k.sliding_window is not None else None
    interval = len(pattern) if isinstance(pattern, str) else pattern
    usual = every(k, interval, "sliding_attention", FULL) if interval else [FULL] * k.num_hidden_layers
    own = {"query_norm": width_of(k), "key_norm": width_of(k)}
    mixers = [attention(k, window, **own) for window in windows_of(k, types_of(k, usual, BOTH))]
    return behind_dense_ones(k, mixers)


def youtu(k: Keys) -> dict[str, Any]:
    """Youtu-LLM: latent attention over dense networks."""
    return model(k, [layer(latent(k), gated(k))] * k.num_hidden_layers)


def glm_moe_dsa(k: Keys) -> dict[str, Any]:
    """GLM-5: DeepSeek V3.2's layers, of which some attend to what the indexer of an earlier one chose."""
    count, spelt = k.num_hidden_layers, {"F": "full", "S": "shared"}
    if k.index_topk_pattern is None:
        every, start = max(k.index_topk_freq, 1), k.index_skip_topk_offset
        usual = ["shared" if max(i - start + 1, 0) % every else "full" for i in range(count)]
    else:
        usual = [spelt.get(kind, kind) for kind in k.index_topk_pattern]
    key = "indexer_types" if k.indexer_types is not None or k.index_topk_pattern is None else "index_topk_pattern"
    said = SimpleNamespace(num_hidden_layers=count, **{key: k.indexer_types or usual})
    kinds = types_of(said, usual, "full shared", key)
    if kinds[0] == "shared":
        raise ValueError(f"{key}: the first layer has no earlier one whose choice it could share")
    types_of(k, ["indexed_attention"] * count, "indexed_attention")
    return indexed(k, kinds)


def bamba(k: Keys) -> dict[str, Any]:
    """Bamba: Mamba-2 layers and some attention, each before a gated network."""
    chosen = k.attn_layer_indices or ()
    full = attention(k, qkv_bias=k.attention_bias, out_bias=k.attention_bias)
    network = gated(k, up_bias=k.mlp_bias, down_bias=k.mlp_bias)
    mixers = [full if i in chosen else mamba_of(k) for i in range(k.num_hidden_layers)]
    return model(k, [layer(mixer, network) for mixer in mixers])


def vaultgemma(k: Keys) -> dict[str, Any]:
    """VaultGemma: Gemma 2 without the norms behind the parts."""
    windows = windows_of(k, types_of(k, every(k, 2, "sliding_attention", FULL), BOTH))
    own = {"qkv_bias": k.attention_bias, "out_bias": k.attention_bias}
    own |= {"score_cap": k.attn_logit_softcapping is not None}
    capped = SOFT_CAP_OPS if k.final_logit_softcapping is not None else 0
    layers = [layer(attention(k, window, **own), gated(k)) for window in windows]
    return model(k, layers, embedding_ops=1, logit_ops=capped)


def _by_numbers(k: Keys, key: str, kinds: str) -> list[str] | None:
    """Kinds of layers that a key says as 0 and 1; None where it says nothing."""
    said = getattr(k, key)
    if said is None:
        return None
    if len(said) != k.num_hidden_layers or not set(said) <= {0, 1}:
        raise ValueError(f"{key} must be {k.num_hidden_layers} entries of 0 or 1, one for each layer")
    return [kinds.split()[one] for one in said]


def mimo_v2_flash(k: Keys) -> dict[str, Any]:
    """MiMo-V2-Flash: most layers slide, with twice the cached heads and with sinks."""
    usual = [FULL if i == 0 or (i + 1) % 6 == 0 else "sliding_attention" for i in range(k.num_hidden_layers)]
    usual = _by_numbers(k, "hybrid_layer_pattern", BOTH) or usual
    first_dense = ["dense"] + ["sparse"] * (k.num_hidden_layers - 1)
    kinds = types_of(
        k, _by_numbers(k, "moe_layer_freq", "dense sparse") or first_dense, "dense sparse", "mlp_layer_types"
    )
    same = {"swa_num_attention_heads": k.num_attention_heads, "swa_num_key_value_heads": 2 * k.num_key_value_heads}
    same |= {"swa_head_dim": k.head_dim, "swa_v_head_dim": k.v_head_dim}
    same |= {"add_swa_attention_sink_bias": True, "add_full_attention_sink_bias": False}
    for key, value in same.items():
        if getattr(k, key) not in (None, value):
            raise ValueError(f"{key} = {getattr(k, key)}: allowed is {value}")
    if k.sliding_window_size is not None:  # tokens before the one that sees them
        k = k.model_copy(update={"sliding_window": k.sliding_window_size + 1})
    windows = windows_of(k, types_of(k, usual, BOTH))
    sparse = experts(k, k.n_routed_experts, k.num_experts_per_tok, k.moe_intermediate_size)
    layers = [
        layer(
            attention(
                k,
                window,
                kv_heads=k.num_key_value_heads * (1 if window is None else 2),
                value_dim=k.v_head_dim,
                sinks=window is not None,
                qkv_bias=k.attention_bias,
            ),
            gated(k) if kind == "dense" else sparse,
        )
        for window, kind in zip(windows, kinds, strict=True)
    ]
    return model(k, layers)


_OF_MIMO_V2: dict[str, Any] = {
    **dict.fromkeys(("hybrid_layer_pattern", "moe_layer_freq"), list[int]),
    **dict.fromkeys(
        ("swa_num_attention_heads", "swa_num_key_value_heads", "swa_head_dim", "swa_v_head_dim"), Dimension
    ),
    **dict.fromkeys(("add_swa_attention_sink_bias", "add_full_attention_sink_bias"), bool),
    "sliding_window_size": Dimension,
}
"""Keys of its published file that the library's class does not know; null where they are absent."""

FAMILIES: dict[str, Family] = {
    "cwm": Family(
        cwm,
        COMMON
        | {"vocab_size": 128_256, "hidden_size": 6144, "intermediate_size": 21_504, "num_hidden_layers": 64}
        | {"num_attention_heads": 48, "num_key_value_heads": 8, "max_position_embeddings": 131_072, "head_dim": 128}
        | {"mlp_bias": False, "sliding_window": 8192, "layer_types": None},
        ("CwmForCausalLM",),
    ),
    "internlm2": Family(
        internlm2,
        COMMON | {"vocab_size": 103_168, "bias": True},
        ("InternLM2ForCausalLM",),
        words("attn_implementation"),
        ("internlm2",),
    ),
    "internlm3": Family(
        internlm3,
        COMMON
        | {"vocab_size": 128_512, "intermediate_size": 10_240, "num_hidden_layers": 48, "num_key_value_heads": 2}
        | {"max_position_embeddings": 32_768, "head_dim": 128, "attention_bias": False, "mlp_bias": False}
        | {"layer_types": None},
        ("InternLM3ForCausalLM",),
        modules=("internlm3",),
    ),
    "mimo": replace(
        LLAMA_LIKE["qwen2"],
        keys=LLAMA_LIKE["qwen2"].keys | {"head_dim": None},
        classes=("MiMoForCausalLM",),
        harmless=LLAMA_LIKE["qwen2"].harmless | {"num_nextn_predict_layers"},
        modules=("mimo",),
    ),
    "dots1": Family(
        dots1,
        COMMON
        | {"vocab_size": 152_064, "hidden_size": 4608, "intermediate_size": 10_944, "moe_intermediate_size": 1408}
        | {"num_hidden_layers": 62, "num_key_value_heads": 32, "n_shared_experts": None, "n_routed_experts": None}
        | {"num_experts_per_tok": None, "first_k_dense_replace": 0, "attention_bias": False, "sliding_window": 4096}
        | {"max_window_layers": 62, "layer_types": None},
        ("Dots1ForCausalLM",),
        ROUTING | words("moe_layer_freq use_sliding_window"),
        types={"n_routed_experts": Dimension},
    ),
    "solar_open": Family(
        solar_open,
        COMMON
        | {"vocab_size": 196_608, "num_hidden_layers": 48, "num_attention_heads": 64, "num_key_value_heads": 8}
        | {"max_position_embeddings": 131_072, "attention_bias": False, "moe_intermediate_size": 1280}
        | {"num_experts_per_tok": 8, "n_shared_experts": 1, "n_routed_experts": 128, "head_dim": 128},
        ("SolarOpenForCausalLM",),
        ROUTING | words("intermediate_size first_k_dense_replace use_qk_norm"),
    ),
    "exaone_moe": Family(
        exaone_moe,
        COMMON
        | {"vocab_size": 102_400, "intermediate_size": 16_384, "num_key_value_heads": 32, "sliding_window": 4096}
        | {"sliding_window_pattern": 4, "layer_types": None, "mlp_layer_types": None, "first_k_dense_replace": 1}
        | {"moe_intermediate_size": 1024, "num_experts": 64, "num_experts_per_tok": 8, "num_shared_experts": 1},
        ("ExaoneMoeForCausalLM", "ExaoneMoEForCausalLM"),
        ROUTING | words("num_nextn_predict_layers is_moe_layer"),
        types={"sliding_window_pattern": int | str | None, "num_shared_experts": int},
    ),
    "youtu": Family(
        youtu,
        LATENT["minicpm3"].keys
        | {"vocab_size": 128_256, "hidden_size": 2048, "intermediate_size": 6144, "num_hidden_layers": 32}
        | {"num_attention_heads": 16, "num_key_value_heads": 16, "kv_lora_rank": 512, "q_lora_rank": 1536}
        | {"qk_rope_head_dim": 64, "v_head_dim": 128, "qk_nope_head_dim": 128, "max_position_embeddings": 131_072},
        ("YoutuForCausalLM",),
        LATENT["deepseek_v3"].harmless | words("mlp_bias"),
        ("youtu",),
    ),
    "glm_moe_dsa": Family(
        glm_moe_dsa,
        LATENT["deepseek_v32"].keys
        | {"vocab_size": 154_880, "hidden_size": 6144, "intermediate_size": 12_288, "num_hidden_layers": 78}
        | {"num_attention_heads": 64, "num_key_value_heads": 64, "q_lora_rank": 2048, "v_head_dim": 256}
        | {"qk_nope_head_dim": 192, "max_position_embeddings": 202_752, "index_n_heads": 32}
        | {"indexer_types": None, "index_topk_pattern": None, "index_topk_freq": 1, "index_skip_topk_offset": 2},
        ("GlmMoeDsaForCausalLM",),
        LATENT["deepseek_v32"].harmless | words("indexer_rope_interleave index_share_for_mtp_iteration"),
        types=LATENT["deepseek_v32"].types
        | {"indexer_types": list[str], "index_topk_pattern": str | list[str] | None}
        | {"index_skip_topk_offset": NonNegativeInt},
    ),
    "bamba": Family(
        bamba,
        COMMON
        | MAMBA
        | {"vocab_size": 128_000, "intermediate_size": 14_336, "num_key_value_heads": 8, "mlp_bias": False}
        | {"max_position_embeddings": 262_144, "attention_bias": False, "attn_layer_indices": None}
        | {"partial_rotary_factor": 0.5},
        ("BambaForCausalLM",),
        MAMBA_NOTES | words("z_loss_coefficient attn_rotary_emb"),
        types=MAMBA_TYPES | {"attn_layer_indices": list[NonNegativeInt]},
    ),
    "vaultgemma": replace(GEMMA["gemma2"], describe=vaultgemma, classes=("VaultGemmaForCausalLM",)),
    "codegen": replace(
        GPT_STYLE["gptj"],
        classes=("CodeGenForCausalLM",),
    ),
    "glm4v_text": replace(
        LLAMA_LIKE["glm4"],
        keys=LLAMA_LIKE["glm4"].keys | {"max_position_embeddings": 32_768},
    ),
    "glm4v_moe_text": replace(
        MIXTURES["glm4_moe"],
        keys=MIXTURES["glm4_moe"].keys
        | {"vocab_size": 151_424, "max_position_embeddings": 65_536, "attention_bias": True},
    ),
    "mimo_v2_flash": Family(
        mimo_v2_flash,
        COMMON
        | {"vocab_size": 152_576, "intermediate_size": 16_384, "num_hidden_layers": 48, "num_attention_heads": 64}
        | {"num_key_value_heads": 4, "max_position_embeddings": 131_072, "attention_bias": False, "head_dim": 192}
        | {"v_head_dim": 128, "moe_intermediate_size": 2048, "num_experts_per_tok": 8, "n_routed_experts": 256}
        | {"sliding_window": 129, "layer_types": None, "mlp_layer_types": None, "partial_rotary_factor": 0.334}
        | dict.fromkeys(_OF_MIMO_V2),
        ("MiMoV2FlashForCausalLM",),
        ROUTING | words("attention_value_scale layernorm_epsilon swa_rope_theta attention_chunk_size"),
        types=_OF_MIMO_V2,
    ),
}
