"""Rotary position embedding (arXiv 2104.09864) in the half-split layout of Llama checkpoints, with its scalings."""

from __future__ import annotations

import math
from typing import Annotated, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt
from torch import Tensor


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class PlainRope(_Strict):
    """No scaling: frequencies as trained."""

    rope_type: Literal["default"] = "default"


class LinearRope(_Strict):
    """Positions divided by ``factor`` (position interpolation, arXiv 2306.15595)."""

    rope_type: Literal["linear"] = "linear"
    factor: PositiveFloat


class Llama3Rope(_Strict):
    """Llama 3.1's scaling: long waves are slowed by ``factor``, short ones kept, those between interpolated."""

    rope_type: Literal["llama3"] = "llama3"
    factor: PositiveFloat
    low_freq_factor: PositiveFloat
    high_freq_factor: PositiveFloat
    original_max_position_embeddings: PositiveInt


class LongRope(_Strict):
    """LongRoPE (arXiv 2402.13753) within the trained context, where each pair is slowed by a factor of its own."""

    rope_type: Literal["longrope"] = "longrope"
    short_factor: tuple[PositiveFloat, ...]
    attention_factor: PositiveFloat


class YarnRope(_Strict):
    """YaRN (arXiv 2309.00071): interpolation by how often a wave turns in the trained context, and a temperature."""

    rope_type: Literal["yarn"] = "yarn"
    factor: PositiveFloat
    original_max_position_embeddings: PositiveInt
    attention_factor: PositiveFloat | None = None
    beta_fast: PositiveFloat = 32.0
    beta_slow: PositiveFloat = 1.0
    truncate: bool = True


RopeScaling = Annotated[PlainRope | LinearRope | Llama3Rope | LongRope | YarnRope, Field(discriminator="rope_type")]


class RopeSpec(_Strict):
    """Everything that fixes the rotation of a position."""

    theta: PositiveFloat = 10_000.0
    """Base of the geometric series of frequencies."""
    scaling: RopeScaling = PlainRope()
    """How frequencies were changed to reach longer contexts."""
    part: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Part of each head that is turned, its first numbers."""

    def turned(self, head_dim: int) -> int:
        """How many numbers of a head are turned."""
        return int(head_dim * self.part)


def frequencies(spec: RopeSpec, head_dim: int) -> Tensor:
    """float32 [turned width / 2], radians per position of each rotated pair."""
    head_dim = spec.turned(head_dim)
    exponents = torch.arange(0, head_dim, 2, dtype=torch.int64).float() / head_dim
    plain = 1.0 / (spec.theta**exponents)
    match spec.scaling:
        case LinearRope(factor=factor):
            return plain / factor
        case Llama3Rope() as scaling:
            return _llama3(plain, scaling)
        case LongRope(short_factor=factors):
            return 1.0 / (torch.tensor(factors, dtype=torch.float32) * spec.theta**exponents)
        case YarnRope() as scaling:
            return _yarn(plain, scaling, spec.theta, head_dim)
        case _:
            return plain


def magnitude(spec: RopeSpec) -> float:
    """The factor on cosine and sine: the attention temperature of YaRN and LongRoPE, 1 for all others."""
    if isinstance(spec.scaling, LongRope):
        return spec.scaling.attention_factor
    if not isinstance(spec.scaling, YarnRope):
        return 1.0
    if spec.scaling.attention_factor is not None:
        return spec.scaling.attention_factor
    return 0.1 * math.log(spec.scaling.factor) + 1.0 if spec.scaling.factor > 1 else 1.0


def _llama3(plain: Tensor, scaling: Llama3Rope) -> Tensor:
    turns = scaling.original_max_position_embeddings * plain / (2 * math.pi)
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    return plain * kept + plain / scaling.factor * (1 - kept)


def _yarn(plain: Tensor, scaling: YarnRope, theta: float, head_dim: int) -> Tensor:
    def pair_that_turns(times: float) -> float:
        span = scaling.original_max_position_embeddings / (times * 2 * math.pi)
        return head_dim * math.log(span) / (2 * math.log(theta))

    low, high = pair_that_turns(scaling.beta_fast), pair_that_turns(scaling.beta_slow)
    if scaling.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    ramp = (torch.arange(head_dim // 2, dtype=torch.float32) - low) / max(high - low, 0.001)
    kept = 1 - ramp.clamp(0, 1)
    return plain * kept + plain / scaling.factor * (1 - kept)


class RopeTable:
    """Cosines and signed sines of every position up to a limit that grows as it is asked for."""

    def __init__(self, spec: RopeSpec, head_dim: int, dtype: torch.dtype, device: torch.device) -> None:
        """Start empty."""
        self._frequencies = frequencies(spec, head_dim)
        self._magnitude = magnitude(spec)
        self._table = torch.empty(0, 2, spec.turned(head_dim), dtype=dtype, device=device)

    def up_to(self, limit: int) -> Tensor:
        """Cosine and signed sine, [limit or more, 2, turned width], of every position below ``limit``."""
        if limit > self._table.shape[0]:
            self._grow(max(limit, 2 * self._table.shape[0]))
        return self._table

    @torch.inference_mode(False)
    def _grow(self, limit: int) -> None:
        angles = torch.outer(torch.arange(limit, dtype=torch.float32), self._frequencies)
        cos, sin = angles.cos() * self._magnitude, angles.sin() * self._magnitude
        table = torch.stack((torch.cat((cos, cos), 1), torch.cat((-sin, sin), 1)), 1)
        self._table = table.to(self._table)


def rotated(x: Tensor, table: Tensor, positions: Tensor) -> Tensor:
    """Turn the pairs (i, i + width / 2) of the first ``width`` numbers of each head by their ``positions`` int64 [n].

    x is [..., n, heads, head_dim], and ``width`` the table's; what lies behind stays.
    """
    width = table.shape[-1]
    if width < x.shape[-1]:
        return torch.cat([rotated(x[..., :width], table, positions), x[..., width:]], -1)
    cos, sin = table[positions].unsqueeze(2).unbind(1)
    return torch.addcmul(x * cos, x.roll(width // 2, -1), sin)
