"""Where weights and KV cache lie: every output once, within the banks, and no two things in one place."""

import numpy as np
import pytest
from engine_help import DIE
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pim_help import die, random_int8

from lpspec.dram.pim.cache import KvPlacement
from lpspec.dram.pim.functional import execute
from lpspec.dram.pim.products import compile_gemm
from lpspec.dram.pim.weights import PimChannel, place_weights, share_of_channel
from lpspec.errors import InputError

CHANNEL = PimChannel(DIE, (0, 1, 2), 3, 4)


@given(st.integers(1, 20000), st.integers(1, 8))
def test_channels_share_every_output_and_the_first_ones_take_what_is_left(n: int, channels: int) -> None:
    shares = [share_of_channel(n, channels, c) for c in range(channels)]
    assert sum(count for _, count in shares) == n
    ends = [first + count for first, count in shares]
    assert [first for first, _ in shares[1:]] == ends[:-1]
    blocks = [-(-count // 32) for _, count in shares]
    assert blocks == sorted(blocks, reverse=True)
    assert blocks[0] - blocks[-1] <= 1


@settings(max_examples=60)
@given(
    k=st.integers(1, 900),
    n=st.integers(1, 2000),
    concurrent=st.integers(1, 3),
    banks=st.sampled_from([1, 2]),
    split=st.sampled_from(["auto", "never", "always"]),
)
def test_every_weight_lies_in_exactly_one_place(k: int, n: int, concurrent: int, banks: int, split: str) -> None:
    channel = PimChannel(die(banks_per_mpu=banks), (0, 1, 2), concurrent)
    placement = place_weights(channel, k, n, 7, split)  # type: ignore[arg-type]
    cells = channel.cells(placement.end_row)
    placement.write(cells, np.ones((k, n), np.int8))
    assert np.count_nonzero(cells) == k * n
    assert np.count_nonzero(cells[..., :7, :, :]) == 0


def test_a_matrix_by_hand() -> None:
    """130 x 600 on two ranks: 256 outputs on rank 0, 256 on rank 1, and 88 on rank 0 two rows further on."""
    channel = PimChannel(DIE, (0, 1))
    placement = place_weights(channel, 130, 600, 10, "never")
    cells = channel.cells(placement.end_row)
    weights = random_int8(np.random.default_rng(0), 130, 600)
    placement.write(cells, weights)
    assert (placement.rows, placement.end_row) == (4, 14)  # three segments: even, odd, even
    assert np.array_equal(cells[0, 0, 0, 10, 0], weights[0, :32])
    assert np.array_equal(cells[0, 7, 1, 10, 5], weights[69, 224:256])
    assert np.array_equal(cells[1, 2, 0, 11, 1], weights[129, 320:352])
    assert np.array_equal(cells[0, 2, 0, 12, 63, :24], weights[63, 576:600])
    assert not cells[0, 2, 0, 12, 63, 24:].any()


@pytest.mark.parametrize(("n", "split_units"), [(768, 0), (1024, 1), (1280, 2), (256, 1), (8, 1)])
def test_units_left_over_are_split_where_that_ends_earlier(n: int, split_units: int) -> None:
    assert place_weights(CHANNEL, 4096, n).split_units == split_units


def test_a_split_that_costs_more_readback_than_it_saves_is_not_made() -> None:
    """256 k: 171 MACs of 4 CK saved against two more readbacks of 256 CK each, then against one of 64 outputs."""
    assert place_weights(CHANNEL, 192, 256).split_units == 0
    assert place_weights(CHANNEL, 4096, 256, split="never").split_units == 0
    assert place_weights(CHANNEL, 64, 256, split="always").split_units == 0  # one segment can't be split


def test_a_cache_lies_head_by_head() -> None:
    kv = KvPlacement(CHANNEL, 8, 128, 1024)
    assert (kv.keys.rows, kv.values.rows) == (3 * 4 * 1, 2 * 8)  # 4 units of 256 keys; two heads share a die's values
    cells = CHANNEL.cells(kv.end_row)
    kv.write(cells, 700, np.full((8, 1, 128), 1, np.int8), np.full((8, 1, 128), 2, np.int8))
    assert (cells == 1).sum() == (cells == 2).sum() == 8 * 128
    # Key 700 of head 4 (rank 1, second turn): third unit, MPU 5, lane 28.
    assert (cells[1, 5, :, 4 + 2, :, 28] == 1).all()
    # Its value: head 4 is the second on rank 1 (first turn), k 700 in segment 10, column 60.
    assert (cells[1, 4:, 0, 12 + 5, 60] == 2).all()


def test_what_does_not_fit_is_one_line() -> None:
    with pytest.raises(InputError, match="has rows 0 to 32767"):
        place_weights(CHANNEL, 4096, 1024, 32767)
    with pytest.raises(InputError, match="has rows 0 to 32767"):
        KvPlacement(CHANNEL, 8, 128, 4_000_000)
    kv = KvPlacement(CHANNEL, 1, 32, 10)
    one = np.zeros((1, 1, 32), np.int8)
    with pytest.raises(InputError, match="room for 0 to 9"):
        kv.write(CHANNEL.cells(kv.end_row), 10, one, one)
    with pytest.raises(InputError, match="at least 1 x 1"):
        place_weights(CHANNEL, 0, 5)
    with pytest.raises(InputError, match="concurrent is 4: allowed is 1 to 3"):
        PimChannel(DIE, (0, 1, 2), 4)
    with pytest.raises(InputError, match="different ranks"):
        PimChannel(DIE, (0, 0))
    with pytest.raises(InputError, match="channel is 4"):
        share_of_channel(100, 4, 4)


def test_the_whole_capacity_can_be_used() -> None:
    """Three ranks of 8 Gb dies hold 3 GiB of weights on a channel."""
    placement = place_weights(CHANNEL, 2 * 64 * 32768, 768)
    assert placement.rows == 32768
    assert placement.k * placement.n == 3 * 2**30


@settings(max_examples=40)
@given(
    k=st.integers(1, 400),
    n=st.integers(1, 1500),
    banks=st.sampled_from([1, 2]),
    split=st.sampled_from(["auto", "never", "always"]),
)
def test_bursts_name_the_place_of_every_weight(k: int, n: int, banks: int, split: str) -> None:
    """So moving them burst by burst to another placement is all that a reallocation has to do."""
    rng = np.random.default_rng(n)
    channel = PimChannel(die(banks_per_mpu=banks), (2, 0, 1), 3)
    here = place_weights(channel, k, n, 1, split)  # type: ignore[arg-type]
    there = place_weights(channel, k, n, here.end_row, "never")
    cells, moved = channel.cells(there.end_row), channel.cells(there.end_row)
    weights = random_int8(rng, k, n)
    here.write(cells, weights)
    there.write(moved, weights)

    def at(places: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
        rank, bank, row, column = places.transpose(2, 0, 1)
        return rank, bank // banks, bank % banks, row, column

    cells[at(there.bursts())] = cells[at(here.bursts())]
    assert np.array_equal(cells[..., here.end_row :, :, :], moved[..., here.end_row :, :, :])
    inputs = random_int8(rng, 1, 2, k)
    product = execute(compile_gemm(there, 2), cells, inputs)
    assert np.array_equal(product, inputs.astype(np.int64) @ weights.astype(np.int64))
    assert np.array_equal(here.bursts(32 * (n // 64)), here.bursts()[n // 64 :])


def test_keys_cost_a_masked_write_for_each_byte() -> None:
    kv = KvPlacement(CHANNEL, 8, 128, 1024)
    assert len(kv.append_places(200, 1)) == 8 * (128 + 4)
    assert len(kv.append_places(200, 4)) == 8 * (128 + 4 * 4)
    assert len(kv.append_places(222, 4)) == 8 * (2 * 128 + 4 * 4)
