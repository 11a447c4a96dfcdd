"""A machine's price list: nanoseconds of a step for every context and every number of verified tokens, and its file."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError

from lpspec.arrays import FloatArray
from lpspec.decoding.transformer import Transformer
from lpspec.errors import InputError
from lpspec.llm.model_spec import one_line
from lpspec.text_files import read_json_object

FORMAT = "lpspec-machine-prices"
VERSION = 1

Nanoseconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, eq=False)
class MachinePrices:
    """What decoding steps take on a machine; called with a context, it is a price list for the engine.

    Args:
        model: Name of the model that was timed.
        drafter: Name of its drafter.
        contexts: Context lengths that were timed, ascending, at least one.
        sizes: Tree sizes that were timed, the root included, ascending from 1.
        verify_ns: float64 [contexts, sizes], time of a verify pass.
        overhead_ns: Time of a step beside its pass: drafting, accepting, learning.
        rounds: How often every pass was timed.
        machine: Description of the machine and how it was used.
    """

    model: str
    drafter: str
    contexts: tuple[int, ...]
    sizes: tuple[int, ...]
    verify_ns: FloatArray
    overhead_ns: float
    rounds: int
    machine: dict[str, str | int] = field(default_factory=dict)

    @cached_property
    def step_ns(self) -> FloatArray:
        """float64 [contexts, largest size]: a whole step, monotone in both, every size from 1 on interpolated."""
        smooth = monotone(monotone(self.verify_ns).T).T
        every = np.arange(1, self.sizes[-1] + 1)
        return self.overhead_ns + np.array([np.interp(every, self.sizes, row) for row in smooth])

    def __call__(self, context: int) -> FloatArray:
        """What a step that verifies n tokens behind ``context`` takes, ns, at index n - 1."""
        row: FloatArray = self._every_context[min(context, self.contexts[-1])]
        return row

    @cached_property
    def _every_context(self) -> FloatArray:
        """float64 [largest context + 1, largest size]: asked for at every step, so it lies ready."""
        contexts = np.arange(self.contexts[-1] + 1)
        return np.array([np.interp(contexts, self.contexts, column) for column in self.step_ns.T]).T.copy()

    def document(self) -> dict[str, Any]:
        """Everything as plain values, for JSON."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "model": self.model,
            "drafter": self.drafter,
            "contexts": list(self.contexts),
            "sizes": list(self.sizes),
            "verify_ns": self.verify_ns.tolist(),
            "overhead_ns": self.overhead_ns,
            "rounds": self.rounds,
            "machine": self.machine,
        }


def monotone(rows: FloatArray) -> FloatArray:
    """The rows that never fall and lie nearest, in squares, to those given (pool adjacent violators).

    Args:
        rows: float64 [rows, columns].
    """
    return np.array([_pooled(row) for row in rows])


def _pooled(row: FloatArray) -> FloatArray:
    blocks: list[tuple[float, int]] = []  # mean, length
    for value in row.tolist():
        mean, length = value, 1
        while blocks and blocks[-1][0] > mean:
            before, count = blocks.pop()
            mean = (before * count + mean * length) / (count + length)
            length += count
        blocks.append((mean, length))
    return np.repeat([mean for mean, _ in blocks], [length for _, length in blocks])


class _File(BaseModel):
    """The JSON file of a price list."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["lpspec-machine-prices"]
    version: Literal[1]
    model: str
    drafter: str
    contexts: list[PositiveInt] = Field(min_length=1)
    sizes: list[PositiveInt] = Field(min_length=1)
    verify_ns: list[list[Nanoseconds]]
    overhead_ns: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    rounds: PositiveInt
    machine: dict[str, str | int]
    provenance: dict[str, object] = Field(default_factory=dict)
    """What made it, for readers."""


def load_prices(path: str | Path) -> MachinePrices:
    """Read the file that ``lpspec calibrate --json`` writes.

    Raises:
        InputError: It cannot be read, or is no such file.
    """
    where = f"price list '{path}'"
    try:
        content = _File.model_validate(
            read_json_object(Path(path), where, "make one with lpspec calibrate --json FILE")
        )
    except ValidationError as error:
        raise InputError(f"{where}: {one_line(error)}") from None
    for name, values in (("contexts", content.contexts), ("sizes", content.sizes)):
        if values != sorted(set(values)):
            raise InputError(f"{where}: {name} must ascend")
    if content.sizes[0] != 1 or {len(row) for row in content.verify_ns} != {len(content.sizes)}:
        raise InputError(f"{where}: sizes must begin with 1, and verify_ns hold one time for each")
    if len(content.verify_ns) != len(content.contexts):
        raise InputError(f"{where}: verify_ns must hold one row for each context")
    return MachinePrices(
        content.model,
        content.drafter,
        tuple(content.contexts),
        tuple(content.sizes),
        np.array(content.verify_ns, np.float64),
        content.overhead_ns,
        content.rounds,
        content.machine,
    )


def describe_machine(model: Transformer, dtype: str) -> dict[str, str | int]:
    """What a measured time depends on beside the model: processor, threads, library, backend, precision."""
    return {
        "processor": _processor(model.device),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count() or 0,
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "device": str(model.device),
        "backend": model.computing.backend.name,
        "dtype": dtype,
    }


def _processor(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
