import re
import tomllib
from collections.abc import Callable, Iterator
from importlib.resources import files
from typing import Any

import pytest
from pydantic import BaseModel

from lpspec.machine.die import DieSpec, Lpddr6Mode
from lpspec.machine.energy_profile import EnergyProfile
from lpspec.machine.loading import die_names, load_die, load_platform, load_profile, platform_names, profile_names
from lpspec.machine.platform_spec import MemorySpec, NpuSpec, PimSpec, PlatformSpec
from lpspec.machine.quantity import Count, Described, Quantity, Share

SHIPPED = [
    *(("platforms", name) for name in platform_names()),
    *(("energy_profiles", name) for name in profile_names()),
    *(("dies", name) for name in die_names()),
]
LOAD: dict[str, Callable[[str], BaseModel]] = {
    "platforms": load_platform,
    "energy_profiles": load_profile,
    "dies": load_die,
}


def load(folder: str, name: str) -> BaseModel:
    return LOAD[folder](name)


def text_of(folder: str, name: str) -> str:
    return (files("lpspec.machine") / folder / f"{name}.toml").read_text(encoding="utf-8")


def quantities(model: BaseModel, prefix: str = "") -> Iterator[tuple[str, Quantity]]:
    """Every constant below a model with its dotted path."""
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, Quantity):
            yield prefix + name, value
        elif isinstance(value, BaseModel):
            yield from quantities(value, f"{prefix}{name}.")


def bare_leaves(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    """Every value of a file that lies outside a ``{ value, source }`` pair."""
    for key, value in table.items():
        if isinstance(value, dict) and set(value) != {"value", "source"}:
            yield from bare_leaves(value, f"{prefix}{key}.")
        elif not isinstance(value, dict):
            yield prefix + key, value


@pytest.mark.parametrize("name", platform_names())
def test_what_is_not_simulated_is_told_in_a_line(name: str) -> None:
    assert len(f"lpspec: note: {name}: not simulated: {load_platform(name).not_simulated}") <= 200


def lp_spec() -> tuple[PlatformSpec, NpuSpec, MemorySpec, PimSpec]:
    platform = load_platform("lp-spec")
    assert platform.npu is not None
    assert platform.memory is not None
    assert platform.pim is not None
    return platform, platform.npu, platform.memory, platform.pim


def test_what_ships() -> None:
    lp_spec = ("lp-spec", "lp-spec-lpddr5x", "lp-spec-lpddr6", "lp-spec-plus")
    mobile = (*lp_spec, "lp5x-pim", "lpddr5-pim", "mobile-npu")
    others = (
        "a100",
        "ahasd",
        "attacc",
        "attacc-8",
        "cd-pim",
        "cosine",
        "leap",
        "loop-lynx",
        "rtx3090",
        "terafly",
        "token-stack",
    )
    assert platform_names() == tuple(sorted((*mobile, *others)))
    assert profile_names() == ("attacc", "micron-y52p", "specpim")
    faster = ("lpddr5x-10667", "lpddr5x-7500", "lpddr5x-8533", "lpddr5x-9600")
    assert die_names() == ("lp5x-pim", "lpddr5-6400-16gb", "lpddr5-6400-8gb", *faster, "lpddr6-10667-16gb")


@pytest.mark.parametrize(("folder", "name"), SHIPPED)
def test_every_constant_has_a_unit_and_a_source(folder: str, name: str) -> None:
    found = dict(quantities(load(folder, name)))
    assert len(found) >= 8
    for path, quantity in found.items():
        assert quantity.UNIT or isinstance(quantity, Count | Share), path
        assert len(quantity.source.split()) >= 2, f"{path}: '{quantity.source}' is no source"
        assert not re.match(r"(?i)todo|tbd|fixme|\?", quantity.source), path


@pytest.mark.parametrize(("folder", "name"), SHIPPED)
def test_no_number_of_a_file_escapes_its_source(folder: str, name: str) -> None:
    """Read without the models: whatever is not in a value-source pair is a text of the description."""
    for path, value in bare_leaves(tomllib.loads(text_of(folder, name))):
        assert isinstance(value, str), path
        kinds = {"technology", "memory_energy.technology"}
        choices = {
            "npu.dataflow",
            "npu.partial_sums",
            "memory.die",
            "memory.idle_dies",
            "pim.activate",
            "pim.formats",
            "pim.product_split",
            "pim.attention_split",
            "pim.scores_order",
            "pim.input_reach",
            "standard",
            "command_level",
            "hbm_tiers.tiers",
            "draft_cache",
            "step_order",
            "not_simulated",
        }
        choices |= {f"mode.{name}" for name in Lpddr6Mode.model_fields}
        assert path in {"name", "summary", "extends", "allocator", "energy_basis"} | choices | kinds


@pytest.mark.parametrize(("folder", "name"), SHIPPED)
def test_names_are_those_of_the_files_and_summaries_are_lines(folder: str, name: str) -> None:
    model = load(folder, name)
    assert isinstance(model, PlatformSpec | EnergyProfile | DieSpec)
    assert model.name == name
    assert len(model.summary) > 20
    assert "\n" not in model.summary


@pytest.mark.parametrize(("folder", "name"), SHIPPED)
def test_assumptions_give_their_range(folder: str, name: str) -> None:
    for path, quantity in quantities(load(folder, name)):
        if "assumed" in quantity.source:
            assert re.search(r"\d+ to \d+", quantity.source), path


def test_every_field_says_what_it_is() -> None:
    def fields(model: type[BaseModel]) -> Iterator[tuple[str, str | None]]:
        for child in model.__subclasses__():
            if child.__module__.startswith("lpspec."):  # other tests define their own
                yield from ((f"{child.__name__}.{key}", f.description) for key, f in child.model_fields.items())

    spec = Described
    assert issubclass(PlatformSpec, spec)
    parts = {"name", "summary"} | {"npu", "memory", "pim", "gpu", "hbm_pim", "memory_energy"}  # these by their own
    parts |= {"organisation", "timing", "assumed"}  # of a die, and of operating points
    missing = [path for path, text in fields(spec) if not text and path.split(".")[1] not in parts]
    assert missing == []


# LP-Spec, Table II and sections V and VI, and arithmetic on them


def test_npu_throughput_is_the_papers() -> None:
    _, npu, _, _ = lp_spec()
    assert npu.matrix_tops == pytest.approx(32.768, rel=1e-12)
    assert npu.matrix_tops == pytest.approx(32.8, rel=0.002)  # as Table II rounds it
    assert npu.vector_tops == pytest.approx(8.192, rel=1e-12)
    assert npu.vector_tops == pytest.approx(8.2, rel=0.002)
    assert npu.local_buffer.text() == "256 KiB"
    assert npu.scratchpad.text() == "8 MiB"


@pytest.mark.parametrize("name", ["mobile-npu", "lp-spec", "lpddr5-pim"])
def test_every_mobile_package_has_16_gib_behind_51_2_gb_per_s(name: str) -> None:
    platform = load_platform(name)
    assert platform.memory is not None
    assert platform.memory.peak_gb_per_s == pytest.approx(51.2, rel=1e-12)
    assert platform.capacity_bytes == 16 * 2**30
    assert platform.memory.dies_per_rank == 4
    assert platform.memory.bus_efficiency.fraction == 1  # the commands of the dies are the limit


def test_package_has_twelve_pim_dies_and_four_dram_dies() -> None:
    platform, _, memory, _ = lp_spec()
    assert memory.pim_capacity_bytes == 12 * 2**30
    assert memory.dram_capacity_bytes == 4 * 2**30
    assert memory.pim_ranks.n * memory.dies_per_rank == 12
    assert platform.die.mpus == 8


def test_pim_die_throughput_and_bandwidth_are_the_papers() -> None:
    platform, _, memory, pim = lp_spec()
    die = platform.die
    assert die.pim_gops == pytest.approx(409.6, rel=1e-12)
    assert die.pim_gb_per_s == pytest.approx(51.2, rel=1e-12)
    assert 12 * die.pim_gb_per_s == pytest.approx(614.4, rel=1e-12)
    # Sixteen banks and four dies, were each bank to have an MPU of its own: 409.6 GB/s per rank.
    assert die.pim_gb_per_s * pim.banks_per_mpu.n * memory.dies_per_rank == pytest.approx(409.6, rel=1e-12)


def test_gemv_pim_is_the_same_package_with_a_quarter_of_the_arithmetic() -> None:
    gemv, wide = load_platform("lpddr5-pim"), load_platform("lp-spec")
    assert gemv.die.pim_gops == pytest.approx(102.4, rel=1e-12)
    assert gemv.die.pim_gb_per_s == pytest.approx(51.2, rel=1e-12)
    assert (gemv.npu, gemv.memory) == (wide.npu, wide.memory)
    assert {k for k, q in quantities(gemv) if q != dict(quantities(wide))[k]} == {"pim.alus"}


def test_mac_interval_is_one_column_per_long_burst_gap() -> None:
    """JESD209-5 at 6400 Mbps: a write clock of 3200 MHz over four is CK, and tCCD_L is 4 CK."""
    _, _, memory, pim = lp_spec()
    ck_ns = 1e3 / (memory.data_rate.mbps / 2 / 4)
    assert pim.mac_interval.ns == pytest.approx(4 * ck_ns)
    assert memory.organisation.columns == 64


# Energy profiles


def test_attacc_profile_sums_to_its_table() -> None:
    profile = load_profile("attacc")
    assert profile.off_chip_pj_per_bit == pytest.approx(0.11 + 0.44 + 1.01 + 1.23 + 0.5 + 0.3, rel=1e-12)
    assert profile.off_chip_pj_per_bit == pytest.approx(3.59, rel=1e-12)
    assert profile.in_bank_pj_per_bit == pytest.approx(0.55, rel=1e-12)


def test_specpim_profile_follows_the_15_percent_rule() -> None:
    profile = load_profile("specpim")
    assert profile.off_chip_pj_per_bit == pytest.approx(5.47, rel=1e-9)
    assert profile.in_bank_pj_per_bit == pytest.approx(0.82, rel=1e-9)
    assert profile.in_bank_pj_per_bit / profile.off_chip_pj_per_bit == pytest.approx(0.15, abs=5e-4)
    assert profile.column.pj_per_bit == pytest.approx(4 * profile.activate.pj_per_bit)  # as 0.44 to 0.11
    assert profile.mac_int8.value == pytest.approx(0.2 + 0.03)


def test_micron_y52p_profile_is_what_its_currents_give() -> None:
    """By hand, in whole numbers: currents in tenths of mA from VDD2H, VDD1 and VDDQ, their volts in mV."""
    profile = load_profile("micron-y52p")
    volts_mv = (1050, 1800, 500)

    def pj(*tenths_ma_ns: int) -> float:
        return sum(mv * charge for mv, charge in zip(volts_mv, tenths_ma_ns, strict=False)) / 10**4

    # A row: IDD0 over 60 ns, less IDD3N over 42 ns and IDD2N over 18 ns. The sheet gives VDDQ no IDD0.
    row = pj(530 * 60 - 400 * 42 - 325 * 18, 38 * 60 - 28 * 42 - 15 * 18)
    assert row == 1110.87
    assert profile.activate.pj_per_bit * 2048 * 8 == pytest.approx(row, rel=1e-12)

    # A burst of 256 bits takes 2133.3 ps at 16 x 7500 Mb/s; a second's worth is 120 Gb.
    read, write = pj(3900 - 400, 180 - 28, 1119 - 6), pj(2650 - 400, 165 - 28, 6 - 6)
    assert (read, write) == (450.51, 260.91)  # mW
    assert profile.column.pj_per_bit + profile.io.pj_per_bit == pytest.approx(read / 120, rel=1e-12)
    assert profile.column.pj_per_bit + profile.write_io_pj_per_bit == pytest.approx(write / 120, rel=1e-12)
    assert profile.column.pj_per_bit == pytest.approx(0.15 * read / 120, rel=1e-12)

    # Refresh beyond standby, and the three ways of waiting, mW.
    powers = (profile.refresh_power, profile.idle_power, profile.active_power, profile.power_down)
    by_hand = (pj(2050 - 325), pj(325, 15), pj(400, 28, 6), pj(39))
    assert by_hand == (181.125, 36.825, 47.34, 4.095)
    assert [power.watts * 1e3 for power in powers if power] == pytest.approx(by_hand, rel=1e-12)


def test_micron_y52p_profile_gives_the_published_sums() -> None:
    """Read burst 3.75 pJ/b, write burst 2.17, row 1.1 nJ, refresh 50.7 nJ and 13 mW, standby 37 to 47 mW."""
    profile = load_profile("micron-y52p")
    assert profile.refresh_power is not None
    refresh_nj = profile.refresh_power.watts * 280  # tRFCab of 16 Gb
    assert refresh_nj == pytest.approx(50.7, rel=0.001)
    assert refresh_nj / 3906 * 1e3 == pytest.approx(13, rel=0.01)
    assert profile.column.pj_per_bit + profile.io.pj_per_bit == pytest.approx(3.75, rel=0.002)
    assert profile.column.pj_per_bit + profile.write_io_pj_per_bit == pytest.approx(2.17, rel=0.003)


def test_micron_y52p_profile_spreads_the_table_of_pim_units_over_bits() -> None:
    profile = load_profile("micron-y52p")
    assert profile.pim_register.pj_per_bit * 256 == pytest.approx(3.17 + 0.40, rel=0.005)
    assert (profile.mac_int8.value, profile.mac_fp16.value) == (0.35, 0.69)


@pytest.mark.parametrize("name", profile_names())
def test_work_in_memory_is_cheaper_than_moving_the_bits(name: str) -> None:
    profile = load_profile(name)
    assert profile.in_bank_pj_per_bit + profile.pim_register.pj_per_bit < profile.off_chip_pj_per_bit / 5
    assert profile.mac_int8.value <= profile.mac_fp16.value


@pytest.mark.parametrize(("folder", "name"), SHIPPED)
def test_every_constant_has_a_plausible_range(folder: str, name: str) -> None:
    def sections(model: BaseModel) -> Iterator[BaseModel]:
        yield model
        for key in type(model).model_fields:
            if isinstance(value := getattr(model, key), BaseModel) and not isinstance(value, Quantity):
                yield from sections(value)

    for section in sections(load(folder, name)):
        assert isinstance(section, Described)
        constants = {key for key in type(section).model_fields if isinstance(getattr(section, key), Quantity)}
        assert "*" in section.RANGES or constants <= set(section.RANGES)
