"""Two tiers of HBM: where weights and pages of the cache lie, and what reading them takes, by hand."""

import json
from pathlib import Path

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
    assert [SPEC.weight_gb_per_s(size * gb) for size in (100, 400)] == pytest.approx([20480, 20480])


@pytest.mark.parametrize("name", ["attacc-8", "token-stack"])
def test_the_gpu_reads_no_faster_than_it_can(name: str) -> None:
    """Its own bandwidth was not looked at, whatever it was set to."""
    model = load_model("llama3.2-1b")

    def reads_at(bandwidth: str) -> float:
        return KvTiers(load_platform(name, {"gpu.bandwidth": bandwidth}), model, 1, 1).gpu.spec.bandwidth.gb_per_s

    assert reads_at("2000 GB/s") == 2000
    assert reads_at("20480 GB/s") == reads_at("40960 GB/s") == (4096 if name == "attacc-8" else 20480)


def test_layers_are_read_one_after_the_other() -> None:
    """Of 400 GB of weights 80 lie in the computing layers, whose own bandwidth was not looked at."""
    slow = load_platform("token-stack", {"hbm_tiers.compute_bandwidth": "10240 GB/s"}).device(HbmTiersSpec)
    assert slow.weight_gb_per_s(100 * 10**9) == pytest.approx(20480)
    assert slow.weight_gb_per_s(400 * 10**9) == pytest.approx(400 / (320 / 20480 + 80 / 10240))


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
    model = load_model("qwen3-32b").with_bits(16, 16, 16)
    half = 2 * 160 * 10**9 // model.kv_bytes_per_token
    assert KvTiers(STACKED, model, 1, half // 4).tiers.hot == 1.0
    assert KvTiers(STACKED, model, 1, half).tiers.hot == pytest.approx(0.5, abs=1e-3)
    with pytest.raises(InputError, match="does not fit token-stack: the cache"):
        KvTiers(STACKED, model, 1, 2 * half)
    with pytest.raises(InputError, match="does not fit attacc-8"):
        KvTiers(WHOLE, model, 1, half)


def test_a_model_without_a_cache_has_no_cold_pages(tmp_path: Path) -> None:
    """A window of one token: each attends to itself alone."""
    sizes = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = {"model_type": "mistral", "vocab_size": 32, "sliding_window": 1, "num_key_value_heads": 1, **sizes}
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    model = load_model(str(tmp_path))
    assert model.cache_bytes(100) == 0
    assert KvTiers(STACKED, model, 1, 100).tiers.hot == 1.0


def test_a_platform_without_tiers_is_refused() -> None:
    with pytest.raises(InputError, match=r"needs \[gpu\] and \[hbm_tiers\]"):
        KvTiers(load_platform("a100"), load_model("tinyllama"), 1, 1)
