"""What a stream costs a bit: by hand, and against every command of one."""

import pytest

from lpspec.devices.stream_prices import profile_prices
from lpspec.dram.energy import waiting
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.read_stream import ReadStream
from lpspec.dram.run.session import NO_PROGRAM
from lpspec.dram.run.simulate import run_channel
from lpspec.experiments.energy_profiles import side_by_side
from lpspec.machine.loading import load_die, load_platform, load_profile, platform_names, profile_names

Y52P = load_profile("micron-y52p")


def test_streams_of_the_public_die_cost_what_its_currents_say() -> None:
    """By hand: bursts, a row's share, then standby and refresh over what refresh leaves of 120 Gb/s."""
    prices = side_by_side(Y52P).prices[0]
    stop_ns = (9 + 23 + 263 + 2 + 18) * 16 / 15  # close, refresh, open again; CK of 16/15 ns
    gbit_per_s = 120 * (1 - stop_ns / 3905.07)
    beside_pj = (47.3 + 13.0) / gbit_per_s
    assert prices.read_stream_pj_per_bit == pytest.approx(450.51 / 120 + 1110.87 / 16384 + beside_pj, rel=0.005)
    assert prices.write_stream_pj_per_bit == pytest.approx(260.91 / 120 + 1110.87 / 16384 + beside_pj, rel=0.005)
    assert prices.read_stream_pj_per_bit == pytest.approx(4.4, rel=0.03)
    assert prices.write_stream_pj_per_bit == pytest.approx(2.8, rel=0.03)
    assert prices.waiting.refresh_mw == pytest.approx(13.0, rel=0.03)
    assert prices.waiting.refresh_nj == pytest.approx(50.7, rel=0.03)


@pytest.mark.parametrize("profile", profile_names())
@pytest.mark.parametrize("writes", [False, True])
def test_a_stream_costs_what_its_commands_cost(profile: str, writes: bool) -> None:
    die, prices = load_die("lpddr5-6400-8gb"), load_profile(profile)
    bursts = 60_000
    table = ReadStream(0, bursts).requests(die)
    table[:, 1] = int(writes)
    run = run_channel(table, NO_PROGRAM, die, Controller())
    pj_per_bit = sum(run.activity.energy_pj(prices).values()) / (bursts * 256)
    closed = profile_prices(prices, die)
    expected = closed.write_stream_pj_per_bit if writes else closed.read_stream_pj_per_bit
    assert pj_per_bit == pytest.approx(expected, rel=0.01)


def test_every_shipped_profile_and_own_memory_stands_beside_the_one_asked_for() -> None:
    found = side_by_side(load_profile("specpim")).prices
    assert [prices.name for prices in found if prices.machine] == ["specpim", "attacc", "micron-y52p"]
    own = {prices.name: prices.technology for prices in found if not prices.machine}
    assert own == {"a100": "HBM2e, taken for HBM2", "lp-spec-lpddr6": "LPDDR6, assumed", "rtx3090": "GDDR6X"}
    memories = [load_platform(name).memory_energy for name in platform_names()]
    ways = {memory.io.pj_per_bit for memory in memories if memory is not None}
    assert {prices.read_pj_per_bit["way"] for prices in found if not prices.machine} == ways


def test_a_denser_die_refreshes_longer_and_a_slower_one_waits_longer_for_a_bit() -> None:
    small, large = (side_by_side(Y52P, {"memory.die": f"lpddr5-6400-{gb}gb"}).prices[0] for gb in (8, 16))
    assert small.waiting.refresh_nj == pytest.approx(0.181125 * 210)
    assert large.waiting.refresh_nj == pytest.approx(0.181125 * 280)
    fast, slow = (side_by_side(Y52P, {"memory.data_rate": rate}).prices[0] for rate in ("7500 Mbps", "3200 Mbps"))
    assert slow.read_pj_per_bit["standby"] > 2 * fast.read_pj_per_bit["standby"]
    assert slow.read_pj_per_bit["way"] == fast.read_pj_per_bit["way"]


def test_power_down_is_left_for_every_refresh_and_for_nothing_else() -> None:
    die = load_die("lpddr5-6400-8gb")
    found = waiting(10_000.0, 3 * 210.0, die, power_down=True)
    assert found.idle_die_ns == pytest.approx(3 * (210 + 10))
    assert found.power_down_die_ns == pytest.approx(10_000 - 660)
    assert waiting(10_000.0, 630.0, die, power_down=False).idle_die_ns == 10_000
    never = waiting(500.0, 630.0, die, power_down=True)
    assert (never.idle_die_ns, never.power_down_die_ns) == (500, 0)
