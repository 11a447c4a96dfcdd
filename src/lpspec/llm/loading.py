"""Find a model by the name of a preset, or read it from a Hugging Face ``config.json``."""

import json
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError, model_validator

from lpspec.errors import InputError, unknown_name
from lpspec.llm.model_spec import ModelSpec, one_line, validated_spec

_PRESETS = files("lpspec.llm") / "presets"


def model_names() -> tuple[str, ...]:
    """The names of the shipped models, sorted."""
    return tuple(sorted(file.name[:-5] for file in _PRESETS.iterdir() if file.name.endswith(".toml")))


def load_model(name_or_path: str) -> ModelSpec:
    """The dimensions of a model, by the name of a preset or from a Hugging Face configuration.

    Args:
        name_or_path: A name from ``model_names()``; or the path of a ``config.json``, or of a folder that
            holds one, whose ``model_type`` is llama, mistral or qwen2.

    Raises:
        InputError: The name is unknown, or the file cannot be read or does not describe such a model.
    """
    if name_or_path in model_names():
        preset = tomllib.loads((_PRESETS / f"{name_or_path}.toml").read_text(encoding="utf-8"))
        return validated_spec({"name": name_or_path, **preset}, f"preset '{name_or_path}'")
    if _is_path(name_or_path):
        return _load_hugging_face(Path(name_or_path))
    raise unknown_name("model", name_or_path, model_names())


def _is_path(text: str) -> bool:
    return "/" in text or text.endswith(".json") or (text != "" and Path(text).exists())


class _HuggingFaceConfig(BaseModel):
    """The keys of a ``config.json`` that fix a decoder's dimensions; defaults as in transformers."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    model_type: Literal["llama", "mistral", "qwen2"]
    num_hidden_layers: PositiveInt
    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    num_attention_heads: PositiveInt
    num_key_value_heads: PositiveInt | None = None
    head_dim: PositiveInt | None = None
    vocab_size: PositiveInt
    max_position_embeddings: PositiveInt
    tie_word_embeddings: bool = False
    attention_bias: bool = False
    mlp_bias: Literal[False] = False
    sliding_window: PositiveInt | None = None
    use_sliding_window: bool = False

    @model_validator(mode="after")
    def _head_dim_is_known(self) -> Self:
        if self.head_dim is None and self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"head_dim is needed where hidden_size ({self.hidden_size}) is not a multiple of"
                f" num_attention_heads ({self.num_attention_heads})"
            )
        return self

    @property
    def max_context(self) -> int:
        """Positions with full attention: a sliding window ends where it starts to slide."""
        slides = self.model_type == "mistral" or (self.model_type == "qwen2" and self.use_sliding_window)
        window = self.sliding_window if slides else None
        return min(self.max_position_embeddings, window or self.max_position_embeddings)

    def spec_fields(self) -> dict[str, object]:
        """The same dimensions under the names of ``ModelSpec``; its precisions keep their defaults."""
        biased = self.model_type == "llama" and self.attention_bias
        return {
            "layers": self.num_hidden_layers,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "heads": self.num_attention_heads,
            "kv_heads": self.num_key_value_heads or self.num_attention_heads,
            "head_dim": self.head_dim or self.hidden_size // self.num_attention_heads,
            "vocab_size": self.vocab_size,
            "tied_embeddings": self.tie_word_embeddings,
            "qkv_bias": biased or self.model_type == "qwen2",  # Qwen2 always has it, whatever the key says
            "out_bias": biased,
            "max_context": self.max_context,
        }


def _load_hugging_face(path: Path) -> ModelSpec:
    file = path / "config.json" if path.is_dir() else path
    where = f"model config '{file}'"
    instead = f"give a config.json, a folder that holds one, or one of {', '.join(model_names())}"
    try:
        config = _HuggingFaceConfig.model_validate(read_json_object(file, where, instead))
    except ValidationError as error:
        raise InputError(f"{where}: {one_line(error)}") from None
    absolute = file.absolute()
    name = absolute.parent.name if file.name == "config.json" else file.stem
    return validated_spec({"name": name, "source": str(file), **config.spec_fields()}, where)


def read_json_object(file: Path, where: str, instead: str = "") -> dict[str, object]:
    """Read a file that holds one JSON object.

    Args:
        file: The file.
        where: Begins what is said of any fault.
        instead: What else could be given, said where the file cannot be read.

    Raises:
        InputError: The file cannot be read, is not JSON, or holds something else.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {where}: {error.strerror}{instead and f'; {instead}'}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{where} must hold a JSON object, not a {type(content).__name__}")
    return content
