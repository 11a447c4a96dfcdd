import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpspec.devices.cost import COMPONENTS, Activity, Cost, macs_at, off_chip_read
from lpspec.machine.energy_profile import EnergyProfile
from lpspec.machine.loading import load_profile, profile_names

NAMES = list(Activity._fields)
activities = st.builds(Activity, *(st.integers(0, 2**40) for _ in NAMES))


def price_by_hand(activity: Activity, profile: EnergyProfile) -> float:
    """Every event at its own constant, one after the other, in pJ."""
    in_bank = profile.activate.pj_per_bit + profile.column.pj_per_bit
    way_off = in_bank + profile.io.pj_per_bit
    way_in = (profile.write_io or profile.io).pj_per_bit
    pj_per_event = {
        "activate_bits": profile.activate.pj_per_bit,
        "column_bits": profile.column.pj_per_bit,
        "io_bits": profile.io.pj_per_bit,
        "io_written_bits": way_in,
        "scratchpad_bits": profile.scratchpad.pj_per_bit,
        "local_buffer_bits": profile.local_buffer.pj_per_bit,
        "register_bits": profile.core_register.pj_per_bit,
        "pim_register_bits": profile.pim_register.pj_per_bit,
        "macs_int8": profile.mac_int8.value,
        "pim_macs_int8": (profile.pim_mac_int8 or profile.mac_int8).value,
        "macs_fp16": profile.mac_fp16.value,
        "activation_io_bits": profile.io.pj_per_bit,
        "activation_input_bits": way_in,
        "activation_memory_bits": in_bank + way_in,
        "refreshing_die_ns": profile.refresh_power.watts * 1e3 if profile.refresh_power else 0.0,
        "idle_die_ns": profile.idle_power.watts * 1e3 if profile.idle_power else 0.0,
        "power_down_die_ns": profile.power_down.watts * 1e3 if profile.power_down else 0.0,
        "active_die_ns": profile.active_power.watts * 1e3 if profile.active_power else 0.0,
        "migrated_bits": 2 * profile.activate.pj_per_bit
        + 2 * profile.column.pj_per_bit
        + 0.15 * way_off,  # read here, written there, and between the two 15 % of a read off the chip
        "transferred_bits": 0.15 * way_off,
    }
    assert set(pj_per_event) == set(NAMES)
    return sum(float(getattr(activity, name)) * pj for name, pj in pj_per_event.items())


@given(activities, st.sampled_from(profile_names()))
def test_components_sum_to_every_event_at_its_price(activity: Activity, name: str) -> None:
    profile = load_profile(name)
    assert sum(activity.energy_pj(profile).values()) == pytest.approx(price_by_hand(activity, profile), rel=1e-9)


@pytest.mark.parametrize("event", NAMES)
def test_each_event_is_priced_in_one_component(event: str) -> None:
    energy_pj = Activity(**{event: 10.0**9}).energy_pj(load_profile("micron-y52p"))  # the one without gaps
    assert sum(pj > 0 for pj in energy_pj.values()) == 1


def test_components_are_those_that_reports_name() -> None:
    assert set(Activity().energy_pj(load_profile("attacc"))) == set(COMPONENTS)


@given(activities, activities, st.integers(0, 1000))
def test_events_add_and_repeat(one: Activity, other: Activity, times: int) -> None:
    both, many = one + other, one * times
    for name in NAMES:
        assert getattr(both, name) == getattr(one, name) + getattr(other, name)
        assert getattr(many, name) == times * getattr(one, name)


@given(activities, st.integers(1, 20))
def test_costs_one_after_the_other_add(activity: Activity, times: int) -> None:
    total, one = Cost(), Cost(2.5, activity)
    for _ in range(times):
        total = total + one
    assert total == one * times


def test_assumption_set_off_chip_costs_the_whole_way() -> None:
    """Both buffers on the way are written and read."""
    energy_pj = off_chip_read(1000).energy_pj(load_profile("attacc"))
    assert sum(energy_pj.values()) == pytest.approx(8000 * (3.59 + 2 * 0.41 + 2 * 0.066))


def test_arithmetic_is_charged_at_the_wider_operand() -> None:
    profile = load_profile("specpim")
    assert macs_at(100, 4).energy_pj(profile)["mac"] == macs_at(100, 8).energy_pj(profile)["mac"] == pytest.approx(23)
    assert macs_at(100, 16).energy_pj(profile)["mac"] == pytest.approx(150)
