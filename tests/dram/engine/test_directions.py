"""Reads and writes take turns: a column command has the direction of the request that it serves, step by step."""

import numpy as np
import pytest
from engine_help import DIE

from lpspec.dram.engine import state as k
from lpspec.dram.engine.phases import run_phase
from lpspec.dram.engine.queues import admit, choose_way
from lpspec.dram.rules import COMMANDS
from lpspec.dram.run.controller import Controller, channel_of
from lpspec.dram.run.session import NO_PROGRAM

RD, WR = COMMANDS.index("RD"), COMMANDS.index("WR")
REQUESTS, STEPS = 200, 2_000


@pytest.mark.parametrize("seed", range(4))
def test_a_row_owed_to_the_other_direction_is_used_in_that_direction(seed: int) -> None:
    """Before every command, so that a read of a request to write is seen before the queues are lost over it."""
    draw = np.random.default_rng(seed)
    requests = np.zeros((REQUESTS, 5), np.int64)
    requests[:, 1] = draw.random(REQUESTS) < 0.5
    requests[:, 2], requests[:, 3] = draw.integers(0, 16, REQUESTS), draw.integers(0, 9, REQUESTS)
    requests[:, 4] = draw.integers(0, 64, REQUESTS) * 16
    channel = channel_of(DIE, Controller(refresh="none", drain_high=24, drain_low=8))
    served_at, log = np.full(REQUESTS, -1), np.empty((8, 5), np.int64)
    owed, done, start_ck = 0, 0, 0
    for _ in range(STEPS):
        ahead = channel.copy()
        admit(ahead, requests)
        choose_way(ahead)
        writing = ahead[k.STATE, k.S_WRITING]
        for bank in range(16):
            slot, command = ahead[bank, k.B_FOR], ahead[k.NEXT, k.N_CLASS + bank]
            if command in (RD, WR):
                assert command == (WR if slot >= k.QUEUE else RD)
                owed += (slot >= k.QUEUE) != writing
        _, _, done = run_phase(channel, NO_PROGRAM, requests, served_at, log, 1, start_ck, 0)
        start_ck = -1
        if done:
            break
    assert done == 1
    assert (served_at > 0).all()
    assert owed > 10


@pytest.mark.parametrize("late_way", [0, 1])
def test_a_request_that_waited_too_long_sets_the_direction(late_way: int) -> None:
    """The first request of its queue, beside as many of the other kind as fill theirs: it alone is late."""
    channel = channel_of(DIE, Controller(refresh="none"))
    longest = int(channel[k.GIVEN, k.P_LONGEST])
    others = [[longest - 1, 1 - late_way, 4 + i % 8, 2, i // 8 * 16] for i in range(k.QUEUE)]
    requests = np.array([[0, late_way, 3, 1, 0], *others], np.int64)
    directions = []
    for now in (0, longest - 1, longest):
        channel[k.STATE, k.S_NOW] = now
        admit(channel, requests)
        choose_way(channel)
        directions.append(int(channel[k.STATE, k.S_WRITING]))
    assert directions == [late_way, 1 - late_way, late_way]
    assert channel[k.STATE, k.S_OVERDUE] == channel[3, k.B_FOR] == (k.QUEUE if late_way else 0)
