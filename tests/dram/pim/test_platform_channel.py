"""Platforms seen from the command level, and whole products over all of their channels."""

import pytest
from engine_help import DIE

from lpspec.dram.device import load_device
from lpspec.dram.pim.verify import count_wrong
from lpspec.dram.pim.weights import PimChannel
from lpspec.dram.platform_channel import channel_of_platform, device_at
from lpspec.errors import InputError
from lpspec.machine.loading import load_platform


def test_lp_specs_channel_is_three_ranks_that_compute_and_one_that_does_not() -> None:
    channel = channel_of_platform(load_platform("lp-spec"))
    assert channel == PimChannel(channel.device, (0, 1, 2), 3, 4)
    assert channel.device.name == "lpddr5-6400-8gb"
    assert channel.device.pim.nMAC.n == 4
    assert (channel.device.mode_ck, channel.device.mpus) == (80, 8)


def test_what_a_platform_says_of_its_pim_holds() -> None:
    changes = {"pim.concurrent_ranks": "2", "pim.mac_interval": "9 ns", "pim.mode_switch": "150 ns", "pim.alus": "2"}
    channel = channel_of_platform(load_platform("lp-spec", changes))
    assert channel.concurrent == 2
    assert (channel.device.pim.nMAC.n, channel.device.mode_ck, channel.device.pim.alus.n) == (8, 120, 2)
    assert channel_of_platform(load_platform("lpddr5-pim")).device.pim.alus.n == 1


def test_what_no_die_is_like_is_one_line() -> None:
    with pytest.raises(InputError, match="'mobile-npu' has no PIM ranks"):
        channel_of_platform(load_platform("mobile-npu"))
    with pytest.raises(InputError, match=r"die_capacity is 1.5 GiB: dies that have commands hold 1 GiB or 2 GiB"):
        channel_of_platform(load_platform("lp-spec", {"memory.die_capacity": "12 Gb"}))
    with pytest.raises(InputError, match="accumulator bits"):
        channel_of_platform(load_platform("lp-spec", {"pim.accumulator_bits": "24"}))


@pytest.mark.parametrize("name", ["lpddr5x-8533", "lpddr5x-9600", "lpddr5-6400-16gb"])
def test_a_die_at_another_rate_is_the_shipped_one_of_that_rate(name: str) -> None:
    """Derived from the 6400 grade, every count comes out as the shipped files have it."""
    shipped, base = load_device(name), load_device("lpddr5-6400-16gb")
    derived = device_at(base, shipped.tCK.ns, "this rate")
    assert derived.timing.counts() == shipped.timing.counts()
    assert derived.tCK.ns == shipped.tCK.ns
    assert derived.organisation == base.organisation


def test_a_rate_that_no_shipped_die_has_keeps_its_times() -> None:
    device = channel_of_platform(load_platform("lp-spec", {"memory.data_rate": "3200 Mbps"})).device
    assert device.tCK.ns == 2.5
    assert (device.timing.nRCD.n, device.timing.nFAW.n, device.timing.nCCD_L.n) == (8, 8, 4)  # 18 ns, 20 ns, 4 CK
    assert (device.timing.nRFCab.n, device.timing.nREFI.n) == (84, 1562)  # 210 ns, 3906.25 ns
    assert device.organisation.density.text() == "1 GiB"


@pytest.mark.parametrize(("k", "n"), [(4096, 4096), (500, 1000), (64, 33)])
@pytest.mark.parametrize("tokens", [1, 4, 5])
def test_all_channels_together_compute_the_whole_product(k: int, n: int, tokens: int) -> None:
    assert count_wrong(PimChannel(DIE, (0, 1, 2)), 4, tokens, k, n) == 0
