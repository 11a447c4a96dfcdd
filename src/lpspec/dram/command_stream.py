"""The commands of a run as they are issued, piece by piece: for a file, a timeline or whoever wants to see them."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lpspec.compiled import cached_njit
from lpspec.dram import kernels, simulate
from lpspec.dram.controller import Controller, channel_of
from lpspec.dram.device import DeviceSpec
from lpspec.dram.simulate import COMMAND_TABLE, ChannelRun, Request, request_array
from lpspec.hardware.energy_profile import EnergyProfile

IntArray = NDArray[np.int64]
Bytes = NDArray[np.uint8]

CSV_HEADER = (",".join(COMMAND_TABLE.names or ()) + "\n").encode()

NO_PROGRAM = np.empty((0, kernels.INSTRUCTION_FIELDS), np.int64)

_AT_ONCE = 1 << 18  # commands between two looks at the clock, and rows of a piece
_COMMA, _NEWLINE, _ZERO = (ord(c) for c in ",\n0")
_NAME_LETTERS = COMMAND_TABLE["command"].itemsize // 4
_LONGEST_ROW = 6 * 20 + _NAME_LETTERS + 7


def stream_channel(
    requests: Iterable[Request] | IntArray,
    program: IntArray,
    device: DeviceSpec,
    controller: Controller,
    take: Callable[[NDArray[Any]], None] | None = None,
    *,
    profile: EnergyProfile | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> ChannelRun:
    """Run requests and a PIM program as ``run_channel`` does, giving the commands away as they are issued.

    Args:
        requests: As for ``run_channel``.
        program: As for ``run_channel``; empty for none.
        device: The die of every rank.
        controller: Policies.
        take: Given each piece of the command table, in order; what it doesn't keep is gone. None for nobody.
        profile: Energy constants; without it energy is not counted.
        progress: Called now and then with requests served and CK reached.
    """
    table = request_array(requests, device, controller.ranks)
    channel = channel_of(device, controller)
    served_at = np.full(len(table), -1, np.int64)
    if len(program):
        kernels.start_program(channel, program)
    log = np.empty((0 if take is None else _AT_ONCE, 5), np.int64)
    state = 0
    while state == 0:
        state = kernels.run(channel, table, served_at, program, log, _AT_ONCE)
        if take is not None:
            take(simulate._command_table(log[: channel[kernels.STATE, kernels.S_LOGGED]]))
        if progress is not None:
            progress(int(channel[kernels.STATE, kernels.S_SERVED]), int(channel[kernels.STATE, kernels.S_NOW]))
    if state < 0:
        raise simulate.what_stopped(channel, state)
    return simulate._result(channel, device, controller, profile, served_at, None)


def latency_ck(run: ChannelRun, at: IntArray) -> dict[str, float]:
    """CK from the arrival of requests to the end of their data, waiting before full queues included.

    Args:
        run: A run of requests.
        at: int64 [requests], their arrival.
    """
    waited = run.served_at - at
    half, most = np.percentile(waited, [50, 99])
    return {"mean": float(waited.mean()), "p50": float(half), "p99": float(most), "max": float(waited.max())}


def csv_lines(table: NDArray[Any]) -> bytes:
    """A piece of the command table as lines of CSV, a field without meaning left empty."""
    letters = np.ascontiguousarray(table["command"]).view(np.uint32).reshape(-1, _NAME_LETTERS)
    fields = np.stack([np.ascontiguousarray(table[name]) for name in table.dtype.names or () if name != "command"], 1)
    out = np.empty(len(table) * _LONGEST_ROW, np.uint8)
    return out[: _write(fields, letters, out)].tobytes()


@cached_njit()
def _write(fields: IntArray, names: NDArray[np.uint32], out: Bytes) -> int:
    """Write CK, name, then the other fields of each row; the bytes written."""
    at = 0
    digits = np.empty(20, np.uint8)
    for i in range(fields.shape[0]):
        for k in range(fields.shape[1]):
            value, count = fields[i, k], 0
            while value > 0 or (value == 0 and count == 0):
                digits[count] = _ZERO + value % 10
                value //= 10
                count += 1
            while count:
                count -= 1
                out[at] = digits[count]
                at += 1
            if k == 0:
                out[at] = _COMMA
                at += 1
                for letter in names[i]:
                    if letter:
                        out[at] = letter
                        at += 1
            out[at] = _COMMA
            at += 1
        out[at - 1] = _NEWLINE
    return at
