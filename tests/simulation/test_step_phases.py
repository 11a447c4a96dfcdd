"""A pass by commands: the operators in their order, near the analytic level where it describes the same machine."""

import pytest

from lpspec.allocation.allocator import make_allocator
from lpspec.allocation.hybrid import BalancedAllocator
from lpspec.allocation.single import SingleDevice
from lpspec.devices.cost import Activity, Real
from lpspec.devices.npu import Npu
from lpspec.devices.package_commands import PackageCommands
from lpspec.experiments.systems import make_system
from lpspec.llm import load_model
from lpspec.llm.draft_work import draft_operators
from lpspec.llm.operators import Attention, Gemm, prefill_operators, verify_operators
from lpspec.machine.loading import load_platform, load_profile
from lpspec.scenario import Scenario
from lpspec.simulation.draft_cache import KEY_BLOCK
from lpspec.simulation.step_phases import Phase, PhasePlanner, cost_of
from lpspec.simulation.workload import System

PROFILE = load_profile("attacc")
LLAMA = load_model("llama2-7b")
TINY = load_model("tinyllama")


def planner(system: System, max_context: int = 4200) -> PhasePlanner:
    allocator = make_allocator(system.platform, system.model, 64, max_context)
    assert isinstance(allocator, BalancedAllocator | SingleDevice)
    return PhasePlanner(system.model, PackageCommands(system.platform), allocator)


LP_SPEC = planner(make_system("lp-spec", LLAMA))
NPU = Npu.of(load_platform("lp-spec"))
SYSTEMS = {name: planner(make_system(name, TINY), 300) for name in ("npu-spec", "pim-spec", "lp-spec")}


def total_ns(phases: tuple[Phase, ...]) -> float:
    return sum(float(phase.latency_ns * phase.copies) for phase in phases)


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize("tokens", [1, 6])
def test_a_pass_is_its_operators_in_their_order(name: str, tokens: int) -> None:
    one = SYSTEMS[name]
    for phases, operators in (
        (one.verify(tokens, 96, 1), verify_operators(one.model, tokens, 96 - tokens)),
        (one.draft(4), draft_operators(one.model)),
        (one.draft(2), draft_operators(one.model, 2)),
        (one.draft(0), ()),
        (one.prefill(50), prefill_operators(one.model, 50)),
    ):
        expected: dict[str, int] = {}
        for op in operators:
            names = ("kv_append", "scores", "values") if isinstance(op, Attention) else (op.name,)
            expected |= dict.fromkeys(names, op.count)
        copies: dict[str, Real] = {}
        for phase in phases:
            copies[phase.name] = copies.get(phase.name, 0) + phase.copies
            assert phase.latency_ns == max(phase.npu_ns, float(phase.memory.latency_ns))
        assert copies == expected
        assert list(copies) == list(expected)


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_cost_of_a_pass_is_the_sum_of_its_phases(name: str) -> None:
    one = SYSTEMS[name]
    phases = one.verify(4, 96, 1)
    cost = cost_of(phases, one.memory)
    assert cost.latency_ns == pytest.approx(total_ns(phases))
    energy = cost.activity.energy_pj(PROFILE)
    by_phase = [phase.activity.energy_pj(PROFILE) for phase in phases]
    for component, pj in energy.items():
        assert pj == pytest.approx(sum(p.copies * e[component] for p, e in zip(phases, by_phase, strict=True)))


@pytest.mark.parametrize("name", SYSTEMS)
def test_every_die_is_refreshed_and_stands_by_all_the_time(name: str) -> None:
    """Also while only the NPU works: refreshes come once per nREFI and die, idle and active time fill the step."""
    one = SYSTEMS[name]
    cost = cost_of(one.verify(4, 96, 1), one.memory)
    expected = cost.latency_ns / one.memory.refresh_interval_ns * one.memory.dies
    assert cost.activity.refreshing_die_ns / 210 == pytest.approx(expected, rel=0.05)  # tRFCab of 8 Gb
    assert cost.activity.idle_die_ns > 0
    stood_ns = cost.activity.idle_die_ns + cost.activity.active_die_ns
    assert stood_ns == pytest.approx(cost.latency_ns * one.memory.dies)


@pytest.mark.parametrize("profile", ["attacc", "specpim", "micron-y52p"])
@pytest.mark.parametrize("context", [64, 1024, 4064])
@pytest.mark.parametrize("tokens", [1, 4, 5, 16, 32])
def test_both_levels_agree_on_the_papers_step(tokens: int, context: int, profile: str) -> None:
    """Both price the same programs, refreshes and writes of the cache: within 1 % in both."""
    keys = -(-(context + tokens) // KEY_BLOCK) * KEY_BLOCK
    blocks = (context + tokens - 1) // KEY_BLOCK - context // KEY_BLOCK + 1
    found = cost_of(LP_SPEC.verify(tokens, keys, blocks), LP_SPEC.memory)
    closed = LP_SPEC.layout.decode_cost(verify_operators(LLAMA, tokens, context))
    assert float(closed.latency_ns) == pytest.approx(float(found.latency_ns), rel=0.01)
    found_pj, closed_pj = (sum(cost.activity.energy_pj(load_profile(profile)).values()) for cost in (found, closed))
    assert float(closed_pj) == pytest.approx(float(found_pj), rel=0.01)


def test_an_npu_alone_takes_what_its_reads_take() -> None:
    """Weights and cache at the rate that commands sustain, 0.93 of the peak."""
    one = planner(make_system("npu", LLAMA), 300)
    allocator = make_allocator(make_system("npu", LLAMA).platform, LLAMA, 1, 300)
    phases = one.verify(1, 128, 1)
    assert total_ns(phases) == pytest.approx(6.6e9 / (0.9325 * 51.2), rel=0.02)
    closed_pj = sum(allocator.decode_cost(verify_operators(LLAMA, 1, 127)).activity.energy_pj(PROFILE).values())
    found_pj = sum(cost_of(phases, one.memory).activity.energy_pj(PROFILE).values())
    assert found_pj == pytest.approx(closed_pj, rel=0.02)


def on_chip(activity: Activity) -> tuple[float, float, float]:
    """Accesses of scratchpad, local buffer and registers beyond the write and read of whatever is read off the chip."""
    passing = 2 * activity.io_bits
    found = (activity.scratchpad_bits - passing, activity.local_buffer_bits - passing, activity.register_bits)
    return float(found[0]), float(found[1]), float(found[2])


@pytest.mark.parametrize("name", ["npu-spec", "lp-spec", "pim-spec"])
@pytest.mark.parametrize(("sums", "scratchpad"), [("local-buffer", "8 MiB"), ("registers", "32 KiB")])
def test_both_levels_price_the_same_work_of_the_npu(name: str, sums: str, scratchpad: str) -> None:
    """On the chip to the bit, with activations that spill or not; off the chip to the bursts begun."""
    constants = {"npu.partial_sums": sums, "npu.accumulator_bits": "24", "npu.scratchpad": scratchpad}
    system = make_system(name, TINY, Scenario(changes=constants))
    one, allocator = planner(system, 300), make_allocator(system.platform, system.model, 64, 4200)
    for phases, cost in (
        (one.verify(7, 96, 1), allocator.decode_cost(verify_operators(TINY, 7, 89))),
        (one.draft(3), allocator.decode_cost(draft_operators(system.model, 3))),
        (one.prefill(900), allocator.prefill_cost(prefill_operators(TINY, 900))),  # beyond the scratchpad
    ):
        found, closed = cost_of(phases, one.memory).activity, cost.activity
        assert on_chip(found) == pytest.approx(on_chip(closed), rel=1e-9, abs=1)
        assert float(found.io_bits) == pytest.approx(float(closed.io_bits), rel=2e-3, abs=1e6)


@pytest.mark.parametrize("tokens", [50, 900])
def test_both_levels_prefill_the_triangle(tokens: int) -> None:
    one = SYSTEMS["npu-spec"]
    (op,) = (op for op in prefill_operators(TINY, tokens) if isinstance(op, Attention))
    halves = [phase for phase in one.prefill(tokens) if phase.name in ("scores", "values")]
    assert sum(phase.npu_ns for phase in halves) == pytest.approx(float(NPU.attention_compute_ns(op, op.kv_heads)))


def test_longer_contexts_and_larger_trees_take_longer() -> None:
    by_keys = [total_ns(LP_SPEC.verify(4, keys, 1)) for keys in (32, 160, 1024, 4096)]
    by_tokens = [total_ns(LP_SPEC.verify(tokens, 160, 1)) for tokens in (1, 4, 5, 8, 9)]
    assert by_keys == sorted(by_keys)
    assert by_tokens == sorted(by_tokens)


def test_moving_accepted_entries_costs_reads_and_writes() -> None:
    (phase,) = LP_SPEC.compaction(2)
    assert phase.name == "kv_compaction"
    assert phase.copies == LLAMA.layers
    assert float(phase.activity.io_bits) == pytest.approx(float(phase.activity.activation_memory_bits))


@pytest.mark.slow
@pytest.mark.parametrize("tokens", [4, 16])
def test_the_analytic_split_is_nearly_the_best_by_commands(tokens: int) -> None:
    """The DAU decides analytically; of all numbers of tiles none is much faster when commands are timed."""
    took_ns = least_ns = 0.0
    at_once = LP_SPEC.memory.jobs.computing(3)
    for op in verify_operators(LLAMA, tokens, 100):
        if not isinstance(op, Gemm):
            continue
        chosen = int(next(iter(LP_SPEC.layout.divided(op))).shares[1][1] or 0)
        by_columns = {
            columns: max(
                float(
                    LP_SPEC.memory.product(
                        tokens, op.k, columns, at_once, (op.n - columns) * op.column_bytes
                    ).latency_ns
                ),
                float(NPU.gemm_compute_ns(tokens, op.k, op.n - columns)),
            )
            for columns in {min(tiles * 3072, op.n) for tiles in range(-(-op.n // 3072) + 1)}
        }
        took_ns += by_columns[chosen] * op.count
        least_ns += min(by_columns.values()) * op.count
    assert took_ns <= least_ns * 1.01
