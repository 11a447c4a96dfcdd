"""What the energy of a machine counts: its memory and MACs, as devices count events, or its whole board or SoC."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from lpspec.arrays import FloatArray
from lpspec.devices.cost import COMPONENTS
from lpspec.machine.platform_spec import PlatformSpec

Real = TypeVar("Real", float, FloatArray)

STATIC = COMPONENTS.index("static")


@dataclass(frozen=True, slots=True)
class Efficiency(Generic[Real]):
    """What a token took on one energy basis: numbers, or an array of them for each figure.

    Attributes:
        tokens_per_s: Throughput, tokens per second.
        mj_per_token: Energy per token, mJ.
    """

    tokens_per_s: Real
    mj_per_token: Real

    @property
    def tokens_per_j(self) -> Real:
        """Energy efficiency, tokens per joule."""
        return 1e3 / self.mj_per_token

    @property
    def edp_s_mj(self) -> Real:
        """Energy-delay product of a token, s x mJ."""
        return self.mj_per_token / self.tokens_per_s

    @property
    def power_w(self) -> Real:
        """Power, W."""
        return self.tokens_per_s * self.mj_per_token / 1e3


def board_pj(platform: PlatformSpec, memory_and_macs_pj: Real, latency_ns: Real) -> Real:
    """Energy of the whole board or SoC, pJ: board power x time, or a phone's memory and MACs with its rest x time.

    The platform must know its board power.
    """
    if platform.board_power is not None:
        return latency_ns * (platform.board_power.watts * 1e3)
    assert platform.rest_of_soc_power is not None
    return memory_and_macs_pj + latency_ns * (platform.rest_of_soc_power.watts * 1e3)


def counted_pj(platform: PlatformSpec, memory_and_macs_pj: Real, latency_ns: Real) -> Real:
    """Energy on the basis of the platform, pJ."""
    if platform.energy_basis == "model":
        return memory_and_macs_pj
    return board_pj(platform, memory_and_macs_pj, latency_ns)


def board_efficiency(
    platform: PlatformSpec, tokens: int, memory_and_macs_pj: float, latency_ns: float
) -> Efficiency[float] | None:
    """What a token took on the whole board or SoC; None for a platform that does not say."""
    if not platform.knows_board_power:
        return None
    total_pj = board_pj(platform, memory_and_macs_pj, latency_ns)
    return Efficiency(tokens / (latency_ns / 1e9), total_pj / 1e9 / tokens)


def counted_of(platform: PlatformSpec | None) -> tuple[float, float]:
    """What ``counted_pj`` makes of 1 pJ of memory and MACs, and of 1 ns; it is the sum of both. None counts the first.

    The sum is exact, as one of the two factors is 1 or 0.
    """
    if platform is None:
        return 1.0, 0.0
    return counted_pj(platform, 1.0, 0.0), counted_pj(platform, 0.0, 1.0)


def counted_parts_pj(platform: PlatformSpec, parts_pj: FloatArray, latency_ns: float) -> FloatArray:
    """float64 [components] on the basis of the platform: what a board draws beside its parts is its static part."""
    if platform.energy_basis == "model":
        return parts_pj
    counted = parts_pj.copy() if platform.board_power is None else parts_pj * 0.0
    counted[STATIC] += board_pj(platform, float(parts_pj.sum()), latency_ns) - counted.sum()
    return counted


def waiting_watts(platform: PlatformSpec, waiting_share: float) -> float:
    """What a machine draws beside its memory while nothing is computed, on its energy basis, W.

    Args:
        platform: The machine; it has no board power of its own.
        waiting_share: Share of the rest of its SoC that stays on.
    """
    rest = platform.uncounted_watts - platform.static_power.watts
    return platform.static_power.watts + rest * waiting_share
