"""Where appended keys and values lie is where writing them changes the banks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pim_help import die

from lpspec.dram.pim.cache import KvPlacement
from lpspec.dram.pim.weights import PimChannel

CHANNEL = PimChannel(die(), (0, 1, 2), ranks=4)
ROOM = 160


@settings(max_examples=30)
@given(
    heads=st.integers(1, 9),
    parts=st.sampled_from([1, 3]),
    sharing=st.sampled_from([1, 2]),
    head_dim=st.sampled_from([32, 64, 128]),
    position=st.integers(0, 120),
    tokens=st.integers(1, 40),
)
def test_places_are_those_that_a_write_changes(
    heads: int, parts: int, sharing: int, head_dim: int, position: int, tokens: int
) -> None:
    kv = KvPlacement(CHANNEL, heads, head_dim, ROOM, key_heads_per_die=sharing, parts=parts)
    cells = CHANNEL.cells(kv.end_row)
    ones = np.ones((heads, tokens, head_dim), np.int8)
    kv.write(cells, position, ones, ones)
    rank, mpu, bank, row, column, _ = np.nonzero(cells)
    changed = set(zip(rank, mpu * 2 + bank, row, column, strict=True))
    places = [tuple(place) for place in kv.append_places(position, tokens).tolist()]
    assert set(places) == changed
    assert len(places) == len(changed)


@pytest.mark.parametrize("tokens", [1, 5])
def test_banks_take_turns_and_each_goes_row_by_row(tokens: int) -> None:
    places = KvPlacement(CHANNEL, 8, 128, ROOM).append_places(3, tokens)
    banks = places[:, 0] * 16 + places[:, 1]
    several = len(np.unique(banks))
    assert several > 1
    assert len(np.unique(banks[:several])) == several
    for bank in np.unique(banks):
        rows = places[banks == bank, 2]
        assert (np.diff(rows) >= 0).all()


@given(heads=st.integers(1, 40), concurrent=st.integers(1, 3), per_die=st.integers(1, 4))
def test_rows_reach_to_the_last_group_of_any_head(heads: int, concurrent: int, per_die: int) -> None:
    channel = PimChannel(die(), (0, 1, 2), concurrent, ranks=4)
    keys = KvPlacement(channel, heads, 128, ROOM, key_heads_per_die=per_die).keys
    dies = [unit.row for tile in keys.tiles(128, keys.n) for unit in tile]
    assert keys.rows == max(dies) + channel.rows(128)
