"""Families in which some layers keep a state of fixed size instead of keys and values."""

from typing import Any

from lpspec.llm.config_keys import words
from lpspec.llm.families.dense import FULL
from lpspec.llm.families.family import (
    ACTIVATIONS,
    COMMON,
    FACTORS,
    Dimension,
    Family,
    Keys,
    attention,
    every,
    experts,
    gated,
    layer,
    model,
    plain,
    types_of,
    width_of,
)
from lpspec.llm.families.mixtures import ROUTING, sparse_or_dense
from lpspec.llm.feed_forward import Experts
from lpspec.llm.layer import Layer
from lpspec.llm.layers import SelfAttention
from lpspec.llm.states import LinearAttention, ShortConvolution, StateSpace

LINEAR = "linear_attention"


def qwen3_next(k: Keys) -> dict[str, Any]:
    """Qwen3-Next: three of four layers are gated delta nets; experts in all."""
    sparse = _qwen_experts(k)
    networks = [sparse_or_dense(k, sparse, i) for i in range(k.num_hidden_layers)]
    return model(k, [layer(mixer, network) for mixer, network in zip(_qwen_mixers(k), networks, strict=True)])


def qwen3_5(k: Keys) -> dict[str, Any]:
    """Qwen3.5: the same over dense networks."""
    return model(k, [layer(mixer, gated(k)) for mixer in _qwen_mixers(k)])


def qwen3_5_moe(k: Keys) -> dict[str, Any]:
    """Qwen3.5 with experts."""
    return model(k, [layer(mixer, _qwen_experts(k)) for mixer in _qwen_mixers(k)])


def _qwen_experts(k: Keys) -> Experts:
    return experts(
        k,
        k.num_experts,
        k.num_experts_per_tok,
        k.moe_intermediate_size,
        shared_width=k.shared_expert_intermediate_size,
        shared_gate=True,
    )


def _qwen_mixers(k: Keys) -> list[SelfAttention | LinearAttention]:
    types = types_of(k, every(k, k.full_attention_interval, LINEAR, FULL), f"{FULL} {LINEAR}")
    width = width_of(k)
    own = {"query_norm": width, "key_norm": width, "qkv_bias": k.attention_bias, "out_bias": k.attention_bias}
    full = attention(k, gate=True, **own)
    linear = LinearAttention(
        key_heads=k.linear_num_key_heads,
        value_heads=k.linear_num_value_heads,
        key_dim=k.linear_key_head_dim,
        value_dim=k.linear_value_head_dim,
        kernel=k.linear_conv_kernel_dim,
    )
    return [full if kind == FULL else linear for kind in types]


def lfm2(k: Keys) -> dict[str, Any]:
    """LFM2: short convolutions and some attention; the network's width is adjusted."""
    width = k.block_ff_dim or k.intermediate_size
    if k.block_auto_adjust_ff_dim:
        width = int(2 * width / 3)
        if k.block_ffn_dim_multiplier is not None:
            width = int(k.block_ffn_dim_multiplier * width)
            width = k.block_multiple_of * -(-width // k.block_multiple_of)
    indices = range(k.num_hidden_layers) if k.full_attn_idxs is None else k.full_attn_idxs
    usual = [FULL if i in indices else "conv" for i in range(k.num_hidden_layers)]
    mixers = _lfm_mixers(k, types_of(k, usual, f"{FULL} conv"))
    return model(k, [layer(mixer, gated(k, width)) for mixer in mixers]) | _tied(k)


def lfm2_moe(k: Keys) -> dict[str, Any]:
    """LFM2 with experts behind the first layers."""
    sparse = experts(k, k.num_experts, k.num_experts_per_tok, k.moe_intermediate_size)
    mixers = _lfm_mixers(k, types_of(k, [FULL] * k.num_hidden_layers, f"{FULL} conv"))
    layers = [layer(mixer, gated(k) if i < k.num_dense_layers else sparse) for i, mixer in enumerate(mixers)]
    return model(k, layers) | _tied(k)


def _lfm_mixers(k: Keys, types: list[str]) -> list[SelfAttention | ShortConvolution]:
    full = attention(k, query_norm=width_of(k), key_norm=width_of(k))
    short = ShortConvolution(kernel=k.conv_L_cache, bias=k.conv_bias)
    return [full if kind == FULL else short for kind in types]


def _tied(k: Keys) -> dict[str, Any]:
    return {} if k.tie_embedding is None else {"tied_embeddings": k.tie_embedding}


def mamba_of(k: Keys, inner: int | None = None, out_bias: bool | None = None, norm: bool = True) -> StateSpace:
    """Mamba-2 by the keys of Bamba, Granite and Falcon-H1, of so many channels where ``mamba_d_ssm`` says it.

    Raises:
        ValueError: Its heads are not as wide as it is in all.
    """
    said = "mamba_expand times hidden_size" if inner is None else "mamba_d_ssm"
    channels = k.mamba_expand * k.hidden_size if inner is None else inner
    heads = k.mamba_n_heads
    width = channels // heads if k.mamba_d_head in ("auto", None) else k.mamba_d_head
    if width * heads != channels:
        raise ValueError(f"mamba_d_head times mamba_n_heads must be {said}")
    return StateSpace(
        heads=heads,
        head_dim=width,
        groups=k.mamba_n_groups,
        state_size=k.mamba_d_state,
        kernel=k.mamba_d_conv,
        bias=k.mamba_proj_bias,
        conv_bias=k.mamba_conv_bias,
        out_bias=out_bias,
        norm=norm,
    )


def granite_hybrid(k: Keys) -> dict[str, Any]:
    """Granite 4: Mamba-2 layers and some attention, with or without experts."""
    types = types_of(k, [LINEAR] * k.num_hidden_layers, f"{FULL} {LINEAR}")
    space = mamba_of(k)
    rotary = None if k.position_embedding_type == "rope" else 0
    full = attention(k, rotary_dim=rotary, qkv_bias=k.attention_bias, out_bias=k.attention_bias)
    network: Any = gated(k, k.shared_intermediate_size)
    if k.num_local_experts:
        network = experts(
            k,
            k.num_local_experts,
            k.num_experts_per_tok,
            k.intermediate_size,
            shared_width=k.shared_intermediate_size,
        )
    layers = [layer(full if kind == FULL else space, network, scaled_residuals=True) for kind in types]
    return model(k, layers, embedding_ops=1, logit_ops=1)


_NEMOTRON = {"M": LINEAR, "E": "moe", "*": FULL, "-": "mlp"}


def nemotron_h(k: Keys) -> dict[str, Any]:
    """Nemotron-H and Nemotron 3: layers of one part each, Mamba-2, attention, a network or experts."""
    if k.tie_word_embeddings:
        raise ValueError("tie_word_embeddings = True: the library does not tie them in this family")
    named = k.layers_block_type if k.layers_block_type is not None else k.layer_types
    if named is None:
        pattern = k.hybrid_override_pattern
        if pattern is not None and set(pattern) - set(_NEMOTRON):
            raise ValueError(f"hybrid_override_pattern is of the letters {' '.join(_NEMOTRON)}")
        named = [LINEAR, "moe", FULL, "mlp"] if pattern is None else [_NEMOTRON[letter] for letter in pattern]
    aliases = {"mamba": LINEAR, "attention": FULL}
    kinds = [aliases.get(kind, kind) for kind in named]
    space = StateSpace(
        heads=k.mamba_num_heads,
        head_dim=k.mamba_head_dim,
        groups=k.n_groups,
        state_size=k.ssm_state_size,
        kernel=k.conv_kernel,
        bias=k.use_bias,
        conv_bias=k.use_conv_bias,
    )
    act = ACTIVATIONS[k.mlp_hidden_act]
    parts: dict[str, Layer] = {
        LINEAR: layer(space, None),
        FULL: layer(attention(k, rotary_dim=0), None),
        "mlp": layer((), plain(k, k.intermediate_size, k.mlp_bias, k.mlp_hidden_act)),
    }
    if "moe" in kinds:
        sparse = Experts(
            experts=k.n_routed_experts,
            top_k=k.num_experts_per_tok,
            width=k.moe_intermediate_size,
            gated=False,
            activation=act,
            shared_width=k.moe_shared_expert_intermediate_size,
            shared_bias=k.mlp_bias,
            latent_dim=k.moe_latent_size or 0,
            latent_bias=k.mlp_bias,
        )
        parts["moe"] = layer((), sparse)
    if other := next((kind for kind in kinds if kind not in parts), None):
        raise ValueError(f"layers_block_type names '{other[:30]}': allowed are {', '.join(parts)}")
    return model(k, [parts[kind] for kind in kinds])


def falcon_h1(k: Keys) -> dict[str, Any]:
    """Falcon-H1: attention and Mamba-2 side by side in all layers."""
    space = mamba_of(k, k.mamba_d_ssm, out_bias=k.projectors_bias, norm=k.mamba_rms_norm)
    full = attention(k, qkv_bias=k.attention_bias, out_bias=k.attention_bias)
    network = gated(k, up_bias=k.mlp_bias, down_bias=k.mlp_bias)
    return model(k, [layer((full, space), network)] * k.num_hidden_layers, embedding_ops=1, logit_ops=1)


_MULTIPLIERS = words(
    """
    lm_head_multiplier embedding_multiplier mlp_multipliers key_multiplier attention_out_multiplier
    attention_in_multiplier ssm_multipliers ssm_in_multiplier ssm_out_multiplier mamba_norm_before_gate
    mamba_use_mlp mlp_expansion_factor num_logits_to_keep mamba_chunk_size time_step_limit
    time_step_min time_step_max time_step_floor time_step_rank
    """
)
MAMBA_NOTES = words(
    """
    time_step_limit time_step_min time_step_max time_step_floor time_step_rank chunk_size mamba_chunk_size
    num_logits_to_keep use_mamba_kernels mamba_ssm_cache_dtype rescale_prenorm_residual residual_in_fp32
    mamba_hidden_act expand mamba_expand moe_shared_expert_overlap head_dim_scale mtp_layers_block_type
    mtp_hybrid_override_pattern num_nextn_predict_layers keep_mtp
    mamba_dt_min mamba_dt_max mamba_dt_limit mamba_dt_init_floor
    """
)
_QWEN = COMMON | {
    "hidden_size": 2048,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32_768,
    "attention_bias": False,
    "head_dim": 256,
    "linear_conv_kernel_dim": 4,
    "linear_key_head_dim": 128,
    "linear_value_head_dim": 128,
    "linear_num_key_heads": 16,
    "linear_num_value_heads": 32,
    "layer_types": None,
    "full_attention_interval": 4,
    "partial_rotary_factor": 0.25,
}
_QWEN_EXPERTS = {"moe_intermediate_size": 512, "shared_expert_intermediate_size": 512}
_QWEN_NOTES = words(
    """
    mtp_num_hidden_layers mtp_use_dedicated_embeddings mamba_ssm_dtype attn_output_gate mlp_only_layers
    num_nextn_predict_layers use_mtp
    """
)
MAMBA = {
    "mamba_n_heads": 128,
    "mamba_n_groups": 1,
    "mamba_d_state": 256,
    "mamba_d_head": "auto",
    "mamba_d_conv": 4,
    "mamba_expand": 2,
    "mamba_conv_bias": True,
    "mamba_proj_bias": False,
}
MAMBA_TYPES: dict[str, Any] = {"mamba_d_head": Dimension | str | None}
_LFM = COMMON | {
    "vocab_size": 65_536,
    "num_key_value_heads": 8,
    "max_position_embeddings": 128_000,
    "tie_word_embeddings": True,
    "conv_bias": False,
    "conv_L_cache": 3,
    "layer_types": None,
    "tie_embedding": None,
    "norm_eps": 1e-5,
}
_LFM_NOTES = words(
    """
    conv_dim conv_dim_out block_dim block_mlp_init_scale block_norm_eps block_out_init_scale block_use_swiglu
    block_use_xavier_init num_heads use_pos_enc conv_use_xavier_init block_mlp_init_scale theta
    """
)

FAMILIES: dict[str, Family] = {
    "qwen3_next": Family(
        qwen3_next,
        _QWEN
        | _QWEN_EXPERTS
        | {"vocab_size": 151_936, "intermediate_size": 5632, "num_hidden_layers": 48, "decoder_sparse_step": 1}
        | {"num_experts_per_tok": 10, "num_experts": 512, "mlp_only_layers": None},
        ("Qwen3NextForCausalLM",),
        ROUTING | _QWEN_NOTES,
    ),
    "qwen3_5_text": Family(
        qwen3_5,
        _QWEN | {"vocab_size": 248_320, "hidden_size": 4096, "intermediate_size": 12_288, "num_key_value_heads": 4},
        ("Qwen3_5ForCausalLM",),
        _QWEN_NOTES,
    ),
    "qwen3_5_moe_text": Family(
        qwen3_5_moe,
        _QWEN
        | _QWEN_EXPERTS
        | {"vocab_size": 248_320, "num_hidden_layers": 40, "num_experts_per_tok": 8, "num_experts": 256},
        ("Qwen3_5MoeForCausalLM",),
        ROUTING | _QWEN_NOTES | words("intermediate_size"),
    ),
    "lfm2": Family(
        lfm2,
        _LFM
        | {"hidden_size": 2560, "intermediate_size": 12_288, "block_multiple_of": 256, "block_ff_dim": None}
        | {"block_ffn_dim_multiplier": 1.0, "block_auto_adjust_ff_dim": True, "full_attn_idxs": None},
        ("Lfm2ForCausalLM", "LFM2ForCausalLM"),
        _LFM_NOTES,
        types={"block_ffn_dim_multiplier": float | int | None, "block_ff_dim": Dimension | None},
    ),
    "lfm2_moe": Family(
        lfm2_moe,
        _LFM
        | {"hidden_size": 2048, "intermediate_size": 7168, "moe_intermediate_size": 1792, "num_dense_layers": 2}
        | {"num_experts_per_tok": 4, "num_experts": 32},
        ("Lfm2MoeForCausalLM",),
        ROUTING | _LFM_NOTES | words("use_expert_bias"),
    ),
    "granitemoehybrid": Family(
        granite_hybrid,
        COMMON
        | MAMBA
        | {"attention_bias": False, "num_local_experts": 8, "num_experts_per_tok": 2, "layer_types": None}
        | {"shared_intermediate_size": 1024, "position_embedding_type": None}
        | FACTORS,
        ("GraniteMoeHybridForCausalLM",),
        ROUTING | MAMBA_NOTES | words("normalization_function init_method layers_block_type"),
        types=MAMBA_TYPES | {"position_embedding_type": str | None, "num_experts_per_tok": int},
    ),
    "nemotron_h": Family(
        nemotron_h,
        COMMON
        | {"vocab_size": 131_072, "layers_block_type": None, "layer_types": None, "hybrid_override_pattern": None}
        | {"num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 4096, "intermediate_size": 21_504}
        | {"mlp_hidden_act": "relu2", "mlp_bias": False, "ssm_state_size": 128, "mamba_num_heads": 128}
        | {"mamba_head_dim": 64, "n_groups": 8, "conv_kernel": 4, "use_conv_bias": True, "use_bias": False}
        | {"n_routed_experts": 8, "moe_intermediate_size": 7688, "moe_shared_expert_intermediate_size": 7688}
        | {"moe_latent_size": None, "num_experts_per_tok": 2, "layer_norm_epsilon": 1e-5},
        ("NemotronHForCausalLM",),
        ROUTING
        | MAMBA_NOTES
        | words("n_shared_experts sliding_window attention_bias mamba_proj_bias attention_head_dim norm_eps"),
        ("nemotron_h",),
        types={"hybrid_override_pattern": str | None, "layers_block_type": list[str] | None},
    ),
    "falcon_h1": Family(
        falcon_h1,
        COMMON
        | MAMBA
        | {"vocab_size": 128_000, "intermediate_size": 14_336, "num_key_value_heads": 8, "head_dim": None}
        | {"max_position_embeddings": 8192, "mamba_d_ssm": 1024, "mamba_rms_norm": False, "projectors_bias": False}
        | {"attention_bias": False, "mlp_bias": False},
        ("FalconH1ForCausalLM",),
        _MULTIPLIERS,
        types=MAMBA_TYPES,
    ),
}
