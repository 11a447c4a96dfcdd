"""Combined phases against phases run by themselves: features by the program, and an error that the bound holds."""

from collections import Counter
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from lpspec.arrays import IntArray
from lpspec.devices import channel_jobs
from lpspec.devices.kv_share import Heads, KvShare
from lpspec.devices.package_commands import PackageCommands
from lpspec.devices.phase_prices import Job
from lpspec.devices.pim_work import PROGRAM_COUNTS
from lpspec.devices.steady_phase import Phase
from lpspec.devices.steady_prices import SteadyPrices
from lpspec.dram.engine import state as k
from lpspec.dram.run.session import ACTIVE_CK, CK
from lpspec.dram.run.steady import in_the_long_run
from lpspec.experiments.systems import make_system
from lpspec.llm import load_model
from lpspec.machine.loading import load_platform
from lpspec.scenario import Scenario, Workload
from lpspec.simulation.command_cost import command_costs
from lpspec.simulation.requests import load_requests
from lpspec.simulation.run import price_by_commands, simulate
from lpspec.simulation.serve import serve
from lpspec.simulation.workload import TreePolicy
from lpspec.speculation.rank_trace import load_trace

TRACE = load_trace("vicuna-7b")
POLICY = TreePolicy(objective="edp")


def counted(program: IntArray) -> Counter[str]:
    """What the lines of a program stand for, loops unrolled by hand."""
    counts: Counter[str] = Counter()
    rounds = [1]
    for line in program.tolist():
        op, ranks = line[k.I_OP], int(line[k.I_MASK]).bit_count()
        if op == k.LOOP:
            rounds.append(rounds[-1] * line[k.I_COUNT])
        elif op == k.END:
            rounds.pop()
        elif op == k.PIM_MAC:
            commands = rounds[-1] * line[k.I_COUNT]
            counts.update(macs=commands, die_macs=commands * ranks, tokens=commands * ranks * line[k.I_TOKENS])
        elif op == k.PIM_ACT:
            counts.update(die_rows=rounds[-1] * ranks)
        elif op in (k.PIM_IN, k.PIM_OUT):
            counts["input_bursts" if op == k.PIM_IN else "output_bursts"] += rounds[-1] * line[k.I_COUNT]
    return counts


@pytest.mark.parametrize("changes", [{}, {"pim.alus": "6", "pim.concurrent_ranks": "2"}, {"pim.banks_per_mpu": "1"}])
def test_features_are_the_counts_of_the_compiled_program(changes: dict[str, str]) -> None:
    package = PackageCommands(load_platform("lp-spec", changes))
    platform = load_platform("lp-spec", changes)
    assert platform.pim is not None
    ranks = platform.pim.concurrent_ranks.n
    channel = package.jobs.computing(ranks)
    jobs: list[Job] = [
        package.jobs.product(channel, tokens, size, width, 0)
        for tokens, size, width in ((1, 4096, 1024), (5, 1000, 800), (9, 4096, 3072))
    ]
    for kv_heads, heads, queries, keys in ((32, 32, 4, 288), (32, 28, 9, 544), (8, 6, 16, 480)):
        share = KvShare(kv_heads=kv_heads, head_dim=128, channels=4, concurrent=ranks, row_columns=64)
        jobs += [package.jobs.heads(what, Heads(heads, share, queries, keys), 0) for what in ("scores", "values")]
    for job in jobs:
        assert job.kin is not None
        found = counted(job.work.program())
        closed = dict(zip(PROGRAM_COUNTS, job.kin.features[1:], strict=True))
        for name in ("macs", "die_macs", "die_rows", "input_bursts", "output_bursts"):
            assert closed[name] == found[name], (job.key[1:], name)
        assert job.kin.mac_tokens == found["tokens"]


def test_a_phase_that_never_runs_has_a_price_nevertheless() -> None:
    """Such as of columns that might have moved; its family alone takes no time of the whole."""
    package = PackageCommands(load_platform("lp-spec"), exact=False)
    share = KvShare(kv_heads=32, head_dim=128, channels=4, concurrent=3, row_columns=64)
    never = package.jobs.heads("scores", Heads(32, share, 4, 288), 0)
    often = package.jobs.product(package.jobs.computing(3), 4, 4096, 1024, 0)
    package.prices.expect(never, 0.0)
    package.prices.expect(often, 3.0)
    assert (package.prices.counts([never, often])[:, CK] > 0).all()


def test_a_part_of_a_long_product_says_how_long_rows_are_open() -> None:
    """Where rows close after a time, those that reads open are not open to the end, as a family takes them to be."""
    changes = {"memory.controller.page": "timeout", "memory.channels": "2", "memory.data_rate": "9600 Mbps"}
    package = PackageCommands(load_platform("lp-spec", changes), exact=False)
    sizes = (4, 2048, 7680, 32768), (4, 8192, 1024, 0), (4, 2048, 59136, 319488), (1, 2048, 58368, 368640)
    jobs = [package.jobs.product(package.jobs.computing(3), *size) for size in sizes]
    for job, times in zip(jobs, (16.0, 16.0, 1.0, 1.0), strict=True):
        package.prices.expect(job, times)
    found, exact = package.prices.counts(jobs)[2], package.prices.exact(jobs[2], 256)
    assert found[CK] == pytest.approx(exact[CK], rel=2e-3)
    assert found[ACTIVE_CK] == pytest.approx(exact[ACTIVE_CK], rel=5e-3)


def test_what_was_run_by_itself_is_not_mended() -> None:
    """The part says by how much a family is off, not a run."""
    package = PackageCommands(load_platform("lp-spec", {"memory.channels": "2"}), exact=False)
    prices, product = package.prices, partial(package.jobs.product, package.jobs.computing(3), 4, 2048)
    assert isinstance(prices, SteadyPrices)
    head, small = product(59136, 200_000), product(7680, 20_000)
    for job in (head, small):
        prices.expect(job, 1.0)
    prices.counts([head, small])
    assert head.kin is not None
    assert head.kin.part is not None
    part = head.kin.part(20, head.kin.bursts)
    for by_itself in (False, True):
        phase = Phase(head, 1.0)
        phase.take((*head.kin.family, "spare"), 1.05 * prices.alone(head))
        phase.run_itself, before = by_itself, phase.alone[ACTIVE_CK]
        prices._families[phase.place].counts = lambda members: 1.1 * prices.alone(part)[None]  # type: ignore[method-assign]
        prices._added_by(phase, part, (32, 0.2))
        assert phase.alone[ACTIVE_CK] == pytest.approx(before if by_itself else before / 1.1)


@pytest.mark.parametrize(
    "changes",
    [
        {"pim.mac_interval": "10 ns"},
        {"pim.mode_switch": "60 ns", "memory.data_rate": "9600 Mbps"},
        {"pim.banks_per_mpu": "1"},
        {"pim.alus": "3"},
        {"memory.pim_ranks": "2", "pim.concurrent_ranks": "2"},
        {"memory.dram_ranks": "2"},
    ],
)
def test_machines_share_programs_only_where_they_are_the_same(
    changes: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs of a machine that came second are those that it would have made by itself."""

    def programs(changes: dict[str, str]) -> list[IntArray]:
        platform = load_platform("lp-spec", changes)
        jobs = PackageCommands(platform).jobs
        assert platform.pim is not None
        ranks = platform.pim.concurrent_ranks.n
        share = KvShare(kv_heads=32, head_dim=128, channels=4, concurrent=ranks, row_columns=64)
        found = [jobs.product(jobs.computing(ranks), 4, 11008, 1024, 0)]
        found += [jobs.heads(what, Heads(32, share, 4, 288), 0) for what in ("scores", "values")]
        return [*(job.work.program() for job in found), jobs.append(share, 1, 4, read_first=False).work.requests()]

    programs({})
    second = programs(changes)
    monkeypatch.setattr(channel_jobs, "_LINES", {})
    for one, alone in zip(second, programs(changes), strict=True):
        assert np.array_equal(one, alone)


@pytest.mark.parametrize(
    ("model", "changes"),
    [
        ("tinyllama", {}),
        ("tinyllama", {"pim.alus": "6"}),
        ("tinyllama", {"memory.pim_ranks": "1", "pim.concurrent_ranks": "1", "pim.alus": "2"}),
        ("tinyllama", {"memory.die": "lpddr6-10667-16gb", "memory.channels": "1", "pim.banks_per_mpu": "1"}),
    ],
    ids=["bound by PIM", "heads on both sides", "bound by the bus", "bare row changes beside reads"],
)
def test_no_error_exceeds_the_bound(model: str, changes: dict[str, str]) -> None:
    """TinyLlama groups its queries by eight; with one PIM rank the NPU's reads end most products."""
    combined = make_system("lp-spec", load_model(model), Scenario(changes=changes))
    runs = [
        simulate(system, TRACE, Workload(128, 200), POLICY, "command")
        for system in (combined, replace(combined, exact=True))
    ]
    assert runs[1].error_bound is None
    bound = runs[0].error_bound
    assert bound is not None
    assert 0 < bound <= 1e-3
    assert abs(runs[0].decode_ns / runs[1].decode_ns - 1) <= bound
    assert abs(float(runs[0].decode_pj.sum() / runs[1].decode_pj.sum()) - 1) <= bound
    assert np.array_equal(runs[0].steps.l_spec, runs[1].steps.l_spec)


def test_phases_that_are_not_alike_are_within_a_bound_too() -> None:
    """They are all run by themselves: over 32 refresh intervals this machine was 0.08 % off."""
    changes = {"memory.die": "lpddr6-10667-16gb", "memory.command_buses": "1", "pim.alus": "8"}
    one = make_system("lp-spec", load_model("llama3.2-1b"), Scenario(changes=changes))
    some = command_costs(one, 128, 40)
    exact = command_costs(replace(one, exact=True), 128, 40, refresh_intervals=256)
    assert some is not None
    assert exact is not None
    assert some.error_bound is not None
    at = np.array([0, 8, 17]), np.array([1, 8, 16]), np.zeros(3, np.int64), np.zeros(3, np.int64), np.zeros(3, np.int64)
    off = float(np.sum(some.decode(*at).latency_ns)) / float(np.sum(exact.decode(*at).latency_ns)) - 1
    assert abs(off) <= some.error_bound <= 1e-3


@pytest.mark.parametrize(
    ("tokens", "changes"),
    [
        (
            3,
            {
                "pim.banks_per_mpu": "1",
                "memory.data_rate": "8533 Mbps",
                "pim.alus": "3",
                "pim.mac_interval": "9.375 ns",
            },
        ),
        (5, {"pim.banks_per_mpu": "1"}),
        (
            4,
            {
                "memory.data_rate": "9600 Mbps",
                "pim.mac_interval": "5.833333333 ns",
                "memory.controller.page": "timeout",
            },
        ),
    ],
)
def test_products_beside_reads_that_refresh_ends_late_are_within_the_bound(
    tokens: int, changes: dict[str, str]
) -> None:
    """What refresh adds to one of them was up to 2 % of its time too little or too much, beyond the bound of all."""
    alone = {"memory.pim_ranks": "1", "pim.concurrent_ranks": "1"}
    combined = make_system("lp-spec", load_model("llama3.2-1b"), Scenario(changes=alone | changes))
    some = command_costs(combined, 128, 160)
    exact = command_costs(replace(combined, exact=True), 128, 160, refresh_intervals=256)
    assert some is not None
    assert exact is not None
    position = np.arange(0, 160, 3)
    nothing = np.zeros_like(position)
    steps = position, nothing + tokens, nothing, nothing, nothing + 4
    off = float(np.sum(some.decode(*steps).latency_ns)) / float(np.sum(exact.decode(*steps).latency_ns)) - 1
    assert some.error_bound is not None
    assert abs(off) <= some.error_bound <= 1e-3


def test_reads_beside_attention_are_counted_where_pim_fills_the_bus() -> None:
    """No phase with reads leaves PIM's own bursts such a share of the bus as those that are learned from do."""
    scenario = Scenario(changes={"pim.attention_split": "positions"})
    combined = make_system("lp-spec", load_model("llama3.1-8b"), scenario)
    workload, policy = Workload(prompt_tokens=32768, new_tokens=24), replace(POLICY, heads="all")
    run = simulate(combined, TRACE, workload, policy, "command")
    exact = command_costs(replace(run.system, exact=True), 32768, 24, refresh_intervals=256)
    assert exact is not None
    truth = price_by_commands(exact.system, exact, run.steps)
    assert run.tokens_per_s == pytest.approx(truth.tokens_per_s, rel=1e-3)
    assert run.tokens_per_j == pytest.approx(truth.tokens_per_j, rel=1e-3)


@pytest.mark.parametrize("system", ["lp-spec", "lp-spec-plus"])
def test_a_batch_is_within_the_bound_too(system: str) -> None:
    """Many tokens a pass: products take so long that short ones with reads tell badly what reads cost them."""
    made = make_system(system, load_model("llama3-8b"), Scenario())
    policy = replace(POLICY, heads="all" if system == "lp-spec" else "by-depth")
    requests = load_requests(Workload(batch=16, new_tokens=24), TRACE)
    found = [serve(replace(made, exact=exact), requests, 16, policy, "command") for exact in (False, True)]
    some, truth = found
    assert some.passes == truth.passes
    assert some.decode_ns == pytest.approx(truth.decode_ns, rel=1e-3)
    assert float(some.decode_pj.sum()) == pytest.approx(float(truth.decode_pj.sum()), rel=1e-3)


LPDDR5X = {"memory.dram_ranks": "1", "pim.concurrent_ranks": "1", "pim.alus": "2", "pim.mode_switch": "100 ns"}


@pytest.mark.parametrize(
    ("system", "model", "changes"),
    [
        ("lp-spec", "llama3.2-1b", {"memory.data_rate": "8533 Mbps"}),
        ("lp-spec", "llama3.2-1b", {"memory.data_rate": "9600 Mbps"}),
        ("lp-spec-lpddr5x", "llama3.2-3b", LPDDR5X),
    ],
)
def test_a_prompt_is_within_the_bound_too(system: str, model: str, changes: dict[str, str]) -> None:
    """Its streams are longer than any of decoding; at 9600 Mbps rows keep no step with refresh."""
    combined = make_system(system, load_model(model), Scenario(changes=changes))
    some = command_costs(combined, 128, 8)
    exact = command_costs(replace(combined, exact=True), 128, 8, refresh_intervals=256)
    assert some is not None
    assert exact is not None
    off = float(some.prefill(128).latency_ns) / float(exact.prefill(128).latency_ns) - 1
    assert some.error_bound is not None
    assert abs(off) <= some.error_bound <= 1e-3


ONE_CHANNEL = {
    "allocator": "static",
    "memory.channels": "1",
    "memory.dram_ranks": "2",
    "memory.pim_ranks": "1",
    "npu.array_columns": "32",
    "npu.array_rows": "32",
    "npu.clock": "800 MHz",
    "npu.cores": "4",
    "npu.local_buffer": "256 KiB",
    "npu.scratchpad": "4 MiB",
    "npu.vector_lanes": "512",
    "pim.alus": "1",
    "pim.concurrent_ranks": "1",
    "pim.mac_interval": "12.5 ns",
    "pim.mode_switch": "180 ns",
}


def test_prompt_and_energy_are_within_the_bound_on_one_channel() -> None:
    """Steps run the streams of the prompt for less of their time, and so need to know less of their refreshes.

    Reads beside programs end before these, and the rows that they opened stay open, which standby current shows.
    """
    scenario = Scenario(model="tinyllama", systems=("lp-spec",), changes=ONE_CHANNEL, energy_profile="micron-y52p")
    combined = make_system("lp-spec", load_model("tinyllama"), scenario)
    run = simulate(combined, TRACE, Workload(), POLICY, "command")
    exact = command_costs(replace(combined, exact=True), 128, 160, refresh_intervals=256)
    assert exact is not None
    assert run.error_bound is not None
    assert abs(run.prefill_ns / float(exact.prefill(128).latency_ns) - 1) <= run.error_bound <= 1e-3
    truth = price_by_commands(exact.system, exact, run.steps)
    assert run.tokens_per_j == pytest.approx(truth.tokens_per_j, rel=run.error_bound)
    assert run.tokens_per_s == pytest.approx(truth.tokens_per_s, rel=run.error_bound)


@pytest.mark.parametrize("kind", ["reads", "writes"])
def test_long_streams_are_combined_without_an_error(kind: str) -> None:
    """Beside one that weighs most of the time, and one that hardly weighs."""
    package = PackageCommands(load_platform("lp-spec"), exact=False)
    bursts = [64, 4096, 5000, 16384, 40000]
    streams = [package.jobs.writes(n, False) if kind == "writes" else package.jobs.reads(128.0 * n) for n in bursts]
    jobs = [job for job in streams if job is not None]
    for job, times in zip(jobs, (1.0, 1.0, 1.0, 1.0, 1000.0), strict=True):
        package.prices.expect(job, times)
    for job, counts in zip(jobs[1:], package.prices.counts(jobs)[1:], strict=True):
        added = package.prices.added(job, package.prices.alone(job), 64)
        exact = in_the_long_run(package.prices.alone(job), added, package.device).ck
        assert counts[CK] == pytest.approx(exact, rel=2e-3)


@pytest.mark.parametrize("form", ["reads", "product"])
def test_a_price_is_as_exact_as_the_one_who_needs_it_most_asks(form: str) -> None:
    """Whatever it was asked for among others before, of whose time it was a small part."""

    def priced(*shares: float) -> float:
        package = PackageCommands(load_platform("lp-spec", {"pim.alus": "2"}), exact=False)
        computing = package.jobs.computing(3)
        one = package.jobs.reads(9e6) if form == "reads" else package.jobs.product(computing, 5, 4096, 1024, 30000)
        other = package.jobs.product(computing, 3, 4096, 4096, 0)
        assert one is not None
        for share in shares:
            package.prices.expect(other, 1.0)
            package.prices.expect(one, share)
            found = float(package.prices.counts([one])[0][CK])
        return found

    assert priced(1e-3) != priced(1e3)
    assert priced(1e-3, 1e3) == pytest.approx(priced(1e3), rel=1e-9)
    assert priced(1e3, 1e-3) == pytest.approx(priced(1e3), rel=1e-9)


def test_copies_settle_in_step_with_refresh() -> None:
    """Where reads fill the bus, a copy takes more or less by when refreshes meet it, until all take 13 nREFI."""
    changes = {"memory.die": "lpddr6-10667-16gb", "pim.mode_steps": "1"}
    package = PackageCommands(load_platform("lp-spec", changes), exact=False)
    job = package.jobs.product(package.jobs.computing(3), 3, 2048, 3840, 16384)
    (counts,) = package.prices.counts([job])
    alone = package.prices.alone(job)
    exact = in_the_long_run(alone, package.prices.added(job, alone, 256), package.device).ck
    assert exact / package.device.timing.nREFI.n == pytest.approx(13, rel=5e-4)
    assert counts[CK] == pytest.approx(exact, rel=1e-3)
