"""Rungs of the memory: its commands against the checker, integers and the bus."""

import numpy as np

from lpspec.arrays import IntArray
from lpspec.devices.package_commands import PackageCommands
from lpspec.dram.check.checker import CheckOptions, check_commands
from lpspec.dram.check.table import CommandTable
from lpspec.dram.check.table import command_table as as_checked
from lpspec.dram.pim.verify import count_wrong
from lpspec.dram.pim.weights import PimChannel
from lpspec.dram.run.checking import check_options
from lpspec.dram.run.command_log import command_table
from lpspec.dram.run.session import Session
from lpspec.experiments.systems import make_system
from lpspec.experiments.validate_rung import Advance, Rung
from lpspec.llm.loading import load_model
from lpspec.machine.loading import load_platform
from lpspec.scenario import Scenario
from lpspec.simulation.command_cost import CommandCosts, command_costs
from lpspec.simulation.step_phases import Phase, cost_of
from lpspec.simulation.step_session import run_step

MODEL, SYSTEM, PROFILE = "llama2-7b", "lp-spec", "attacc"


def checker(name: str, advance: Advance) -> Rung:
    """Commands of phases of a step against the checker, which shares no code with the engine.

    It is told the tokens of each pass, so that it follows the inputs of every one: a verify pass's, then the heads'.
    """
    costs = _costs()
    commands = broken = 0
    for tokens, phases in ((4, costs.step_phases(4, 256, 1, heads=0)), (1, costs.planner.draft(1))):
        report = check_commands(*_checked_phases(costs.planner.memory, phases, tokens))
        commands, broken = commands + report.commands, broken + sum(report.counts.values())
    figure = f"{commands:,} commands of a step's phases, {broken} broken rules"
    return Rung(name, figure, broken == 0, {"commands": commands, "broken": broken})


def _checked_phases(
    package: PackageCommands, phases: tuple[Phase, ...], tokens: int
) -> tuple[CommandTable, CheckOptions]:
    """What one channel was sent for phases, but for the longest products, and by what rules it is checked."""
    session, pieces = Session(package.device, package.controller), list[IntArray]()
    for phase in phases:
        for work in phase.memory.works if phase.name not in ("gate_up", "lm_head", "medusa_lm_head") else ():
            session.pace(work.mac_ck or package.device.mac_ck)
            session.run(work.program(), work.requests(), pieces.append)
    options = check_options(package.device, package.ranks, _channel().pim_ranks, refresh="all-bank")
    t = command_table(np.concatenate(pieces))
    stream = as_checked(t["ck"], t["command"], t["rank"], t["bank_group"], t["bank"], t["row"], t["column"])
    return stream, options.serving(tokens).on_buses(2 if package.controller.own_bus else 1)


def functional(name: str, advance: Advance) -> Rung:
    """Products computed by PIM commands on INT8 data against integer arithmetic."""
    shapes = ((1, 300, 1000), (4, 512, 3072), (7, 200, 4000))
    wrong = sum(count_wrong(_channel(), 4, *shape) for shape in shapes)
    results = sum(m * n for m, _, n in shapes)
    return Rung(name, f"{results:,} results of 3 products, {wrong} wrong", wrong == 0, {"wrong": wrong})


def reading_against_bus(name: str, advance: Advance) -> Rung:
    """A long stream of reads against the peak bandwidth less refresh: nothing else may cost much."""
    package = PackageCommands(load_platform(SYSTEM))
    size = 50_000_000
    share = size / float(package.reads(size).latency_ns) / (package.channels * package.device.peak_gb_per_s)
    timing = package.device.timing
    most = 1 - timing.nRFCab.n / timing.nREFI.n
    figure = f"{share:.1%} of the peak sustained; refresh alone would leave {most:.1%}"
    return Rung(name, figure, 0.97 * most < share <= most, {"share": share, "most": most})


def step_against_sum(name: str, advance: Advance) -> Rung:
    """A whole step in one session, layer by layer, against its phases measured apart."""
    costs = _costs()
    phases = costs.step_phases(4, 256, 1)
    apart_ns = float(cost_of(phases, costs.planner.memory).latency_ns)
    *_, last = run_step(phases, costs.planner.memory)
    off = last.end_ns / apart_ns - 1
    return Rung(name, f"{last.end_ns / 1e6:.3f} ms, {off:+.2%}", abs(off) < 0.01, {"off": off})


def _costs() -> CommandCosts:
    system = make_system(SYSTEM, load_model(MODEL), Scenario(energy_profile=PROFILE))
    costs = command_costs(system, 64, 4096 - 64)
    assert costs is not None
    return costs


def _channel() -> PimChannel:
    channel = PackageCommands(load_platform(SYSTEM)).pim
    assert channel is not None
    return channel
