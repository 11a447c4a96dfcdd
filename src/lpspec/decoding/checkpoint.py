"""Tensors by name from checkpoint files, shapes checked; nothing that a file says is ever executed."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lpspec.errors import InputError
from lpspec.llm.loading import read_json_object

_WHOLE = ("model.safetensors", "pytorch_model.bin")


class Tensors(Protocol):
    """Where a model takes its weights from."""

    def __contains__(self, name: str) -> bool:
        """True where a tensor of that name is there."""
        ...

    def take(self, name: str, *shape: int) -> Tensor:
        """The tensor of that name, whose shape must be this."""
        ...


class Checkpoint:
    """The tensors of one or several files, named as in Hugging Face checkpoints.

    Args:
        tensors: Name to tensor.
        said_as: What messages call it.
    """

    def __init__(self, tensors: Mapping[str, Tensor], said_as: str) -> None:
        """Hold the tensors; files stay mapped into memory until they are used."""
        self.tensors = dict(tensors)
        self.said_as = said_as

    def __contains__(self, name: object) -> bool:
        """True where a tensor of that name is there."""
        return name in self.tensors

    def take(self, name: str, *shape: int) -> Tensor:
        """The tensor of that name.

        Raises:
            InputError: It is missing, or has another shape.
        """
        if name not in self.tensors:
            raise InputError(f"{self.said_as} has no tensor '{name}': not a checkpoint of this kind of model")
        tensor = self.tensors[name]
        if tuple(tensor.shape) != shape:
            raise InputError(f"{self.said_as}: '{name}' has shape {list(tensor.shape)}, expected is {list(shape)}")
        return tensor


def open_checkpoint(folder: str | Path) -> Checkpoint:
    """Open a model folder's weights: one file or the shards that an index lists, safetensors before others.

    Raises:
        InputError: There are none, a shard is missing, or a file is damaged.
    """
    folder = Path(folder)
    said_as = f"checkpoint '{folder}'"
    for whole in _WHOLE:
        if (folder / whole).is_file():
            return Checkpoint(load_tensors(folder / whole), said_as)
        if (index := folder / f"{whole}.index.json").is_file():
            return Checkpoint(_load_shards(index), said_as)
    allowed = ", ".join(f"{whole}, {whole}.index.json" for whole in _WHOLE)
    raise InputError(f"{said_as} has no weights: one of {allowed} must be there")


def load_tensors(file: str | Path) -> dict[str, Tensor]:
    """Map the tensors of one .safetensors, .pt or .bin file into memory; of the last two only plain tensors are read.

    Raises:
        InputError: The file cannot be read, is cut short, or holds anything but tensors.
    """
    file = Path(file)
    try:
        loaded = load_file(file) if file.suffix == ".safetensors" else _load_torch(file)
    except OSError as error:
        raise InputError(f"checkpoint file '{file}' cannot be read: {error.strerror or error}") from None
    except pickle.UnpicklingError:
        raise InputError(f"checkpoint file '{file}' holds more than tensors, or is damaged: it was not read") from None
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"checkpoint file '{file}' is damaged or no checkpoint: {reason}") from None
    if not isinstance(loaded, dict) or not all(isinstance(tensor, Tensor) for tensor in loaded.values()):
        raise InputError(f"checkpoint file '{file}' must hold tensors by name")
    return loaded


def _load_torch(file: Path) -> dict[str, Tensor]:
    with warnings.catch_warnings(action="ignore"):  # on formats of which the error says all
        loaded: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True, mmap=_is_zip(file))
    return loaded


def _is_zip(file: Path) -> bool:
    with file.open("rb") as start:
        return start.read(2) == b"PK"


def _load_shards(index: Path) -> dict[str, Tensor]:
    shard_of = read_json_object(index, f"checkpoint index '{index}'").get("weight_map")
    if not isinstance(shard_of, dict) or not all(isinstance(shard, str) for shard in shard_of.values()):
        raise InputError(f"checkpoint index '{index}' has no weight_map from tensor names to files")
    tensors: dict[str, Tensor] = {}
    for shard in sorted(set(shard_of.values())):
        if Path(shard).name != shard:
            raise InputError(f"checkpoint index '{index}' names '{shard}', allowed are files of its own folder")
        tensors |= load_tensors(index.parent / shard)
    if missing := sorted(set(shard_of) - set(tensors)):
        raise InputError(f"checkpoint index '{index}' lists '{missing[0]}', which its file does not hold")
    return tensors
