"""The seam between the decoder and what computes its products: plain torch, or compiled loops for few tokens on a CPU.

Nothing on the decoder's side of it knows how a product is computed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from lpspec.decoding.torch_backend import TORCH
from lpspec.errors import InputError, unknown_name
from lpspec.scenario.names import BACKENDS

if TYPE_CHECKING:
    from lpspec.decoding.kv_cache import Window
    from lpspec.decoding.layer import Stack, Surroundings

Product = Callable[[Tensor, Tensor | None], Tensor]
"""Multiplies x [..., inputs] by a weight, adds its bias, and what the result comes on top of; to [..., outputs]."""

StackPass = Callable[[Tensor, "Surroundings", "Window | None"], tuple[Tensor, Sequence[Tensor]]]
"""All layers over x [..., n, hidden size], behind a cache if there is one: what comes after them, and after each."""


class Backend(Protocol):
    """Computes what a pass is made of. Weights are given once, so that it may lay them out as it reads them."""

    @property
    def name(self) -> str:
        """As in ``BACKENDS``."""
        ...

    def product(self, weight: Tensor, bias: Tensor | None) -> Product:
        """Make a weight [outputs, inputs] and its bias [outputs], if there is one, ready to multiply by."""
        ...

    def stack(self, stack: Stack) -> StackPass:
        """Make decoder layers ready to be passed through."""
        ...

    def int_product(self, x: Tensor, weight: Tensor) -> Tensor:
        """The exact int32 [n, outputs] of x int8 [n, inputs] times weight int8 [outputs, inputs] transposed."""
        ...


@dataclass(frozen=True)
class Computing:
    """How a model computes.

    Args:
        dtype: Of weights that are not INT8, and of activations.
        device: Where they lie.
        backend: Who multiplies.
    """

    dtype: torch.dtype = torch.float32
    device: torch.device | str = "cpu"
    backend: Backend = TORCH


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
    from lpspec.decoding.compiled.backend import CompiledBackend, torch_is_faster

    return TORCH if name is None and torch_is_faster(dtype) else CompiledBackend()
