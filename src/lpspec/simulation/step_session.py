"""One step in its true order, every command of one channel issued in a single session: all layers, refresh and all.

Phases depend on each other one by one, so resources are busy in intervals that follow from the commands themselves.
``cost_of`` adds up phases that were measured apart; how far the two differ is a rung of ``lpspec validate``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lpspec.arrays import IntArray
from lpspec.devices.package_commands import PackageCommands
from lpspec.dram.rules import COMMANDS, ON_BUS, PIM_COMMANDS, RD, RDA, WR, WRA
from lpspec.dram.run.session import Session
from lpspec.simulation.step_phases import Phase, in_order

Resource = Literal["NPU matrix units", "NPU vector units", "PIM ranks", "NPU reads", "KV writes", "host CPU"]

HOST_NS = 5_000.0
"""Assumed, 1 to 50 us: the host decides the next tree and split (DTP, DAU) while the draft heads run, which take
longer, so it costs no time. The compiled pruner takes 5 us per decision on one core of a small cloud machine."""

_READS, _WRITES = (RD, RDA), (WR, WRA)
_PIM = tuple(COMMANDS.index(name) for name in PIM_COMMANDS)
_PIM_BURSTS = tuple(COMMANDS.index(name) for name in PIM_COMMANDS if name in ON_BUS)


@dataclass(frozen=True, slots=True)
class Interval:
    """A resource at work, ns from the start of the step."""

    resource: Resource
    phase: int
    name: str
    begin_ns: float
    end_ns: float


@dataclass(frozen=True, slots=True)
class PhaseRun:
    """One phase of the step.

    Attributes:
        phase: What ran.
        begin_ns: From the start of the step.
        end_ns: When all its parts were done.
        bursts: Bursts on the channel's data bus: reads, writes, PIM inputs and results.
        intervals: Resources at work.
    """

    phase: Phase
    begin_ns: float
    end_ns: float
    bursts: tuple[int, int, int]
    intervals: tuple[Interval, ...]


def run_step(phases: Sequence[Phase], memory: PackageCommands) -> Iterator[PhaseRun]:
    """Run every copy of every phase in its true order; a phase begins when the one before is done on all resources."""
    session = Session(memory.device, memory.controller)
    tck_ns = memory.device.ck_ns
    decided = False
    for number, phase in enumerate(in_order(phases)):
        begin_ck = session.now_ck
        pieces = [np.empty((0, 5), np.int64)]
        for work in phase.memory.works:
            session.pace(work.mac_ck or memory.device.mac_ck)
            session.run(work.program(), work.requests(), pieces.append)
        log = np.concatenate(pieces)
        session.now_ck = max(session.now_ck, begin_ck + int(np.ceil(phase.npu_ns / tck_ns)))
        begin_ns = begin_ck * tck_ns
        intervals = [
            Interval(resource, number, phase.name, first_ck * tck_ns, last_ck * tck_ns)
            for resource, first_ck, last_ck in _memory_intervals(log, memory)
        ]
        if phase.npu_ns > 0:
            unit: Resource = "NPU matrix units" if phase.unit == "matrix" else "NPU vector units"
            intervals.append(Interval(unit, number, phase.name, begin_ns, begin_ns + float(phase.npu_ns)))
        if phase.name == "medusa_block" and not decided:
            decided = True
            intervals.append(Interval("host CPU", number, "DTP and DAU", begin_ns, begin_ns + HOST_NS))
        bursts = [int(np.isin(log[:, 1], kinds).sum()) for kinds in (_READS, _WRITES, _PIM_BURSTS)]
        yield PhaseRun(phase, begin_ns, session.now_ck * tck_ns, (bursts[0], bursts[1], bursts[2]), tuple(intervals))


def _memory_intervals(log: IntArray, memory: PackageCommands) -> Iterator[tuple[Resource, int, int]]:
    """From the first command of each kind to the end of what the last one does, CK."""
    t = memory.device.timing
    kinds: tuple[tuple[Resource, tuple[int, ...], int], ...] = (
        ("PIM ranks", _PIM, 0),
        ("NPU reads", _READS, t.nCL.n + t.nBL_min.n),
        ("KV writes", _WRITES, t.nCWL.n + t.nBL_min.n),
    )
    for resource, commands, lasts_ck in kinds:
        at = log[np.isin(log[:, 1], commands), 0]
        if len(at):
            yield resource, int(at[0]), int(at[-1]) + lasts_ck
