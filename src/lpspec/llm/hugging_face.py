"""What a Hugging Face ``config.json`` says of a decoder, read as transformers 5.24.0 reads it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, ValidationError, model_validator

from lpspec.errors import LONGEST, InputError, listed, shown
from lpspec.llm.config_keys import (
    FAMILIES,
    custom_code_sign,
    draft_sign,
    expert_sign,
    foreign_classes,
    unknown_keys,
    words,
)
from lpspec.llm.model_spec import one_line

Dimension = Annotated[int, Field(gt=0, le=2**24)]
"""Width, number or size: no model comes near the limit, and products of two stay machine integers."""

Positions = Annotated[int, Field(gt=0, le=2**31)]


@dataclass(frozen=True, slots=True)
class DecoderConfig:
    """A decoder as its file describes it.

    Attributes:
        dimensions: Fields of ``ModelSpec``: sizes, biases and the longest context.
        rms_norm_eps: What RMSNorm adds to the mean square.
        rope: ``theta`` and ``scaling`` (its ``rope_type`` and parameters) of the rotation of positions.
        end_tokens: Token ids that end a text.
        quantization: The ``quantization_config``; None where weights are stored as they were trained.
        dtype: The ``torch_dtype``, if it is said.
    """

    dimensions: dict[str, object]
    rms_norm_eps: float
    rope: dict[str, Any]
    end_tokens: tuple[int, ...]
    quantization: Mapping[str, Any] | None
    dtype: object


def parse_config(content: Mapping[str, Any], where: str, draft_layer: bool = False) -> DecoderConfig:
    """Read the keys of a configuration; absent ones mean the family's defaults.

    Args:
        content: The JSON object.
        where: Begins what is said of any fault.
        draft_layer: Read the layer of a draft head, whose own keys are its drafter's to read.

    Raises:
        InputError: No Llama, Mistral or Qwen2 decoder, or a key that changes what is computed and is not known.
    """
    try:
        family = _family(content, draft_layer)
        given = {key: value for key, value in content.items() if key in FAMILIES[family]}
        if "max_position_embeddings" not in given and "max_sequence_length" in content:
            # LLaMA's first configurations, and draft heads made from them, said it so
            given["max_position_embeddings"] = content["max_sequence_length"]
        keys = _Keys.model_validate({"model_type": family, **FAMILIES[family], **given})
        return DecoderConfig(
            keys.dimensions(),
            keys.rms_norm_eps,
            _rope(keys),
            keys.end_tokens(),
            _object(content, "quantization_config"),
            content.get("dtype") or content.get("torch_dtype"),
        )
    except ValidationError as error:
        raise InputError(f"{where}: {one_line(error, LONGEST - len(where) - 2)}") from None
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


def _family(content: Mapping[str, Any], draft_layer: bool) -> str:
    """The ``model_type``, once nothing in the file speaks against it."""
    if not draft_layer and (key := draft_sign(content)):
        raise ValueError(f"'{key}' belongs to a draft head: give the model that it drafts for")
    if key := custom_code_sign(content):
        raise ValueError(f"'{key}' asks for code of its own, which is never run: what it computes is not known")
    family = content.get("model_type")
    if not isinstance(family, str) or family not in FAMILIES:
        said = f"model_type = {shown(repr(family), 40)}" if "model_type" in content else "missing key 'model_type'"
        raise ValueError(f"{said}: allowed are {', '.join(FAMILIES)}")
    if key := expert_sign(content):
        raise ValueError(f"'{key}' belongs to a model with experts, and {family} has none: not known what it computes")
    if not draft_layer:
        _refuse_foreign(content, family)
    return family


def _refuse_foreign(content: Mapping[str, Any], family: str) -> None:
    if other := foreign_classes(content):
        raise ValueError(
            f"architectures = {shown(other[0], 30)}: allowed are those ...ForCausalLM of {', '.join(FAMILIES)}"
        )
    if unknown := unknown_keys(content, family):
        named = listed([f"'{shown(key, 40)}'" for key in unknown], 60)
        raise ValueError(f"{named} may change what is computed, and is not known: if it does not, take it out")


class _Keys(BaseModel):
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
    tie_word_embeddings: bool
    attention_bias: bool = False
    mlp_bias: Literal[False]
    hidden_act: Literal["silu", "swish"]
    sliding_window: Positions | None = None
    use_sliding_window: bool = True
    max_window_layers: NonNegativeInt = 0
    layer_types: list[Literal["full_attention", "sliding_attention"]] | None
    rms_norm_eps: Annotated[float, Field(gt=0, lt=1)]
    rope_theta: Annotated[float, Field(gt=0)]
    rope_scaling: object
    rope_parameters: object
    partial_rotary_factor: Annotated[float, Field(ge=1, le=1)]
    eos_token_id: NonNegativeInt | list[NonNegativeInt] | None

    @model_validator(mode="after")
    def _makes_heads(self) -> Self:
        if self.head_dim is None and self.model_type == "llama" and self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"head_dim is needed where hidden_size ({self.hidden_size}) is not a multiple of"
                f" num_attention_heads ({self.num_attention_heads})"
            )
        if self.num_key_value_heads is None and self.model_type == "mistral":
            raise ValueError("num_key_value_heads = null is not possible for mistral: leave it out for 8")
        if self.width % 2 or self.width == 0:
            raise ValueError(f"heads {self.width} wide are not possible: positions turn pairs of numbers")
        return self

    @model_validator(mode="after")
    def _layers_are_alike(self) -> Self:
        """Layer types say what the window says; the families' own code takes nothing else from them."""
        if self.layer_types is not None and self.layer_types != self._types():
            raise ValueError(f"layer_types must be {self.num_hidden_layers} entries that agree with the sliding window")
        return self

    @property
    def width(self) -> int:
        """Width of one head."""
        return self.head_dim or self.hidden_size // self.num_attention_heads

    def _types(self) -> list[str]:
        """Attention layer by layer: all of Mistral's slide where it has a window, the last ones of Qwen2."""
        slides = self.sliding_window is not None and self.use_sliding_window
        if slides and self.model_type == "qwen2" and self.layer_types is not None:
            return list(self.layer_types) if len(self.layer_types) == self.num_hidden_layers else []
        full = min(self.max_window_layers, self.num_hidden_layers) if slides else self.num_hidden_layers
        return ["full_attention"] * full + ["sliding_attention"] * (self.num_hidden_layers - full)

    def _max_context(self) -> int:
        """Positions with full attention: a sliding window ends where it starts to slide."""
        window = self.sliding_window if "sliding_attention" in self._types() else None
        return min(self.max_position_embeddings, window or self.max_position_embeddings)

    def dimensions(self) -> dict[str, object]:
        """The same under the names of ``ModelSpec``."""
        biased = self.model_type == "llama" and self.attention_bias
        return {
            "layers": self.num_hidden_layers,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "heads": self.num_attention_heads,
            "kv_heads": self.num_key_value_heads or self.num_attention_heads,
            "head_dim": self.width,
            "vocab_size": self.vocab_size,
            "tied_embeddings": self.tie_word_embeddings,
            "qkv_bias": biased or self.model_type == "qwen2",  # Qwen2 always has it, whatever the key says
            "out_bias": biased,
            "max_context": self._max_context(),
        }

    def end_tokens(self) -> tuple[int, ...]:
        """One, several or none."""
        end = self.eos_token_id
        return () if end is None else (end,) if isinstance(end, int) else tuple(end)


_ROPE_KEYS = words(
    """
    rope_type type rope_theta partial_rotary_factor factor original_max_position_embeddings attention_factor beta_fast
    beta_slow short_factor long_factor low_freq_factor high_freq_factor mscale mscale_all_dim truncate
    """
)
"""Parameters of a rotation in transformers 5.24.0; those that a type has no use for are ignored there."""


def _rope(keys: _Keys) -> dict[str, Any]:
    """Bring the older layout (rope_theta, rope_scaling) and the newer (rope_parameters) to one: the older one wins."""
    source = "rope_scaling" if keys.rope_scaling else "rope_parameters"
    found = getattr(keys, source) or {}
    if not isinstance(found, dict):
        raise ValueError(f"{source} must be an object")
    scaling = {key: value for key, value in found.items() if value is not None}
    kind = scaling.pop("type", "default")
    kind = scaling.setdefault("rope_type", kind)
    theta = found.get("rope_theta", keys.rope_theta)
    scaling.pop("rope_theta", None)
    if type(theta) not in (int, float) or not 0 < theta < float("inf"):
        raise ValueError(f"rope_theta = {shown(repr(theta), 40)}: input should be a number above 0")
    if (part := scaling.pop("partial_rotary_factor", 1)) != 1:
        raise ValueError(f"partial_rotary_factor = {shown(repr(part), 40)}: allowed is 1")
    if kind in ("llama3", "yarn"):
        scaling.setdefault("original_max_position_embeddings", keys.max_position_embeddings)
    if kind == "default":
        scaling = {key: value for key, value in scaling.items() if key == "rope_type" or key not in _ROPE_KEYS}
    return {"theta": theta, "scaling": scaling}


def _object(content: Mapping[str, Any], key: str) -> Mapping[str, Any] | None:
    value = content.get(key)
    if value is None or isinstance(value, dict):
        return value or None
    raise ValueError(f"{key} must be an object, not a {type(value).__name__}")
