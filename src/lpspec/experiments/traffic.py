"""What a CPU's reads and writes cost decoding, and what decoding costs the CPU, every command issued.

A step of the commonest kind is run with the CPU's lines coming beside it, and once without; tokens of the run slow down
as that step does. Energy beside the CPU's is what all commands take less what the CPU alone takes for the same lines.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from lpspec.devices.package_commands import PackageCommands
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.latencies import Waits
from lpspec.dram.run.traffic import Traffic
from lpspec.errors import InputError
from lpspec.experiments.compare import compare
from lpspec.experiments.step_timeline import CommonStep, commonest_step
from lpspec.scenario import Scenario
from lpspec.simulation.energy_basis import counted_pj
from lpspec.simulation.run import Run
from lpspec.simulation.shared_step import SharedStep, run_shared_step

STATIC = "static"
"""The component of energy that flows whether or not a CPU asks for anything."""


@dataclass(frozen=True)
class Policy:
    """Who yields to whom on a channel.

    Attributes:
        fairness: Who gets a slot that PIM and the others both could use.
        quantum: Bursts after which ``round-robin`` hands the data bus over.
        pim_wait_ck: CK that ``npu-first`` keeps a PIM burst waiting at most.
    """

    fairness: str = "pim-first"
    quantum: int = 16
    pim_wait_ck: int = 4096

    def __post_init__(self) -> None:
        """Refuse what no controller takes, before anything runs."""
        self.applied(Controller())

    def applied(self, controller: Controller) -> Controller:
        """A controller under this policy."""
        fairness: Any = self.fairness  # checked there
        return replace(controller, fairness=fairness, quantum=self.quantum, pim_wait=self.pim_wait_ck)


@dataclass(frozen=True)
class SharedRow:
    """One kind of traffic beside decoding.

    Attributes:
        traffic: What the CPU asks for.
        policy: Who yields to whom.
        slowdown: Time of the step over that without a CPU under the default policy.
        tokens_per_s: Of the run, slowed down so.
        tokens_per_j: Likewise, on the basis of the run, without the CPU's own share.
        cpu_gb_per_s: What the CPU got.
        cpu_wait_ns: How long its reads waited beside decoding.
        alone_wait_ns: How long they wait on an idle memory.
    """

    traffic: Traffic
    policy: Policy
    slowdown: float
    tokens_per_s: float
    tokens_per_j: float
    cpu_gb_per_s: float
    cpu_wait_ns: Waits
    alone_wait_ns: Waits


@dataclass(frozen=True)
class SharedDecoding:
    """Decoding on one system beside a CPU.

    Attributes:
        run: The run without a CPU.
        step: The step that was run again.
        alone_ns: Its time without a CPU.
        ranks: That hold the CPU's data.
        rows: One for each kind of traffic and policy.
        provenance: What it was made from.
        notes: What has no effect, one line each.
    """

    run: Run
    step: CommonStep
    alone_ns: float
    ranks: tuple[int, ...]
    rows: tuple[SharedRow, ...]
    provenance: dict[str, Any]
    notes: tuple[str, ...]


def shared_decoding(scenario: Scenario, traffic: Sequence[Traffic], policies: Sequence[Policy]) -> SharedDecoding:
    """Decode on the one system of a scenario, and run a step of it beside each kind of traffic.

    Args:
        scenario: What is decoded, on a single system with a command level.
        traffic: Of the CPU.
        policies: Who yields to whom.

    Raises:
        InputError: The system is none of those, or the traffic is more than the memory serves.
    """
    if scenario.systems is None or len(scenario.systems) != 1:
        raise InputError("traffic is put beside one system: allowed is a single name, such as --systems lp-spec")
    if scenario.fidelity == "analytic":
        raise InputError("traffic beside decoding needs --fidelity command: the analytic level knows no arrival times")
    comparison = compare(scenario)
    (run,) = comparison.runs
    step = commonest_step(run, scenario.workload)
    memory = run.system.platform.memory
    assert memory is not None
    for kind in traffic:
        kind.check_carried(memory.peak_gb_per_s)
    if not memory.pim_ranks.n and set(policies) != {Policy()}:
        raise InputError(f"{run.system.name} has no PIM ranks that others could yield to: --fairness says nothing here")
    plain = memory.dram_ranks.n
    ranks = tuple(range(memory.pim_ranks.n, memory.pim_ranks.n + plain))
    nothing = Traffic(0.0)
    alone = run_shared_step(step.phases, step.memory, nothing, 1.0)
    rows = []
    for policy in dict.fromkeys(policies):
        step.memory.controller = policy.applied(step.memory.controller)
        for kind in dict.fromkeys(traffic):
            done = run_shared_step(step.phases, step.memory, kind, alone.latency_ns)
            cpu = run_shared_step((), step.memory, kind, done.latency_ns)
            rows.append(_row(run, step.memory, (alone, done, cpu), kind, policy))
    return SharedDecoding(run, step, alone.latency_ns, ranks, tuple(rows), comparison.provenance, comparison.notes)


def _row(
    run: Run, memory: PackageCommands, steps: tuple[SharedStep, SharedStep, SharedStep], kind: Traffic, policy: Policy
) -> SharedRow:
    """What a step beside a CPU says of the whole run.

    Args:
        run: Without a CPU.
        memory: Whose commands they are.
        steps: Without a CPU, beside it, and the CPU without a step.
        kind: What the CPU asks for.
        policy: Who yields to whom.
    """
    alone, beside, cpu = steps
    slowdown = beside.latency_ns / alone.latency_ns
    price = run.system.profile
    pj = [sum(float(each) for each in step.activity.energy_pj(price).values()) for step in steps]
    cpu_static_pj = float(cpu.activity.energy_pj(price)[STATIC])
    extra_pj = (pj[1] - (pj[2] - cpu_static_pj) - pj[0]) * len(run.steps.position)
    ns = run.decode_ns * slowdown
    total_pj = float(counted_pj(run.system.platform, float(run.decode_pj.sum()) + extra_pj, ns))
    tck_ns = memory.device.ck_ns
    return SharedRow(
        kind,
        policy,
        slowdown,
        run.tokens / (ns / 1e9),
        run.tokens / (total_pj / 1e12),
        beside.cpu_gb_per_s,
        _in_ns(beside.cpu_wait_ck, tck_ns),
        _in_ns(cpu.cpu_wait_ck, tck_ns),
    )


def _in_ns(waits: Waits, tck_ns: float) -> Waits:
    return {name: None if ck is None else ck * tck_ns for name, ck in waits.items()}
