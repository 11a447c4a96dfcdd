"""The ladder from counted bits to published tables: what each level of the model rests on, one rung after the other.

Every rung compares two things that were come by in different ways, and says by how much they differ.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from lpspec.allocation.hybrid import BalancedAllocator
from lpspec.decoding import need_models_extra
from lpspec.devices.package_commands import PackageCommands
from lpspec.dram.checker import check_commands
from lpspec.dram.checker_table import command_table as as_checked
from lpspec.dram.checking import check_options
from lpspec.dram.command_stream import command_table
from lpspec.dram.controller import Controller
from lpspec.dram.fast import run_fast
from lpspec.dram.gemm import compile_gemm
from lpspec.dram.layout import PimChannel, place_weights
from lpspec.dram.repeated import PhaseSession
from lpspec.dram.simulate import run_channel
from lpspec.dram.verify import count_wrong
from lpspec.errors import InputError
from lpspec.experiments.published import HIGHEST_RATIO, LOWEST_RATIO, PUBLISHED
from lpspec.experiments.reproduce import reproduce
from lpspec.experiments.systems import make_system
from lpspec.hardware.loading import load_platform, load_profile
from lpspec.llm.loading import load_model
from lpspec.llm.operators import verify_operators
from lpspec.simulation.command_cost import CommandCosts, command_costs
from lpspec.simulation.step_phases import cost_of
from lpspec.simulation.step_session import run_step

MODEL, SYSTEM, PROFILE = "llama2-7b", "lp-spec", "attacc"
L_SPECS, CONTEXTS = (1, 4, 8, 16, 32), (64, 1024, 4000)
ALLOWED_DIFFERENCE = 0.10
"""By how much closed forms and commands may differ before the phases that make the difference are named."""

LARGEST_DIFFERENCE = 0.15
CLOSE = 1e-3


@dataclass(frozen=True)
class Rung:
    """One comparison.

    Attributes:
        name: What is compared with what.
        figure: What was found, in words.
        passed: Whether it holds; None if it was not tried.
        values: The numbers behind it.
    """

    name: str
    figure: str
    passed: bool | None
    values: dict[str, float] = field(default_factory=dict)


def climb(advance: Callable[[str], None] = lambda name: None) -> Iterator[Rung]:
    """Try one rung after the other.

    Args:
        advance: Told the name of the rung that comes next.
    """
    for name, rung in RUNGS.items():
        advance(name)
        yield rung(name)


def identities(name: str) -> Rung:
    """Numbers that different parts of the model must agree on."""
    platform, model = load_platform(SYSTEM), load_model(MODEL)
    memory, pim, npu = platform.memory, platform.pim, platform.npu
    assert memory is not None
    assert pim is not None
    assert npu is not None
    published = {p.id: p.value for p in PUBLISHED}
    package = PackageCommands(platform)
    pairs = {
        "parameters of Llama2-7B": (sum(tensor.elements for tensor in model.tensors), 6_738_415_616),
        "NPU TOPS": (npu.matrix_tops, 32.768),
        "bus GB/s": (memory.peak_gb_per_s, memory.channels.n * package.device.peak_gb_per_s),
        "PIM GB/s": (pim.die_gb_per_s * memory.pim_ranks.n * memory.dies_per_rank, 614.4),
        "package bytes": (memory.capacity_bytes, package.dies * package.device.organisation.density.bytes),
        "published EDP gain": (published["speedup_vs_npu"] * published["energy_vs_npu"], published["edp_vs_npu"]),
    }
    off = {what: abs(one / other - 1) for what, (one, other) in pairs.items()}
    worst = max(off, key=lambda what: off[what])
    return Rung(name, f"{len(off)} agree, worst {worst} within {off[worst]:.1e}", off[worst] < CLOSE, off)


def checker(name: str) -> Rung:
    """Commands of phases of a step against the checker, which shares no code with the engine."""
    costs = _costs()
    package = costs.planner.memory
    session = PhaseSession(package.device, package.controller)
    for phase in costs.step_phases(4, 256, 2):
        for work in phase.memory.works if phase.name not in ("gate_up", "lm_head", "medusa_lm_head") else ():
            session.run(work.program(), work.requests(), keep_commands=True)
    pim = _channel()
    options = check_options(package.device, package.ranks, pim.pim_ranks, refresh="all-bank")
    t = command_table(np.concatenate(session.commands))
    stream = as_checked(t["ck"], t["command"], t["rank"], t["bank_group"], t["bank"], t["row"], t["column"])
    report = check_commands(stream, options)
    broken = sum(report.counts.values())
    figure = f"{report.commands:,} commands of a step's phases, {broken} broken rules"
    return Rung(name, figure, report.legal, {"commands": report.commands, "broken": broken})


def fast_is_exact(name: str) -> Rung:
    """Products of a verify pass in jumps and one by one; what was learnt in one is known in the next."""
    channel, controller = _channel(), Controller(ranks=4)
    worst = commands = 0
    for tokens, k, n in ((1, 4096, 3072), (4, 4096, 3072), (4, 4096, 5376), (8, 4096, 1024), (4, 11008, 1024)):
        lines = compile_gemm(place_weights(channel, k, n), tokens).lines
        fast = run_fast(lines, channel.device, controller).run
        exact = run_channel([], lines, channel.device, controller)
        counts = (abs(fast.rank_counts.get(command, 0) - n) for command, n in exact.rank_counts.items())
        worst = max(worst, abs(fast.total_ck - exact.total_ck), *counts)
        commands += sum(exact.command_counts.values())
    return Rung(name, f"{commands:,} commands of 5 products, largest difference {worst}", worst == 0, {"off": worst})


def functional(name: str) -> Rung:
    """Products computed by PIM commands on INT8 data against integer arithmetic."""
    shapes = ((1, 300, 1000), (4, 512, 3072), (7, 200, 4000))
    wrong = sum(count_wrong(_channel(), 4, *shape) for shape in shapes)
    results = sum(m * n for m, _, n in shapes)
    return Rung(name, f"{results:,} results of 3 products, {wrong} wrong", wrong == 0, {"wrong": wrong})


def analytic_against_command(name: str) -> Rung:
    """LP-Spec's verify pass by closed forms and by commands, and which phases make the difference."""
    costs = _costs()
    shares = {
        f"L_spec {l_spec}, context {context}": _differences(costs, l_spec, context)
        for l_spec in L_SPECS
        for context in CONTEXTS
    }
    off = {step: sum(parts.values()) for step, parts in shares.items()}
    worst = max(off, key=lambda step: abs(off[step]))
    named = ", ".join(f"{part} {share:+.1%}" for part, share in shares[worst].items())
    inside = sum(abs(difference) < ALLOWED_DIFFERENCE for difference in off.values())
    figure = (
        f"{inside} of {len(off)} steps within {ALLOWED_DIFFERENCE:.0%}, worst {off[worst]:+.1%} at {worst}: {named}"
    )
    return Rung(name, figure, abs(off[worst]) < LARGEST_DIFFERENCE, off)


def _differences(costs: CommandCosts, l_spec: int, context: int) -> dict[str, float]:
    """What commands take longer than closed forms, as a share of the closed forms' step, by group of phases."""
    split = costs.planner.split
    assert isinstance(split, BalancedAllocator)
    longer_ns = dict.fromkeys(PARTS, 0.0)
    for phase in costs.planner.verify(*costs.kind_of(l_spec, context)):
        longer_ns[_part_of(phase.name)] += phase.latency_ns * phase.copies
    closed_ns = 0.0
    for op in verify_operators(costs.system.model, l_spec, context):
        op_ns = float(split.decode_cost((op,)).latency_ns)
        longer_ns[_part_of(op.name)] -= op_ns
        closed_ns += op_ns
    return {part: ns / closed_ns for part, ns in longer_ns.items()}


PARTS = {
    "products (refresh, rows, readback)": (),
    "attention (heads of a die share its ALUs)": ("attention", "scores", "values"),
    "cache written byte by byte": ("kv_append",),
}
"""Groups of phases, with the commands that the closed forms lack or count otherwise."""


def _part_of(name: str) -> str:
    return next((part for part, names in PARTS.items() if name in names), next(iter(PARTS)))


def step_against_sum(name: str) -> Rung:
    """A whole step in one session, layer by layer, against its phases measured apart."""
    costs = _costs()
    phases = costs.step_phases(4, 256, 2)
    apart_ns = float(cost_of(phases, costs.planner.memory).latency_ns)
    *_, last = run_step(phases, costs.planner.memory)
    off = last.end_ns / apart_ns - 1
    return Rung(name, f"{last.end_ns / 1e6:.3f} ms, {off:+.2%}", abs(off) < 0.01, {"off": off})


def reading_against_bus(name: str) -> Rung:
    """A long stream of reads against the peak bandwidth less refresh: nothing else may cost much."""
    package = PackageCommands(load_platform(SYSTEM))
    size = 50_000_000
    share = size / package.reads(size).latency_ns / (package.channels * package.device.peak_gb_per_s)
    timing = package.device.timing
    most = 1 - timing.nRFCab.n / timing.nREFI.n
    figure = f"{share:.1%} of the peak sustained; refresh alone would leave {most:.1%}"
    return Rung(name, figure, 0.97 * most < share <= most, {"share": share, "most": most})


def published_tables(name: str) -> Rung:
    """Every published quantity under the chosen reading, by closed forms and by commands."""
    rows = [row for row in reproduce(PROFILE, "command").rows if not row.equal_basis]
    closed = {row.id: row.ratio for row in rows}
    commands = {f"{row.id}_by_commands": row.command_ratio or 0.0 for row in rows}
    inside = [sum(LOWEST_RATIO <= ratio <= HIGHEST_RATIO for ratio in found.values()) for found in (closed, commands)]
    unexplained = len(rows) - sum(bool(row.why) for row in rows) - inside[0]
    unexplained += len(rows) - sum(bool(row.command_why) for row in rows) - inside[1]
    figure = (
        f"{inside[0]} of {len(rows)} within {LOWEST_RATIO} to {HIGHEST_RATIO} by closed forms, {inside[1]} by "
        f"commands, {unexplained} of the others without a reason"
    )
    return Rung(name, figure, unexplained == 0, closed | commands)


def replay_against_decoder(name: str) -> Rung:
    """A recorded trace, replayed, against live decoding of a small model in torch."""
    try:
        need_models_extra()
    except InputError:
        return Rung(name, "skipped: needs lpspec[models]", None)
    from lpspec.experiments.validate_decoder import steps_of_both

    live, replayed = steps_of_both()
    same = sum(one == other for one, other in zip(live, replayed, strict=False))
    figure = f"{same} of {len(live)} steps alike, {sum(step[2] for step in live) / len(live):.2f} tokens per step"
    return Rung(name, figure, live == replayed, {"steps": len(live), "same": same})


RUNGS: dict[str, Callable[[str], Rung]] = {
    "identities": identities,
    "commands against the checker": checker,
    "fast engine against exact engine": fast_is_exact,
    "PIM products against integers": functional,
    "reads against the bus": reading_against_bus,
    "closed forms against commands": analytic_against_command,
    "whole step against its phases": step_against_sum,
    "published tables": published_tables,
    "replay against decoder": replay_against_decoder,
}
"""Every rung by its name, lowest first."""


def _costs() -> CommandCosts:
    system = make_system(SYSTEM, load_model(MODEL), load_profile(PROFILE))
    costs = command_costs(system, 64, 4096 - 64)
    assert costs is not None
    return costs


def _channel() -> PimChannel:
    channel = PackageCommands(load_platform(SYSTEM)).pim
    assert channel is not None
    return channel
