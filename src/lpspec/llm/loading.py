"""Find a model by the name of a preset, or read it from its files: Hugging Face's or GGUF."""

import tomllib
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path

from lpspec.errors import InputError, shown, unknown_name
from lpspec.llm.feed_forward import Experts
from lpspec.llm.file_formats import formats_of_files
from lpspec.llm.gguf import read_gguf
from lpspec.llm.gguf_config import config_of
from lpspec.llm.hugging_face import DecoderConfig, parse_config
from lpspec.llm.model_spec import ModelSpec, validated_spec
from lpspec.llm.quantization import stored_precision
from lpspec.llm.quantization_files import quantization_beside
from lpspec.llm.routing import read_routing
from lpspec.llm.safetensors_header import INDEX, WHOLE, read_safetensors
from lpspec.llm.weights_table import weights_text
from lpspec.text_files import is_file, is_folder, is_there, read_json_object

_PRESETS = files("lpspec.llm") / "presets"


@cache
def model_names() -> tuple[str, ...]:
    """The names of the shipped models, sorted."""
    return tuple(sorted(file.name[:-5] for file in _PRESETS.iterdir() if file.name.endswith(".toml")))


def load_model(name_or_path: str, weights: int | str | None = None, routing: str | None = None) -> ModelSpec:
    """A model by the name of a preset, or from its files.

    Args:
        name_or_path: A name from ``model_names()``; or the path of a GGUF file, of a ``config.json`` or its folder, or
            of weights in safetensors (or their index) that have a ``config.json`` beside them.
        weights: How weights are stored instead: bits, a format such as ``4g128`` or ``q4_k``, or formats by class such
            as ``attention_in=8,expert=4``, or the path of a TOML file with a line for each such class. None for what
            the files hold; of a ``config.json`` alone, what its ``quantization_config`` says; and 8 bits elsewhere.
        routing: The path of a file of the experts that were chosen for a text; None for even loads.

    Raises:
        InputError: The name is unknown; a file cannot be read, does not describe a model, or contradicts another; or
            the model has no weights that can be stored so.
    """
    wanted = None if weights is None else weights_text(weights)
    if name_or_path in model_names():
        spec = _preset(name_or_path)
    elif _is_path(name_or_path):
        as_stored = wanted is None or "=" in wanted
        path = Path(name_or_path)
        spec = _gguf_spec(path, as_stored) if path.suffix == ".gguf" else _config_spec(path, as_stored)
    else:
        raise unknown_name("model", name_or_path, model_names())
    spec = spec if wanted is None else spec.with_weights(wanted)
    return spec if routing is None else spec.with_routing(read_routing(routing))


@cache
def _preset(name: str) -> ModelSpec:
    """A shipped model: numbers of a Llama-like one, or under ``[config]`` what its ``config.json`` says."""
    where = f"preset '{name}'"
    preset = tomllib.loads((_PRESETS / f"{name}.toml").read_text(encoding="utf-8"))
    config = preset.pop("config", None)
    dimensions = {} if config is None else parse_config(config, where).dimensions
    return validated_spec({"name": name, **preset, **dimensions}, where)


def _is_path(text: str) -> bool:
    return "/" in text or text.endswith((".json", ".gguf", ".safetensors")) or (text != "" and is_there(text))


def _gguf_spec(path: Path, as_stored: bool) -> ModelSpec:
    """A model from the keys of a GGUF file, its weights as there or in 8 bits."""
    file, where = read_gguf(path), f"model file '{shown(str(path), 50)}'"
    try:
        config = parse_config(config_of(file), where)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
    spec = validated_spec({"name": path.stem, "source": str(path), **config.dimensions}, where)
    formats = formats_of_files(spec, file.tensors, where)
    return spec.model_copy(update={"formats": formats}) if as_stored else spec


def _config_spec(path: Path, as_stored: bool) -> ModelSpec:
    """A model from a ``config.json``, its weights as its files or its ``quantization_config`` say, or in 8 bits."""
    spec = config_spec(read_config(path), path, as_stored)
    if not as_stored or not _has_weights(path):
        return spec
    formats = formats_of_files(spec, read_safetensors(path), f"model '{shown(str(path), 50)}'")
    return spec.model_copy(update={"formats": formats})


def _has_weights(path: Path) -> bool:
    """Whether a path names files of weights, or a folder with some; a ``config.json`` stands for itself alone."""
    return _is_weights(path) or (is_folder(path) and any(is_file(path / name) for name in (WHOLE, INDEX)))


def _is_weights(path: Path) -> bool:
    return path.name.endswith((".safetensors", ".safetensors.index.json"))


def read_config(path: str | Path) -> DecoderConfig:
    """What a ``config.json``, that of a folder, or that beside weights says of a decoder.

    Raises:
        InputError: The file cannot be read, or describes something else.
    """
    file = _config_file(Path(path))
    where = _where(file)
    instead = "give a config.json, its folder, a .gguf file or a name: lpspec inspect lists them"
    config = parse_config(read_json_object(file, where, instead), where)
    return config if config.quantization is not None else replace(config, quantization=quantization_beside(file))


def config_spec(config: DecoderConfig, path: str | Path, as_stored: bool = True) -> ModelSpec:
    """A decoder with the precision that its configuration says.

    Args:
        config: What was read.
        path: Where it was read from; names the model.
        as_stored: False for 8 bits a weight, however they are stored.

    Raises:
        InputError: The dimensions cannot be, or it is not known what the quantisation stores.
    """
    file = _config_file(Path(path))
    where = _where(file)
    absolute = file.absolute()
    name = absolute.parent.name if file.name == "config.json" else file.stem
    spec = validated_spec({"name": name, "source": str(file), **config.dimensions}, where)
    if config.quantization is None or not as_stored:
        return spec
    try:
        stored = stored_precision(config.quantization, config.dtype, spec.classes, _have_experts(spec))
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
    return spec.model_copy(update={"formats": stored.formats}).with_bits(kv=stored.kv_bits)


def _have_experts(spec: ModelSpec) -> list[bool]:
    """Of each layer, whether it has experts."""
    return [isinstance(group.layer.feed_forward, Experts) for group in spec.layer_groups for _ in range(group.count)]


def _config_file(path: Path) -> Path:
    if _is_weights(path):
        return path.with_name("config.json")
    return path / "config.json" if is_folder(path) else path


def _where(file: Path) -> str:
    return f"model config '{shown(str(file))}'"
