"""Trace files: some arrays and one JSON text that says what they are, as .npz, read without trust."""

from __future__ import annotations

import io
import json
import os
import struct
import tempfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from lpspec.errors import InputError
from lpspec.text_files import read_bytes

Trace = TypeVar("Trace")

# What numpy and zipfile raise on a file that is cut short, altered, encrypted, pickled or of another kind.
_DAMAGE = (
    BadZipFile,
    EOFError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
    struct.error,
    zlib.error,
)


@dataclass(frozen=True)
class TraceFormat:
    """One kind of trace file.

    Args:
        name: How a file says what it is.
        version: Of the format.
        arrays: The arrays that a file holds, with their types.
        fields: What its JSON text says besides; one of them is ``labels``, a text per turn.
        further: What it says only where that differs from what is meant where nothing is said, by name.
    """

    name: str
    version: int
    arrays: Mapping[str, np.dtype[Any]]
    fields: tuple[str, ...]
    further: Mapping[str, Any] = field(default_factory=dict)

    def text(self, values: Mapping[str, Any]) -> str:
        """The JSON text of a file."""
        differing = {name: values[name] for name, usual in self.further.items() if values[name] != usual}
        said = {"format": self.name, "version": self.version, **{name: values[name] for name in self.fields}}
        return json.dumps(said | differing, ensure_ascii=True)

    def content(self, values: Mapping[str, Any]) -> bytes:
        """What a file holds, from arrays and fields by name; equal ones give equal bytes."""
        buffer = io.BytesIO()
        typed: dict[str, Any] = {name: values[name].astype(dtype) for name, dtype in self.arrays.items()}
        np.savez_compressed(buffer, **typed, metadata=np.array(self.text(values)))
        return buffer.getvalue()

    def save(self, path: str | Path, values: Mapping[str, Any]) -> None:
        """Write a file, whole or not at all.

        Raises:
            InputError: The folder does not exist or cannot be written.
        """
        try:
            _write_atomically(Path(path), self.content(values))
        except OSError as error:
            raise InputError(f"trace file '{path}' cannot be written: {error.strerror}") from error

    def read(
        self,
        file: Traversable | Path,
        said_as: str,
        build: Callable[[dict[str, Any]], Trace],
    ) -> Trace:
        """Read a file and build a trace from its arrays and fields by name.

        Raises:
            InputError: The file cannot be read, or as ``build_from``.
        """
        return self.build_from(self.content_of(file, said_as), said_as, build)

    def content_of(self, file: Traversable | Path, said_as: str) -> bytes:
        """What a file holds.

        Raises:
            InputError: It cannot be read.
        """
        try:
            return read_bytes(file) if isinstance(file, Path) else file.read_bytes()
        except OSError as error:
            raise InputError(f"trace file '{said_as}' cannot be read: {error.strerror}") from error

    def build_from(self, content: bytes, said_as: str, build: Callable[[dict[str, Any]], Trace]) -> Trace:
        """Build a trace from what a file holds.

        Raises:
            InputError: It is damaged or of another kind, or ``build`` refuses what it says.
        """
        try:
            return build(self._parse(content))
        except InputError as error:
            raise InputError(f"trace file '{said_as}': {error}") from error
        except _DAMAGE as error:
            raise InputError(
                f"trace file '{said_as}' is damaged or no trace; allowed are .npz files in the format {self.name}"
            ) from error

    def _parse(self, content: bytes) -> dict[str, Any]:
        loaded: Any = np.load(io.BytesIO(content), allow_pickle=False)
        if not isinstance(loaded, np.lib.npyio.NpzFile):
            raise InputError(f"it is one bare array, allowed are .npz files in the format {self.name}")
        with loaded as npz:
            expected = {*self.arrays, "metadata"}
            if set(npz.files) != expected:
                raise InputError(f"it holds {sorted(npz.files)}, a trace holds exactly {sorted(expected)}")
            try:
                found = {name: npz[name] for name in npz.files}
            except Exception as error:  # numpy says nowhere what it raises on a header that is none
                raise ValueError from error
        if not all(isinstance(array, np.ndarray) for array in found.values()):
            raise InputError("one of its members is no array")
        fields = self._said(found["metadata"])
        arrays: dict[str, Any] = {name: found[name] for name in self.arrays}
        for name, dtype in self.arrays.items():
            if arrays[name].dtype != dtype:
                raise InputError(f"'{name}' is of type {arrays[name].dtype}, allowed is {dtype}")
        return {**arrays, **fields}

    def _said(self, metadata: NDArray[Any]) -> dict[str, Any]:
        """Check the frame of the JSON text, and return what it says of the trace."""
        said = json.loads(str(metadata)) if metadata.dtype.kind == "U" and metadata.ndim == 0 else None
        if not isinstance(said, dict) or said.pop("format", None) != self.name:
            raise InputError(f"its metadata does not say that it is in the format {self.name}")
        if (version := said.pop("version", None)) != self.version:
            raise InputError(f"it is in version {version!r} of the format, allowed is {self.version}")
        if set(said) - set(self.further) != set(self.fields):
            raise InputError(f"its metadata says {sorted(said)}, a trace says exactly {sorted(self.fields)}")
        if not isinstance(said["labels"], list):
            raise InputError("'labels' is not a list of texts")
        return {**said, "labels": tuple(said["labels"])}


def _write_atomically(path: Path, content: bytes) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).chmod(0o644)
        os.replace(temporary, path)  # noqa: PTH105
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def check_turns(turn_lengths: NDArray[Any], name: str, positions: int, labels: int) -> None:
    """Raise InputError unless the turns add up to the positions of the array ``name``, and each has a label."""
    if turn_lengths.ndim != 1 or turn_lengths.dtype.kind not in "iu" or not len(turn_lengths):
        raise InputError("turn_lengths of a trace must be a list of whole numbers, at least one")
    if turn_lengths.min() < 1:
        raise InputError(f"turn_lengths of a trace: turn {turn_lengths.argmin()} has no positions, 1 is the least")
    if (total := int(turn_lengths.sum(dtype=np.int64))) != positions:
        raise InputError(f"turn_lengths of a trace sum to {total}, but {name} has {positions} positions")
    if labels != len(turn_lengths):
        raise InputError(f"labels of a trace must be one per turn, not {labels} for {len(turn_lengths)} turns")


def check_texts(trace: object, fields: tuple[str, ...], labels: object) -> None:
    """Raise InputError unless these fields are texts, and the labels a tuple of texts."""
    for name in fields:
        if not isinstance(getattr(trace, name), str):
            raise InputError(f"{name} of a trace must be a text, not {getattr(trace, name)!r}")
    if not isinstance(labels, tuple) or not all(isinstance(label, str) for label in labels):
        raise InputError("labels of a trace must be a tuple of texts")


def read_only(array: NDArray[Any], dtype: type[np.generic]) -> NDArray[Any]:
    """A copy that cannot be written to."""
    copy = np.array(array, dtype=dtype, order="C")
    copy.flags.writeable = False
    return copy
