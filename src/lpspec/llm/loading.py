"""Find a model by the name of a preset, or read it from a Hugging Face ``config.json``."""

import json
import tomllib
from importlib.resources import files
from pathlib import Path

from lpspec.errors import InputError, shown, unknown_name
from lpspec.llm.hugging_face import DecoderConfig, parse_config
from lpspec.llm.model_spec import ModelSpec, validated_spec
from lpspec.llm.quantization import stored_precision
from lpspec.text_files import read_text

_PRESETS = files("lpspec.llm") / "presets"


def model_names() -> tuple[str, ...]:
    """The names of the shipped models, sorted."""
    return tuple(sorted(file.name[:-5] for file in _PRESETS.iterdir() if file.name.endswith(".toml")))


def load_model(name_or_path: str, weight_bits: int | None = None) -> ModelSpec:
    """The dimensions of a model, by the name of a preset or from a Hugging Face configuration.

    Args:
        name_or_path: A name from ``model_names()``; or the path of a ``config.json``, or of a folder that
            holds one, whose ``model_type`` is llama, mistral or qwen2.
        weight_bits: Bits per weight; None for what a quantised file stores, and for 8 elsewhere.

    Raises:
        InputError: The name is unknown, or the file cannot be read or does not describe such a model.
    """
    if name_or_path in model_names():
        preset = tomllib.loads((_PRESETS / f"{name_or_path}.toml").read_text(encoding="utf-8"))
        spec = validated_spec({"name": name_or_path, **preset}, f"preset '{name_or_path}'")
        return spec.with_bits(weight=weight_bits)
    if _is_path(name_or_path):
        return config_spec(read_config(name_or_path), name_or_path, weight_bits)
    raise unknown_name("model", name_or_path, model_names())


def _is_path(text: str) -> bool:
    return "/" in text or text.endswith(".json") or (text != "" and Path(text).exists())


def read_config(path: str | Path) -> DecoderConfig:
    """What a ``config.json``, or that of a folder, says of a decoder.

    Raises:
        InputError: The file cannot be read, or describes something else.
    """
    file = _config_file(Path(path))
    where = _where(file)
    instead = "give a config.json, its folder or a name: lpspec inspect lists them"
    return parse_config(read_json_object(file, where, instead), where)


def config_spec(config: DecoderConfig, path: str | Path, weight_bits: int | None = None) -> ModelSpec:
    """The dimensions of a decoder with the precision that its weights are stored in.

    Args:
        config: What was read.
        path: Where it was read from; names the model.
        weight_bits: Bits per weight instead; then it does not matter how they are stored.

    Raises:
        InputError: The dimensions cannot be, or it is not known what the quantisation stores.
    """
    file = _config_file(Path(path))
    where = _where(file)
    absolute = file.absolute()
    name = absolute.parent.name if file.name == "config.json" else file.stem
    stored: dict[str, int] = {}
    if config.quantization is not None and weight_bits is None:
        try:
            stored = stored_precision(config.quantization, config.dtype)
        except ValueError as error:
            raise InputError(f"{where}: {error}") from None
    spec = validated_spec({"name": name, "source": str(file), **config.dimensions, **stored}, where)
    return spec.with_bits(weight=weight_bits)


def _config_file(path: Path) -> Path:
    return path / "config.json" if path.is_dir() else path


def _where(file: Path) -> str:
    return f"model config '{shown(str(file))}'"


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
        content = json.loads(read_text(file))
    except OSError as error:
        raise InputError(f"cannot read {where}: {error.strerror}{instead and f'; {instead}'}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{where} must hold a JSON object, not a {type(content).__name__}")
    return content
