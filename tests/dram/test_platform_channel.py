"""Platforms seen from the command level, and whole products over all of their channels."""

import pytest
from engine_help import DIE

from lpspec.dram.layout import PimChannel
from lpspec.dram.platform_channel import channel_of_platform
from lpspec.dram.verify import count_wrong
from lpspec.errors import InputError
from lpspec.hardware.loading import load_platform


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
    with pytest.raises(InputError, match="no die has"):
        channel_of_platform(load_platform("lp-spec", {"memory.data_rate": "3200 Mbps"}))
    with pytest.raises(InputError, match="accumulator bits"):
        channel_of_platform(load_platform("lp-spec", {"pim.accumulator_bits": "24"}))


@pytest.mark.parametrize(("k", "n"), [(4096, 4096), (500, 1000), (64, 33)])
@pytest.mark.parametrize("tokens", [1, 4, 5])
def test_all_channels_together_compute_the_whole_product(k: int, n: int, tokens: int) -> None:
    assert count_wrong(PimChannel(DIE, (0, 1, 2)), 4, tokens, k, n) == 0
