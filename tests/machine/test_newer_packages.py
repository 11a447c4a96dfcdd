"""LP-Spec's package in LPDDR5X and LPDDR6: what they amount to, by hand, and that what is assumed says so."""

import pytest

from lpspec.machine.loading import load_platform
from lpspec.machine.platform_spec import MemorySpec, PlatformSpec


def memory_of(platform: PlatformSpec) -> MemorySpec:
    assert platform.memory is not None
    return platform.memory


def test_bandwidth_and_capacity_by_hand() -> None:
    """LPDDR5X: 4 x 21.3 GB/s; LPDDR6: 8 x 14.2 GB/s, 8/9 of x96 at 10,667 MT/s (lpddr_newer.md); both 32 GiB."""
    lpddr5x, lpddr6 = (memory_of(load_platform(f"lp-spec-{name}")) for name in ("lpddr5x", "lpddr6"))
    assert lpddr5x.peak_gb_per_s == pytest.approx(85.33, abs=0.01)
    assert lpddr6.peak_gb_per_s == pytest.approx(113.8, abs=0.03)
    assert lpddr6.organisation.payload_share == pytest.approx(8 / 9)
    assert lpddr5x.capacity_bytes == lpddr6.capacity_bytes == 32 * 2**30


def test_refresh_of_an_lpddr6_package_goes_by_dies_of_two_sub_channels() -> None:
    assert load_platform("lp-spec-lpddr6").die.timing.nRFCab.n == 747  # 280 ns at 16 Gb
    full = load_platform("lp-spec-lpddr6", {"memory.organisation.rows": "65536"}).die.timing
    assert full.nRFCab.n == 1014  # 380 ns at 32 Gb


def test_what_computes_inside_lpddr6_and_its_energy_are_assumed() -> None:
    platform = load_platform("lp-spec-lpddr6")
    assert platform.pim is not None
    assert platform.memory_energy is not None
    mpu = ("banks_per_mpu", "lanes", "alus", "input_depth", "accumulator_bits", "mac_interval", "mode_switch")
    for name in mpu:
        assert getattr(platform.pim, name).source.startswith(("assumed", "10 CK of")), name
    assert "assumed" in platform.pim.mac_interval.source
    for name in ("activate", "column", "io"):
        assert getattr(platform.memory_energy, name).source.startswith("assumed"), name
