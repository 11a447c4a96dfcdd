"""Two tiers of HBM: where weights and pages of the cache lie, and what reading them takes, by hand."""

import pytest

from lpspec.allocation.kv_tiers import KvTiers
from lpspec.devices.hbm_tiers import HbmTiers, HbmTiersSpec
from lpspec.errors import InputError
from lpspec.llm.loading import load_model
from lpspec.llm.operators import Attention, Elementwise
from lpspec.machine.loading import load_platform

STACKED, WHOLE = load_platform("token-stack"), load_platform("attacc-8")
SPEC, DEDICATED = STACKED.device(HbmTiersSpec), WHOLE.device(HbmTiersSpec)


def attention(context: int) -> Attention:
    return Attention("attention", 10, 1, context, context + 1, 32, 8, 128, 16, 16)


def test_weights_fill_the_dense_tier_first() -> None:
    """A plain stack of each GPU is read beside the others; layers of all stacks share their path."""
    gb = 10**9
    assert DEDICATED.weight_gb_per_s(100 * gb) == 4096
    assert DEDICATED.weight_gb_per_s(256 * gb) == pytest.approx(256 / (128 / 4096))
    assert DEDICATED.weight_gb_per_s(1128 * gb) == pytest.approx(1128 / (1000 / 16384))
    assert SPEC.weight_gb_per_s(100 * gb) == SPEC.weight_gb_per_s(400 * gb) == 20480


def test_what_is_left_is_room_for_the_cache() -> None:
    gb = 10**9
    assert (SPEC.hot_room_bytes(100 * gb), SPEC.cold_room_bytes(100 * gb)) == (160 * gb, 220 * gb)
    assert (SPEC.hot_room_bytes(400 * gb), SPEC.cold_room_bytes(400 * gb)) == (80 * gb, 0)
    assert (DEDICATED.hot_room_bytes(100 * gb), DEDICATED.cold_room_bytes(100 * gb)) == (256 * gb, 0)


def test_the_hot_part_is_read_in_the_banks_by_each_query() -> None:
    read_bytes = 10 * 1024 * 2 * 8 * 128 * 2
    cost = HbmTiers(SPEC).price(attention(1023))
    assert cost.latency_ns == pytest.approx(4 * read_bytes / 92160)
    assert cost.activity.column_bits == 8 * 4 * read_bytes
    assert cost.activity.transferred_bits == 0


def test_cold_pages_rise_in_8_and_4_bits_while_the_banks_compute() -> None:
    """12 of 32 bits: 0.375 of the bytes once at 35840 GB/s, against four reads at 92160 in the banks."""
    read_bytes = 10 * 1024 * 2 * 8 * 128 * 2
    cost = HbmTiers(SPEC, hot=0.25).price(attention(1023))
    assert cost.activity.transferred_bits == pytest.approx(8 * 0.75 * 0.375 * read_bytes)
    in_banks_ns, rise_ns = 4 * read_bytes / 92160, 0.75 * 0.375 * read_bytes / 35840
    assert cost.latency_ns == pytest.approx(0.25 * in_banks_ns + max(0.75 * in_banks_ns, rise_ns))
    slow = load_platform("token-stack", {"hbm_tiers.tier_bandwidth": "1000 GB/s"}).device(HbmTiersSpec)
    rise_ns = 0.75 * 0.375 * read_bytes / 1000
    assert HbmTiers(slow, hot=0.25).price(attention(1023)).latency_ns == pytest.approx(0.25 * in_banks_ns + rise_ns)


def test_it_computes_attention_alone() -> None:
    with pytest.raises(InputError, match="HBM tiers compute attention"):
        HbmTiers(SPEC).price(Elementwise("norm", 1, 1, 1, 1))


def test_a_full_machine_has_cold_pages_and_a_fuller_one_is_refused() -> None:
    """Qwen3-32B in FP16: 65.5 GB of weights, 262,144 B of cache a token."""
    model = load_model("qwen3-32b").with_bits(16, 16, 16).model_copy(update={"medusa_heads": 0})
    half = 2 * 160 * 10**9 // model.kv_bytes_per_token
    assert KvTiers(STACKED, model, 1, half // 4).tiers.hot == 1.0
    assert KvTiers(STACKED, model, 1, half).tiers.hot == pytest.approx(0.5, abs=1e-3)
    with pytest.raises(InputError, match="does not fit token-stack: the cache"):
        KvTiers(STACKED, model, 1, 2 * half)
    with pytest.raises(InputError, match="does not fit attacc-8"):
        KvTiers(WHOLE, model, 1, half)


def test_a_platform_without_tiers_is_refused() -> None:
    with pytest.raises(InputError, match=r"needs \[gpu\] and \[hbm_tiers\]"):
        KvTiers(load_platform("a100"), load_model("tinyllama"), 1, 1)
