"""The backends by name, and which is faster."""

import torch

from lpspec.decoding.backend import Backend
from lpspec.decoding.compiled.backend import CompiledBackend, torch_is_faster
from lpspec.decoding.torch_backend import TORCH
from lpspec.errors import InputError, unknown_name
from lpspec.scenario.names import BACKENDS


def choose_backend(name: str | None, dtype: torch.dtype, device: torch.device | str) -> Backend:
    """The backend of that name; None for the one that is faster: torch on a GPU or, in bfloat16, where the CPU has it.

    Raises:
        InputError: There is none of that name, or it does not compute on this device.
    """
    if name not in (None, *BACKENDS):
        raise unknown_name("backend", str(name), BACKENDS)
    on_cpu = torch.device(device).type == "cpu"
    if name == "compiled" and not on_cpu:
        raise InputError(f"backend 'compiled' computes on a CPU, not on '{device}': take 'torch'")
    if name == "torch" or not on_cpu:
        return TORCH
    return TORCH if name is None and torch_is_faster(dtype) else CompiledBackend()
