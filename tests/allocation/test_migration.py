"""When columns move, against every way they could have moved; and what moving costs."""

from functools import cache
from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from medusa_model import medusa_model

from lpspec.allocation.column_map import DRAM, PIM, ColumnMap, held_blocks
from lpspec.allocation.exclusive import DynamicAllocator, StaticAllocator
from lpspec.allocation.hybrid import BalancedAllocator
from lpspec.allocation.migration import (
    can_migrate,
    follow_placements,
    migrate_all,
    migration_cost,
    next_placement,
)
from lpspec.allocation.placement import NoRoomError
from lpspec.devices.memory_timing import timing_of
from lpspec.devices.package_commands import PackageCommands
from lpspec.llm import Gemm, draft_operators, verify_operators
from lpspec.machine.loading import load_platform, load_profile

MODELS = ("llama2-7b", "llama2-13b")


@cache
def allocator_of(kind: type[BalancedAllocator], name: str) -> BalancedAllocator:
    return kind(load_platform("lp-spec"), medusa_model(name), 64, 1024)


def dynamic(name: str) -> DynamicAllocator:
    found = allocator_of(DynamicAllocator, name)
    assert isinstance(found, DynamicAllocator)
    return found


# The decision


@st.composite
def games(draw: st.DrawFn, steps: int, most: int, dearest: int = 1) -> tuple[list[list[int]], list[list[int]]]:
    """Prices of some steps under some placements, and distances on a line as prices of moves: whole numbers.

    Moves up the line cost up to ``dearest`` times as much as those down.
    """
    count = draw(st.integers(1, most))
    spots = draw(st.lists(st.integers(0, 12), min_size=count, max_size=count))
    prices = draw(st.lists(st.lists(st.integers(0, 9), min_size=count, max_size=count), min_size=1, max_size=steps))
    up = draw(st.integers(1, dearest))
    return prices, [[up * (b - a) if b > a else a - b for b in spots] for a in spots]


def cheapest(prices: list[list[int]], move: list[list[int]], last: int | None, end: int) -> int:
    """Least cost of all sequences of placements from 0 to ``end`` that serve the last step in ``last``."""
    best = 10**9
    for path in product(range(len(move)), repeat=len(prices)):
        if last is None or path[-1] == last:
            served = sum(price[at] for price, at in zip(prices, path, strict=True))
            best = min(best, served + sum(move[a][b] for a, b in pairwise((0, *path, end))))
    return best


@settings(max_examples=150)
@given(games(steps=4, most=3, dearest=3))
def test_the_decision_is_that_of_all_ways_tried(game: tuple[list[list[int]], list[list[int]]]) -> None:
    prices, move = game
    distance = np.array(move, np.float64)
    work, current = distance[0].copy(), 0
    for done in range(1, len(prices) + 1):
        wanted = next_placement(work, np.array(prices[done - 1], np.float64), distance, current)
        ways = [cheapest(prices[:done], move, last, current) for last in range(len(move))]
        assert ways[wanted] == min(ways)
        assert wanted == current or ways[current] > ways[wanted]
        assert work.tolist() == [cheapest(prices[:done], move, None, end) for end in range(len(move))]
        current = wanted


@settings(max_examples=200)
@given(games(steps=60, most=4))
def test_foresight_would_not_have_done_much_better(game: tuple[list[list[int]], list[list[int]]]) -> None:
    """2n - 1 times at most, beside a constant, and what is lost by serving a step before moving for it."""
    prices, move = game
    count = len(move)
    placements = np.zeros(len(prices), np.int64)
    follow_placements(np.array(prices, np.float64), np.array(move, np.float64), placements)
    paid = sum(price[at] for price, at in zip(prices, placements.tolist(), strict=True))
    paid += sum(move[a][b] for a, b in pairwise(placements.tolist()))
    foreseen = [float(m) for m in move[0]]
    for price in prices:
        served = [w + p for w, p in zip(foreseen, price, strict=True)]
        foreseen = [min(served[a] + move[a][b] for a in range(count)) for b in range(count)]
    late = 9 * (1 + int((np.diff(placements) != 0).sum()))
    assert paid <= (2 * count - 1) * min(foreseen) + late + count * max(map(max, move))


def test_columns_move_once_what_it_would_have_saved_has_paid_both_ways() -> None:
    """Two placements, a gain of 1 a step, 5 for a move: after more than 10 steps, there and back again."""
    prices = np.array([[1.0, 0.0]] * 12 + [[0.0, 1.0]] * 14)
    placements = np.zeros(len(prices), np.int64)
    follow_placements(prices, np.array([[0.0, 5.0], [5.0, 0.0]]), placements)
    first, back = (int(np.flatnonzero(np.diff(placements) == step)[0]) + 1 for step in (1, -1))
    assert (first, back - 12) == (11, 11)


def test_steps_that_take_turns_move_nothing() -> None:
    prices = np.array([[1.0, 0.0], [0.0, 1.0]] * 500)
    placements = np.zeros(len(prices), np.int64)
    follow_placements(prices, np.array([[0.0, 5.0], [5.0, 0.0]]), placements)
    assert (placements == 0).all()


# What a move costs


@pytest.mark.parametrize("name", MODELS)
def test_a_migration_takes_the_bus_twice_and_fifteen_percent_of_a_read_off_the_chip(name: str) -> None:
    allocator, profile = dynamic(name), load_profile("attacc")
    for start, goal in product(range(len(allocator.choices)), repeat=2):
        tiles = [{(p, c): n for p, c, n in tiles_on_pim(allocator.choices[i])} for i in (start, goal)]
        moved = sum(bytes_between(allocator, key, tiles[0][key], tiles[1][key]) for key in tiles[0])
        cost = allocator.migration(start, goal)
        assert cost.latency_ns == pytest.approx(2 * moved / (51.2 * (1 - 210 / 3125)))
        energy_pj = cost.activity.energy_pj(profile)
        pj_per_bit = 2 * (0.11 + 0.44) + 0.15 * (0.11 + 0.44 + 3.04)
        assert energy_pj.pop("migration") == pytest.approx(8 * moved * pj_per_bit)
        assert set(energy_pj.values()) == {0.0}


def tiles_on_pim(allocator: BalancedAllocator) -> list[tuple[str, int, int]]:
    """Every copy of every product, those with the fewest tiles on PIM first."""
    by_name: dict[str, list[int]] = {}
    for p in allocator.placements:
        by_name.setdefault(p.gemm.name, []).extend([p.most] * p.gemm.count)
    return [(name, copy, tiles) for name, held in by_name.items() for copy, tiles in enumerate(sorted(held))]


def bytes_between(allocator: BalancedAllocator, key: tuple[str, int], start: int, goal: int) -> int:
    placed = next(p for p in allocator.placements if p.gemm.name == key[0])
    low, high = sorted((start, goal))
    return sum(placed.tile_bytes(tile) for tile in range(low, high))


@pytest.mark.parametrize("name", MODELS)
def test_moves_obey_the_triangle_inequality(name: str) -> None:
    """What the decision relies on: no detour is cheaper, and there and back cost the same."""
    allocator = dynamic(name)
    count = len(allocator.choices)
    ns = np.array([[float(allocator.migration(a, b).latency_ns) for b in range(count)] for a in range(count)])
    assert (ns == ns.T).all()
    assert (ns[:, None, :] <= ns[:, :, None] + ns[None, :, :] + 1e-6).all()


# Whether there is room


def test_a_migration_that_cannot_finish_is_known_before_and_loses_nothing() -> None:
    """Every rank full to the last byte: no block can be the first to move."""
    lies = dynamic("llama2-7b").column_map(0)
    blocks = lies.blocks
    exact = type(blocks)(blocks.label, blocks.content_bytes, blocks.taken_bytes, blocks.cache, lies.used_bytes)
    start = ColumnMap(exact, lies.held, [False, False])
    swapped = lies.held.copy()
    names = np.array([name == "gate_up" for name, _, _ in blocks.label])
    a = int(np.flatnonzero(names & lies.held[PIM])[0])
    b = int(np.flatnonzero(names & lies.held[DRAM])[0])
    swapped[:, a], swapped[:, b] = lies.held[:, b], lies.held[:, a]
    goal = ColumnMap.__new__(ColumnMap)
    goal.blocks, goal.held = exact, swapped
    assert not can_migrate(start, goal)
    with pytest.raises(NoRoomError):
        migrate_all(start, goal)
    assert (start.held == lies.held).all()


# The placements


@pytest.mark.parametrize("name", MODELS)
def test_exclusive_placements_hold_every_column_once(name: str) -> None:
    for choice in dynamic(name).choices:
        held = held_blocks(choice.placements)
        assert (held.sum(axis=0) == 1).all()
        assert (held == choice.column_map(0).held).all()


@pytest.mark.parametrize("name", MODELS)
def test_dynamic_starts_where_static_stays(name: str) -> None:
    first = dynamic(name).choices[0]
    assert first.placements == allocator_of(StaticAllocator, name).placements
    for tokens in (1, 4, 30):
        ops = verify_operators(medusa_model(name), tokens, 200)
        assert first.decode_cost(ops).latency_ns == allocator_of(StaticAllocator, name).decode_cost(ops).latency_ns


@pytest.mark.parametrize("tokens", [1, 3, 4, 5, 9, 16, 33, 64])
def test_more_freedom_is_never_slower_where_everything_fits(tokens: int) -> None:
    """7B: copies make every split free, moving columns allows most of them, staying allows one."""
    model = medusa_model("llama2-7b")
    ops = verify_operators(model, tokens, 500) + draft_operators(model)
    free, stays = (
        float(allocator_of(kind, "llama2-7b").decode_cost(ops).latency_ns)
        for kind in (BalancedAllocator, StaticAllocator)
    )
    moves = min(float(choice.decode_cost(ops).latency_ns) for choice in dynamic("llama2-7b").choices)
    assert free <= moves * (1 + 1e-12)
    assert moves <= stays
    assert moves == pytest.approx(free, rel=1e-3)
    if tokens > 8:
        assert moves < 0.95 * stays


@pytest.mark.parametrize("name", MODELS)
def test_attention_costs_the_same_wherever_weights_lie(name: str) -> None:
    """So the price list of a step needs no context for what changes with the placement."""
    others = [op for op in verify_operators(medusa_model(name), 7, 300) if not isinstance(op, Gemm)]
    costs = {float(choice.decode_cost(tuple(others)).latency_ns) for choice in dynamic(name).choices}
    assert len(costs) == 1


@pytest.mark.parametrize("interval", ["5 ns", "10 ns"])
@pytest.mark.parametrize("name", [*MODELS, "llama3-8b"])
def test_copies_never_make_a_step_slower_however_short_the_room(name: str, interval: str) -> None:
    """What the main tree size wants is kept first, so the splits that copies allow include the static one."""
    model = medusa_model(name)
    platform = load_platform("lp-spec", {"pim.mac_interval": interval, "pim.concurrent_ranks": "1"})
    free, stays = BalancedAllocator(platform, model, 64, 4096), StaticAllocator(platform, model, 64, 4096)
    for tokens in (1, 2, 4, 5, 8, 16, 64):
        ops = [op for op in verify_operators(model, tokens, 500) + draft_operators(model) if isinstance(op, Gemm)]
        free_ns, stays_ns = (float(one.decode_cost(tuple(ops)).latency_ns) for one in (free, stays))
        assert free_ns <= stays_ns * (1 + 1e-12)


# Against commands


@pytest.mark.parametrize("column_bytes", [4096, 11008])
@pytest.mark.parametrize("to_pim", [False, True])
@pytest.mark.parametrize(("name", "most"), [("attacc", 1.08), ("micron-y52p", 1.10)])  # standby takes the longer time
def test_commands_take_a_little_more_than_the_closed_form(
    name: str, most: float, to_pim: bool, column_bytes: int
) -> None:
    """A tile of four channels: time 5 to 12 % longer, since both ranks stop for refresh, and rows opened again."""
    platform, profile = load_platform("lp-spec"), load_profile(name)
    assert platform.memory is not None
    memory = PackageCommands(platform)
    part = memory.move(column_bytes, 3072, to_pim)
    cost = migration_cost(3072 * column_bytes, timing_of(platform.memory))
    assert 1.05 < part.latency_ns / float(cost.latency_ns) < 1.12
    closed_pj = sum(map(float, cost.activity.energy_pj(profile).values()))
    waited = memory.waiting(part.latency_ns, part.activity)
    assert 1.03 < sum(map(float, (part.activity + waited).energy_pj(profile).values())) / closed_pj < most


def test_what_moves_is_what_the_closed_form_counts() -> None:
    allocator = dynamic("llama2-7b")
    assert len(allocator.choices) > 1
    for start, goal in product(range(len(allocator.choices)), repeat=2):
        moves = allocator.moves(start, goal)
        total = sum(move.column_bytes * move.columns * copies for move, copies in moves.items())
        assert allocator.migration(start, goal).activity.migrated_bits == total * 8.0
        back = allocator.moves(goal, start)
        assert {(m.column_bytes, m.columns, not m.to_pim): c for m, c in moves.items()} == {
            tuple(m): c for m, c in back.items()
        }
