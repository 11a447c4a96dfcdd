"""The layout for PIM is one that an NPU reads at full speed: a prompt needs no second one."""

import numpy as np
import pytest

from lpspec.arrays import IntArray
from lpspec.dram.engine.state import BANKS, BEATS
from lpspec.dram.pim.package import package_of
from lpspec.dram.pim.weights import Split, place_weights
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.read_stream import ReadStream
from lpspec.dram.run.session import NO_PROGRAM, Session
from lpspec.machine.loading import load_platform

LP_SPEC = load_platform("lp-spec")
CHANNEL = package_of(LP_SPEC).channel
K, OUTPUTS = 1024, 1024  # on one channel: a tile of three ranks, and a unit that is left over


def took_ck(places: IntArray) -> int:
    """Reads of rank, flat bank, row and column, one after the other, with refresh."""
    zero = np.zeros(len(places), np.int64)
    where = places[:, 0] * BANKS + places[:, 1]
    return stream_ck(np.stack([zero, zero, where, places[:, 2], places[:, 3] * BEATS], 1))


def stream_ck(requests: IntArray) -> int:
    session = Session(CHANNEL.device, Controller(ranks=CHANNEL.ranks))
    session.run(NO_PROGRAM, requests)
    return session.now_ck


@pytest.mark.parametrize("split", ["never", "left-over"])
def test_mpu_by_mpu_it_is_read_as_fast_as_plain_rows(split: Split) -> None:
    bursts = place_weights(CHANNEL, K, OUTPUTS, split=split).bursts()  # [blocks of 32 outputs, k, place]
    plain_ck = stream_ck(ReadStream(CHANNEL.ranks - 1, bursts.size // 4).requests(CHANNEL.device))
    units = [bursts[i : i + CHANNEL.mpus] for i in range(0, len(bursts), CHANNEL.mpus)]
    by_turns = np.concatenate([unit.swapaxes(0, 1).reshape(-1, 4) for unit in units])
    assert took_ck(by_turns) <= 1.01 * plain_ck
    one_bank = took_ck(bursts.reshape(-1, 4))  # the 32 outputs of one MPU alone: a burst per nCCD_L of a bank group
    assert one_bank == pytest.approx(2 * plain_ck, rel=0.05)


def test_a_burst_is_a_row_of_a_tile_of_the_arrays() -> None:
    """32 outputs of one k: nothing has to be shuffled between bank and MAC array."""
    assert LP_SPEC.npu is not None
    assert LP_SPEC.npu.array_columns.n == CHANNEL.lanes == CHANNEL.device.organisation.burst_bytes.n
