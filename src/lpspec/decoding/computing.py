"""How a model computes: in which type, where, and by whom."""

from dataclasses import dataclass

import torch

from lpspec.decoding.backend import Backend
from lpspec.decoding.torch_backend import TORCH


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
