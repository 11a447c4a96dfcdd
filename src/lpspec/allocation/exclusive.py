"""Placements without copies: every column of a weight lies on one side, for good or until it is moved."""

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np

from lpspec.allocation.allocator import WeightMove
from lpspec.allocation.column_map import ColumnMap
from lpspec.allocation.hybrid import BalancedAllocator
from lpspec.allocation.migration import can_migrate, migration_cost, moved_bytes, moves_between
from lpspec.allocation.placement import NoRoomError, PlacedGemm
from lpspec.allocation.sharing import ONE_REQUEST, Sharing
from lpspec.arrays import IntArray
from lpspec.devices.cost import Cost
from lpspec.errors import InputError
from lpspec.llm.counts import ceil_div
from lpspec.llm.model_spec import ModelSpec
from lpspec.machine.energy_profile import EnergyProfile
from lpspec.machine.platform_spec import MemorySpec, PlatformSpec


class StaticAllocator(BalancedAllocator):
    """The split that suits one tree size, for the whole run: that of every tree, or N_ALU tokens, which take one pass.

    The cache lies on both sides where there is room, as under every policy: the NPU writes it anyway, and a
    second write is cheaper than moving heads.
    """

    def __init__(
        self,
        platform: PlatformSpec,
        model: ModelSpec,
        max_tokens: int,
        max_context: int,
        profile: EnergyProfile | None = None,
        passes: Sharing = ONE_REQUEST,
    ) -> None:
        """Place every column for the trees of ``passes``, whose size is one for all, or changes."""
        self._tree_size = passes.tree_size
        super().__init__(platform, model, max_tokens, max_context, profile)
        if self._tree_size is not None:
            self._settle(platform)

    def _placed_for(self, max_tokens: int) -> IntArray:
        return np.array([min(self._tree_size or self.pim.spec.alus.n, max_tokens)])

    @property
    def _main_tokens(self) -> int:
        return int(self._trees[0])

    def _kept(self, placed: list[PlacedGemm]) -> list[PlacedGemm]:
        """Nothing that the DRAM rank holds."""
        return [replace(p, most=p.fewest) for p in placed]

    def _split_in_vain(self) -> frozenset[str]:
        """None: weights lie alike for all placements, and what is left over may be computed under another one."""
        return frozenset()

    def _settle(self, platform: PlatformSpec) -> None:
        """Where room is short, what gives way is found one tile at a time, and what suits other sizes may serve better.

        Tried is one size for each number of passes over the weights.
        """
        if set(self.placements) == set(self._kept([self._wanted_by_npu(p) for p in self._whole])):
            return
        alus = self.pim.spec.alus.n
        others = self._placed_for_each(range(alus, self.max_tokens + 1, alus), platform)
        best = min([self, *others], key=lambda one: one.step_ns(self._main_tokens))
        self.placements = best.placements
        self._forget_splits()

    def _placed_for_each(self, sizes: Iterable[int], platform: PlatformSpec) -> Iterator["_PlacedFor"]:
        """The placements for trees of other sizes, as far as there is room for them."""
        for tokens in sizes:
            try:
                yield _PlacedFor(self, platform, self.max_tokens, tokens)
            except (InputError, NoRoomError):
                continue

    def _sizes_with_other_splits(self) -> list[int]:
        """A tree size for each way in which the columns may want to be divided, that of the start excepted."""
        sizes = np.arange(1, self.max_tokens + 1)
        wanted = np.array([self._wanted_tiles(p, sizes) for p in self._fit_pim(self._whole, self.max_kv_tokens)])
        start = wanted[:, self._trees[0] - 1]
        _, first = np.unique(wanted, axis=1, return_index=True)
        return [int(sizes[i]) for i in sorted(first.tolist()) if (wanted[:, i] != start).any()]

    def _wanted_tiles(self, placed: PlacedGemm, sizes: IntArray) -> IntArray:
        tokens = np.ones_like(sizes) if placed.gemm.name in self._drafts else sizes
        return np.asarray(ceil_div(self._best_split(tokens, placed).pim_columns, placed.tile_columns))


class _PlacedFor(StaticAllocator):
    """The same for another tree size, the cache lying where another allocator has it."""

    def __init__(self, home: StaticAllocator, platform: PlatformSpec, max_tokens: int, tokens: int) -> None:
        self._home = home
        context = home.max_kv_tokens - max_tokens
        super().__init__(platform, home.model, max_tokens, context, home.profile, Sharing(tokens))

    def _settle(self, platform: PlatformSpec) -> None:
        """It stays as it is, one of those among which others settle."""

    def _prepare(self, memory: MemorySpec) -> None:
        self._whole, self.blocks = self._home._whole, self._home.blocks
        self.attention_layers, self._experts = self._home.attention_layers, self._home._experts

    def _keeps_kv_on_dram(self, left_bytes: int) -> bool:
        return self._home.kv_on_dram


class DynamicAllocator(StaticAllocator):
    """LP-Spec's DAU: columns migrate between DRAM and PIM ranks when the tree size has changed for long enough to pay.

    A run starts in the placement of ``StaticAllocator``; those that can't be reached for want of room are left out.
    Sizes that change right after each move make this slower than staying: nobody knows what comes.

    Attributes:
        choices: Allocators for all placements among which columns may move, the first one first.
    """

    def __init__(
        self,
        platform: PlatformSpec,
        model: ModelSpec,
        max_tokens: int,
        max_context: int,
        profile: EnergyProfile | None = None,
        passes: Sharing = ONE_REQUEST,
    ) -> None:
        """Find the placements that trees of any size want; a run starts in that for ``passes``."""
        super().__init__(platform, model, max_tokens, max_context, profile, passes)
        self.choices: list[StaticAllocator] = [self]
        self._maps = [self.column_map(self.max_kv_tokens)]
        for choice in self._placed_for_each(self._sizes_with_other_splits(), platform):
            self._offer(choice, choice.column_map(self.max_kv_tokens))

    @property
    def layouts(self) -> tuple[BalancedAllocator, ...]:
        """The placements among which columns may move, the first one first."""
        return tuple(self.choices)

    def migration(self, start: int, goal: int) -> Cost:
        """Cost of moving from one choice to another, by number."""
        return migration_cost(moved_bytes(self._maps[start], self._maps[goal]), self.pim.timing)

    def moves(self, start: int, goal: int) -> dict[WeightMove, int]:
        """What moves from one choice to another, and how many copies of a product do so."""
        column_bytes = {placed.gemm.name: int(placed.gemm.column_bytes) for placed in self.placements}
        return moves_between(self._maps[start], self._maps[goal], column_bytes)

    def _offer(self, choice: StaticAllocator, lies: ColumnMap) -> None:
        """Add a placement that is new, and that can be reached from all others and left for them."""
        if any((lies.held == other.held).all() for other in self._maps):
            return
        if all(can_migrate(other, lies) and can_migrate(lies, other) for other in self._maps):
            self.choices.append(choice)
            self._maps.append(lies)
