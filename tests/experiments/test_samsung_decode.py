"""Samsung's W4A8 row: ours by bytes and bandwidths alone, and what is left unexplained."""

import pytest

from lpspec.experiments.samsung_decode import (
    HOST_TOKENS_PER_S,
    INSIDE_GB_PER_S,
    OFF_CHIP_GB_PER_S,
    PIM_TOKENS_PER_S,
    SamsungDecoding,
    samsung_decoding,
)


@pytest.fixture(scope="module")
def found() -> SamsungDecoding:
    return samsung_decoding()


def test_weights_are_half_a_byte_each(found: SamsungDecoding) -> None:
    """Llama-3.1-8B: 6.979e9 weights in products of 32 layers, 0.525e9 in the LM head; rows and norms beside."""
    assert found.weight_gb == pytest.approx((6.979 + 0.525) / 2, rel=1e-3)


def test_the_host_reads_what_passes_off_the_chip(found: SamsungDecoding) -> None:
    at_most = OFF_CHIP_GB_PER_S / found.weight_gb
    assert 0.88 * at_most < found.host.tokens_per_s < 0.97 * at_most
    assert at_most < HOST_TOKENS_PER_S  # so the published rate cannot come from this memory alone


def test_pim_is_bound_by_its_banks_and_between_what_rows_allow(found: SamsungDecoding) -> None:
    slow, fast = found.pim
    macs_ms = found.weight_gb / INSIDE_GB_PER_S * 1e3
    assert macs_ms == pytest.approx(6.1, abs=0.05)
    assert macs_ms < fast.products_ms < slow.products_ms < 1e3 / PIM_TOKENS_PER_S
    assert PIM_TOKENS_PER_S < slow.tokens_per_s < fast.tokens_per_s < 1e3 / macs_ms
    assert slow.products_ms > 0.9 * 1e3 / slow.tokens_per_s  # products are nearly all of it
    low, high = found.end_to_end_speed_ups
    assert 2.28 < low < high < slow.tokens_per_s / found.host.tokens_per_s
