"""Dataflow kernels on FPGA cards: bytes over ports and clock, by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpspec.devices.dataflow import Dataflow
from lpspec.errors import InputError
from lpspec.llm.formats import WeightFormat
from lpspec.llm.operators import Attention, Elementwise, Gemm, StateUpdate
from lpspec.machine.loading import load_platform

TERAFLY = Dataflow.of(load_platform("terafly"))
GB_PER_S = 2 * 8 * 64 * 0.240
"""Two nodes, eight ports of 64 B, 240 MHz."""


def product(tokens: int, k: int, n: int, bits: int = 8) -> Gemm:
    return Gemm("product", 3, tokens, k, n, WeightFormat(bits), 8)


def attention(tokens: int, context: int) -> Attention:
    return Attention("attention", 24, tokens, context, tokens * (context + tokens), 32, 32, 64, 8, 8)


@given(st.integers(1, 64), st.integers(1, 5000), st.integers(1, 5000))
def test_a_token_reads_every_weight_for_itself(tokens: int, k: int, n: int) -> None:
    cost = TERAFLY.price(product(tokens, k, n))
    assert cost.latency_ns == pytest.approx(3 * tokens * k * n / GB_PER_S)
    assert cost.activity.io_bits == 8 * 3 * tokens * k * n
    assert cost.activity.macs_int8 == 3 * tokens * k * n


def test_kernels_that_share_a_read_take_as_many_passes_as_it_needs() -> None:
    shared = Dataflow.of(load_platform("terafly", {"dataflow.tokens_per_read": "4"}))
    assert shared.price(product(9, 100, 200)).latency_ns == pytest.approx(3 * 3 * 100 * 200 / GB_PER_S)


def test_attention_streams_the_cache_through_a_quarter_of_the_ports() -> None:
    """24 layers, keys and values of 32 heads of 64; 45 ns for each of the 2048 numbers of a layer beside."""
    read_bytes = 2 * 2 * 24 * 32 * 64 * 640
    cost = TERAFLY.price(attention(2, 638))
    assert cost.latency_ns == pytest.approx(read_bytes / (GB_PER_S / 4) + 2 * 24 * 2048 * 45)
    assert cost.activity.activation_memory_bits == 8 * 2 * 2 * 24 * 32 * 64


def test_vector_work_takes_no_time_of_its_own() -> None:
    cost = TERAFLY.price(Elementwise("norm", 3, 2048, 7, 4096))
    assert (cost.latency_ns, cost.activity.io_bits) == (0.0, 8 * 4096)


@pytest.mark.parametrize("op", [product(1, 8, 8, bits=4), product(1, 8, 8, bits=16), StateUpdate("state", 1, 1, 8, 8)])
def test_what_the_kernels_cannot_compute_is_refused(op: Gemm | StateUpdate) -> None:
    with pytest.raises(InputError, match=r"8-bit numbers|no states"):
        TERAFLY.price(op)
