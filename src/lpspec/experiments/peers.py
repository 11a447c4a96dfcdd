"""Neighbours on equal ground: what others published, and what this project gives under their conditions.

Every row says under which conditions the published number holds and how they are met here; a ratio far from one is a
finding about assumptions, and the note names them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from lpspec.experiments.pim_gemv import (
    PUBLISHED_SPEED_UP,
    PUBLISHED_TWO_BANKS,
    GemvCase,
    run_gemv,
)
from lpspec.experiments.provenance import provenance
from lpspec.experiments.systems import make_system
from lpspec.hardware.loading import load_profile
from lpspec.llm.loading import load_model
from lpspec.simulation.run import Run, simulate
from lpspec.simulation.workload import System, TreePolicy, Workload, parse_tree
from lpspec.speculation.rank_trace import load_trace

MODEL, PROFILE, TRACE, HARDER_TRACE = "llama2-7b", "attacc", "vicuna-7b", "vicuna-7b-spec-bench"
MEDUSA_TREE = "mc_sim_7b_63"

CAPIM = "idanhochman/capim, thesis 2026 (analytic, Vicuna-7B INT8, Alpaca)"
CAPIM_LP_SPEC = {4: (126.9, 31.9), 8: (74.8, 24.5), 16: (48.2, 18.3), 64: (25.0, 8.9)}
"""CAPIM's reconstruction of LP-Spec with trees of one size: token/s and token/J."""
CAPIM_NPU = (6.5, 5.2)
CAPIM_NOTE = (
    "CAPIM replays Alpaca (here: MT-bench's acceptance), splits at will, and counts no tiles, no accumulator readback "
    "and no energy of on-chip buffers and PIM registers"
)

SPEC_BENCH = "hemingkx/Spec-Bench, RTX 3090, Vicuna-7B FP16, mean of six tasks (measured)"
SPEC_BENCH_MEDUSA_SPEED_UP = 1.44
"""At 2.32 tokens per pass, which the harder trace has by construction."""

ATTACC = "AttAcc simulator, Llama-7B FP16, batch 1, context about 204, dynamic energy"
ATTACC_CONTEXT = 204
ATTACC_RUNS = {"rtx3090": (55.3, 2.33, 7.76), "attacc": (91.9, 2.34, 4.64)}
"""Token/s, token/J and EDP: a GPU of 936 GB/s alone; one of 1,555 GB/s with attention on PIM."""

SAMSUNG = "LP5X-PIM Sim, arXiv 2606.00636 (Samsung, closed; LPDDR5X-9600, one MPU per bank, 4 channels)"
PIMSCOPE = "PIMScope (2026; command level, one channel, one rank)"


@dataclass(frozen=True, slots=True)
class PeerRow:
    """A neighbour's number, and ours under its conditions.

    Attributes:
        id: Key of the row.
        peer: Whose number, with its conditions.
        quantity: What it is.
        published: The number; a range has its two ends.
        simulated: What this project gives; a range where a condition is open.
        unit: Its unit, ``x`` for a ratio.
        fidelity: ``analytic`` or ``command``: how ours was come by.
        note: What explains a difference.
    """

    id: str
    peer: str
    quantity: str
    published: tuple[float, float]
    simulated: tuple[float, float]
    unit: str
    fidelity: str
    note: str = ""

    @property
    def ratio(self) -> float:
        """Middle of the simulated range over the middle of the published one."""
        return sum(self.simulated) / sum(self.published)


@dataclass(frozen=True)
class Peers:
    """All rows, the RTX 3090 at both precisions, and what they were made from."""

    rows: tuple[PeerRow, ...]
    gpus: tuple[tuple[str, Run], ...]
    provenance: dict[str, Any]


def peers() -> Peers:
    """Put every neighbour's numbers beside ours."""
    bench = _Bench()
    rows = [row for neighbour in (_capim, _attacc, _spec_bench, _gemv) for row in neighbour(bench)]
    gpus = tuple(bench.gpus())
    systems = [bench.system("lp-spec"), *(run.system for _, run in gpus)]
    return Peers(tuple(rows), gpus, provenance(systems, bench.trace, bench.workload, TreePolicy()))


class _Bench:
    """Model, trace and energy profile that all neighbours share."""

    def __init__(self) -> None:
        self.model, self.profile = load_model(MODEL), load_profile(PROFILE)
        self.trace, self.harder = load_trace(TRACE), load_trace(HARDER_TRACE)
        self.workload = Workload(128, 256)

    def system(self, name: str, bits: int = 8) -> System:
        """A system with dynamic energy whatever its precision."""
        return make_system(name, self.model.with_bits(bits, bits, bits), self.profile, "equal")

    def run(self, system: System, tree: str = "dtp", harder: bool = False, context: int | None = None) -> Run:
        """Run the shared work; or one token after a context."""
        workload = self.workload if context is None else Workload(context, 1)
        return simulate(system, self.harder if harder else self.trace, workload, parse_tree(tree, "throughput"))

    def gpus(self) -> Iterator[tuple[str, Run]]:
        """The RTX 3090 at FP16 and INT8, with and without Medusa."""
        for bits in (16, 8):
            precision = "FP16" if bits == 16 else "INT8"
            yield f"{precision}, autoregressive", self.run(self.system("rtx3090", bits))
            yield f"{precision}, Medusa", self.run(self.system("rtx3090-spec", bits), MEDUSA_TREE)


def _capim(bench: _Bench) -> Iterator[PeerRow]:
    for size, published in CAPIM_LP_SPEC.items():
        run = bench.run(bench.system("lp-spec"), str(size))
        yield from _speed_and_energy(
            f"capim_lp_spec_{size}", CAPIM, f"LP-Spec, L_spec {size}", published, run, CAPIM_NOTE
        )
    run = bench.run(bench.system("npu"))
    yield from _speed_and_energy("capim_npu", CAPIM, "NPU, autoregressive", CAPIM_NPU, run, CAPIM_NOTE)


def _attacc(bench: _Bench) -> Iterator[PeerRow]:
    names = {"rtx3090": "3090-like GPU", "attacc": "1,555 GB/s GPU, attention on PIM"}
    for system, (tokens_per_s, tokens_per_j, _) in ATTACC_RUNS.items():
        run = bench.run(bench.system(system, 16), context=ATTACC_CONTEXT)
        note = "a roofline without the AttAcc simulator's overheads per layer"
        published = (tokens_per_s, tokens_per_j)
        yield from _speed_and_energy(f"attacc_{system}", ATTACC, names[system], published, run, note)


def _speed_and_energy(
    key: str, peer: str, what: str, published: tuple[float, float], run: Run, note: str
) -> Iterator[PeerRow]:
    found = (("tokens_per_s", "token/s", run.tokens_per_s), ("tokens_per_j", "token/J", run.tokens_per_j))
    for (name, unit, value), other in zip(found, published, strict=True):
        yield PeerRow(f"{key}_{name}", peer, what, (other, other), (value, value), unit, "analytic", note)


def _spec_bench(bench: _Bench) -> Iterator[PeerRow]:
    plain = bench.run(bench.system("rtx3090", 16), harder=True)
    medusa = bench.run(bench.system("rtx3090-spec", 16), MEDUSA_TREE, harder=True)
    speed_up = medusa.tokens_per_s / plain.tokens_per_s
    note = (
        f"both at {medusa.mean_acceptance_length:.2f} tokens per pass: a measured pass of 64 tokens takes "
        f"{medusa.mean_acceptance_length / SPEC_BENCH_MEDUSA_SPEED_UP:.2f} times a plain one, the roofline's "
        f"{medusa.mean_acceptance_length / speed_up:.2f}; launches, tree bookkeeping and head sampling are not in it"
    )
    published = (SPEC_BENCH_MEDUSA_SPEED_UP, SPEC_BENCH_MEDUSA_SPEED_UP)
    quantity = "RTX 3090 FP16: speed-up by Medusa"
    yield PeerRow("spec_bench_medusa", SPEC_BENCH, quantity, published, (speed_up, speed_up), "x", "analytic", note)


def _gemv(bench: _Bench) -> Iterator[PeerRow]:
    slow, fast = GemvCase(1, "faw"), GemvCase(1, "at_once")
    found = {case: run_gemv(case) for one in (slow, fast) for case in (one, replace(one, banks_per_mpu=2))}
    note = "rows opened under nFAW, or all banks at once: Samsung does not say which"
    speed_ups = (found[slow].speed_up, found[fast].speed_up)
    quantity = "4096-wide W8A8 GEMV over reading its weights"
    yield PeerRow("samsung_gemv", SAMSUNG, quantity, PUBLISHED_SPEED_UP, speed_ups, "x", "command", note)
    longer = [found[replace(case, banks_per_mpu=2)].pim_ck / found[case].pim_ck for case in (slow, fast)]
    range_ = (min(longer), max(longer))
    quantity = "two banks per MPU against one: time"
    yield PeerRow("pimscope_banks", PIMSCOPE, quantity, PUBLISHED_TWO_BANKS, range_, "x", "command", note)
