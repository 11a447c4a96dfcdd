"""Which keys of a ``config.json`` change nothing in any family, and which are refused because they might."""

import re
from collections.abc import Collection, Mapping
from typing import Any


def words(text: str) -> frozenset[str]:
    """The names in a list that is written as text."""
    return frozenset(text.split())


# Without effect on what a pass computes, whatever the value: fields of PreTrainedConfig and of the families in
# transformers 5.24.0 that their layers don't read, what it takes for generation settings, fields that releases before
# 5 saved, and what converters, trainers and loaders leave behind.
HARMLESS = words(
    """
    architectures model_type transformers_version torch_dtype dtype name_or_path use_cache quantization_config
    pad_id eod_id pad_token_id bos_token_id sep_token_id unk_token_id mask_token_id decoder_start_token_id
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
    transformers.js_config special_tokens_map sentence_transformers neuron seed weight_decay world_size output_past
    is_composition
    """
)
_HARMLESS_NAMES = re.compile(
    r"_.*|unsloth_.*|.*dropout.*|.*_pdrop|.*_version|.*_date|.*_dtype|.*_tokens?_ids?|.*_token|tokenizer_.*|.*loss_.*"
    r"|init_.*|.*initializer.*|(generation|inference|training|trainer|train|finetun|dataset|optimizer|lr|learning)[a-z]*"
    r"(_.*)?|(use_)?fused?_.*|(use_)?liger_.*|(tensor|pipeline|sequence|virtual|data)_.*(parallel|degree|size)"
)
"""Notes of converters, trainers and runtimes by the form of their names; fused kernels compute the same."""

_NEVER_OFF = re.compile(
    r"(is_)?causal|(use_)?(rope|rotary|rotary_embeddings?|glu|gated_mlp|rms_?norm)|rotary_(pct|dim|percentage|fraction)"
)
"""What decoders have; false or 0 would take it away."""

_ACTIVATION = re.compile(
    r"(activation|activation_function|hidden_activation|act_fn)=(silu|swish|swiglu)", re.IGNORECASE
)
"""The activation of most families under the names of other libraries, as in Falcon3's Llamas."""

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


def draft_sign(content: Mapping[str, Any], known: Collection[str] = ()) -> str | None:
    """The key by which a configuration is that of a draft head rather than of a model; None for a model.

    Args:
        content: The JSON object.
        known: Keys that models of its family have too.
    """
    if any(_DRAFT_CLASS.search(name) for name in class_names(content)):
        return "architectures"
    return next((k for k, value in content.items() if value and k not in known and _DRAFT_KEYS.fullmatch(k)), None)


def custom_code_sign(content: Mapping[str, Any]) -> str | None:
    """The key by which a configuration asks for code of its own."""
    return next((key for key in ("auto_map", "trust_remote_code", "custom_pipelines") if content.get(key)), None)


def is_known_code(content: Mapping[str, Any], modules: Collection[str], classes: Collection[str]) -> bool:
    """Whether the code that a configuration asks for is what its family had before the library had the family.

    Args:
        content: The JSON object.
        modules: Names of the family's own code, without ``modeling_``.
        classes: Its decoder classes.
    """
    asked = content.get("auto_map")
    if not isinstance(asked, dict) or content.get("custom_pipelines"):
        return False
    named = {
        key: str(one).rpartition("--")[2].rpartition(".")
        for key, values in asked.items()
        for one in (values if isinstance(values, list) else [values])
        if one is not None and str(key).startswith("Auto") and "Tokenizer" not in key and "Processor" not in key
    }
    parts = (module.partition("_") for module, _, _ in named.values())
    ours = all(kind in ("configuration", "modeling") and name in modules for kind, _, name in parts)
    return ours and named.get("AutoModelForCausalLM", ("", "", classes and next(iter(classes))))[2] in classes


def expert_sign(content: Mapping[str, Any], known: Collection[str] = ()) -> str | None:
    """The key by which a configuration has experts that its family does not know."""
    return next((k for k, value in content.items() if value and k not in known and _EXPERT_KEYS.fullmatch(k)), None)


def unknown_keys(content: Mapping[str, Any], known: Collection[str]) -> list[str]:
    """Keys that nobody here knows and that may change what a pass computes.

    The library reads only what its family knows and drops the rest in silence; whoever wrote the rest had a reason.
    So a key must be used, or known to be harmless, or say nothing (null, false, 0, empty, a factor of 1), or be a note:
    text under a name without a word for a part of the model. All other numbers, switches that are on and nested
    settings are refused.

    Args:
        content: The JSON object.
        known: Keys that are used, or that change nothing.
    """
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


def class_names(content: Mapping[str, Any]) -> list[str]:
    """The classes that a configuration says it is for."""
    named = content.get("architectures")
    if isinstance(named, str):
        return [named]
    return [str(name) for name in named] if isinstance(named, list) else []
