"""What a Hugging Face ``config.json`` fixes of a Llama-like model beyond the dimensions: norm, rotation, end tokens."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveFloat, ValidationError, model_validator

from lpspec.decoding.rope import RopeSpec
from lpspec.errors import InputError
from lpspec.llm.loading import load_model, read_json_object
from lpspec.llm.model_spec import ModelSpec, one_line


class LlamaConfig(BaseModel):
    """A Llama-like model that can be run."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    spec: ModelSpec
    """Dimensions, and which projections add a bias."""
    rms_norm_eps: PositiveFloat = 1e-6
    """What RMSNorm adds to the mean square."""
    rope: RopeSpec = RopeSpec()
    """Rotation of positions."""
    end_tokens: tuple[NonNegativeInt, ...] = ()
    """Token ids that end a text."""


class _ConfigJson(BaseModel):
    """The keys that the dimensions don't cover; defaults as in transformers."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    hidden_act: Literal["silu"] = "silu"
    partial_rotary_factor: Literal[1] = 1
    rms_norm_eps: PositiveFloat = 1e-6
    rope: RopeSpec
    eos_token_id: NonNegativeInt | list[NonNegativeInt] | None = None

    @model_validator(mode="before")
    @classmethod
    def _gather_rope(cls, content: dict[str, Any]) -> dict[str, Any]:
        return {**content, "rope": _rope_fields(content)}


def load_config(folder: str | Path) -> LlamaConfig:
    """Read the ``config.json`` of a model folder.

    Raises:
        InputError: There is none, it is no Llama, Mistral or Qwen2 model, or it has a feature that is not computed.
    """
    file = Path(folder) / "config.json"
    where = f"model config '{file}'"
    spec = load_model(f"{file.parent}/config.json")
    try:
        content = _ConfigJson.model_validate(read_json_object(file, where))
    except ValidationError as error:
        raise InputError(f"{where}: {one_line(error)}") from None
    end = content.eos_token_id
    ends = () if end is None else (end,) if isinstance(end, int) else tuple(end)
    return LlamaConfig(spec=spec, rms_norm_eps=content.rms_norm_eps, rope=content.rope, end_tokens=ends)


def _rope_fields(content: dict[str, Any]) -> dict[str, Any]:
    """Bring the older layout (rope_theta, rope_scaling) and the newer (rope_parameters) to the fields of RopeSpec."""
    found = content.get("rope_parameters") or content.get("rope_scaling") or {}
    if not isinstance(found, dict):
        raise ValueError("rope_scaling must be an object")
    scaling = {key: value for key, value in found.items() if value is not None}
    old_type = scaling.pop("type", "default")
    scaling.setdefault("rope_type", old_type)
    theta = scaling.pop("rope_theta", None) or content.get("rope_theta") or 10_000.0
    if scaling["rope_type"] == "yarn":
        scaling.setdefault("original_max_position_embeddings", content.get("max_position_embeddings"))
    if scaling["rope_type"] == "default":
        scaling = {"rope_type": "default"}
    return {"theta": theta, "scaling": scaling}
