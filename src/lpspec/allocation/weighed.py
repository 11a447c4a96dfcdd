"""A DAU that saves energy: the split with the least energy, or the least product of energy and time.

LP-Spec's DAU lets both sides finish together, whatever that costs. But a weight that the NPU reads over the bus costs
several times the energy of one that PIM reads in its bank, so where energy counts a slower split can be better.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from lpspec.allocation.hybrid import BalancedAllocator
from lpspec.arrays import FloatArray, IntArray
from lpspec.devices.cost import Cost, Real
from lpspec.llm.counts import Count
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.operators import Attention, Gemm, verify_operators
from lpspec.machine.energy_profile import EnergyProfile
from lpspec.machine.platform_spec import PlatformSpec


class WeighedAllocator(BalancedAllocator):
    """Splits that cost least when time has a price in energy."""

    saves_time = False

    def __init__(
        self,
        platform: PlatformSpec,
        model: ModelSpec,
        max_tokens: int,
        max_context: int,
        profile: EnergyProfile,
        ns_worth_pj: float | FloatArray,
    ) -> None:
        """Place every column.

        Args:
            platform: The machine.
            model: The decoder.
            max_tokens: Most tokens that one pass verifies.
            max_context: Longest context of the run.
            profile: Energy constants.
            ns_worth_pj: Energy that a ns is worth, for passes of any or of 1, 2, ... tokens (float64 [max_tokens]): 0
                for least energy; the power of a pass, in mW, for its least product of energy and time, since to first
                order d(ET) / T = dE + (E / T) dT.

        Raises:
            InputError: As ``BalancedAllocator``.
        """
        self._profile = profile
        self._ns_worth_pj = np.broadcast_to(np.asarray(ns_worth_pj, np.float64), (max_tokens,))
        super().__init__(platform, model, max_tokens, max_context)

    def _split_weight(self, tokens: Count, gemm: Gemm, pim_columns: IntArray, latency_ns: FloatArray) -> FloatArray:
        activity = self._split_activity(replace(gemm, count=1, tokens=tokens), pim_columns)
        return self._weight(Cost(latency_ns, activity), tokens)

    def _heads_weight(self, op: Attention, pim_heads: int, latency_ns: FloatArray) -> FloatArray:
        return self._weight(Cost(latency_ns, self._heads_activity(replace(op, count=1), pim_heads)), op.tokens)

    def _weight(self, cost: Cost, tokens: Count) -> FloatArray:
        parts: Mapping[str, Real] = self.pim.timing.standing_by(cost).activity.energy_pj(self._profile)
        return np.asarray(sum(parts.values()) + cost.latency_ns * self._ns_worth_pj[np.asarray(tokens) - 1], np.float64)


class _EnergyAllocator(WeighedAllocator):
    """Without a second copy of keys and values, which costs energy at every step."""

    def _keeps_kv_on_dram(self, left_bytes: int) -> bool:
        """Either side can take all heads without it."""
        return False


def least_energy(
    platform: PlatformSpec, model: ModelSpec, max_tokens: int, max_context: int, profile: EnergyProfile
) -> WeighedAllocator:
    """Splits with the least energy, power that flows all the time included."""
    flowing_mw = platform.uncounted_watts * 1e3
    return _EnergyAllocator(platform, model, max_tokens, max_context, profile, flowing_mw)


def least_edp(
    platform: PlatformSpec, model: ModelSpec, max_tokens: int, max_context: int, profile: EnergyProfile
) -> WeighedAllocator:
    """Splits with the least product of energy and time, at the power of the pass of as many tokens that ends soonest.

    With time T0 and energy E0 of that pass, no split of least E + (E0 / T0) T has a larger product: E T (E0 / T0) is at
    most the square of half that sum, and the sum at most 2 E0; both allocators place columns and cache alike.
    """
    soonest = BalancedAllocator(platform, model, max_tokens, max_context, profile)
    tokens, context = np.arange(1, max_tokens + 1)[None], np.array([[max(max_context - max_tokens, 1)]])
    cost: Cost = soonest.decode_cost(verify_operators(model, tokens, context))
    energies: Mapping[str, Real] = cost.activity.energy_pj(profile)
    power_mw = np.ravel(sum(energies.values()) / cost.latency_ns) + platform.uncounted_watts * 1e3
    return WeighedAllocator(platform, model, max_tokens, max_context, profile, power_mw)
