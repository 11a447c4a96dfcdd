"""What a Hugging Face ``config.json`` says of a decoder, read as transformers 5.23.0 reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from lpspec.errors import LONGEST, InputError, listed, shown
from lpspec.llm.config_keys import (
    class_names,
    custom_code_sign,
    draft_sign,
    expert_sign,
    is_known_code,
    unknown_keys,
)
from lpspec.llm.families import FAMILIES, Family, known_keys
from lpspec.llm.families.family import ACTIVATIONS, rotary_part, type_of
from lpspec.llm.families.multimodal import OWN_CODE, TEXT_PARTS, text_part
from lpspec.llm.model_spec import one_line
from lpspec.llm.quantization import METHODS

DECODERS = frozenset(one for family in FAMILIES.values() for one in family.classes)
"""Classes that compute a whole decoder with its LM head and nothing else."""

_WIDTH_OF_DEEP = 1024
"""Width from which no published decoder has a single layer; EAGLE's heads have one, and often no other sign."""


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """A decoder as its file describes it.

    Attributes:
        family: Its ``model_type``; of a multimodal model that of the text decoder.
        dimensions: Fields of ``ModelSpec`` that describe its layers and what lies around them.
        quantization: The ``quantization_config``; None where weights are stored as they were trained.
        dtype: The ``torch_dtype``, if it is said.
    """

    family: str
    dimensions: dict[str, Any]
    quantization: Mapping[str, Any] | None
    dtype: object


def parse_config(content: Mapping[str, Any], where: str) -> DecoderConfig:
    """Read the keys of a configuration; absent ones mean the family's defaults.

    Args:
        content: The JSON object.
        where: Begins what is said of any fault.

    Raises:
        InputError: No decoder of a family that is known, or a key that changes the work and is not known.
    """
    try:
        return _parse(content)
    except ValidationError as error:
        raise InputError(f"{where}: {one_line(error, LONGEST - len(where) - 2)}") from None
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


def _parse(content: Mapping[str, Any]) -> DecoderConfig:
    kind = content.get("model_type")
    if isinstance(kind, str) and kind in TEXT_PARTS and ("text_config" in content or "hidden_size" in content):
        _refuse_other_models(content, kind, TEXT_PARTS[kind], "ForConditionalGeneration")
        content = text_part(content)
    name = _family_name(content)
    family = FAMILIES[name]
    _refuse_other_models(content, name, name, None)
    if isinstance(content.get("quantization"), dict):
        raise ValueError(f"'quantization' is MLX's: allowed is a quantization_config of {', '.join(METHODS)}")
    if unknown := unknown_keys(content, known_keys(name) | {"auto_map"}):  # whose code is known by now
        named = listed([f"'{shown(key, 40)}'" for key in unknown], 60)
        raise ValueError(f"{named} may change what is computed, and is not known: if it does not, take it out")
    given = {key: value for key, value in content.items() if key in family.keys}
    given |= _by_other_names(content, family)
    if "use_sliding_window" in family.keys and given.get("sliding_window") == 0 and not given.get("use_sliding_window"):
        given["sliding_window"] = None  # as the library saves Qwen2-MoE without windows
    says_longest = "max_position_embeddings" in given or "max_position_embeddings" not in family.keys
    if not says_longest and "max_sequence_length" in content:  # as LLaMA's first configurations said it
        given["max_position_embeddings"] = content["max_sequence_length"]
    keys = _model_of(name).model_validate({key.lstrip("_"): value for key, value in {**family.keys, **given}.items()})
    _check_values(keys, family)
    quantization = content.get("quantization_config")
    if quantization is not None and not isinstance(quantization, dict):
        raise ValueError(f"quantization_config must be an object, not a {type(quantization).__name__}")
    dtype = content.get("dtype") or content.get("torch_dtype")
    return DecoderConfig(name, family.describe(keys) | _drafting(content), quantization or None, dtype)


MOST_MTP_LAYERS = 63
"""One for each level that a tree of 64 tokens may have."""

_MTP_COUNTS = ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_layers", "num_mtp_modules")


def _drafting(content: Mapping[str, Any]) -> dict[str, Any]:
    """How many layers for multi-token prediction a model brings along, which the library does not build."""
    for key in _MTP_COUNTS:
        count = content.get(key) or 0
        if type(count) is not int or not 0 <= count <= MOST_MTP_LAYERS:
            raise ValueError(f"{key} = {shown(repr(count), 40)}: allowed is 0 to {MOST_MTP_LAYERS} layers")
        if count and content.get("use_mtp", True):
            return {"mtp_layers": count}
    return {}


def _by_other_names(content: Mapping[str, Any], family: Family) -> dict[str, Any]:
    """Keys under another name that the library reads too, or that repeats what another says."""
    found = {key: content[other] for other, key in family.aliases.items() if other in content}
    with_defaults = {**family.keys, **content}
    for other, key in [*family.aliases.items(), *family.repeated.items()]:
        said = with_defaults if other in family.repeated else content
        if other in content and key in said and content[other] != said[key]:
            raise ValueError(f"{other} and {key} are one thing under two names, and differ")
    return found


def _family_name(content: Mapping[str, Any]) -> str:
    said = content.get("model_type")
    if not isinstance(said, str) or said not in FAMILIES:
        start = f"model_type = {shown(repr(said), 40)}" if "model_type" in content else "missing key 'model_type'"
        if key := draft_sign(content):
            raise ValueError(f"'{key}' belongs to a draft head: give the model that it drafts for")
        if content.get("peft_type"):
            raise ValueError("'peft_type' belongs to an adapter: give the model that it adapts, merged with it")
        raise ValueError(f"{start}: allowed are {listed(sorted(FAMILIES), 90)}")
    return said


def _refuse_other_models(content: Mapping[str, Any], name: str, text: str, ending: str | None) -> None:
    """Refuse draft heads, code of their own, experts of a dense family, and classes that are no decoders."""
    family, known = FAMILIES[text], known_keys(text)
    if key := draft_sign(content, known):
        raise ValueError(f"'{key}' belongs to a draft head: give the model that it drafts for")
    own = (family.modules, family.classes) if ending is None else (OWN_CODE.get(name, ()), class_names(content))
    if (key := custom_code_sign(content)) and not is_known_code(content, *own):
        raise ValueError(f"'{key}' asks for code of its own, which is never run: what it computes is not known")
    has_experts = ending is not None or expert_sign(dict.fromkeys(family.keys, True)) is not None
    if not has_experts and (key := expert_sign(content, known)):
        raise ValueError(f"'{key}' belongs to a model with experts, and {name} has none: not known what it computes")
    classes = [one for one in class_names(content) if one not in DECODERS]  # which of them it is, model_type says
    if other := [one for one in classes if ending is None or not one.endswith(ending)]:
        allowed = f"decoders such as {family.classes[0]}" if ending is None else f"those that end in {ending}"
        raise ValueError(f"architectures = {shown(other[0], 40)}: allowed are {allowed}")


@cache
def _model_of(name: str) -> type[BaseModel]:
    """What checks the values of a family's keys, which are as strict as the library's."""
    family = FAMILIES[name]
    strict = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
    types = {key.lstrip("_"): type_of(family, key, default) for key, default in family.keys.items()}
    fields: dict[str, Any] = {key: (kind, ...) for key, kind in types.items()}
    return create_model(name, __config__=strict, **fields)


def _check_values(keys: Any, family: Family) -> None:
    """What depends on more than the type of one value."""
    for key in ("hidden_act", "hidden_activation", "activation_function", "activation", "mlp_hidden_act"):
        act, usual = getattr(keys, key, None), family.keys.get(key)
        allowed = ["silu", "swish"] if usual == "silu" else list(ACTIVATIONS)
        if act is not None and act not in allowed:
            raise ValueError(f"{key} = {shown(repr(act), 40)}: allowed are {', '.join(allowed)}")
    if isinstance(getattr(keys, "moe_layer_freq", None), int) and keys.moe_layer_freq != 1:
        raise ValueError(f"moe_layer_freq = {shown(repr(keys.moe_layer_freq), 40)}: allowed is 1")
    for key in ("add_cross_attention",):
        if getattr(keys, key, False):
            raise ValueError(f"{key} = True: allowed is False")
    if bool(getattr(keys, "use_bidirectional_attention", False)) and keys.use_bidirectional_attention != "vision":
        raise ValueError("use_bidirectional_attention: allowed are false and 'vision', whose text is causal")
    if getattr(keys, "num_hidden_layers", 2) == 1 and getattr(keys, "hidden_size", 0) >= _WIDTH_OF_DEEP:
        raise ValueError("num_hidden_layers = 1 is a draft head's (EAGLE): give the model that it drafts for")
    if hasattr(keys, "rope_scaling"):
        _check_rotation(keys, family)


def _check_rotation(keys: Any, family: Family) -> None:
    for source in ("rope_scaling", "rope_parameters"):
        found = getattr(keys, source)
        if found is not None and not isinstance(found, dict):
            raise ValueError(f"{source} must be an object")
        theta = (found or {}).get("rope_theta", 1.0)
        if type(theta) not in (int, float) or not 0 < theta < float("inf"):
            raise ValueError(f"rope_theta = {shown(repr(theta), 40)}: input should be a number above 0")
    part = rotary_part(keys)
    if not 0 < part <= 1 or (part != 1 and family.keys["partial_rotary_factor"] == 1 and not family.turns_part):
        raise ValueError(f"partial_rotary_factor = {shown(repr(part), 40)}: allowed is 1")
