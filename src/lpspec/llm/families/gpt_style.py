"""Families after GPT-2: layer norms with biases, networks without gates, some with a table of positions."""

from typing import Any

from lpspec.llm.config_keys import words
from lpspec.llm.families.family import (
    COMMON,
    LAYER_NORM,
    ROPE,
    Family,
    Keys,
    layer,
    model,
    plain,
    rotary_part,
)
from lpspec.llm.layer import run_lengths
from lpspec.llm.layers import Norm, SelfAttention


def gpt2(k: Keys) -> dict[str, Any]:
    """GPT-2."""
    return _gpt2(k, k.n_head)


def gpt_bigcode(k: Keys) -> dict[str, Any]:
    """SantaCoder and StarCoder: GPT-2 with one head of keys and values."""
    return _gpt2(k, 1 if k.multi_query else k.n_head)


def _gpt2(k: Keys, kv_heads: int) -> dict[str, Any]:
    mixer = _heads(k.n_embd, k.n_head, kv_heads=kv_heads, rotary_dim=0, qkv_bias=True, out_bias=True)
    network = plain(k, k.n_inner or 4 * k.n_embd, True, k.activation_function)
    sizes = {"hidden_size": k.n_embd, "max_context": k.n_positions, "position_rows": k.n_positions}
    return _sized(k, [layer(mixer, network)] * k.n_layer, sizes)


def gptj(k: Keys) -> dict[str, Any]:
    """GPT-J: attention and network side by side, a bias on the logits."""
    mixer = _heads(k.n_embd, k.n_head, rotary_dim=k.rotary_dim)
    network = plain(k, k.n_inner or 4 * k.n_embd, True, k.activation_function)
    sizes = {"hidden_size": k.n_embd, "max_context": k.n_positions, "head_bias": True}
    return _sized(k, [layer(mixer, network, mlp_norms=0)] * k.n_layer, sizes)


def gpt_neox(k: Keys) -> dict[str, Any]:
    """GPT-NeoX and Pythia."""
    width = k.hidden_size // k.num_attention_heads
    part = k.rotary_pct if k.rotary_pct is not None else rotary_part(k)
    own = {"rotary_dim": int(width * part), "qkv_bias": k.attention_bias, "out_bias": k.attention_bias}
    mixer = _heads(k.hidden_size, k.num_attention_heads, **own)
    network = plain(k, k.intermediate_size, True, k.hidden_act)
    return model(k, [layer(mixer, network)] * k.num_hidden_layers, norm=LAYER_NORM)


def opt(k: Keys) -> dict[str, Any]:
    """OPT: a table of positions with two rows more, and perhaps a narrower embedding."""
    bias = k.enable_bias
    mixer = _heads(k.hidden_size, k.num_attention_heads, rotary_dim=0, qkv_bias=bias, out_bias=bias)
    network = plain(k, k.ffn_dim, bias, k.activation_function)
    weights = k.layer_norm_elementwise_affine
    narrow = k.word_embed_proj_dim
    return model(
        k,
        [layer(mixer, network)] * k.num_hidden_layers,
        norm=Norm(kind="layer", has_weight=weights, has_bias=weights),
        final_norm=k.do_layer_norm_before and not k.remove_final_layer_norm,
        position_rows=k.max_position_embeddings + 2,
        embedding_width=None if narrow == k.hidden_size else narrow,
    )


def falcon(k: Keys) -> dict[str, Any]:
    """Falcon 1: one head of keys and values, or a few."""
    hidden, heads = k.hidden_size, k.num_attention_heads
    if k.new_decoder_architecture:
        kv_heads, parallel, norms = k.num_kv_heads or heads, True, k.num_ln_in_parallel_attn or 2
    else:
        kv_heads, parallel = 1 if k.multi_query else heads, k.parallel_attn
        norms = k.num_ln_in_parallel_attn if parallel else 2
    mixer = _heads(
        hidden, heads, kv_heads=kv_heads, rotary_dim=0 if k.alibi else None, qkv_bias=k.bias, out_bias=k.bias
    )
    network = plain(k, k.ffn_hidden_size or 4 * hidden, k.bias, k.activation)
    one = layer(mixer, network, mlp_norms=int(norms == 2))
    return model(k, [one] * k.num_hidden_layers, norm=LAYER_NORM)


def bloom(k: Keys) -> dict[str, Any]:
    """BLOOM: no positions but a bias of the scores, a norm behind the embedding."""
    mixer = _heads(k.hidden_size, k.n_head, rotary_dim=0, qkv_bias=True, out_bias=True)
    network = plain(k, 4 * k.hidden_size, True, "gelu")
    sizes = {"hidden_size": k.hidden_size, "max_context": k.seq_length, "embedding_norm": True}
    return _sized(k, [layer(mixer, network)] * k.n_layer, sizes)


def _heads(hidden: int, heads: int, **own: Any) -> SelfAttention:
    if hidden % heads:
        raise ValueError(f"the hidden size ({hidden}) must be a multiple of the number of heads ({heads})")
    return SelfAttention(**{"heads": heads, "kv_heads": heads, "head_dim": hidden // heads} | own)


def _sized(k: Keys, layers: list[Any], sizes: dict[str, Any]) -> dict[str, Any]:
    """The fields of ``Structure`` of a family that names its sizes as GPT-2."""
    said = {"vocab_size": k.vocab_size, "tied_embeddings": k.tie_word_embeddings, "norm": LAYER_NORM}
    return said | {"layer_groups": run_lengths(layers)} | sizes


_GPT2: dict[str, Any] = {
    "vocab_size": 50_257,
    "n_positions": 1024,
    "n_embd": 768,
    "n_layer": 12,
    "n_head": 12,
    "n_inner": None,
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "tie_word_embeddings": True,
    "eos_token_id": 50_256,
    "add_cross_attention": False,
}
_NOTES = words(
    """
    n_ctx summary_activation summary_type summary_use_proj summary_proj_to_labels
    scale_attn_weights scale_attn_by_inverse_layer_idx reorder_and_upcast_attn attention_softmax_in_fp32
    scale_attention_softmax_in_fp32 gradient_checkpointing inference_runner validate_runner_input pre_allocate_kv_cache
    max_batch_size max_sequence_length attn_pdrop num_key_value_heads pad_key_length
    """
)
_ATTENTION_KEYS = {
    key: value for key, value in COMMON.items() if key not in ("num_key_value_heads", "head_dim", "rms_norm_eps")
}

FAMILIES: dict[str, Family] = {
    "gpt2": Family(gpt2, _GPT2, ("GPT2LMHeadModel",), _NOTES),
    "gpt_bigcode": Family(
        gpt_bigcode,
        _GPT2 | {"activation_function": "gelu_pytorch_tanh", "multi_query": True},
        ("GPTBigCodeForCausalLM",),
        _NOTES,
    ),
    "gptj": Family(
        gptj,
        _GPT2
        | {"vocab_size": 50_400, "n_positions": 2048, "n_embd": 4096, "n_layer": 28, "n_head": 16, "rotary_dim": 64}
        | {"tie_word_embeddings": False},
        ("GPTJForCausalLM",),
        _NOTES | words("rotary"),
    ),
    "gpt_neox": Family(
        gpt_neox,
        _ATTENTION_KEYS
        | {"vocab_size": 50_432, "hidden_size": 6144, "num_hidden_layers": 44, "num_attention_heads": 64}
        | {"intermediate_size": 24_576, "hidden_act": "gelu", "layer_norm_eps": 1e-5, "attention_bias": True}
        | {"partial_rotary_factor": 0.25, "rotary_pct": None, "use_parallel_residual": True},
        ("GPTNeoXForCausalLM",),
        words("rotary_emb_base is_decoder"),
        types={"rotary_pct": float | int | None},
    ),
    "opt": Family(
        opt,
        {"vocab_size": 50_272, "hidden_size": 768, "num_hidden_layers": 12, "ffn_dim": 3072}
        | {"max_position_embeddings": 2048, "do_layer_norm_before": True, "_remove_final_layer_norm": False}
        | {"word_embed_proj_dim": None, "num_attention_heads": 12, "activation_function": "relu", "enable_bias": True}
        | {"layer_norm_elementwise_affine": True, "tie_word_embeddings": True, "eos_token_id": 2},
        ("OPTForCausalLM",),
        words("layerdrop init_std dropout learned_embeddings"),
    ),
    "falcon": Family(
        falcon,
        ROPE
        | {"vocab_size": 65_024, "hidden_size": 4544, "num_hidden_layers": 32, "num_attention_heads": 71}
        | {"num_ln_in_parallel_attn": None, "layer_norm_epsilon": 1e-5, "num_kv_heads": None, "alibi": False}
        | {"new_decoder_architecture": False, "multi_query": True, "parallel_attn": True, "bias": False}
        | {"max_position_embeddings": 2048, "ffn_hidden_size": None, "activation": "gelu", "eos_token_id": 11}
        | {"tie_word_embeddings": True},
        ("FalconForCausalLM",),
        words("ff_factor"),  # ffn_hidden_size says the width
        modules=("falcon",),
        types={"num_ln_in_parallel_attn": int},
    ),
    "bloom": Family(
        bloom,
        {"vocab_size": 250_880, "hidden_size": 64, "n_layer": 2, "n_head": 8, "layer_norm_epsilon": 1e-5}
        | {"tie_word_embeddings": True, "seq_length": 2048, "eos_token_id": 2},
        ("BloomForCausalLM",),
        words("slow_but_exact attention_softmax_in_fp32 skip_bias_add")
        | words("skip_bias_add_qkv bias_dropout_fusion masked_softmax_fusion unk_token_id offset_alibi n_inner"),
    ),
}
