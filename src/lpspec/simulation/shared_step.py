"""One step in its true order while a CPU reads and writes beside it, every command of one channel issued."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lpspec.arrays import IntArray
from lpspec.devices.package_commands import PackageCommands
from lpspec.dram.energy import activity_of, standing_by
from lpspec.dram.run.latencies import Waits
from lpspec.dram.run.shared import OverloadError, SharedSession
from lpspec.dram.run.traffic import Traffic
from lpspec.errors import InputError
from lpspec.machine.energy_profile import Activity
from lpspec.machine.pim_format import INT8
from lpspec.simulation.step_phases import Phase, in_order

MOST_SLOWDOWN = 8
"""Beyond it a memory is said to be overloaded."""


@dataclass(frozen=True, slots=True)
class SharedStep:
    """What a step and a CPU cost each other.

    Attributes:
        latency_ns: Time of the step.
        activity: Of the memory of the whole package meanwhile, standby included.
        cpu_gb_per_s: What the CPU got of all channels, GB/s.
        cpu_wait_ck: How long its reads waited, CK.
    """

    latency_ns: float
    activity: Activity
    cpu_gb_per_s: float
    cpu_wait_ck: Waits


def run_shared_step(phases: Sequence[Phase], memory: PackageCommands, traffic: Traffic, alone_ns: float) -> SharedStep:
    """Run every copy of every phase in its true order while lines of a CPU come, to all plain ranks.

    Args:
        phases: Of the step; none for the CPU alone.
        memory: Whose commands are issued; its controller says who yields to whom.
        traffic: Of the CPU.
        alone_ns: Time of the step without the CPU, which is how long a CPU alone is looked at.

    Raises:
        InputError: The step takes more than ``MOST_SLOWDOWN`` times as long.
    """
    tck_ns = memory.device.ck_ns
    until_ck = int(alone_ns / tck_ns) * (MOST_SLOWDOWN if phases else 1)
    others = traffic.requests(memory.device, memory.channels, memory.ranks - 1, until_ck, memory.addresses)
    session = SharedSession(memory.device, memory.controller, others)
    known: dict[int, tuple[IntArray, IntArray]] = {}
    form = INT8
    if not phases:
        session.idle_until(until_ck)
    try:
        for phase in in_order(phases):
            begin_ck = session.now_ck
            for work in phase.memory.works:
                if id(work) not in known:
                    known[id(work)] = work.program(), work.requests()
                    form = max(form, work.form, key=lambda one: one.activation_bits)  # all of a model are alike
                session.pace(work.mac_ck or memory.device.mac_ck)
                session.work(*known[id(work)])
            session.idle_until(begin_ck + int(np.ceil(phase.npu_ns / tck_ns)))
            if traffic.gb_per_s and session.now_ck > until_ck:
                raise OverloadError("the step takes too long")
    except OverloadError:
        raise InputError(
            f"{traffic.gb_per_s:g} GB/s of {traffic.pattern} lines under {memory.controller.fairness} slow a step down "
            f"more than {MOST_SLOWDOWN} times: allowed is less"
        ) from None
    done = session.mean_of(1)
    commands = activity_of(done, memory.device, form=form)
    activity = standing_by(commands, memory.device, done.ck * memory.ranks, memory.power_down)
    latency_ns = done.ck * tck_ns
    moved_bytes = session.served * memory.device.organisation.burst_bytes.n * memory.channels
    return SharedStep(
        latency_ns, activity * float(memory.channels), moved_bytes / latency_ns, session.latencies.summary_ck()
    )
