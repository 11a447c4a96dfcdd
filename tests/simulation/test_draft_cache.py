"""Drafts in the scratchpad: the work of a pass stays the same, only what is accepted is written, and less is paid."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpspec.allocation.allocator import make_allocator
from lpspec.devices.cost import Cost
from lpspec.errors import InputError
from lpspec.experiments.setting import load_setting
from lpspec.llm.draft_work import drafted, level_operators
from lpspec.llm.loading import load_model
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.operators import Attention, Elementwise, Operator, verify_operators
from lpspec.machine.loading import load_platform
from lpspec.scenario import Scenario, Workload
from lpspec.scenario.names import Fidelity
from lpspec.simulation.command_cost import command_costs
from lpspec.simulation.draft_cache import DraftCache, draft_cache_of, put_in_place_cost, waiting
from lpspec.simulation.put_in_place import put_in_place_prices, settled_cache
from lpspec.simulation.requests import load_requests
from lpspec.simulation.run import Run, simulate
from lpspec.simulation.serve import serve
from lpspec.simulation.step_cost import step_costs
from lpspec.simulation.step_phases import cost_of
from lpspec.simulation.workload import System

SCRATCHPAD = {"draft_cache": "scratchpad"}
BLOCKS = {"draft_cache": "scratchpad-blocks"}


def run_of(fidelity: Fidelity = "analytic", changes: dict[str, str] | None = None, **options: Any) -> Run:
    options = {"systems": ("lp-spec",), "new_tokens": 24, **options}
    found = load_setting(Scenario().replace(changes=changes or {}, **options))
    return simulate(found.systems[0], found.trace, found.scenario.workload, found.policy, fidelity)


def pair(**options: Any) -> tuple[Run, Run]:
    return run_of(**options), run_of(changes=SCRATCHPAD, **options)


def system_of(model: str, drafter: str = "medusa", name: str = "lp-spec") -> System:
    changed = Scenario(systems=(name,), model=model, drafter=drafter).replace(changes=SCRATCHPAD)
    return load_setting(changed).systems[0]


def test_as_many_tokens_wait_as_the_scratchpad_has_room_for() -> None:
    """By hand: Llama2-7B has 32 x 2 x 4096 B of keys and values a token, and 4096 + 32000 B of the widest product."""
    platform, model = load_platform("lp-spec", SCRATCHPAD), load_model("llama2-7b")
    of_token = 32 * 2 * 4096 + 4096 + 32000
    assert draft_cache_of(platform, model).most == 8 * 2**20 // of_token == 28
    assert draft_cache_of(platform, model, requests=4).most == 8 * 2**20 // (4 * of_token) == 7
    assert draft_cache_of(platform, model, requests=16).most == 0  # one token would be the root alone
    assert draft_cache_of(load_platform("lp-spec"), model) == DraftCache()


def test_a_network_that_drafts_needs_room_too() -> None:
    platform, model = load_platform("lp-spec", SCRATCHPAD), load_model("llama3-8b")
    own = model.kv_bytes_per_token
    assert drafted(model, "eagle3").kv_bytes_per_token == own * 33 // 32
    assert draft_cache_of(platform, drafted(model, "eagle3")).most < draft_cache_of(platform, model).most


def attention_of(operators: tuple[Operator, ...]) -> list[Attention]:
    return [op for op in operators if isinstance(op, Attention)]


@pytest.mark.parametrize("window", [None, 1, 5, 40])
@given(tokens=st.integers(1, 64), context=st.integers(1, 100))
def test_every_pair_is_multiplied_once_and_nothing_of_the_tree_is_read(
    window: int | None, tokens: int, context: int
) -> None:
    (plain,) = attention_of(verify_operators(load_model("tinyllama"), tokens, context))
    whole = replace(plain, window=window, pairs=tokens * (min(context, (window or 10**6) - 1) + tokens))
    held, tree = waiting((whole,))
    assert isinstance(held, Attention)
    assert isinstance(tree, Elementwise)
    kept = sum(1 for position in range(context) if window is None or position > context - window)
    assert held.keys == kept
    assert held.pairs == tokens * kept
    assert held.kv_write_bytes == 0
    merged = whole.heads * tokens * whole.value_width * whole.count  # results of both parts are added
    assert held.macs + tree.vector_ops // 2 - merged == whole.macs
    assert tree.passed_bytes == 2 * tokens * whole.kv_bytes_per_token
    assert tree.memory_bytes == 0


@given(
    size=st.integers(1, 64),
    committed=st.integers(1, 40),
    moved=st.integers(0, 7),
    most=st.integers(0, 64),
    context=st.integers(0, 100),
)
def test_what_is_put_in_place_is_told_apart(size: int, committed: int, moved: int, most: int, context: int) -> None:
    """Token by token, in the blocks of 32 positions that they lie in."""
    cache = DraftCache(most, least=2)
    entry = cache.put_in_place(*(np.array(n) for n in (size, committed, moved, context)))
    up, written, blocks = (int(n) for n in cache.entries(entry))
    if size == 1 or size > most:
        assert (int(entry), up, written) == (moved, moved, 0)
    else:
        assert (up, written) == (0, committed)
        assert blocks == len({position // 32 for position in range(context, context + committed)})


def test_a_block_of_accepted_tokens_fills_where_a_tree_has_room_beside_it() -> None:
    """By hand: of 28 tokens, 15 may wait for the 16th; each of two requests has 14, of which 3 wait for the fourth."""
    platform, model = load_platform("lp-spec", BLOCKS), load_model("llama2-7b")
    assert draft_cache_of(platform, model) == DraftCache(28 - 15, 16)
    assert draft_cache_of(platform, model, requests=2) == DraftCache(14 - 3, 4)
    small = load_platform("lp-spec", BLOCKS | {"npu.scratchpad": "2 MiB"})
    assert draft_cache_of(small, model) == DraftCache(7, least=2)  # no room for a tree of eight beside a block of two
    assert draft_cache_of(platform, load_model("llama3.2-1b")).block == 32


@given(
    log=st.integers(0, 5),
    first=st.integers(1, 100),
    steps=st.lists(st.tuples(st.integers(1, 20), st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=30),
)
def test_what_is_accepted_is_written_once_its_block_is_full(
    log: int, first: int, steps: list[tuple[int, int, int]]
) -> None:
    """Token by token, in a list of what waits."""
    block = 2**log
    cache, context = DraftCache(13, block, least=1 if block > 1 else 2), first
    for size, more, moved in steps:
        committed = 1 + min(more, size - 1)
        full = sum((context + i + 1) % block == 0 for i in range(committed)) * block
        entry = cache.put_in_place(*(np.array(n) for n in (size, committed, moved, context)))
        up, written, _ = (int(n) for n in cache.entries(entry))
        if size <= 13 and (block > 1 or size > 1):
            assert (up, written) == (0, full)
        else:
            assert (up, written) == (moved, block if block > 1 else 0)
        assert context - int(cache.held(context)) == (context % block if context >= block else 0)
        context += committed


@given(tokens=st.integers(1, 13), context=st.integers(40, 100), beside=st.integers(0, 31))
def test_every_pair_is_multiplied_once_beside_a_block_too(tokens: int, context: int, beside: int) -> None:
    (whole,) = attention_of(verify_operators(load_model("tinyllama"), tokens, context))
    held, tree = waiting((whole,), held=context - beside, beside=beside)
    assert isinstance(held, Attention)
    assert isinstance(tree, Elementwise)
    assert held.keys == context - beside
    merged = whole.heads * tokens * whole.value_width * whole.count
    assert held.macs + tree.vector_ops // 2 - merged == whole.heads * tokens * (context + tokens) * 2 * 64 * whole.count
    assert tree.passed_bytes == (2 * tokens + beside) * whole.kv_bytes_per_token


@pytest.mark.parametrize("window", [1, 20, 60])
def test_a_window_shorter_than_what_waits_reads_nothing(window: int) -> None:
    (plain,) = attention_of(verify_operators(load_model("tinyllama"), 4, 200))
    held = attention_of(waiting((replace(plain, window=window),), held=200 - 8, beside=16))[0]
    assert held.keys == max(window - 1 - 16, 0)
    assert held.macs >= 0


@pytest.mark.parametrize("model", ["llama2-7b", "tinyllama"])
def test_both_levels_agree_on_blocks(model: str) -> None:
    options: dict[str, Any] = {"model": model, "new_tokens": 40, "tree": "4"}
    plain, blocks = (run_of(changes=changes, **options) for changes in (SCRATCHPAD, BLOCKS))
    by_commands = run_of("command", BLOCKS, **options)
    assert by_commands.decode_ns == pytest.approx(blocks.decode_ns, rel=0.02)
    assert by_commands.decode_pj.sum() == pytest.approx(blocks.decode_pj.sum(), rel=0.02)
    assert blocks.decode_ns < plain.decode_ns
    assert blocks.decode_pj.sum() < plain.decode_pj.sum()


def test_a_step_by_commands_writes_a_block_where_one_is_full() -> None:
    """Llama2-7B, blocks of 16: after 126 tokens two fill one; a tree of 20 has no room and is written behind one."""
    system = load_setting(Scenario(systems=("lp-spec",)).replace(changes=BLOCKS)).systems[0]
    costs = command_costs(system, 100, 60)
    assert costs is not None

    def writes(l_spec: int, context: int, committed: int, moved: int = 0) -> list[str]:
        entry = costs.cache.put_in_place(*(np.array(n) for n in (l_spec, committed, moved, context)))
        names = [phase.name for phase in costs.step_phases(l_spec, context, int(entry))]
        return [name for name in names if name.startswith("kv_")]

    assert writes(4, 120, 2) == []
    assert writes(1, 120, 1) == []
    assert writes(4, 126, 2) == ["kv_append"]
    assert writes(20, 120, 3, moved=1) == ["kv_append", "kv_append", "kv_compaction"]
    run = costs.decode(*(np.array(n) for n in ([0, 26], [4, 4], [0, 63 + 16], [0, 0], [0, 0])))
    shown = [
        cost_of(costs.step_phases(4, context, moved, 0), costs.planner.memory)
        for context, moved in ((100, 0), (126, 79))
    ]
    assert float(np.sum(run.latency_ns)) == pytest.approx(sum(float(one.latency_ns) for one in shown), rel=1e-3)


@pytest.mark.parametrize("model", ["llama2-7b", "llama3.2-1b"])
def test_writing_costs_what_it_does_in_place(model: str) -> None:
    """From each of the 32 lanes, the appends of a pass in place."""
    spec, platform = load_model(model), load_platform("lp-spec", SCRATCHPAD)
    system = system_of(model)
    allocator: Any = make_allocator(platform, spec, 64, 400, system.profile)
    put_ns, _ = put_in_place_prices(system, allocator, 64, waits=True)
    cache = DraftCache(64, least=2)
    for tokens in (2, 5, 31, 40):
        for lane in range(32):
            ops = [op for op in attention_of(verify_operators(spec, tokens, 64 + lane)) if op.writes]
            in_place_ns = sum(float(allocator.appends(op).latency_ns) for op in ops)
            entry = cache.put_in_place(*(np.array(n) for n in (tokens, tokens, 0, 64 + lane)))
            assert put_ns[entry] == pytest.approx(in_place_ns)


@pytest.mark.parametrize("drafter", ["medusa", "eagle3"])
@pytest.mark.parametrize("model", ["llama3-8b", "tinyllama"])
def test_both_levels_agree(model: str, drafter: str) -> None:
    """What is saved is the same within a quarter, and the whole within 2 %."""
    options = {"model": model, "drafter": drafter, "new_tokens": 8, "tree": "4"}
    (plain, held), (plain_by, held_by) = (pair(**options, fidelity=level) for level in ("analytic", "command"))
    assert held_by.decode_ns == pytest.approx(held.decode_ns, rel=0.02)
    assert held_by.decode_pj.sum() == pytest.approx(held.decode_pj.sum(), rel=0.02)
    saved_pj = plain.decode_pj.sum() - held.decode_pj.sum()
    assert plain_by.decode_pj.sum() - held_by.decode_pj.sum() == pytest.approx(saved_pj, rel=0.25)


def test_a_step_by_commands_writes_what_is_committed_and_nothing_else() -> None:
    costs = command_costs(system_of("tinyllama"), 100, 40)
    assert costs is not None
    names = [phase.name for phase in costs.step_phases(4, 120, 63 + 3)]
    assert names.count("kv_append") == 1
    assert names.index("kv_append") > names.index("values")
    assert "kv_compaction" not in names
    assert "attention_of_tree" in names
    alone = [phase.name for phase in costs.step_phases(1, 120)]
    assert alone.index("kv_append") < alone.index("scores")  # a root alone is committed for certain


def test_steps_of_a_run_are_those_that_are_shown_one_by_one() -> None:
    """Three tokens written from lanes 28 to 31: from the last two they lie in two blocks."""
    costs = command_costs(replace(system_of("tinyllama"), exact=True), 128, 40)
    assert costs is not None
    nothing, took_ns = np.array([0]), []
    for lane in range(28, 32):
        size, context = nothing + 4, nothing + 128 + lane
        entry = costs.cache.put_in_place(size, nothing + 3, nothing, context)
        run = costs.decode(nothing + lane, size, entry, nothing, nothing)
        shown = cost_of(costs.step_phases(4, 128 + lane, int(entry[0]), heads=0), costs.planner.memory)
        assert float(np.sum(run.latency_ns)) == pytest.approx(float(np.sum(shown.latency_ns)))
        took_ns.append(float(np.sum(run.latency_ns)))
    assert took_ns[0] == took_ns[1] < took_ns[2] == took_ns[3]


@pytest.mark.parametrize(
    ("options", "fidelity"),
    [
        ({}, "analytic"),
        ({"tree": "16"}, "analytic"),
        ({"tree": "1"}, "analytic"),
        ({"model": "llama3.2-1b", "heads": "all"}, "analytic"),
        ({"model": "tinyllama"}, "command"),
        ({"model": "tinyllama", "tree": "24"}, "command"),
    ],
    ids=str,
)
@pytest.mark.parametrize("changes", [SCRATCHPAD, BLOCKS], ids=["scratchpad", "blocks"])
def test_one_request_at_a_time_is_a_single_request(
    options: dict[str, Any], fidelity: Fidelity, changes: dict[str, str]
) -> None:
    found = load_setting(Scenario(systems=("lp-spec",)).replace(new_tokens=24, changes=changes, **options))
    one = simulate(found.systems[0], found.trace, found.scenario.workload, found.policy, fidelity)
    requests = load_requests(found.scenario.workload, found.trace)
    run = serve(found.systems[0], requests, 1, found.policy, fidelity)
    assert np.array_equal(run.steps.moved, one.steps.moved)
    assert run.decode_ns == pytest.approx(one.decode_ns, rel=1e-11)
    assert run.decode_pj == pytest.approx(one.decode_pj, rel=1e-11)


@pytest.mark.parametrize("prompt", [128, 2000])
@pytest.mark.parametrize("profile", ["attacc", "micron-y52p"])
@pytest.mark.parametrize("model", ["llama2-7b", "llama3.2-1b", "qwen2.5-7b"])
def test_it_is_never_worse(model: str, profile: str, prompt: int) -> None:
    plain, held = pair(model=model, energy_profile=profile, prompt_tokens=prompt)
    blocks = run_of(changes=BLOCKS, model=model, energy_profile=profile, prompt_tokens=prompt)
    assert blocks.edp_s_mj < held.edp_s_mj < plain.edp_s_mj
    assert blocks.tokens_per_s >= held.tokens_per_s >= plain.tokens_per_s


def test_trees_that_have_no_room_are_written_in_place() -> None:
    plain, held = pair(tree="29")
    assert held.decode_ns == plain.decode_ns
    assert held.decode_pj == pytest.approx(plain.decode_pj, rel=1e-14)  # sums in another order
    assert run_of(tree="28", changes=SCRATCHPAD).decode_ns != run_of(tree="28").decode_ns


def test_a_machine_without_an_npu_has_no_scratchpad(tmp_path: Path) -> None:
    file = tmp_path / "gpu.toml"
    file.write_text('extends = "rtx3090"\nname = "gpu"\ndraft_cache = "scratchpad"\n')
    with pytest.raises(InputError, match="draft_cache"):
        load_platform(str(file))
    with pytest.raises(InputError, match="draft_cache"):
        load_platform("lp-spec", {"draft_cache": "elsewhere"})


def test_levels_of_a_network_write_nothing() -> None:
    model: ModelSpec = drafted(load_model("llama3-8b"), "eagle3")
    operators = waiting(level_operators(model, 2, 100, 2))
    assert [op.kv_write_bytes for op in attention_of(operators)] == [0]
    costs = step_costs(system_of("llama3-8b", "eagle3"), 128, 1)
    inside = step_costs(
        load_setting(Scenario(systems=("lp-spec",), model="llama3-8b", drafter="eagle3")).systems[0], 128, 1
    )
    assert costs.levels is not None
    assert inside.levels is not None
    assert costs.levels.further_ns[0, 0] < inside.levels.further_ns[0, 0]
    assert costs.levels.first_ns[0, 0] == inside.levels.first_ns[0, 0]


@pytest.mark.parametrize(("model", "requests"), [("llama2-7b", 1), ("llama2-7b", 4), ("qwen2.5-7b", 16)])
@pytest.mark.parametrize("changes", [SCRATCHPAD, BLOCKS], ids=["scratchpad", "blocks"])
def test_no_tree_waits_that_costs_more_there(model: str, requests: int, changes: dict[str, str]) -> None:
    """Each size and lane by itself: a pass and what is written after it, against a pass in place."""
    found = load_setting(Scenario(systems=("lp-spec",), model=model).replace(changes=changes))
    system, first = found.systems[0], 500
    allocator: Any = make_allocator(system.platform, system.model, 64, 700, system.profile)
    cache = settled_cache(system, allocator, first, requests)

    def took(cost: Cost) -> np.ndarray[Any, Any]:
        energy_pj = sum(np.sum(pj) for pj in cost.activity.energy_pj(system.profile).values())
        return np.array([float(np.sum(cost.latency_ns)), float(energy_pj)])

    for size in range(cache.least, min(cache.most, 12) + 1):
        in_place, waits = np.zeros((32, 2)), np.zeros((32, 2))
        committed = min(size, 2)
        for lane in range(32):
            context = first - first % 32 + lane
            operators = verify_operators(system.model, size, context)
            in_place[lane] = took(allocator.decode_cost(operators))
            held = waiting(operators, held=cache.held(context), beside=cache.beside)
            together = committed if cache.block == 1 else cache.block
            later = cache.block == 1 and lane + committed > 32
            written = took(put_in_place_cost(system, allocator, np.array([together]), read_first=False, later=later))
            waits[lane] = took(allocator.decode_cost(held)) + written * committed / together
        if cache.block > 1 or requests == 1:  # every place in a block is come to alike
            in_place, waits = in_place.mean(axis=0), waits.mean(axis=0)
        assert (waits.prod(axis=-1) <= in_place.prod(axis=-1) * (1 + 1e-9)).all()


@pytest.mark.parametrize(
    ("model", "prompt", "batch", "profile"),
    [
        ("llama2-7b", 128, 4, "attacc"),
        ("llama2-7b", 512, 4, "specpim"),
        ("llama3.2-1b", 128, 4, "micron-y52p"),
        ("llama3.2-3b", 32768, 16, "specpim"),
        ("qwen2.5-7b", 32000, 16, "micron-y52p"),
    ],
)
def test_it_is_never_worse_for_several_requests(model: str, prompt: int, batch: int, profile: str) -> None:
    """What is written afterwards is part of the price of a tree: left out, trees seem to pay that do not."""
    found = [
        load_setting(
            Scenario(
                systems=("lp-spec",),
                model=model,
                energy_profile=profile,
                heads="all",
                workload=Workload(prompt_tokens=prompt, new_tokens=64, batch=batch),
            ).replace(changes=changes)
        )
        for changes in ({}, BLOCKS)
    ]
    plain, blocks = (
        serve(one.systems[0], load_requests(one.scenario.workload, one.trace), batch, one.policy) for one in found
    )
    assert blocks.counted.edp_s_mj <= plain.counted.edp_s_mj * (1 + 1e-9)


@pytest.mark.parametrize("tree", ["dtp", "4", "24"])
def test_both_levels_agree_on_blocks_of_several_requests(tree: str) -> None:
    """Three requests, whose blocks fill at different times; trees of 24 have no room and are written behind a block."""
    scenario = Scenario(systems=("lp-spec",), model="tinyllama").replace(
        new_tokens=40, batch=3, tree=tree, changes=BLOCKS
    )
    found = load_setting(scenario)
    requests = load_requests(found.scenario.workload, found.trace)
    levels: tuple[Fidelity, ...] = ("analytic", "command")
    closed, by_commands = (serve(found.systems[0], requests, 3, found.policy, level) for level in levels)
    assert np.array_equal(by_commands.steps.moved, closed.steps.moved)
    assert (closed.steps.moved > 0).any()
    assert by_commands.decode_ns == pytest.approx(closed.decode_ns, rel=0.02)
    assert by_commands.decode_pj.sum() == pytest.approx(closed.decode_pj.sum(), rel=0.02)
