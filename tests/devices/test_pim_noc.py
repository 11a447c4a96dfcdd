"""PIM tiles on a mesh: tiles one after the other, tokens one behind the other, by hand."""

import pytest

from lpspec.devices.pim_noc import PimNoc
from lpspec.errors import InputError
from lpspec.llm.formats import WeightFormat
from lpspec.llm.operators import Attention, Gemm, StateUpdate
from lpspec.machine.loading import load_platform

LEAP = PimNoc.of(load_platform("leap"))
TILE_NS, LINK_GB_PER_S = 224.0, 16.0


def layers(count: int, tokens: int) -> Gemm:
    return Gemm("product", count, tokens, 1000, 4096, WeightFormat(8), 8)


def test_a_product_takes_its_inputs_128_at_a_time_and_its_sums_over_the_mesh() -> None:
    """1000 inputs are eight rows of tiles; 4096 sums of 4 B leave over 32 links, 16 hops each."""
    once_ns = 8 * TILE_NS + 4096 * 4 / (32 * LINK_GB_PER_S) * 16
    assert LEAP.price(layers(1, 1)).latency_ns == pytest.approx(once_ns)


def test_tokens_follow_each_other_through_the_layers_and_one_waits_for_all() -> None:
    once_ns = float(LEAP.price(layers(1, 1)).latency_ns)
    assert LEAP.price(layers(32, 1)).latency_ns == pytest.approx(32 * once_ns)
    assert LEAP.price(layers(32, 128)).latency_ns == pytest.approx((32 + 127) * once_ns)
    assert LEAP.price(layers(32, 128)).activity.macs_int8 == 32 * 128 * 1000 * 4096


def test_every_router_reads_its_part_of_the_cache() -> None:
    op = Attention("attention", 2, 1, 1023, 1024, 32, 8, 128, 8, 8)
    read_bytes, sums = 2 * 1024 * 8 * 128, 32 * 128 * 4
    once_ns = read_bytes / (32 * 32 * LINK_GB_PER_S) + sums / (32 * LINK_GB_PER_S) * 16
    assert LEAP.price(op).latency_ns == pytest.approx(2 * once_ns)


def test_a_state_is_refused() -> None:
    with pytest.raises(InputError, match="no states"):
        LEAP.price(StateUpdate("state", 1, 1, 8, 8))
