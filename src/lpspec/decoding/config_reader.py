"""What a ``config.json`` says of a decoder that is to be computed, read as transformers 5.24.0 reads it."""

from __future__ import annotations

from collections.abc import Mapping
from math import log, sqrt
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveFloat, ValidationError, model_validator

from lpspec.decoding.architecture import FULL, Architecture, LayerKind
from lpspec.decoding.families import CLASSES, DECODED, NESTED_ROTATIONS, OWN_CODE
from lpspec.errors import LONGEST, InputError, listed, shown
from lpspec.llm.config_keys import custom_code_sign, draft_sign, expert_sign, unknown_keys, words
from lpspec.llm.families import known_keys
from lpspec.llm.model_spec import one_line

Dimension = Annotated[int, Field(gt=0, le=2**24)]
"""Width, number or size: no model comes near the limit, and products of two stay machine integers."""

Positions = Annotated[int, Field(gt=0, le=2**31)]

_FULL, _SLIDING = "full_attention", "sliding_attention"
_READS_LAYER_TYPES = ("qwen2", "qwen3", "mimo", "smollm3", "gemma2", "gemma3_text", "olmo3")
_HARMLESS_OF = {
    "qwen2": {"qkv_bias"},  # it has these biases whatever is said
    "mimo": {"qkv_bias"},
    "gemma": {"hidden_activation"},
    "gemma2": {"hidden_act", "cache_implementation"},
    "gemma3_text": {"hidden_act", "cache_implementation"},
    "smollm3": {"max_window_layers"},
}


class DecoderKeys(BaseModel):
    """Every key that is used, the family's defaults filled in. Values are as strict as the library's."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    model_type: str
    num_hidden_layers: Dimension
    hidden_size: Dimension
    intermediate_size: Dimension
    num_attention_heads: Dimension
    num_key_value_heads: Dimension | None
    head_dim: Dimension | None
    vocab_size: Dimension
    max_position_embeddings: Positions
    original_max_position_embeddings: Positions | None = None
    tie_word_embeddings: bool
    attention_bias: bool
    mlp_bias: bool
    hidden_act: Literal["silu", "swish", "gelu", "gelu_pytorch_tanh"] = "silu"
    hidden_activation: Literal["gelu_pytorch_tanh"] = "gelu_pytorch_tanh"
    sliding_window: Positions | None = None
    use_sliding_window: bool = True
    max_window_layers: NonNegativeInt = 0
    sliding_window_pattern: Dimension = 2
    layer_types: list[Literal["full_attention", "sliding_attention"]] | None
    no_rope_layers: list[Literal[0, 1]] | None = None
    no_rope_layer_interval: Dimension = 4
    rms_norm_eps: Annotated[float, Field(gt=0, lt=1)]
    rope_theta: PositiveFloat
    rope_local_base_freq: PositiveFloat = 10_000.0
    rope_scaling: object
    rope_parameters: object
    partial_rotary_factor: Annotated[float, Field(gt=0, le=1)]
    query_pre_attn_scalar: PositiveFloat | None = None
    attn_logit_softcapping: PositiveFloat | None = None
    final_logit_softcapping: PositiveFloat | None = None
    use_bidirectional_attention: Literal[False] | None = None
    embedding_multiplier: PositiveFloat = 1.0
    logits_scaling: PositiveFloat = 1.0
    residual_multiplier: PositiveFloat = 1.0
    attention_multiplier: PositiveFloat | None = None
    num_nextn_predict_layers: NonNegativeInt = 0
    eos_token_id: NonNegativeInt | list[NonNegativeInt] | None

    @model_validator(mode="after")
    def _makes_heads(self) -> Self:
        whole = self.model_type.startswith("gemma") or self.head_dim is None
        if whole and self.model_type not in ("qwen2", "mimo") and self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"head_dim is needed where hidden_size ({self.hidden_size}) is not a multiple of"
                f" num_attention_heads ({self.num_attention_heads})"
            )
        if self.num_key_value_heads is None and self.model_type in ("mistral", "gemma", "gemma2", "gemma3_text"):
            raise ValueError(f"num_key_value_heads = null is not possible for {self.model_type}")
        if self.num_attention_heads % (self.num_key_value_heads or 1):
            raise ValueError(
                f"num_attention_heads ({self.num_attention_heads}) must be a multiple of num_key_value_heads"
                f" ({self.num_key_value_heads})"
            )
        if self.width % 2 or self.width == 0:
            raise ValueError(f"heads {self.width} wide are not possible: positions turn pairs of numbers")
        return self

    @model_validator(mode="after")
    def _is_computed(self) -> Self:
        family = self.model_type
        if (family == "gemma") != self.hidden_act.startswith("gelu"):
            raise ValueError(f"hidden_act = '{self.hidden_act}' is not computed in {family}")
        if self.mlp_bias and family not in ("llama", "smollm3", "granite"):
            raise ValueError(f"mlp_bias = true is not possible for {family}")
        if family == "gemma3_text" and self.attn_logit_softcapping is not None:
            raise ValueError("attn_logit_softcapping is not computed in gemma3_text: null is allowed")
        if self.partial_rotary_factor != 1 and family != "phi3":
            raise ValueError(f"partial_rotary_factor = {self.partial_rotary_factor}: allowed is 1")
        return self

    @property
    def width(self) -> int:
        """Width of one head."""
        return self.head_dim or self.hidden_size // self.num_attention_heads

    @property
    def window(self) -> int | None:
        """Tokens that sliding layers attend to."""
        return self.sliding_window if self.use_sliding_window else None

    @property
    def has_rotation(self) -> list[bool]:
        """Layer by layer, whether positions are turned."""
        if self.model_type != "smollm3":
            return [True] * self.num_hidden_layers
        if self.no_rope_layers is None:
            return [(layer + 1) % self.no_rope_layer_interval != 0 for layer in range(self.num_hidden_layers)]
        return [bool(turns) for turns in self.no_rope_layers]

    @property
    def attention(self) -> list[str]:
        """Full or sliding attention, layer by layer."""
        layers, slides = range(self.num_hidden_layers), self.window is not None
        match self.model_type:
            case "mistral" | "phi3":
                found = [_SLIDING if slides else _FULL for _ in layers]
            case "qwen2" | "qwen3" | "mimo":
                found = [_SLIDING if slides and layer >= self.max_window_layers else _FULL for layer in layers]
            case "smollm3":
                found = [_SLIDING if slides and not turns else _FULL for turns in self.has_rotation]
            case "gemma2" | "gemma3_text" | "olmo3":
                pattern = 4 if self.model_type == "olmo3" else self.sliding_window_pattern
                found = [_SLIDING if (layer + 1) % pattern else _FULL for layer in layers]
            case _:
                found = [_FULL for _ in layers]
        if self.layer_types is None:
            return found
        if self.model_type not in _READS_LAYER_TYPES and self.layer_types != found:
            raise ValueError(f"layer_types must be {len(found)} entries that agree with the sliding window")
        return [str(kind) for kind in self.layer_types]

    def end_tokens(self) -> tuple[int, ...]:
        """One, several or none."""
        end = self.eos_token_id
        return () if end is None else (end,) if isinstance(end, int) else tuple(end)


def read_keys(content: Mapping[str, Any], draft_layer: bool = False) -> DecoderKeys:
    """Read the keys of a configuration; absent ones mean the family's defaults.

    Args:
        content: The JSON object.
        draft_layer: Read the layer of a draft head, whose own keys are its drafter's to read.

    Raises:
        ValueError: No decoder that is computed, or a key that changes what is computed and is not known.
    """
    family = _family(content, draft_layer)
    given = {key: value for key, value in content.items() if key in DECODED[family]}
    if "max_position_embeddings" not in given and "max_sequence_length" in content:
        # LLaMA's first configurations, and draft heads made from them, said it so
        given["max_position_embeddings"] = content["max_sequence_length"]
    return DecoderKeys.model_validate({"model_type": family, **DECODED[family], **given})


def _family(content: Mapping[str, Any], draft_layer: bool) -> str:
    """The ``model_type``, once nothing in the file speaks against it."""
    if not draft_layer and (key := draft_sign(content)):
        raise ValueError(f"'{key}' belongs to a draft head: give the model that it drafts for")
    family = content.get("model_type")
    if (key := custom_code_sign(content)) and not _is_known_code(content, family):
        raise ValueError(f"'{key}' asks for code of its own, which is never run: what it computes is not known")
    if not isinstance(family, str) or family not in DECODED:
        said = f"model_type = {shown(repr(family), 40)}" if "model_type" in content else "missing key 'model_type'"
        raise ValueError(f"{said}: allowed are {', '.join(DECODED)}")
    if key := expert_sign(content):
        raise ValueError(f"'{key}' belongs to a model with experts, and {family} has none: not known what it computes")
    if not draft_layer:
        _refuse_foreign(content, family)
    return family


def _is_known_code(content: Mapping[str, Any], family: object) -> bool:
    code = content.get("auto_map")
    known = OWN_CODE.get(family) if isinstance(family, str) else None
    if known is None or not isinstance(code, dict) or content.get("trust_remote_code"):
        return False
    return str(code.get("AutoModelForCausalLM")).rpartition(".")[2] == known


def _refuse_foreign(content: Mapping[str, Any], family: str) -> None:
    named = content.get("architectures")
    classes = [named] if isinstance(named, str) else named if isinstance(named, list) else []
    if other := [name for name in classes if name not in CLASSES]:
        raise ValueError(f"architectures = {shown(str(other[0]), 30)}: allowed are {', '.join(DECODED)} ...ForCausalLM")
    if unknown := unread_keys(content, family):
        shown_keys = listed([f"'{shown(key, 40)}'" for key in unknown], 60)
        raise ValueError(f"{shown_keys} may change what is computed, and is not known: if it does not, take it out")


def unread_keys(content: Mapping[str, Any], family: str) -> list[str]:
    """Keys that nobody here reads and that may change what a pass computes."""
    known = DECODED[family].keys() | _HARMLESS_OF.get(family, set()) | ({"auto_map"} if family in OWN_CODE else set())
    return unknown_keys({key: value for key, value in content.items() if key not in known}, known_keys("llama"))


def architecture(keys: DecoderKeys) -> Architecture:
    """How the layers differ from Llama's.

    Raises:
        ValueError: The layers it names are not as many as there are, or slide without a window.
    """
    family, attention, turns = keys.model_type, keys.attention, keys.has_rotation
    count = keys.num_hidden_layers
    if len(attention) != count or len(turns) < count:
        raise ValueError(f"layer_types and no_rope_layers must be {count} entries, one for each layer")
    if _SLIDING in attention and keys.window is None:
        raise ValueError("layer_types has sliding layers, but there is no sliding_window")
    local = "local" if family in NESTED_ROTATIONS else "global"
    scalar = keys.query_pre_attn_scalar
    kinds = tuple(
        LayerKind(
            window=keys.window if kind == _SLIDING else None,
            rotation="none" if not turned else "global" if kind == _FULL else local,
        )
        for kind, turned in zip(attention, turns, strict=False)
    )
    gemma, olmo = family.startswith("gemma"), family.startswith("olmo")
    granite = family == "granite"
    return Architecture(
        layers=kinds if set(kinds) != {FULL} else (),
        norms="after" if olmo else "around" if family in ("gemma2", "gemma3_text") else "before",
        norms_add_one=gemma,
        query_key_norm="all" if olmo else "head" if family in ("qwen3", "gemma3_text") else "none",
        activation="gelu_tanh" if gemma else "silu",
        mlp_bias=keys.mlp_bias,
        fused=family == "phi3",
        attention_scale=keys.attention_multiplier if granite else scalar and scalar**-0.5,
        attention_cap=keys.attn_logit_softcapping,
        logit_cap=keys.final_logit_softcapping,
        embedding_factor=keys.hidden_size**0.5 if gemma else keys.embedding_multiplier,
        residual_factor=keys.residual_multiplier,
        logit_divisor=keys.logits_scaling,
    )


_ROPE_KEYS = words(
    """
    rope_type type rope_theta partial_rotary_factor factor original_max_position_embeddings attention_factor beta_fast
    beta_slow short_factor long_factor low_freq_factor high_freq_factor mscale mscale_all_dim truncate
    """
)
"""Parameters of a rotation in transformers 5.24.0; those that a type has no use for are ignored there."""


def rotations(keys: DecoderKeys) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The fields of ``RopeSpec`` of the model's rotation, and of that of its local layers if they have one.

    Of the older layout (rope_theta, rope_scaling) and the newer (rope_parameters) the older one wins.

    Raises:
        ValueError: A parameter is wrong or not known.
    """
    said = _object(keys, "rope_parameters")
    scaling = _object(keys, "rope_scaling")
    if keys.model_type not in NESTED_ROTATIONS:
        return _rotation(keys, scaling or said or {}, keys.rope_theta), None
    nested = said or {}
    if other := [key for key in nested if key not in (_FULL, _SLIDING)]:
        raise ValueError(f"rope_parameters.{shown(other[0], 30)}: allowed are {_FULL} and {_SLIDING}")
    parts = {kind: nested.get(kind) or {} for kind in (_FULL, _SLIDING)}
    if not all(isinstance(part, dict) for part in parts.values()):
        raise ValueError(f"rope_parameters must hold an object each for {_FULL} and {_SLIDING}")
    # the library's Olmo 3 gives rope_theta to its full layers only
    local = keys.rope_local_base_freq if keys.model_type == "gemma3_text" else DECODED["olmo3"]["rope_theta"]
    return (
        _rotation(keys, parts[_FULL] | (scaling or {}), keys.rope_theta),
        _rotation(keys, parts[_SLIDING], local),
    )


def _object(keys: DecoderKeys, key: str) -> dict[str, Any] | None:
    found = getattr(keys, key)
    if found is not None and not isinstance(found, dict):
        raise ValueError(f"{key} must be an object")
    return found or None


def _rotation(keys: DecoderKeys, found: Mapping[str, Any], theta: float) -> dict[str, Any]:
    scaling = {key: value for key, value in found.items() if value is not None}
    kind = scaling.pop("type", "default")
    kind = scaling.setdefault("rope_type", kind)
    theta = scaling.pop("rope_theta", theta)
    if type(theta) not in (int, float) or not 0 < theta < float("inf"):
        raise ValueError(f"rope_theta = {shown(repr(theta), 40)}: input should be a number above 0")
    part = scaling.pop("partial_rotary_factor", keys.partial_rotary_factor)
    if keys.model_type == "phi3":
        if kind in ("su", "yarn", "longrope"):
            scaling = _longrope(keys, scaling)
        elif kind != "default":
            raise ValueError(f"rope_type = {shown(repr(kind), 30)} is not possible for phi3, allowed is longrope")
    elif part != 1:
        raise ValueError(f"partial_rotary_factor = {shown(repr(part), 40)}: allowed is 1")
    elif kind == "longrope":
        raise ValueError(f"rope_type = 'longrope' is computed in phi3 alone, not in {keys.model_type}")
    elif kind in ("llama3", "yarn"):
        scaling.setdefault("original_max_position_embeddings", keys.max_position_embeddings)
    if kind == "default":
        scaling = {key: value for key, value in scaling.items() if key == "rope_type" or key not in _ROPE_KEYS}
    return {"theta": theta, "scaling": scaling, "part": part}


def _longrope(keys: DecoderKeys, scaling: Mapping[str, Any]) -> dict[str, Any]:
    """LongRoPE within the trained context; the model's configuration says how long that is."""
    trained = keys.original_max_position_embeddings
    assert trained is not None
    rest = {key: value for key, value in scaling.items() if key not in _ROPE_KEYS}
    factor, given = scaling.get("factor", keys.max_position_embeddings / trained), scaling.get("attention_factor")
    for name, value in (("factor", factor), ("attention_factor", given or 1.0)):
        if type(value) not in (int, float) or not value > 0:
            raise ValueError(f"rope_scaling.{name} = {shown(repr(value), 30)}: input should be a number above 0")
    tempered = given or (1.0 if factor <= 1 else sqrt(1 + log(factor) / log(trained)))
    return rest | {
        "rope_type": "longrope",
        "short_factor": scaling.get("short_factor", ()),
        "attention_factor": tempered,
    }


def max_context(keys: DecoderKeys) -> int:
    """Positions that are computed: LongRoPE turns all positions otherwise as soon as one lies beyond its training."""
    found = _object(keys, "rope_scaling") or _object(keys, "rope_parameters") or {}
    kind = found.get("rope_type", found.get("type", "default"))
    if keys.model_type == "phi3" and kind != "default" and keys.original_max_position_embeddings:
        return min(keys.max_position_embeddings, keys.original_max_position_embeddings)
    return keys.max_position_embeddings


def dimensions(keys: DecoderKeys) -> dict[str, object]:
    """The fields of ``ModelSpec`` that a pass needs."""
    biased = keys.attention_bias and keys.model_type not in ("mistral", "phi3", "qwen2", "mimo")
    return {
        "layers": keys.num_hidden_layers,
        "hidden_size": keys.hidden_size,
        "intermediate_size": keys.intermediate_size,
        "heads": keys.num_attention_heads,
        "kv_heads": keys.num_key_value_heads or keys.num_attention_heads,
        "head_dim": keys.width,
        "vocab_size": keys.vocab_size,
        "tied_embeddings": keys.tie_word_embeddings,
        "qkv_bias": biased or keys.model_type in ("qwen2", "mimo"),  # which always have it, whatever the key says
        "out_bias": biased,
        "max_context": max_context(keys),
    }


def one_line_error(error: ValueError, where: str) -> InputError:
    """What is wrong with a configuration, said in one line that begins with ``where``."""
    if isinstance(error, ValidationError):
        return InputError(f"{where}: {one_line(error, LONGEST - len(where) - 2)}")
    return InputError(f"{where}: {error}")
