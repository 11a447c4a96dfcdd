"""Platforms seen from the command level, and whole products over all of their channels."""

import pytest
from engine_help import DIE

from lpspec.dram.pim.verify import count_wrong
from lpspec.dram.pim.weights import PimChannel
from lpspec.dram.platform_channel import channel_of_platform, check_geometry
from lpspec.errors import InputError
from lpspec.machine.loading import die_names, load_die, load_platform


def test_lp_specs_channel_is_three_ranks_that_compute_and_one_that_does_not() -> None:
    channel = channel_of_platform(load_platform("lp-spec"))
    assert channel == PimChannel(channel.device, (0, 1, 2), 3, 4)
    assert channel.device.name == "lpddr5-6400-8gb"
    assert channel.device.mac_ck == 4
    assert (channel.device.mode_ck, channel.device.mpus) == (80, 8)


def test_what_a_platform_says_of_its_pim_holds() -> None:
    changes = {"pim.concurrent_ranks": "2", "pim.mac_interval": "9 ns", "pim.mode_switch": "150 ns", "pim.alus": "2"}
    channel = channel_of_platform(load_platform("lp-spec", changes))
    assert channel.concurrent == 2
    assert (channel.device.mac_ck, channel.device.mode_ck, channel.device.pim.alus.n) == (8, 120, 2)
    assert channel_of_platform(load_platform("lpddr5-pim")).device.pim.alus.n == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"memory.organisation.bank_groups": "2"}, "memory.organisation.bank_groups is 2: commands are written for 4"),
        ({"memory.organisation.banks_per_group": "8"}, "memory.organisation.banks_per_group is 8"),
        ({"pim.banks_per_mpu": "4"}, "pim.banks_per_mpu is 4: commands are written for 1 or 2"),
        ({"pim.accumulator_bits": "24"}, "pim.accumulator_bits is 24: commands are written for 32"),
    ],
)
def test_a_geometry_without_commands_is_one_line(changes: dict[str, str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        channel_of_platform(load_platform("lp-spec", changes))
    assert said in str(caught.value)
    assert str(caught.value).endswith("fidelity analytic takes any")


def test_a_platform_without_pim_has_no_channel_that_computes() -> None:
    with pytest.raises(InputError, match="'mobile-npu' has no PIM ranks"):
        channel_of_platform(load_platform("mobile-npu"))


@pytest.mark.parametrize("name", die_names())
def test_commands_are_written_for_every_shipped_die(name: str) -> None:
    check_geometry(load_die(name))


@pytest.mark.parametrize(("k", "n"), [(4096, 4096), (500, 1000), (64, 33)])
@pytest.mark.parametrize("tokens", [1, 4, 5])
def test_all_channels_together_compute_the_whole_product(k: int, n: int, tokens: int) -> None:
    assert count_wrong(PimChannel(DIE, (0, 1, 2)), 4, tokens, k, n) == 0
