"""Commands given away piece by piece are those that are kept, and their CSV is what Python's writer makes of them."""

import csv
import io
from typing import Any

import numpy as np
import pytest
from engine_help import DIE, commands_of, streaming
from numpy.typing import NDArray
from pim_help import NO_REQUESTS, run

from lpspec.dram.pim.products import compile_gemm
from lpspec.dram.pim.weights import PimChannel, place_weights
from lpspec.dram.run import session
from lpspec.dram.run.command_log import CSV_HEADER, csv_lines
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.session import NO_PROGRAM
from lpspec.dram.run.simulate import run_channel, run_requests
from lpspec.errors import InputError


@pytest.fixture(params=[7, 1 << 18])
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "COMMANDS_AT_ONCE", request.param)


def written(commands: NDArray[Any]) -> bytes:
    """A whole command table as CSV."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(commands.dtype.names or ())
    writer.writerows([["" if value == -1 else value for value in row] for row in commands.tolist()])
    return out.getvalue().encode()


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("kept", [True, False])
def test_requests(kept: bool) -> None:
    controller, requests = Controller(ranks=2), streaming(3000, 0.3, rank=1)
    whole = run_requests(requests, DIE, controller, keep_commands=True)
    pieces: list[NDArray[Any]] = []
    served: list[int] = []
    take = pieces.append if kept else None
    told = run_channel(requests, NO_PROGRAM, DIE, controller, take=take, progress=lambda n, _: served.append(n))
    assert told.command_counts == whole.command_counts
    assert (told.total_ck, told.row_hits, told.commands) == (whole.total_ck, whole.row_hits, None)
    assert told.served_at.tolist() == whole.served_at.tolist()
    assert served[-1] == 3000
    if kept:
        assert np.concatenate(pieces).tolist() == commands_of(whole).tolist()
        assert CSV_HEADER + b"".join(map(csv_lines, pieces)) == written(commands_of(whole))


@pytest.mark.usefixtures("at_once")
def test_a_program() -> None:
    channel = PimChannel(DIE, (0, 1, 2), 3, 4)
    program = compile_gemm(place_weights(channel, 200, 1024), 4)
    whole = run(program)
    pieces: list[NDArray[Any]] = []
    told = run_channel(NO_REQUESTS, program.lines, DIE, Controller(ranks=4), take=pieces.append)
    assert (told.total_ck, told.rank_counts) == (whole.total_ck, whole.rank_counts)
    assert np.concatenate(pieces).tolist() == commands_of(whole).tolist()
    assert CSV_HEADER + b"".join(map(csv_lines, pieces)) == written(commands_of(whole))


def test_a_program_that_cannot_go_on_is_refused() -> None:
    channel = PimChannel(DIE, (0,))
    lines = compile_gemm(place_weights(channel, 64, 32), 1).lines[:-1]  # stays in PIM mode
    with pytest.raises(InputError, match="rank 0 never leaves PIM mode"):
        run_channel(streaming(1), lines, DIE, Controller(refresh="none"))
