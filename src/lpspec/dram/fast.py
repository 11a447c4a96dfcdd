"""PIM programs without issuing every command: what was seen once is not run again, and yet nothing changes.

Programs, alone or beside a stream of reads, go in jumps (``window_kernels``). Beside other requests, writes among them,
the engine issues every command. Runs are kept whole as well: the same again costs nothing.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from lpspec.dram import kernels as k
from lpspec.dram import simulate, windows
from lpspec.dram.controller import Controller, channel_of
from lpspec.dram.device import DeviceSpec
from lpspec.dram.read_stream import ReadStream
from lpspec.dram.simulate import ChannelRun, Request
from lpspec.dram.windows import Jumps

IntArray = NDArray[np.int64]

_NO_REQUESTS = np.empty((0, 5), np.int64)
_NO_READS = ReadStream(0, 0)
_MOST_SETUPS = 64
_MOST_BYTES = 1 << 26  # of the runs that are kept
_RUN_BYTES = 1 << 12  # of a run beside its served times, about


@dataclass(frozen=True)
class FastRun:
    """A run, and how it was come by.

    Attributes:
        run: The same as the exact engine's.
        issued: Commands that the engine issued one by one.
        jumped: Commands that were added in jumps.
        jumps: How many jumps; one if the whole run was known.
    """

    run: ChannelRun
    issued: int
    jumped: int
    jumps: int


@dataclass(frozen=True)
class _Setup:
    """A device under a controller: its channel at CK 0, and all that a run depends on beside its work, in a few bytes.

    The device is held so that its id stays its own.
    """

    device: DeviceSpec
    channel: IntArray
    name: bytes


class _KnownRuns:
    """Whole runs without energy, the oldest of which go if there is too much of them."""

    def __init__(self) -> None:
        self._runs: dict[bytes, ChannelRun] = {}
        self._bytes = 0

    def find(self, name: bytes) -> ChannelRun | None:
        return self._runs.get(name)

    def keep(self, name: bytes, run: ChannelRun) -> None:
        self._runs[name] = run
        self._bytes += run.served_at.nbytes + _RUN_BYTES
        while self._bytes > _MOST_BYTES:
            oldest = self._runs.pop(next(iter(self._runs)))
            self._bytes -= oldest.served_at.nbytes + _RUN_BYTES

    def clear(self) -> None:
        self._runs.clear()
        self._bytes = 0


_SETUPS: dict[tuple[int, Controller], _Setup] = {}  # by id: hashing a device costs more than all the rest
_RUNS = _KnownRuns()


def forget() -> None:
    """Drop all jumps and runs that are known."""
    _RUNS.clear()
    _SETUPS.clear()
    windows.forget()


def run_fast(
    program: IntArray,
    device: DeviceSpec,
    controller: Controller | None = None,
    *,
    requests: Iterable[Request] | IntArray | ReadStream = _NO_REQUESTS,
) -> FastRun:
    """Run a PIM program as ``run_channel`` does, with jumps wherever the same was seen before.

    Args:
        program: int64 [instructions, fields] as ``lpspec.dram.program`` builds it; programs may be concatenated.
        device: The die of every rank.
        controller: Policies; by default one rank with all-bank refresh.
        requests: As for ``run_channel``, or a stream of reads, which is known again without looking at each of them.

    Raises:
        InputError: As ``run_channel``.
    """
    controller = controller or Controller()
    setup = _setup_of(device, controller)
    program = np.ascontiguousarray(program, np.int64)
    if isinstance(requests, ReadStream):
        requests.check(device, controller.ranks)
    else:
        requests = simulate.request_array(requests, device, controller.ranks)
        requests = requests if len(requests) else _NO_READS
    name = _name_of(setup, program, requests)
    run = _RUNS.find(name)
    if run is not None:
        return FastRun(run, 0, sum(run.command_counts.values()), 1)
    jumps = Jumps(0, 0)
    if isinstance(requests, ReadStream):
        run, jumps = _run_windows(program, device, controller, requests, setup.channel.copy())
    else:
        run = simulate.run_channel(requests, program, device, controller)
    run.served_at.flags.writeable = run.refreshes.flags.writeable = False
    _RUNS.keep(name, run)
    issued = sum(run.command_counts.values()) - jumps.jumped
    return FastRun(run, issued, jumps.jumped, jumps.jumps)


def _name_of(setup: _Setup, program: IntArray, requests: IntArray | ReadStream) -> bytes:
    """All that a run depends on, in a few bytes."""
    name = blake2b(setup.name)
    name.update(repr(program.shape).encode())
    name.update(program.tobytes())
    name.update(repr(requests).encode() if isinstance(requests, ReadStream) else requests.tobytes())
    return name.digest()


def _run_windows(
    program: IntArray, device: DeviceSpec, controller: Controller, reads: ReadStream, channel: IntArray
) -> tuple[ChannelRun, Jumps]:
    """A program, reads, or both on a channel on which nothing has run yet, and how they were come by."""
    known = windows.windows_of(channel, device)
    served_at = np.full(reads.bursts, -1, np.int64)
    if len(program):
        k.start_program(channel, program)
    jumps = known.run(channel, program, reads, served_at)
    return simulate.run_of(channel, device, controller, served_at), jumps


def _setup_of(device: DeviceSpec, controller: Controller) -> _Setup:
    """A device under a controller."""
    setup = _SETUPS.get((id(device), controller))
    if setup is None:
        while len(_SETUPS) >= _MOST_SETUPS:
            _SETUPS.pop(next(iter(_SETUPS)))
        channel = channel_of(device, controller)
        name = blake2b(repr((device.tCK.ns, device.organisation)).encode())
        for part in (channel[k.GIVEN], channel[k.LATENCY :]):
            name.update(part.tobytes())
        setup = _SETUPS[id(device), controller] = _Setup(device, channel, name.digest())
    return setup
