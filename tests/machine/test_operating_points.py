"""Clocks with their voltages, and what energies become of them: by hand."""

from dataclasses import astuple
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpspec.errors import InputError
from lpspec.machine.loading import load_operating_points, load_profile
from lpspec.machine.operating_points import LEAST_SAVED, MOST_SAVED, Shares, priced_at

PHONE, Y52P = load_operating_points("phone"), load_profile("micron-y52p")
NOMINAL = PHONE.clocks(6400, 1.0)


def test_clocks_take_the_voltage_of_the_next_listed_one() -> None:
    for found in ((6400, 1.0, 0.85, 1.05, 0.5), (3200, 0.8, 0.75, 1.05, 0.3), (3300, 0.81, 0.8, 1.05, 0.5)):
        assert astuple(PHONE.clocks(*found[:2])) == pytest.approx(found)
    assert astuple(PHONE.clocks(100, 0.1)) == pytest.approx((100, 0.1, 0.7, 0.9, 0.3))


def test_no_machine_is_run_above_its_own_clocks() -> None:
    pairs = PHONE.up_to(5000, 0.75)
    assert {pair.data_rate_mbps for pair in pairs} == {1600, 3200, 4267, 5000}
    assert sorted({round(pair.npu_ghz, 9) for pair in pairs}) == [0.3, 0.5, 0.7, 0.75]
    assert len(pairs) == 16
    for what, asked in (("NPU clock 1.2 GHz is above 1 GHz", (6400, 1.2)), ("data rate 12000 Mbps", (12_000, 1.0))):
        with pytest.raises(InputError, match=what):
            PHONE.up_to(*asked)


def test_prices_are_the_profiles_at_the_machines_own_clocks() -> None:
    same = priced_at(Y52P, NOMINAL, NOMINAL, PHONE.shares)
    for name in ("activate", "column", "io", "write_io", "refresh_power", "idle_power", "active_power", "power_down"):
        assert getattr(same, name).value == pytest.approx(getattr(Y52P, name).value, rel=1e-12)
    assert (same.mac_int8, same.scratchpad, same.pim_mac_pj) == (Y52P.mac_int8, Y52P.scratchpad, 0.35)


def test_a_slow_point_by_hand() -> None:
    """1600 Mb/s and 300 MHz: core at 0.9 of 1.05 V, pins at 0.3 of 0.5 V, NPU at 0.7 of 0.85 V."""
    slow = priced_at(Y52P, PHONE.clocks(1600, 0.3), NOMINAL, Shares(0.5, 0.5, 0.3))
    core, pins, clocked = (0.9 / 1.05) ** 2, 0.6 * (0.5 + 0.5 * 0.6), 0.5 + 0.5 / 4
    read_mw = core * 350 * 1.05 + 15.2 * 1.8 + pins * 111.3 * 0.5
    assert slow.column.pj_per_bit + slow.io.pj_per_bit == pytest.approx(read_mw / 120)
    assert slow.column.pj_per_bit == pytest.approx(core * 0.15 * 450.51 / 120)
    write_mw = core * 225 * 1.05 + 13.7 * 1.8
    assert slow.column.pj_per_bit + slow.write_io_pj_per_bit == pytest.approx(write_mw / 120)
    assert slow.idle_power is not None
    assert slow.idle_power.watts * 1e3 == pytest.approx(core * clocked * 34.125 + 2.7)
    assert slow.power_down is not None
    assert slow.power_down.watts * 1e3 == pytest.approx(core * 4.095)  # no clock runs
    assert slow.refresh_power is not None
    assert slow.refresh_power.watts * 1e3 == pytest.approx(core * 181.125)
    assert slow.mac_int8.value == pytest.approx(0.35 * (0.7 / 0.85) ** 2)
    assert slow.pim_mac_pj == 0.35  # a PIM unit is not on the NPU's supply


@given(st.integers(0, 29), st.integers(0, 29), st.floats(0, 1), st.floats(0, 1))
def test_no_slower_clock_has_a_dearer_constant(first: int, second: int, clocked: float, charge: float) -> None:
    pairs = PHONE.up_to(6400, 1.0)
    one, other = pairs[first], pairs[second]
    rates, speeds = ((one.data_rate_mbps, other.data_rate_mbps), (one.npu_ghz, other.npu_ghz))
    slow, fast = (PHONE.clocks(end(rates), end(speeds)) for end in (min, max))
    shares = Shares(clocked, charge, 0.3)
    cheap, dear = (priced_at(Y52P, at, NOMINAL, shares) for at in (slow, fast))
    for name in ("activate", "io", "write_io", "refresh_power", "idle_power", "power_down", "mac_int8", "scratchpad"):
        assert getattr(cheap, name).value <= getattr(dear, name).value * (1 + 1e-12)


def test_the_assumptions_ends_hold_what_is_between() -> None:
    at = PHONE.clocks(1600, 0.3)
    least, most = (priced_at(Y52P, at, NOMINAL, shares) for shares in (MOST_SAVED, LEAST_SAVED))
    between = priced_at(Y52P, at, NOMINAL, PHONE.shares)
    for name in ("io", "idle_power", "active_power"):
        low, mid, high = (getattr(p, name).value for p in (least, between, most))
        assert low < mid < high


def test_a_memory_without_currents_keeps_its_prices() -> None:
    attacc = load_profile("attacc")
    slow = priced_at(attacc, PHONE.clocks(1600, 0.3), NOMINAL, PHONE.shares)
    assert (slow.activate, slow.column, slow.io) == (attacc.activate, attacc.column, attacc.io)
    assert slow.mac_int8.value < attacc.mac_int8.value


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('[[npu]]\nclock = { value = "2 GHz", source = "a test" }', "npu.0.voltage: Field required"),
        (
            "[[npu]]\n"
            + 'clock = { value = "1 GHz", source = "a test" }\nvoltage = { value = "1 V", source = "a test" }\n'
            "[[npu]]\n"
            + 'clock = { value = "1 GHz", source = "a test" }\nvoltage = { value = "1 V", source = "a test" }',
            "[[npu]] must be in ascending order of its clocks",
        ),
        (
            "[[npu]]\n"
            + 'clock = { value = "1 GHz", source = "a test" }\nvoltage = { value = "1 V", source = "a test" }\n'
            "[[npu]]\n"
            + 'clock = { value = "2 GHz", source = "a test" }\nvoltage = { value = "0.9 V", source = "a test" }',
            "npu.voltage must not fall while its clock rises",
        ),
        ("[assumed]\nleak = 1", "assumed.leak: is not a known key"),
    ],
)
def test_points_that_cannot_be_are_named(tmp_path: Path, table: str, said: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f'extends = "phone"\n{table}\n', "utf-8")
    with pytest.raises(InputError) as caught:
        load_operating_points(str(file))
    assert said in str(caught.value)
