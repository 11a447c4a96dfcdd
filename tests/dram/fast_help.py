"""Both engines on the same work, compared in everything."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from engine_help import DIE
from numpy.typing import NDArray
from pim_help import NO_REQUESTS

from lpspec.dram.controller import Controller
from lpspec.dram.device import DeviceSpec
from lpspec.dram.fast import FastRun, run_fast
from lpspec.dram.read_stream import ReadStream
from lpspec.dram.simulate import ChannelRun, run_channel
from lpspec.errors import InputError

Program = NDArray[np.int64]


def differences(exact: ChannelRun, fast: ChannelRun) -> list[str]:
    found = []
    for f in fields(exact):
        a, b = getattr(exact, f.name), getattr(fast, f.name)
        if not (np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b):
            found.append(f"{f.name}: {a} is {b}")
    return found


def both(program: Program, device: DeviceSpec = DIE, requests: Any = NO_REQUESTS, **policies: Any) -> FastRun:
    """Run on both engines, and see that all is the same; or that both refuse."""
    controller = Controller(**{"ranks": 4, **policies})
    listed = requests.requests(device) if isinstance(requests, ReadStream) else requests
    try:
        exact = run_channel(listed, program, device, controller)
    except InputError as refused:
        with pytest.raises(InputError, match=str(refused).split(" (CK", maxsplit=1)[0]):
            run_fast(program, device, controller, requests=requests)
        nothing = np.empty(0, np.int64)
        return FastRun(ChannelRun(0, 0, 0, 0, 0.0, {}, {}, 0, 0, 0, 0, 0, nothing, nothing), 0, 0, 0)
    fast = run_fast(program, device, controller, requests=requests)
    assert differences(exact, fast.run) == []
    assert fast.issued + fast.jumped == sum(exact.command_counts.values())
    return fast
