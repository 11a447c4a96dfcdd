"""PIM programs without issuing every command: what was seen once is not run again, and yet nothing changes.

The exact engine stops wherever MACs turn round a loop (``fast_state``). If a state, relative to now, was there before,
so was all that follows up to the next stop: commands, times and the state there are added in one go, a jump. Only
refreshes come by the clock and not by the program. So a jump knows when the engine looked at what ranks owe, and is
taken only if every look would find the same now; and refreshes of ranks that don't compute are put where they would
have found a free slot. Where nothing is known the exact engine runs, so results are equal by construction.

Beside a stream of reads the engine stops more often (``window_kernels``). Beside other requests, writes among them, it
issues every command, once: runs are kept, too, whole.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpspec.dram import kernels as k
from lpspec.dram import simulate, windows
from lpspec.dram.controller import Controller, channel_of
from lpspec.dram.device import DeviceSpec
from lpspec.dram.energy import Activity, energy_pj
from lpspec.dram.fast_jumps import Memory
from lpspec.dram.fast_runner import Runner
from lpspec.dram.read_stream import ReadStream
from lpspec.dram.simulate import ChannelRun, Request
from lpspec.hardware.energy_profile import EnergyProfile

IntArray = NDArray[np.int64]

_NO_REQUESTS = np.empty((0, 5), np.int64)
_NOT_SERVED = np.empty(0, np.int64)
_MOST_SETUPS = 64
_MOST_MEMORIES = 16
_MEMORIES: dict[bytes, Memory] = {}


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
    """A device under a controller: its channel at CK 0, what runs depend on beside that, and what is known of it."""

    device: DeviceSpec
    channel: IntArray
    name: bytes
    memory: Memory


_SETUPS: dict[tuple[int, Controller], _Setup] = {}  # by id: hashing a device costs more than all the rest


def forget() -> None:
    """Drop all jumps and runs that are known."""
    _MEMORIES.clear()
    _SETUPS.clear()
    windows.forget()


def run_fast(
    program: IntArray,
    device: DeviceSpec,
    controller: Controller | None = None,
    *,
    requests: Iterable[Request] | IntArray | ReadStream = _NO_REQUESTS,
    profile: EnergyProfile | None = None,
) -> FastRun:
    """Run a PIM program as ``run_channel`` does, with jumps wherever the same was seen before.

    Args:
        program: int64 [instructions, fields] as ``lpspec.dram.program`` builds it; programs may be concatenated.
        device: The die of every rank.
        controller: Policies; by default one rank with all-bank refresh.
        requests: As for ``run_channel``, or a stream of reads, which is known again without looking at each of them.
        profile: Energy constants; without it energy is not counted.

    Raises:
        InputError: As ``run_channel``.
    """
    controller = controller or Controller()
    setup = _setup_of(device, controller)
    memory = setup.memory
    program = np.ascontiguousarray(program, np.int64)
    if isinstance(requests, ReadStream):
        requests.check(device, controller.ranks)
    else:
        requests = simulate.request_array(requests, device, controller.ranks)
    name = blake2b(setup.name)
    name.update(program.tobytes())
    name.update(repr(requests).encode() if isinstance(requests, ReadStream) else requests.tobytes())
    run = memory.runs.get(name.digest())
    if run is not None:
        return FastRun(_priced(run, device, controller, profile), 0, sum(run.command_counts.values()), 1)
    jumped = jumps = 0
    if isinstance(requests, ReadStream) and (requests.bursts or not len(program)):
        run, jumped, jumps = _run_windows(program, device, controller, requests, setup.channel.copy())
    elif not isinstance(requests, ReadStream) and (len(requests) or not len(program)):
        run = simulate.run_channel(requests, program, device, controller)
    else:
        runner = Runner(setup.channel.copy(), program, memory)
        runner.run()
        run = simulate.run_of(runner.channel, device, controller, None, _NOT_SERVED)
        jumped, jumps = runner.jumped, runner.jumps
    run.served_at.flags.writeable = run.refreshes.flags.writeable = False
    memory.keep_run(name.digest(), run)
    issued = sum(run.command_counts.values()) - jumped
    return FastRun(_priced(run, device, controller, profile), issued, jumped, jumps)


def _run_windows(
    program: IntArray, device: DeviceSpec, controller: Controller, reads: ReadStream, channel: IntArray
) -> tuple[ChannelRun, int, int]:
    """A program beside reads, or reads alone, on a channel on which nothing has run yet; how many jumps it took."""
    known = windows.windows_of(channel, device)
    served_at = np.full(reads.bursts, -1, np.int64)
    if len(program):
        k.start_program(channel, program)
    jumps = known.run(channel, program, reads, served_at)
    return simulate.run_of(channel, device, controller, None, served_at), jumps.jumped, jumps.jumps


def _setup_of(device: DeviceSpec, controller: Controller) -> _Setup:
    """A device under a controller; those of the same parameters and latencies share what is known."""
    setup = _SETUPS.get((id(device), controller))
    if setup is None:
        channel = channel_of(device, controller)
        context = b"".join(part.tobytes() for part in (channel[k.GIVEN], channel[k.LATENCY :]))
        _make_room(_MEMORIES, _MOST_MEMORIES + (context in _MEMORIES))
        _make_room(_SETUPS, _MOST_SETUPS)
        name = repr((device.tCK.ns, device.organisation)).encode()
        setup = _Setup(device, channel, name, _MEMORIES.setdefault(context, Memory()))
        _SETUPS[id(device), controller] = setup
    return setup


def _make_room(known: dict[Any, Any], most: int) -> None:
    while len(known) >= most:
        known.pop(next(iter(known)))


def _priced(run: ChannelRun, device: DeviceSpec, controller: Controller, profile: EnergyProfile | None) -> ChannelRun:
    if profile is None:
        return run
    counts = (run.rank_counts, run.command_counts)
    activity = Activity(*counts, run.mac_tokens, run.total_ck, run.active_ck, controller.ranks)
    return replace(run, energy_pj=energy_pj(activity, device, profile))
