"""Which keys of a ``config.json`` are used, which change nothing, and which are refused because they might.

The families' defaults are those of transformers 5.24.0 (5.23.0 has the same): an absent key means another value in
every family, and null is not the same as absent.
"""

import re
from collections.abc import Mapping
from typing import Any


def words(text: str) -> frozenset[str]:
    """The names in a list that is written as text."""
    return frozenset(text.split())


_COMMON: dict[str, Any] = {
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "head_dim": None,
    "hidden_act": "silu",
    "mlp_bias": False,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "rope_theta": 10_000.0,
    "rope_scaling": None,
    "rope_parameters": None,
    "partial_rotary_factor": 1.0,
    "layer_types": None,
}

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": _COMMON
    | {
        "vocab_size": 32_000,
        "intermediate_size": 11_008,
        "num_key_value_heads": None,
        "max_position_embeddings": 2048,
        "attention_bias": False,
        "eos_token_id": 2,
    },
    "mistral": _COMMON
    | {
        "vocab_size": 32_000,
        "intermediate_size": 14_336,
        "num_key_value_heads": 8,
        "max_position_embeddings": 131_072,
        "sliding_window": 4096,
        "eos_token_id": 2,
    },
    "qwen2": _COMMON
    | {
        "vocab_size": 151_936,
        "intermediate_size": 22_016,
        "num_key_value_heads": 32,
        "max_position_embeddings": 32_768,
        "use_sliding_window": False,
        "sliding_window": 4096,
        "max_window_layers": 28,
        "eos_token_id": None,
    },
}
"""By ``model_type``: every key that is used, and what its absence means."""

DECODERS = ("LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "LLaMAForCausalLM")
"""Classes that compute a whole decoder with its LM head and nothing else; which of them it is, ``model_type`` says."""

# Without effect on what a pass computes, whatever the value: fields of PreTrainedConfig and of the families in
# transformers 5.24.0 that their layers don't read, what it takes for generation settings, fields that releases before
# 5 saved, and what converters, trainers and loaders leave behind.
_HARMLESS = words(
    """
    architectures model_type transformers_version torch_dtype dtype name_or_path use_cache quantization_config
    pad_token_id bos_token_id sep_token_id unk_token_id mask_token_id decoder_start_token_id
    pretraining_tp initializer_range output_hidden_states output_attentions return_dict id2label label2id num_labels
    problem_type is_decoder chunk_size_feed_forward tie_last_hidden_states keys_to_ignore_at_inference
    attn_implementation experts_implementation torchscript use_bfloat16 tf_legacy_loss finetuning_task
    task_specific_params prefix tokenizer_class gradient_checkpointing use_reentrant cache_implementation
    assistant_confidence_threshold assistant_lookbehind bad_words_ids begin_suppress_tokens diversity_penalty do_sample
    early_stopping encoder_no_repeat_ngram_size encoder_repetition_penalty epsilon_cutoff eta_cutoff
    exponential_decay_length_penalty forced_bos_token_id forced_eos_token_id length_penalty max_length min_length
    max_new_tokens no_repeat_ngram_size num_assistant_tokens num_assistant_tokens_schedule num_beam_groups num_beams
    num_return_sequences output_scores remove_invalid_values repetition_penalty return_dict_in_generate
    suppress_tokens target_lookbehind temperature top_k top_p typical_p
    is_llama_config neftune_noise_alpha model_max_length padding_side max_sequence_length seq_length max_seq_len
    use_sdpa use_flash_attn use_flash_attention use_flash_attention_2 flash_attn_2_enabled use_xformers use_recompute
    transformers.js_config special_tokens_map sentence_transformers neuron seed weight_decay world_size
    """
)
_HARMLESS_OF = {
    "llama": frozenset({"max_window_layers"}),
    "mistral": frozenset({"max_window_layers"}),
    "qwen2": frozenset({"attention_bias", "qkv_bias"}),  # the family has these biases whatever is said
}
_HARMLESS_NAMES = re.compile(
    r"_.*|unsloth_.*|.*dropout.*|.*_pdrop|.*_version|.*_date|.*_dtype|.*_tokens?_ids?|.*_token|tokenizer_.*|.*loss_.*"
    r"|init_.*|.*initializer.*|(generation|inference|training|trainer|train|finetun|dataset|optimizer|lr|learning)[a-z]*"
    r"(_.*)?|(use_)?fused?_.*|(use_)?liger_.*|(tensor|pipeline|sequence|virtual|data)_.*(parallel|degree|size)"
)
"""Notes of converters, trainers and runtimes by the form of their names; fused kernels compute the same."""

_NEVER_OFF = re.compile(
    r"(is_)?causal|(use_)?(rope|rotary|rotary_embeddings?|glu|gated_mlp|rms_?norm)|rotary_(pct|dim|percentage|fraction)"
)
"""What all three families have; false or 0 would take it away."""

_ACTIVATION = re.compile(
    r"(activation|activation_function|hidden_activation|act_fn)=(silu|swish|swiglu)", re.IGNORECASE
)
"""The activation of all three families under the names of other libraries, as in Falcon3's Llamas."""

_FACTORS = re.compile(r".*(multiplier|_scale|scaling|factor)")
"""Names of factors, of which 1 changes nothing."""

_WORK = re.compile(
    r"act|attn|attention|norm|rope|rotary|position|mlp|ffn|block|layer|expert|moe|router|vision|image|audio|video|mm_"
    r"|tower|projector|encoder|quant|draft|eagle|medusa|residual|pool|mask"
)
"""Words in the name of a key whose value is text, such as ``norm_type``, that tell it from a note such as a license."""

_DRAFT_CLASS = re.compile(r"eagle|medusa|hydra|draft|specul|mtp|lookahead", re.IGNORECASE)
_DRAFT_KEYS = re.compile(
    r"draft_.*|.*eagle.*|medusa_.*|hydra_.*|specul.*|transformer_layer_config|target_hidden_size|norm_before_residual"
    r"|norm_before_fc|num_lookahead_tokens|mtp_.*"
)
_EXPERT_KEYS = re.compile(r".*expert.*|moe_.*|.*_moe|router_.*|num_shared_.*|decoder_sparse_step|mlp_only_layers")


def draft_sign(content: Mapping[str, Any]) -> str | None:
    """The key by which a configuration is that of a draft head rather than of a model; None for a model."""
    if any(_DRAFT_CLASS.search(name) for name in _names(content.get("architectures"))):
        return "architectures"
    return next((key for key, value in content.items() if value and _DRAFT_KEYS.fullmatch(key)), None)


def custom_code_sign(content: Mapping[str, Any]) -> str | None:
    """The key by which a configuration asks for code of its own."""
    return next((key for key in ("auto_map", "trust_remote_code", "custom_pipelines") if content.get(key)), None)


def expert_sign(content: Mapping[str, Any]) -> str | None:
    """The key by which a configuration has experts."""
    return next((key for key, value in content.items() if value and _EXPERT_KEYS.fullmatch(key)), None)


def foreign_classes(content: Mapping[str, Any]) -> list[str]:
    """The classes named that are not one of these decoders: classifiers, encoders, decoders of another kind."""
    return [name for name in _names(content.get("architectures")) if name not in DECODERS]


def unknown_keys(content: Mapping[str, Any], family: str) -> list[str]:
    """Keys that nobody here knows and that may change what a pass computes.

    The library reads only what its family knows and drops the rest in silence; whoever wrote the rest had a reason.
    So a key must be used, or known to be harmless, or say nothing (null, false, 0, empty, a factor of 1), or be a note:
    text under a name without a word for a part of the model. All other numbers, switches that are on and nested
    settings are refused.
    """
    known = FAMILIES[family].keys() | _HARMLESS | _HARMLESS_OF.get(family, frozenset())
    return [
        key
        for key, value in content.items()
        if key not in known and not _HARMLESS_NAMES.fullmatch(key) and not _says_nothing(key, value)
    ]


def _says_nothing(key: str, value: object) -> bool:
    if not value:
        return value is None or _NEVER_OFF.fullmatch(key) is None
    if type(value) in (int, float):
        return value == 1 and _FACTORS.fullmatch(key) is not None
    if isinstance(value, str) and _ACTIVATION.fullmatch(f"{key}={value}"):
        return True
    texts = value if isinstance(value, list) else [value]
    return all(isinstance(text, str) for text in texts) and _WORK.search(key.lower()) is None


def _names(architectures: object) -> list[str]:
    if isinstance(architectures, str):
        return [architectures]
    return [str(name) for name in architectures] if isinstance(architectures, list) else []
