"""A DAU that saves energy: the split with the least energy, or the least product of energy and time.

LP-Spec's DAU lets both sides finish together, whatever that costs. But a weight that the NPU reads over the bus costs
several times the energy of one that PIM reads in its bank, so where energy counts a slower split can be better.
"""

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from lpspec.allocation.hybrid import BalancedAllocator
from lpspec.allocation.memo import Memo
from lpspec.allocation.position_splits import Weight
from lpspec.allocation.sharing import ONE_REQUEST, Sharing
from lpspec.allocation.tiled_products import TiledProduct
from lpspec.arrays import FloatArray, IntArray
from lpspec.devices.cost import Cost, Real
from lpspec.llm.counts import Count
from lpspec.llm.draft_work import draft_operators
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.operators import Attention, Gemm, verify_operators
from lpspec.machine.energy_profile import EnergyProfile
from lpspec.machine.platform_spec import PlatformSpec


class Worth(NamedTuple):
    """What costs are weighed by.

    Attributes:
        profile: Energy constants.
        ns_pj: Energy that a ns is worth, for passes of any or of 1, 2, ... tokens (float64 [max_tokens], the last for
            all that several requests share beyond): 0 for least energy; the power of a pass, in mW, for its least
            product of energy and time, since to first order d(ET) / T = dE + (E / T) dT; twice that for E T^2.
    """

    profile: EnergyProfile
    ns_pj: float | FloatArray


class WeighedAllocator(BalancedAllocator):
    """Splits that cost least when time has a price in energy."""

    saves_time = False

    def __init__(
        self,
        platform: PlatformSpec,
        model: ModelSpec,
        max_tokens: int,
        max_context: int,
        worth: Worth,
        passes: Sharing = ONE_REQUEST,
    ) -> None:
        """Place every column.

        Args:
            platform: The machine.
            model: The decoder.
            max_tokens: Most tokens that one pass verifies.
            max_context: Longest context of the run.
            worth: What costs are weighed by.
            passes: What is known of their tokens.

        Raises:
            InputError: As ``BalancedAllocator``.
        """
        self._profile = worth.profile
        self._ns_worth_pj = _for_sizes(worth.ns_pj, max_tokens)
        super().__init__(platform, model, max_tokens, max_context, passes=passes)

    def at_power(self, ns_worth_pj: float | FloatArray) -> "WeighedAllocator":
        """The same placement with splits of another weight."""
        other = copy(self)
        other._ns_worth_pj = _for_sizes(ns_worth_pj, self.max_tokens)
        other._memo = Memo(tables=self._memo.tables)
        return other

    def _split_weight(self, tokens: Count, gemm: Gemm, pim_columns: IntArray, latency_ns: FloatArray) -> FloatArray:
        activity = self._split_activity(replace(gemm, count=1, tokens=tokens), pim_columns)
        return self._weight(Cost(latency_ns, activity), tokens)

    def _tile_weight(self, table: TiledProduct, sizes: IntArray) -> FloatArray:
        assert table.energy_pj is not None
        weight: FloatArray = table.energy_pj[sizes] + table.latency_ns[sizes] * self._ns_worth_pj[sizes, None]
        return weight

    @property
    def _pricing_profile(self) -> EnergyProfile:
        return self._profile

    def _heads_weight(self, op: Attention, pim_heads: IntArray, latency_ns: FloatArray) -> FloatArray:
        return self._weight(Cost(latency_ns, self._heads_activity(replace(op, count=1), pim_heads)), op.tokens)

    def _share_weights(self) -> list[Weight]:
        return [lambda op, cost: self._weight(cost, op.tokens)]

    def _weight(self, cost: Cost, tokens: Count) -> FloatArray:
        parts: Mapping[str, Real] = self.pim.timing.energy_pj(cost, self._profile)
        worth = self._ns_worth_pj[np.minimum(tokens, len(self._ns_worth_pj)) - 1]
        return np.asarray(sum(parts.values()) + cost.latency_ns * worth, np.float64)


def _for_sizes(value: float | FloatArray, sizes: int) -> FloatArray:
    """One value for each tree size."""
    return np.broadcast_to(np.asarray(value, np.float64), (sizes,))


class _EnergyAllocator(WeighedAllocator):
    """Without a second copy of keys and values, which costs energy at every step."""

    def _keeps_kv_on_dram(self, left_bytes: int) -> bool:
        """Either side can take all heads without it."""
        return False


def least_energy(
    platform: PlatformSpec,
    model: ModelSpec,
    max_tokens: int,
    max_context: int,
    profile: EnergyProfile,
    passes: Sharing = ONE_REQUEST,
) -> WeighedAllocator:
    """Splits with the least energy, power that flows all the time included."""
    worth = Worth(profile, platform.uncounted_watts * 1e3)
    return _EnergyAllocator(platform, model, max_tokens, max_context, worth, passes)


def least_edp(
    platform: PlatformSpec,
    model: ModelSpec,
    max_tokens: int,
    max_context: int,
    profile: EnergyProfile,
    passes: Sharing = ONE_REQUEST,
) -> WeighedAllocator:
    """Splits with the least product of energy and time, for steps of every size, or of the one that all trees have."""
    return _least_product(1, (platform, model, max_tokens, max_context, profile, passes))


def least_ed2p(
    platform: PlatformSpec,
    model: ModelSpec,
    max_tokens: int,
    max_context: int,
    profile: EnergyProfile,
    passes: Sharing = ONE_REQUEST,
) -> WeighedAllocator:
    """Splits with the least product of energy and the square of time (ED2P), where delay counts for more."""
    return _least_product(2, (platform, model, max_tokens, max_context, profile, passes))


def _least_product(
    times: int, asked: tuple[PlatformSpec, ModelSpec, int, int, EnergyProfile, Sharing]
) -> WeighedAllocator:
    """Splits with the least E T^n, where time is a factor n ``times``.

    The split of least product is that of least E + n P T at its own power P = E / T. Where P0 is the power of any
    split, no split of least E + n P0 T has a larger product: E (P0 T)^n is at most (E + n P0 T) / (n + 1) to the power
    n + 1, and that mean is at most E0. So the product falls from power to power until one gives itself again. There may
    be several such, and what is begun at the split that ends soonest, and at that of least energy, may end at two: the
    lesser product is taken.
    """
    platform, model, max_tokens, max_context, profile, passes = asked
    tree_size = passes.tree_size
    soonest = BalancedAllocator(platform, model, max_tokens, max_context, profile, passes)
    sizes = np.arange(1, max_tokens + 1) if tree_size is None else np.array([tree_size])
    step = verify_operators(model, sizes[None], np.array([[max(max_context - 1, 1)]]))
    if tree_size is not None and tree_size > 1:
        step += draft_operators(model)

    def priced(allocator: BalancedAllocator) -> tuple[FloatArray, FloatArray]:
        """Product of a step of each size, and what a ns is worth by it."""
        cost = allocator.decode_cost(step)
        energies: Mapping[str, Real] = cost.activity.energy_pj(profile)
        latency_ns = np.ravel(cost.latency_ns)
        energy_pj = np.ravel(sum(energies.values())) + platform.uncounted_watts * 1e3 * latency_ns
        return latency_ns**times * energy_pj, times * energy_pj / latency_ns

    def settled(power_mw: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Least product, and the power by which its splits are chosen."""
        product, used_mw = np.full(len(sizes), np.inf), power_mw
        while True:
            lower, new_mw = priced(weighed.at_power(power_mw))
            falls = lower < product * (1 - 1e-12)
            if not falls.any():
                return product, used_mw
            product, used_mw = np.where(falls, lower, product), np.where(falls, power_mw, used_mw)
            power_mw = np.where(falls, new_mw, used_mw)

    placed_mw = priced(soonest)[1]
    weighed = WeighedAllocator(platform, model, max_tokens, max_context, Worth(profile, placed_mw), passes)
    ends = [settled(power_mw) for power_mw in (placed_mw, priced(weighed.at_power(0.0))[1])]
    return weighed.at_power(np.where(ends[1][0] < ends[0][0], ends[1][1], ends[0][1]))
