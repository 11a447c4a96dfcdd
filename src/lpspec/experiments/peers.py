"""Neighbours on equal ground: what others published, and what this project gives under their conditions.

Every row says under which conditions the published number holds and how they are met here; a ratio far from one is a
finding about assumptions, and the note names them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from math import inf
from typing import Any

from lpspec.decoding.draft_trace import demo_draft_trace, demo_rank_trace
from lpspec.experiments.eagle_control import Control, ControlBench, Gate, Priced, eagle_system, sigma_for
from lpspec.experiments.neighbours import neighbour_rows
from lpspec.experiments.peer_row import Neighbour, PeerRow
from lpspec.experiments.pim_gemv import (
    PUBLISHED_SPEED_UP,
    PUBLISHED_TWO_BANKS,
    PUBLISHED_WIDE_SPEED_UP,
    WIDE_FORMATS,
    GemvCase,
    run_gemv,
)
from lpspec.experiments.pimscope_token import MAC_CK, PAST, PUBLISHED_MILLION_CK, token_cycles
from lpspec.experiments.provenance import provenance
from lpspec.experiments.samsung_decode import (
    END_TO_END_NOTE,
    END_TO_END_S,
    HOST_TOKENS_PER_S,
    PIM_TOKENS_PER_S,
    samsung_decoding,
)
from lpspec.experiments.setting import trace_name
from lpspec.experiments.systems import make_system
from lpspec.experiments.thin_products import (
    ARRAYS_US,
    PASS_MS,
    THIN_PEERS,
    TOKENS,
    arrays_us,
    attacc_constants,
    pass_ms,
    thin_energy_mj,
)
from lpspec.llm.loading import load_model
from lpspec.scenario import Scenario, Workload
from lpspec.scenario.names import FIDELITIES, OBJECTIVES, Fidelity
from lpspec.simulation.run import Run, simulate
from lpspec.simulation.workload import System, TreePolicy, tree_policy
from lpspec.speculation.rank_trace import load_trace

SCENARIO = Scenario(workload=Workload(128, 256), trace="vicuna-7b", objective="throughput")
"""Model, trace, energy profile and work that all neighbours share."""

HARDER_TRACE = "vicuna-7b-spec-bench"
MEDUSA_TREE = "mc_sim_7b_63"

CAPIM = Neighbour("idanhochman/capim, thesis 2026 (analytic, Vicuna-7B INT8, Alpaca)", "lp-spec")
CAPIM_LP_SPEC = {4: (126.9, 31.9), 8: (74.8, 24.5), 16: (48.2, 18.3), 64: (25.0, 8.9)}
"""CAPIM's reconstruction of LP-Spec with trees of one size: token/s and token/J."""
CAPIM_NPU = (6.5, 5.2)
CAPIM_NOTE = (
    "CAPIM replays Alpaca (here: MT-bench's acceptance), splits at will, and counts no tiles, no accumulator readback "
    "and no energy of on-chip buffers and PIM registers"
)

CAPIM_CONTROL = Neighbour(
    "CAPIM's EAGLE-2 controller (analytic, Vicuna-7B INT8, Alpaca); here: acceptance of the demo model", "lp-spec"
)
CAPIM_SIGMA = -1.0
CAPIM_NODES, CAPIM_ACCEPTED = 2.63, 1.55
"""Mean drafts that pass the gate, and that are accepted, per iteration."""
CAPIM_ROUTES = {1: (152.9, 46.1), 64: (138.8, 63.8)}
"""By mu, token/s and token/J: Standard, all trees split; Low-power, all on PIM alone."""
CONTROL_NOTE = (
    "the demo model's EAGLE layer gives its drafts far smaller probabilities than they are accepted with, so the same "
    "sigma leaves fewer; gate fitted: sigma {sigma:g} leaves as many nodes as CAPIM's on this trace. Passes/s and "
    "passes/J have no acceptance in them. PIM alone saves less here, since the split leaves the NPU but 1 % of the "
    "weights to read over a bus that PIM's inputs and results need too; CAPIM's routes differ by what 9 % would take"
)
CONTROLS_NOTE = (
    "Of EAGLE-2's controllers, sizes by price are fastest: PIM reads a weight once for four tokens (N_ALU), so three "
    "drafts are verified at nearly the price of none, and it takes them at every step, as a fixed size would; a gate "
    "takes fewer at some and more at others. The size threshold trades a little speed for a little energy. Medusa "
    "wins twice with trees as large: its heads draft in one pass, where EAGLE-2's levels wait for one another, and "
    "more of its drafts are accepted, for the demo model's heads were trained on six times as many positions as its "
    "EAGLE layer"
)
"""Who wins and why; tests/experiments/test_peers.py holds it to that."""

SPEC_BENCH = Neighbour("hemingkx/Spec-Bench, RTX 3090, Vicuna-7B FP16, mean of six tasks (measured)", "rtx3090-spec")
SPEC_BENCH_MEDUSA_SPEED_UP = 1.44
"""At 2.32 tokens per pass, which the harder trace has by construction."""

ATTACC = Neighbour("AttAcc simulator, Llama-7B FP16, batch 1, context about 204, dynamic energy", "attacc")
ATTACC_CONTEXT = 204
ATTACC_RUNS = {"rtx3090": (55.3, 2.33, 7.76), "attacc": (91.9, 2.34, 4.64)}
"""Token/s, token/J and EDP: a GPU of 936 GB/s alone; one of 1,555 GB/s with attention on PIM."""

THIN = Neighbour("Thin products on the NPU, one Llama2-7B INT8 pass, the AttAcc simulator's constants", "npu")
THIN_NOTE = (
    "beside every peer under its own assumptions; charged are, on every machine, a write and a read wherever something "
    "passes a memory, which AccelForge leaves out for weights in the scratchpad and the AttAcc simulator everywhere"
)

SAMSUNG = Neighbour(
    "LP5X-PIM Sim, arXiv 2606.00636 (Samsung, closed; LPDDR5X-9600, one MPU per bank, 4 channels)", "lp5x-pim"
)
PIMSCOPE = Neighbour("PIMScope (2026; command level, one channel, one rank)", "lp5x-pim")


@dataclass(frozen=True, slots=True)
class NamedControl:
    """Who controls the trees of the demo model's drafts on LP-Spec, and what comes of it.

    Attributes:
        name: What tables call it.
        tokens_per_s: Decode throughput.
        tokens_per_j: Energy efficiency.
        mean_nodes: Drafts verified per pass.
        mean_accepted: Drafts accepted per pass.
    """

    name: str
    tokens_per_s: float
    tokens_per_j: float
    mean_nodes: float
    mean_accepted: float


@dataclass(frozen=True)
class Peers:
    """All rows, the RTX 3090 at both precisions, controllers of real drafts, and what they were made from."""

    rows: tuple[PeerRow, ...]
    gpus: tuple[tuple[str, Run], ...]
    controls: tuple[NamedControl, ...]
    provenance: dict[str, Any]


def peers() -> Peers:
    """Put every neighbour's numbers beside ours."""
    bench = _Bench()
    gpus = tuple(bench.gpus())
    systems = [bench.system("lp-spec"), *(run.system for _, run in gpus)]
    controls = tuple(bench.controls())
    demo: dict[str, Any] = {
        "demo_drafts_sha256": bench.eagle.trace.content_hash,
        "demo_ranks_sha256": demo_rank_trace().content_hash,
    }
    made_from = provenance(bench.scenario, systems, bench.trace, TreePolicy(), **demo)
    return Peers(tuple(_rows(bench)), gpus, controls, made_from)


def peer_rows() -> list[PeerRow]:
    """The rows alone."""
    return list(_rows(_Bench()))


class _Bench:
    """Model, trace and energy profile that all neighbours share."""

    def __init__(self) -> None:
        self.scenario = SCENARIO
        self.model = load_model(self.scenario.model)
        self.trace, self.harder = load_trace(trace_name(self.scenario, self.model)), load_trace(HARDER_TRACE)
        self.workload = self.scenario.workload

    def system(self, name: str, bits: int = 8) -> System:
        """A system with dynamic energy whatever its precision."""
        return make_system(name, self.model.with_bits(bits, bits, bits), self.scenario)

    def run(
        self,
        system: System,
        tree: str = "dtp",
        harder: bool = False,
        context: int | None = None,
        fidelity: Fidelity = "analytic",
    ) -> Run:
        """Run the shared work; or one token after a context."""
        workload, trace = self.workload if context is None else Workload(context, 1), self.trace
        policy = tree_policy(self.scenario.replace(tree=tree))
        return simulate(system, self.harder if harder else trace, workload, policy, fidelity)

    @cached_property
    def eagle(self) -> ControlBench:
        """LP-Spec with an EAGLE layer, and the demo model's drafts."""
        return ControlBench(eagle_system(self.system("lp-spec")), demo_draft_trace(), self.workload.prompt_tokens)

    @cached_property
    def fitted_sigma(self) -> float:
        """The gate that leaves as many of the demo model's drafts as CAPIM's leaves of its own."""
        return sigma_for(self.eagle.trace, CAPIM_NODES)

    def controls(self) -> Iterator[NamedControl]:
        """Controllers of the demo model's drafts, at command level; EAGLE's first, then LP-Spec's own Medusa."""
        gates = {f"gate {sigma:g}": sigma for sigma in (CAPIM_SIGMA, self.fitted_sigma)} | {"no gate": -inf}
        named: dict[str, Control] = {
            f"EAGLE-2, {name}, {where}": Gate(sigma, mu)
            for name, sigma in gates.items()
            for mu, where in ((1, "split"), (64, "PIM alone"))
        }
        named |= {f"EAGLE-2, sized for {what}": Priced(what) for what in OBJECTIVES}
        for name, control in named.items():
            run = self.eagle.run(control, "command")
            yield NamedControl(name, run.tokens_per_s, run.tokens_per_j, run.mean_nodes, run.mean_accepted)
        system = make_system("lp-spec", self.model, self.scenario.replace(changes={"allocator": "replicated"}))
        medusa = simulate(system, demo_rank_trace(), self.workload, tree_policy(self.scenario), "command")
        yield _named_run("Medusa, DTP for throughput", medusa)
        plain = replace(system, model=self.model, speculates=False)
        yield _named_run("no drafts", simulate(plain, demo_rank_trace(), self.workload, TreePolicy(), "command"))

    def gpus(self) -> Iterator[tuple[str, Run]]:
        """The RTX 3090 at FP16 and INT8, with and without Medusa."""
        for bits in (16, 8):
            precision = "FP16" if bits == 16 else "INT8"
            yield f"{precision}, autoregressive", self.run(self.system("rtx3090", bits))
            yield f"{precision}, Medusa", self.run(self.system("rtx3090-spec", bits), MEDUSA_TREE)


def _rows(bench: _Bench) -> Iterator[PeerRow]:
    for neighbour in (_capim, _capim_control, _attacc):
        yield from neighbour(bench)
    yield from _thin()
    yield from _spec_bench(bench)
    for rows in (_gemv, _samsung, neighbour_rows):
        yield from rows()


def _capim(bench: _Bench) -> Iterator[PeerRow]:
    """The same trees analytically, as CAPIM has them, and at command level."""
    for fidelity in FIDELITIES:
        suffix = "_command" if fidelity == "command" else ""
        for size, published in CAPIM_LP_SPEC.items():
            run = bench.run(bench.system("lp-spec"), str(size), fidelity=fidelity)
            key, what = f"capim_lp_spec_{size}{suffix}", f"LP-Spec, L_spec {size}"
            yield from _speed_and_energy(key, CAPIM, what, published, run, CAPIM_NOTE)
        run = bench.run(bench.system("npu"), fidelity=fidelity)
        yield from _speed_and_energy(f"capim_npu{suffix}", CAPIM, "NPU, autoregressive", CAPIM_NPU, run, CAPIM_NOTE)


def _named_run(name: str, run: Run) -> NamedControl:
    return NamedControl(
        name, run.tokens_per_s, run.tokens_per_j, run.mean_l_spec - 1.0, run.mean_acceptance_length - 1.0
    )


def _capim_control(bench: _Bench) -> Iterator[PeerRow]:
    """CAPIM's gate as published, then one that leaves as many nodes, split and on PIM alone."""
    for sigma, fitted in ((CAPIM_SIGMA, ""), (bench.fitted_sigma, "_fitted")):
        key, gate = f"capim_gate{fitted}", f"sigma {sigma:g}{' (fitted)' if fitted else ''}"
        split = bench.eagle.run(Gate(sigma, 1))
        yield _control_row(bench, f"{key}_nodes", f"{gate}: drafts per pass", CAPIM_NODES, split.mean_nodes, "")
        accepted = split.mean_accepted
        yield _control_row(bench, f"{key}_accepted", f"{gate}: accepted per pass", CAPIM_ACCEPTED, accepted, "")
        for mu, (per_s, per_j) in CAPIM_ROUTES.items():
            run, what, row = bench.eagle.run(Gate(sigma, mu), "command"), f"{gate}, mu {mu}", f"{key}_mu_{mu}"
            yield _control_row(bench, f"{row}_tokens_per_s", what, per_s, run.tokens_per_s, "token/s", "command")
            yield _control_row(bench, f"{row}_tokens_per_j", what, per_j, run.tokens_per_j, "token/J", "command")
            if fitted:
                yield from _passes_rows(bench, row, what, Gate(sigma, mu))


def _passes_rows(bench: _Bench, key: str, what: str, gate: Gate) -> Iterator[PeerRow]:
    published = [number / (1 + CAPIM_ACCEPTED) for number in CAPIM_ROUTES[gate.mu]]
    for fidelity in FIDELITIES:
        run = bench.eagle.run(gate, fidelity)
        found = (("passes_per_s", "pass/s", run.passes_per_s), ("passes_per_j", "pass/J", run.passes_per_j))
        for (name, unit, value), other in zip(found, published, strict=True):
            yield _control_row(bench, f"{key}_{name}_{fidelity}", what, round(other, 1), value, unit, fidelity)


def _control_row(
    bench: _Bench, key: str, what: str, published: float, found: float, unit: str, fidelity: str = "replay"
) -> PeerRow:
    said = {"unit": unit, "fidelity": fidelity, "note": CONTROL_NOTE.format(sigma=bench.fitted_sigma)}
    fitted = "sigma of the gate, to CAPIM's drafts per pass" if key.startswith("capim_gate_fitted") else ""
    return CAPIM_CONTROL.row(key, what, published, found, fitted=fitted, **said)


def _attacc(bench: _Bench) -> Iterator[PeerRow]:
    names = {"rtx3090": "3090-like GPU", "attacc": "1,555 GB/s GPU, attention on PIM"}
    for system, (tokens_per_s, tokens_per_j, _) in ATTACC_RUNS.items():
        theirs = replace(bench.system(system, 16), profile=attacc_constants())
        run = bench.run(theirs, context=ATTACC_CONTEXT)
        note = (
            "a roofline without the AttAcc simulator's overheads per layer; memory priced as HBM, as there; a pass "
            "through a cache is a write and a read here, one access there"
        )
        published = (tokens_per_s, tokens_per_j)
        yield from _speed_and_energy(f"attacc_{system}", ATTACC, names[system], published, run, note)


def _speed_and_energy(
    key: str, peer: Neighbour, what: str, published: tuple[float, float], run: Run, note: str
) -> Iterator[PeerRow]:
    found = (("tokens_per_s", "token/s", run.tokens_per_s), ("tokens_per_j", "token/J", run.tokens_per_j))
    for (name, unit, value), other in zip(found, published, strict=True):
        said = {"unit": unit, "fidelity": run.fidelity, "note": note, "system": run.system.name}
        yield peer.row(f"{key}_{name}", what, other, value, **said)


def _thin() -> Iterator[PeerRow]:
    """Energy and time of thin products, for which the peers stand who counted the same work."""
    for peer in THIN_PEERS:
        for tokens, other in zip(TOKENS, peer.published_mj, strict=True):
            key, what, found = f"{peer.id}_{tokens}", f"{peer.name}, L_spec {tokens}", thin_energy_mj(peer, tokens)
            yield THIN.row(key, what, other, found, unit="mJ", note=THIN_NOTE)
    for name, ends in PASS_MS.items():
        both = (pass_ms(TOKENS[0]), pass_ms(TOKENS[-1]))
        key = f"thin_pass_{name.split()[0].lower()}"
        yield THIN.row(key, f"{name}: time", ends, both, unit="ms", note=THIN_NOTE)
    for tokens, other in ARRAYS_US.items():
        what = f"ZigZag 3.9.1: arrays alone, 4096 x 4096, L_spec {tokens}"
        yield THIN.row(f"thin_arrays_{tokens}", what, other, arrays_us(tokens), unit="us", note=THIN_NOTE)


def _spec_bench(bench: _Bench) -> Iterator[PeerRow]:
    plain = bench.run(bench.system("rtx3090", 16), harder=True)
    medusa = bench.run(bench.system("rtx3090-spec", 16), MEDUSA_TREE, harder=True)
    speed_up = medusa.tokens_per_s / plain.tokens_per_s
    note = (
        f"both at {medusa.mean_acceptance_length:.2f} tokens per pass: a measured pass of 64 tokens takes "
        f"{medusa.mean_acceptance_length / SPEC_BENCH_MEDUSA_SPEED_UP:.2f} times a plain one, the roofline's "
        f"{medusa.mean_acceptance_length / speed_up:.2f}; launches, tree bookkeeping and head sampling are not in it"
    )
    quantity = "RTX 3090 FP16: speed-up by Medusa"
    yield SPEC_BENCH.row("spec_bench_medusa", quantity, SPEC_BENCH_MEDUSA_SPEED_UP, speed_up, note=note)


def _gemv() -> Iterator[PeerRow]:
    slow, fast = GemvCase(1, "faw"), GemvCase(1, "at_once")
    found = {case: run_gemv(case) for one in (slow, fast) for case in (one, replace(one, banks_per_mpu=2))}
    said = {"fidelity": "command", "note": "rows opened under nFAW, or all banks at once: Samsung does not say which"}
    speed_ups = (found[slow].speed_up, found[fast].speed_up)
    quantity = "4096-wide W8A8 GEMV over reading its weights"
    yield SAMSUNG.row("samsung_gemv", quantity, PUBLISHED_SPEED_UP, speed_ups, **said)
    wide = [run_gemv(replace(case, form=form)).speed_up for case in (slow, fast) for form in WIDE_FORMATS]
    hidden = f"{said['note']}; 16-bit inputs come beside MACs here and take no time, Samsung's some 6 %"
    quantity, between = "4096-wide W8A16 and W4A16 GEMV over reading its weights", (min(wide), max(wide))
    yield SAMSUNG.row("samsung_wide_gemv", quantity, PUBLISHED_WIDE_SPEED_UP, between, **said | {"note": hidden})
    longer = [found[replace(case, banks_per_mpu=2)].pim_ck / found[case].pim_ck for case in (slow, fast)]
    quantity = "two banks per MPU against one: time"
    yield PIMSCOPE.row("pimscope_banks", quantity, PUBLISHED_TWO_BANKS, (min(longer), max(longer)), **said)
    yield from _pimscope_token()


def _pimscope_token() -> Iterator[PeerRow]:
    """A whole token, whose difference counts explain: how many columns there are, and what PIMScope takes for each."""
    for banks, published in PUBLISHED_MILLION_CK.items():
        found = [token_cycles(banks, activate) for activate in ("at_once", "faw")]
        million_ck = found[0].ck / 1e6, found[1].ck / 1e6
        columns = found[0].columns / 1e6
        macs = found[0].macs / 1e6
        note = (
            f"MACs every {MAC_CK} CK and no refresh on both; ours are {macs:.2f} M MACs of {512 // banks} B, "
            f"{macs * MAC_CK:.1f} M CK, and rows; PIMScope has {published / columns:.1f} CK for each 512 B of all banks"
        )
        quantity = f"Llama2-7B INT8, a token behind {PAST:,}, {banks} bank{'s' * (banks > 1)} per MPU"
        said = {"unit": "M CK", "fidelity": "command", "note": note}
        yield PIMSCOPE.row(f"pimscope_token_{banks}", quantity, published, million_ck, **said)


def _samsung() -> Iterator[PeerRow]:
    """Both rates, and the ratio from end to end."""
    found = samsung_decoding()
    slow, fast = found.pim
    speed_up = END_TO_END_S[0] / END_TO_END_S[1]
    for key, what, published, ours, unit, note in (
        ("host", "host alone", HOST_TOKENS_PER_S, found.host.tokens_per_s, "token/s", found.host_note),
        ("pim", "PIM", PIM_TOKENS_PER_S, (slow.tokens_per_s, fast.tokens_per_s), "token/s", found.pim_note),
        ("end_to_end", "end to end: speed-up", speed_up, found.end_to_end_speed_ups, "x", END_TO_END_NOTE),
    ):
        said = {"unit": unit, "fidelity": "command", "note": note}
        yield SAMSUNG.row(f"samsung_{key}", f"Llama-3.1-8B W4A8, {what}", published, ours, **said)
