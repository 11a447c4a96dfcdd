"""PIM on LPDDR6, which is assumed: programs are legal, begin commands on even CK, and compute what they should."""

import numpy as np
import pytest
from engine_help import commands_of, streaming
from pim_help import run, violations

from lpspec.dram.pim.products import compile_gemm
from lpspec.dram.pim.verify import count_wrong
from lpspec.dram.pim.weights import place_weights
from lpspec.dram.platform_channel import channel_of_platform
from lpspec.machine.loading import load_platform


@pytest.mark.parametrize(
    "changes",
    [{}, {"pim.banks_per_mpu": "1"}, {"memory.data_rate": "7500 Mbps"}, {"pim.activate": "at_once"}],
    ids=["as shipped", "a bank an MPU", "7500", "at once"],
)
def test_products_beside_reads_are_legal(changes: dict[str, str]) -> None:
    channel = channel_of_platform(load_platform("lp-spec-lpddr6", changes))
    program = compile_gemm(place_weights(channel, 300, 700), 5)
    done = run(program, streaming(300, rank=channel.ranks - 1))
    assert done.command_counts["PIM_MAC"] > 0
    assert violations(done, program) == []
    assert set(np.unique(commands_of(done)["ck"] % 2)) == {0}


def test_eight_sub_channels_compute_the_integer_product() -> None:
    channel = channel_of_platform(load_platform("lp-spec-lpddr6"))
    assert count_wrong(channel, 8, 5, 130, 600) == 0
