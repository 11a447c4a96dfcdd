"""Silicon of a package: counted by hand, growing with what is put into it, and assumed, as every source says."""

import pytest

from lpspec.experiments.systems import platform_of
from lpspec.machine.area import CONSTANTS, DRAM_PER_GBIT, INT8_MAC, MPU_CONTROL, REGISTERS_PER_KIB, PackageArea
from lpspec.machine.loading import load_platform


def test_lp_specs_package_by_hand() -> None:
    area = PackageArea.of(load_platform("lp-spec"))
    assert area is not None
    assert area.dram == pytest.approx(16 * 8 * DRAM_PER_GBIT.mm2)  # 16 dies of 8 Gb
    mpus = 3 * 4 * 8  # three ranks of four dies
    assert area.macs == pytest.approx(mpus * 4 * 32 * INT8_MAC.mm2)
    # of each MPU two sets of 64 inputs for four tokens, and four accumulators of 32 bits in each of 32 lanes: a KiB
    assert area.registers == pytest.approx(mpus * REGISTERS_PER_KIB.mm2)
    assert area.control == pytest.approx(mpus * MPU_CONTROL.mm2)
    assert area.total == pytest.approx(area.dram + area.macs + area.registers + area.control)


@pytest.mark.parametrize(
    ("key", "less", "more"),
    [
        ("pim.alus", "2", "8"),
        ("pim.input_depth", "32", "128"),
        ("pim.banks_per_mpu", "4", "1"),
        ("memory.dram_ranks", "1", "2"),
        ("memory.pim_ranks", "3", "4"),
    ],
)
def test_more_of_anything_takes_more(key: str, less: str, more: str) -> None:
    areas = [PackageArea.of(platform_of("lp-spec", {key: value})) for value in (less, more)]
    assert areas[0] is not None
    assert areas[1] is not None
    assert areas[0].total < areas[1].total


def test_plain_memory_has_no_units_and_a_gpu_no_package() -> None:
    plain = PackageArea.of(load_platform("mobile-npu"))
    assert plain is not None
    assert plain.pim == 0
    assert PackageArea.of(load_platform("rtx3090")) is None


def test_every_area_says_that_it_is_assumed_and_between_which_ends() -> None:
    for name, area in CONSTANTS.items():
        low, high = (float(word.strip(":")) for word in area.source.split()[1::2][:2])
        assert area.source.startswith("assumed, "), name
        assert low < area.mm2 < high, name
