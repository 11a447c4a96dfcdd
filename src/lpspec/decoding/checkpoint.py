"""Tensors by name from checkpoint files, shapes checked; nothing that a file says is ever executed."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lpspec.decoding.packed_weights import MARKS, packed_mark, packed_shape, unpacked
from lpspec.decoding.storage_config import read_storage
from lpspec.decoding.stored_weights import (
    Storage,
    in_fewer_bits,
    int8_rows,
    packed_name,
    rounds_activations,
    weight_values,
)
from lpspec.errors import LONGEST, InputError, shown
from lpspec.llm.quantization_files import quantization_beside
from lpspec.text_files import read_json_object

_WHOLE = ("model.safetensors", "pytorch_model.bin")


_ADAPTERS = ("adapter_config.json", "adapter_model.safetensors", "adapter_model.bin")

_HARMLESS = re.compile(r"(.*\.)?rotary_emb\.(inv_freq|cos_cached|sin_cached)")
"""Tensors that older releases of transformers saved, and that follow from the configuration."""


_PATH = 50  # characters of a path that are shown, so that names of tensors have room beside it


class Tensors(Protocol):
    """Where a model takes its weights from."""

    def __contains__(self, name: str) -> bool:
        """True where a tensor of that name is there."""
        ...

    def take(self, name: str, *shape: int) -> Tensor:
        """The values of the tensor of that name, whose shape must be this."""
        ...

    def take_int8(self, name: str, *shape: int) -> tuple[Tensor, Tensor] | None:
        """That of a W8A8 layer as it is stored, and its scales float32 [rows]; None if it is stored otherwise."""
        ...


class Checkpoint:
    """The tensors of one or several files, named as in Hugging Face checkpoints.

    It knows which of them were taken, so that ``refuse_rest`` can say what would have gone unused.

    Args:
        tensors: Name to tensor.
        said_as: What messages call it.
        storage: How its weights are stored, as far as the tensors don't say it.
    """

    def __init__(self, tensors: Mapping[str, Tensor], said_as: str, storage: Storage | None = None) -> None:
        """Hold the tensors; files stay mapped into memory until they are used."""
        self.tensors = tensors
        self.said_as, self.storage = said_as, storage or Storage()
        self.dequantised: set[str] = set()  # ways in which weights were stored whose values were taken
        self._taken: set[str] = set()

    def __contains__(self, name: str) -> bool:
        """True where a tensor of that name is there, packed or not."""
        return name in self.tensors or packed_mark(name, self.tensors, self.storage.packing) is not None

    @property
    def packed_weights(self) -> dict[str, tuple[int, int]]:
        """Names and shapes of the weights that are packed, as if they were not."""
        packing = self.storage.packing
        if packing is None:
            return {}
        ending = f".{MARKS[packing.kind]}"
        layers = [name.removesuffix(ending) for name in self.tensors if name.endswith(ending)]
        shapes = {layer: packed_shape(layer, self.tensors, packing, self.said_as) for layer in layers}
        return {f"{layer}.weight": shape for layer, shape in shapes.items() if shape is not None}

    def _is_packed(self, name: str) -> bool:
        """Whether a weight is packed, under another name or bitsandbytes' own."""
        in_place = self.storage.packing is not None and self.storage.packing.kind == "bitsandbytes"
        named = in_place or name not in self.tensors
        return named and packed_mark(name, self.tensors, self.storage.packing) is not None

    @property
    def untaken(self) -> dict[str, Tensor]:
        """What nobody has taken yet."""
        return {name: self.tensors[name] for name in self.tensors if name not in self._taken}

    def drop(self, name: str) -> None:
        """Go on without a tensor."""
        self.tensors = {other: tensor for other, tensor in self.tensors.items() if other != name}

    def take(self, name: str, *shape: int) -> Tensor:
        """The values of the tensor of that name, in floating point whatever it is stored in.

        Raises:
            InputError: It is missing, has another shape, or its values cannot be told.
        """
        packing = self.storage.packing
        if packing is not None and self._is_packed(name):
            values, found_with = unpacked(name, shape, self.tensors, packing, self.said_as)
            self._taken.update(found_with)
            self.dequantised.add(packing.said)
            return values
        self.take_stored(name, *shape)
        values, found_with = weight_values(name, self.tensors, self.storage, self.said_as)
        if not (values.float() if values.dtype == torch.float64 else values).isfinite().all():
            raise InputError(f"{self.said_as}: '{name}' holds values that are not finite, or too large for float32")
        self._taken.update(found_with)
        if in_fewer_bits(self.tensors[name]):
            self.dequantised.add("INT8" if self.tensors[name].dtype == torch.int8 else "float8")
        return values

    def take_int8(self, name: str, *shape: int) -> tuple[Tensor, Tensor] | None:
        """A weight of a W8A8 layer as it is stored, int8 [rows, columns], and its scales float32 [rows].

        None where it is stored otherwise, or where what it multiplies is not to be rounded.

        Raises:
            InputError: It is missing, has another shape, or its scales are missing or wrong.
        """
        if self.storage.method == "gguf" or self._is_packed(name):
            return None
        self.take_stored(name, *shape)
        if not rounds_activations(name, self.tensors, self.storage):
            return None
        weight, scale, found_with = int8_rows(name, self.tensors, self.said_as)
        self._taken.update(found_with)
        return weight, scale

    def take_stored(self, name: str, *shape: int) -> Tensor:
        """The tensor of that name as it is stored: for numbers that are no weights.

        Raises:
            InputError: It is missing, or has another shape.
        """
        if name not in self.tensors:
            if packed := packed_name(name, self.tensors):
                raise InputError(f"{self.said_as}: '{packed}' holds packed weights (as GPTQ and AWQ do): not read")
            raise InputError(f"{self.said_as} has no tensor '{name}': not a checkpoint of this kind of model")
        tensor = self.tensors[name]
        if tuple(tensor.shape) != shape:
            raise InputError(f"{self.said_as}: '{name}' has shape {list(tensor.shape)}, expected is {list(shape)}")
        self._taken.add(name)
        return tensor

    def is_harmless(self, name: str) -> bool:
        """Whether a tensor changes nothing: older GPTQ files give each layer a bias, of zeros where there is none."""
        if name.endswith(".bias") and packed_mark(
            f"{name.removesuffix('bias')}weight", self.tensors, self.storage.packing
        ):
            return not bool(self.tensors[name].any())
        return _HARMLESS.fullmatch(name) is not None

    def refuse_rest(self, but: Collection[str] = ()) -> None:
        """Refuse tensors that nobody has taken: the model would compute something else than they were made for.

        Args:
            but: Those that may stay: others use them.

        Raises:
            InputError: There are some.
        """
        rest = [name for name in self.untaken if name not in but and not self.is_harmless(name)]
        if rest:
            more = f" and {len(rest) - 1} more" if len(rest) > 1 else ""
            raise InputError(
                f"{self.said_as} holds '{shown(rest[0], 60)}'{more}, which by its configuration is not used"
            )


def _no_such_bits(storage: Storage, tensors: Mapping[str, Tensor]) -> bool:
    """Whether no weight is stored as the configuration says."""
    if storage.packing is not None:
        return not any(name.endswith(MARKS[storage.packing.kind]) for name in tensors)
    return storage.method is not None and not any(in_fewer_bits(tensor) for tensor in tensors.values())


def open_checkpoint(folder: str | Path) -> Checkpoint:
    """Open a model folder's weights: one file or the shards that an index lists, safetensors before others.

    Raises:
        InputError: There are none, a shard is missing, a file is damaged, or weights are stored in a way that is not
            read.
    """
    folder = Path(folder)
    said_as = f"checkpoint '{shown(str(folder), _PATH)}'"
    if adapter := next((name for name in _ADAPTERS if (folder / name).is_file()), None):
        raise InputError(f"{said_as} holds an adapter ({adapter}), which is not applied: merge it first")
    storage = _storage(folder / "config.json")
    tensors = _folder_tensors(folder, said_as)
    if _no_such_bits(storage, tensors):
        raise InputError(f"{said_as}: no weight is stored as quantization_config says ({storage.method})")
    return Checkpoint(tensors, said_as, storage)


def _folder_tensors(folder: Path, said_as: str) -> dict[str, Tensor]:
    for whole in _WHOLE:
        if (folder / whole).is_file():
            return load_tensors(folder / whole)
        if (index := folder / f"{whole}.index.json").is_file():
            return _load_shards(index)
    raise InputError(f"{said_as} has no weights: {' or '.join(_WHOLE)} must be there, or its .index.json")


def _storage(config: Path) -> Storage:
    where = f"model config '{shown(str(config), _PATH)}'"
    said = read_json_object(config, where).get("quantization_config") if config.is_file() else None
    return read_storage(quantization_beside(config) if said is None else said, where)


def load_tensors(file: str | Path) -> dict[str, Tensor]:
    """Map the tensors of one .safetensors, .pt or .bin file into memory; of the last two only plain tensors are read.

    Raises:
        InputError: The file cannot be read, is cut short, or holds anything but tensors.
    """
    file = Path(file)
    said = file_said(file)
    try:
        loaded = load_file(file) if file.suffix == ".safetensors" else _load_torch(file)
    except OSError as error:
        raise InputError(f"{said} cannot be read: {error.strerror or str(error).partition(': ')[0]}") from None
    except pickle.UnpicklingError:
        raise InputError(f"{said} holds more than tensors, or is damaged: it was not read") from None
    except (SafetensorError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"{said} is damaged or no checkpoint: {reason}"[:LONGEST]) from None
    if not isinstance(loaded, dict) or not all(isinstance(tensor, Tensor) for tensor in loaded.values()):
        raise InputError(f"{said} must hold tensors by name")
    return loaded


def file_said(file: Path) -> str:
    """What messages call a file of tensors."""
    return f"checkpoint file '{shown(str(file), _PATH)}'"


def _load_torch(file: Path) -> dict[str, Tensor]:
    with file.open("rb") as start:
        is_zip = start.read(2) == b"PK"
    with warnings.catch_warnings(action="ignore"):  # on formats of which the error says all
        loaded: dict[str, Tensor] = torch.load(file, map_location="cpu", weights_only=True, mmap=is_zip)
    return loaded


def _load_shards(index: Path) -> dict[str, Tensor]:
    said = f"checkpoint index '{shown(str(index), _PATH)}'"
    shard_of = read_json_object(index, said).get("weight_map")
    if not isinstance(shard_of, dict) or not all(isinstance(shard, str) for shard in shard_of.values()):
        raise InputError(f"{said} has no weight_map from tensor names to files")
    tensors: dict[str, Tensor] = {}
    for shard in sorted(set(shard_of.values())):
        if Path(shard).name != shard:
            raise InputError(f"{said} names '{shown(shard, 40)}', allowed are files of its own folder")
        if not (index.parent / shard).is_file():
            raise InputError(f"{said} lists '{shown(shard, 60)}', which is not there")
    for shard in sorted(set(shard_of.values())):
        found = load_tensors(index.parent / shard)
        if twice := [name for name in found if shard_of.get(name, shard) != shard or name in tensors]:
            raise InputError(f"{said}: '{shown(twice[0], 40)}' lies in '{shown(shard, 40)}' and in another file too")
        tensors |= found
    if missing := sorted(set(shard_of) - set(tensors)):
        raise InputError(f"{said} lists '{shown(missing[0], 60)}', which its file does not hold")
    return tensors
