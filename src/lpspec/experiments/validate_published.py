"""Rungs of published numbers: identities between them, the paper's tables, and figures of others."""

from collections import Counter

from lpspec.devices.package_commands import PackageCommands
from lpspec.experiments.bench import PAPER
from lpspec.experiments.peers import peer_rows
from lpspec.experiments.published import HIGHEST_RATIO, LOWEST_RATIO, PUBLISHED
from lpspec.experiments.reproduce import reproduce
from lpspec.experiments.validate_rung import Advance, Rung
from lpspec.llm.loading import load_model
from lpspec.machine.loading import load_platform

MODEL, SYSTEM, PROFILE = "llama2-7b", "lp-spec", "attacc"
CLOSE = 1e-3


def identities(name: str, advance: Advance) -> Rung:
    """Numbers that different parts of the model must agree on."""
    platform, model = load_platform(SYSTEM), load_model(MODEL)
    memory, npu = platform.memory, platform.npu
    assert memory is not None
    assert npu is not None
    published = {p.id: p.value for p in PUBLISHED}
    package = PackageCommands(platform)
    pairs = {
        "parameters of Llama2-7B": (sum(tensor.elements for tensor in model.tensors), 6_738_415_616),
        "NPU TOPS": (npu.matrix_tops, 32.768),
        "bus GB/s": (memory.peak_gb_per_s, memory.channels.n * package.device.peak_gb_per_s),
        "PIM GB/s": (platform.die.pim_gb_per_s * memory.pim_ranks.n * memory.dies_per_rank, 614.4),
        "package bytes": (memory.capacity_bytes, package.dies * package.device.organisation.die_bytes),
        "published EDP gain": (published["speedup_vs_npu"] * published["energy_vs_npu"], published["edp_vs_npu"]),
    }
    off = {what: abs(one / other - 1) for what, (one, other) in pairs.items()}
    worst = max(off, key=lambda what: off[what])
    return Rung(name, f"{len(off)} agree, worst {worst} within {off[worst]:.1e}", off[worst] < CLOSE, off)


def published_tables(name: str, advance: Advance) -> Rung:
    """Every published quantity under the chosen assumption set, analytically and at command level."""
    rows = [row for row in reproduce(PAPER).rows if row.on == "published"]
    closed = {row.id: row.ratio for row in rows}
    commands = {f"{row.id}_by_commands": row.command_ratio or 0.0 for row in rows}
    inside = [sum(LOWEST_RATIO <= ratio <= HIGHEST_RATIO for ratio in found.values()) for found in (closed, commands)]
    unexplained = len(rows) - sum(bool(row.why) for row in rows) - inside[0]
    unexplained += len(rows) - sum(bool(row.command_why) for row in rows) - inside[1]
    figure = (
        f"{inside[0]} of {len(rows)} within {LOWEST_RATIO} to {HIGHEST_RATIO} analytically, {inside[1]} by "
        f"commands, {unexplained} of the others without a reason"
    )
    return Rung(name, figure, unexplained == 0, closed | commands)


def figures_of_others(name: str, advance: Advance) -> Rung:
    """Every neighbour's number beside ours under its conditions: it agrees, or its note says why not."""
    rows = peer_rows()
    verdicts = Counter(row.verdict for row in rows)
    figure = f"{verdicts['agrees']} of {len(rows)} agree, {verdicts['explained']} have a reason why not"
    far = [row for row in rows if row.verdict != "agrees" and not LOWEST_RATIO <= row.ratio <= HIGHEST_RATIO]
    lines = tuple(f"{row.id}: {row.ratio:.2f} of the published; {row.note or 'no reason is known'}" for row in far)
    return Rung(name, figure, verdicts["differs"] == 0, {row.id: row.ratio for row in rows}, lines)
