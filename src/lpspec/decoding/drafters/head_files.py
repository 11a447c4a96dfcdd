"""Where draft heads lie, a file of their own or a folder as they are published, and what is said of them there."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from lpspec.decoding.checkpoint import Checkpoint, file_said, load_tensors, open_checkpoint
from lpspec.decoding.config_reader import unread_keys
from lpspec.decoding.model_config import ModelConfig, draft_layer_config
from lpspec.decoding.transformer import Transformer
from lpspec.errors import InputError, shown
from lpspec.text_files import read_json_object

LAYER = "transformer_layer_config"
"""Where speculators' files (https://github.com/vllm-project/speculators) describe the layer, as the model's would."""

_BIASES = frozenset({"attention_bias", "qkv_bias"})

_HARMLESS = frozenset({"max_window_layers", "embed_requires_grad"})  # of a sliding window alone; of training

_SPECULATORS = frozenset({LAYER, "speculators_config", "auto_map"})


@dataclass(frozen=True)
class HeadConfig:
    """What the ``config.json`` beside draft heads says.

    Args:
        layer: Dimensions and constants of the draft layer: the model's own where there is no such file.
        said: Every key of the file.
        where: Begins what is said of any fault.
    """

    layer: ModelConfig
    said: dict[str, Any] = field(default_factory=dict)
    where: str = "draft heads"


def open_heads(source: str | Path, *names: str) -> Checkpoint:
    """Open a file of heads; or the first of ``names`` that a folder has, or else its whole checkpoint.

    Raises:
        InputError: There is no such file or folder, or it is damaged.
    """
    source = Path(source)
    if source.is_dir():
        named = next((source / name for name in names if (source / name).is_file()), None)
        return open_checkpoint(source) if named is None else _open_file(named)
    if not source.is_file():
        raise InputError(f"draft heads '{shown(str(source))}': there is no such file or folder")
    return _open_file(source)


def read_head_config(source: str | Path) -> tuple[dict[str, Any], Path]:
    """What the ``config.json`` beside heads says, nothing where there is none; and the file."""
    folder = Path(source) if Path(source).is_dir() else Path(source).parent
    file = folder / "config.json"
    return (read_json_object(file, _where(file)) if file.is_file() else {}), file


def head_config(source: str | Path, model: ModelConfig, known: Set[str]) -> HeadConfig:
    """What is said of a draft layer.

    Args:
        source: The file or folder of its weights.
        model: For which it drafts.
        known: Keys that its drafter reads, beside those of any layer.

    Raises:
        InputError: The file is wrong, holds a key that nobody knows, or is of a layer for another model.
    """
    said, file = read_head_config(source)
    if not said:
        return HeadConfig(model)
    nested = said.get(LAYER)
    layer = nested if isinstance(nested, dict) else said
    config, where = draft_layer_config(layer, file), _where(file)
    if said.get("auto_map") and layer is said:
        raise InputError(f"{where}: 'auto_map' asks for code of its own, which is never run")
    family = str(layer["model_type"])
    others = known | _BIASES | _HARMLESS | (frozenset() if layer is said else _SPECULATORS)
    unknown = [key for part in (said, layer) for key in unread_keys(part, family) if key not in others]
    if unknown:
        raise InputError(f"{where}: '{shown(unknown[0], 40)}' may change what is computed, and is not known")
    for name, found, needed in (
        ("hidden_size", config.shape.hidden_size, model.shape.hidden_size),
        ("vocab_size", config.shape.vocab_size, model.shape.vocab_size),
    ):
        if found != needed:
            what = "hidden states {} wide, the model's are {}" if name == "hidden_size" else "{} tokens, the model {}"
            raise InputError(f"{where}: {name} is of a layer with {what.format(found, needed)}")
    if config.shape.layers not in (1, model.shape.layers):  # the latter where the model's file was copied
        raise InputError(f"{where}: num_hidden_layers = {config.shape.layers}, allowed is one draft layer")
    return HeadConfig(config, said, where)


def with_biases(config: HeadConfig, tensors: Checkpoint, prefix: str) -> ModelConfig:
    """The layer's dimensions with biases where its tensors have them: its model may have others.

    Raises:
        InputError: The file promises some that are missing.
    """
    has = {name: f"{prefix}self_attn.{name}_proj.bias" in tensors for name in ("q", "o")}
    layer = config.said.get(LAYER) or config.said
    if not has["q"] and (promised := [key for key in _BIASES if layer.get(key)]):
        raise InputError(f"{config.where}: {promised[0]} is true, but the layer's tensors have no biases")
    return config.layer.with_shape(qkv_bias=has["q"], out_bias=has["o"])


def own_embedding(tensors: Checkpoint, model: Transformer) -> torch.Tensor:
    """The embedding that a draft layer brings along, [vocabulary, hidden size]; the model's where it brings none."""
    if "embed_tokens.weight" not in tensors:
        return model.embedding
    embedding = tensors.take("embed_tokens.weight", *model.embedding.shape).to(model.embedding)
    return model.embedding if torch.equal(embedding, model.embedding) else embedding


def _where(file: Path) -> str:
    return f"draft layer config '{shown(str(file), 45)}'"


def _open_file(file: Path) -> Checkpoint:
    return Checkpoint(load_tensors(file), file_said(file))
