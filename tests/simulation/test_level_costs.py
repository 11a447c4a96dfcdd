"""What drafting level by level costs in a step: widths against all trees, sums against loops, commands against both."""

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from lpspec.experiments.compare import compare
from lpspec.experiments.systems import make_system
from lpspec.llm import load_model
from lpspec.llm.draft_work import draft_prompt_operators, level_head, level_layers, level_operators
from lpspec.scenario import Scenario
from lpspec.simulation.command_cost import command_costs
from lpspec.simulation.level_costs import expected_reads, level_width, nodes_above
from lpspec.simulation.price_grid import priced
from lpspec.simulation.run import Run
from lpspec.simulation.step_cost import StepCosts, step_costs
from lpspec.simulation.step_phases import cost_of
from lpspec.simulation.workload import System
from lpspec.speculation.measured import EAGLE_MISSES, prior_of_levels

MODEL = "llama3.2-1b"
FIRST, CONTEXTS = 100, 60
SMALL = {"model": MODEL, "new_tokens": 6, "fidelity": "analytic", "systems": ["npu-spec", "lp-spec"]}


def system(drafter: str, name: str = "lp-spec") -> System:
    return make_system(name, load_model(MODEL), Scenario(drafter=drafter))


def trees(size: int) -> Iterator[list[int]]:
    """Depths of the nodes of every tree of so many nodes, with the parent of each before it."""
    for parents in product(*(range(node) for node in range(1, size))):
        yield [-1, *parents]


@pytest.mark.parametrize("size", range(2, 8))
def test_a_level_has_no_more_nodes_with_drafts_behind_them(size: int) -> None:
    """Over all trees of up to seven tokens; for each depth some tree has as many."""
    most: dict[int, int] = {}
    for parent in trees(size):
        depth = [0] * size
        for node in range(1, size):
            depth[node] = depth[parent[node]] + 1
        inner = [depth[node] for node in set(parent[1:]) - {0}]
        widest = max((inner.count(level) for level in set(inner)), default=1)
        most[max(depth)] = max(most.get(max(depth), 1), widest)
    for deepest, widest in most.items():
        if deepest == 1:
            continue  # one pass, over committed tokens
        assert level_width(np.array(size), np.array(deepest)) == widest


@pytest.mark.parametrize("size", range(3, 8))
def test_no_more_nodes_above_a_level_have_drafts_behind_them(size: int) -> None:
    """Over all trees of up to seven tokens, of each depth and for each of its levels; some tree has as many."""
    most: dict[tuple[int, int], int] = {}
    for parent in trees(size):
        depth = [0] * size
        for node in range(1, size):
            depth[node] = depth[parent[node]] + 1
        inner = [depth[node] for node in set(parent[1:]) - {0}]
        for level in range(2, max(depth) + 1):
            above = sum(at < level for at in inner)
            most[max(depth), level] = max(most.get((max(depth), level), 0), above)
    for (deepest, level), above in most.items():
        assert nodes_above(np.array(size), np.array(deepest), level) == above


def test_a_chain_has_a_node_in_each_level_above() -> None:
    for size in (1, 3, 4):  # a tree too small for its depth is charged as the chain that it may be
        assert nodes_above(np.array(size), np.array(3), 3) == 2


def of_three_layers(name: str = "lp-spec") -> System:
    return make_system(name, load_model(MODEL).model_copy(update={"mtp_layers": 3}), Scenario(drafter="mtp"))


@pytest.mark.parametrize("name", ["lp-spec", "npu-spec"])
def test_of_several_mtp_layers_each_drafts_its_level(name: str) -> None:
    """Layer k reads what was committed and the drafts above its level, behind a cache of its own."""
    one = of_three_layers(name)
    costs = step_costs(one, FIRST, CONTEXTS)
    assert costs.allocator is not None
    assert one.model.most_drafts == 3

    def passes(context: int, size: int, depth: int, committed: int) -> tuple[float, float]:
        sums = np.zeros(2)
        width = int(level_width(np.array(size), np.array(depth)))
        for level in range(1, depth + 1):
            above = 0 if level == 1 else int(nodes_above(np.array(size), np.array(depth), level))
            parts = (
                level_layers(one.model, committed + above, context, fills=True),
                level_head(one.model, 1 if level == 1 else width),
            )
            for operators in parts:
                ns, pj = priced(one, costs.allocator.decode_cost(operators), (1, 1))  # type: ignore[union-attr]
                sums += float(ns[0, 0]), float(pj.sum())
        return float(sums[0]), float(sums[1])

    for position, size, depth, committed in ((0, 1, 0, 1), (3, 2, 1, 2), (17, 9, 3, 3), (59, 64, 3, 4)):
        ns, pj = costs.drafted(*(np.array([number]) for number in (position, size, committed, depth)))
        assert (ns[0], pj[:, 0].sum()) == pytest.approx(passes(FIRST + position, size, depth, committed), rel=1e-9)
        if depth:
            reads = int(expected_reads(np.array(depth)))
            planned = passes(FIRST + position, size, depth, reads)[0]
            assert planned_ns(costs, position, size, depth) == pytest.approx(planned, rel=1e-9)


def test_commands_price_mtp_layers_of_their_own_levels() -> None:
    one = of_three_layers()
    commands, closed = command_costs(one, FIRST, CONTEXTS), step_costs(one, FIRST, CONTEXTS)
    assert commands is not None
    position, size, committed, depth = (
        np.array(numbers) for numbers in ([0, 5, 5, 9], [1, 2, 4, 6], [1, 2, 3, 4], [0, 1, 2, 3])
    )
    none = np.zeros(1, np.int64)
    by_step = [
        priced(one, commands.drafting(position[[i]], size[[i]], committed[[i]], none, depth[[i]]), (1, 1))[0][0, 0]
        for i in range(4)
    ]
    expected, _ = closed.drafted(position, size, committed, depth)
    assert by_step == pytest.approx(expected.tolist(), rel=0.05)
    names = [phase.name for phase in commands.step_phases(4, FIRST, heads=3)]
    assert [names.count(f"mtp_{part}") for part in ("mix", "qkv", "final_norm", "top_k")] == [3, 3, 3, 3]


def test_mtp_layers_take_room_and_a_prompt_each() -> None:
    single, three = make_system("lp-spec", load_model(MODEL), Scenario(drafter="mtp")).model, of_three_layers().model
    assert three.draft_weight_bytes == 3 * single.draft_weight_bytes
    base = load_model(MODEL).cache_bytes(1000)
    assert three.cache_bytes(1000) - base == 3 * (single.cache_bytes(1000) - base)
    for op, once in zip(draft_prompt_operators(three, 50), draft_prompt_operators(single, 50), strict=True):
        assert op == replace(once, count=3 * once.count)


@pytest.mark.parametrize("drafter", ["eagle3", "draft-model:tinyllama"])
@pytest.mark.parametrize("name", ["lp-spec", "npu-spec"])
def test_levels_add_up_pass_by_pass(drafter: str, name: str) -> None:
    one = system(drafter, name)
    costs = step_costs(one, FIRST, CONTEXTS)
    assert costs.levels is not None
    assert costs.allocator is not None

    def one_pass(context: int, tokens: int, guessing: int, fills: bool) -> tuple[float, float]:
        operators = level_operators(one.model, tokens, context, guessing, fills)
        ns, pj = priced(one, costs.allocator.decode_cost(operators), (1, 1))  # type: ignore[union-attr]
        return float(ns[0, 0]), float(pj.sum())

    for position, size, depth, committed in ((0, 1, 0, 1), (3, 2, 1, 2), (17, 9, 4, 3), (59, 64, 7, 8)):
        parts = [one_pass(FIRST + position, committed, 1, True)] if depth else []
        width = int(level_width(np.array(size), np.array(depth)))
        parts += [one_pass(FIRST + position, width, width, False)] * max(depth - 1, 0)
        arrays = (np.array([number]) for number in (position, size, committed, depth))
        ns, pj = costs.drafted(*arrays)
        assert ns[0] == pytest.approx(sum(part[0] for part in parts), rel=1e-9)
        assert pj[:, 0].sum() == pytest.approx(sum(part[1] for part in parts), rel=1e-9)
        if depth:
            planned = planned_ns(costs, position, size, depth)
            reads = int(expected_reads(np.array(depth)))
            first = one_pass(FIRST + position, reads, 1, True)[0]
            assert planned == pytest.approx(first + sum(part[0] for part in parts[1:]), rel=1e-9)


def planned_ns(costs: StepCosts, position: int, size: int, depth: int) -> float:
    """What the pruner is told that drafting costs."""
    price = costs.prices("throughput", range(depth + 1))[0, position, :, size - 1]
    return float(price[depth] - price[0])


@pytest.mark.parametrize("drafter", ["eagle3", "mtp"])
def test_commands_price_the_same_passes(drafter: str) -> None:
    """One step of each kind, laid out phase by phase; many steps are sums of these."""
    one = system(drafter)
    commands = command_costs(one, FIRST, CONTEXTS)
    closed = step_costs(one, FIRST, CONTEXTS)
    assert commands is not None
    position, size, committed, depth = (np.array(numbers) for numbers in ([0, 5, 5], [1, 4, 6], [1, 2, 4], [0, 2, 3]))
    none = np.zeros(3, np.int64)
    ns, _ = priced(one, commands.drafting(position, size, committed, none, depth), (1, 1))
    by_step = [
        priced(one, commands.drafting(position[[i]], size[[i]], committed[[i]], none[[i]], depth[[i]]), (1, 1))[0][0, 0]
        for i in range(3)
    ]
    assert by_step[0] == 0.0
    assert float(ns[0, 0]) == pytest.approx(sum(by_step), rel=1e-9)
    expected, _ = closed.drafted(position, size, committed, depth)
    assert by_step == pytest.approx(expected.tolist(), rel=0.05)


def test_a_timeline_of_a_step_holds_its_drafting() -> None:
    one = system("eagle3")
    commands = command_costs(one, FIRST, CONTEXTS)
    assert commands is not None
    names = [phase.name for phase in commands.step_phases(4, FIRST, heads=2)]
    assert names.count("eagle3_fuse") == 1  # the first pass reads committed tokens
    assert names.count("eagle3_qkv") == 2
    assert not [phase for phase in commands.step_phases(4, FIRST, heads=0) if "eagle3" in phase.name]
    whole = cost_of(commands.step_phases(4, FIRST, heads=2), commands.planner.memory)
    alone = cost_of(commands.step_phases(4, FIRST, heads=0), commands.planner.memory)
    assert float(np.sum(whole.latency_ns)) > float(np.sum(alone.latency_ns))


def test_trees_of_several_mtp_layers_are_as_deep_as_these(tmp_path: Path) -> None:
    """At both levels, which agree."""
    file = tmp_path / "config.json"
    shape = {"hidden_size": 512, "intermediate_size": 1024, "num_hidden_layers": 4, "vocab_size": 4096}
    heads = {"num_attention_heads": 8, "num_key_value_heads": 4, "max_position_embeddings": 512}
    file.write_text(json.dumps({"model_type": "mimo", "num_nextn_predict_layers": 2, **shape, **heads}))
    asked = {"drafter": "mtp", "acceptance": "0.9@6", "model": str(file), "prompt_tokens": 32, "new_tokens": 12}
    by_level = {level: runs(**asked, fidelity=level)["lp-spec"] for level in ("analytic", "command")}
    for run in by_level.values():
        assert run.steps.heads.max() == 2
        assert run.steps.committed.max() == 3
    assert by_level["command"].fidelity == "command"
    assert by_level["command"].tokens_per_s == pytest.approx(by_level["analytic"].tokens_per_s, rel=0.05)


def runs(**options: object) -> dict[str, Run]:
    return {run.system.name: run for run in compare(Scenario().replace(**{**SMALL, **options})).runs}


def test_no_drafter_decodes_plainly() -> None:
    by_name = runs(drafter="none", systems=["npu", "npu-spec", "lp-spec"])
    assert by_name["npu-spec"].decode_ns == by_name["npu"].decode_ns
    assert {run.mean_acceptance_length for run in by_name.values()} == {1.0}


def test_what_costs_nothing_is_never_slower_than_a_network_with_the_same_drafts() -> None:
    free, paid = (runs(drafter=drafter, acceptance="0.7") for drafter in ("prompt-lookup", "eagle3"))
    for name, run in free.items():
        assert run.decode_ns < paid[name].decode_ns
        assert run.prefill_ns < paid[name].prefill_ns


def test_trees_are_as_deep_as_the_trace_whatever_heads_the_model_has() -> None:
    by_name = runs(drafter="prompt-lookup", acceptance="0.99@12", new_tokens=40)
    assert max(run.steps.heads.max() for run in by_name.values()) == 12
    heads = runs(drafter="medusa", acceptance="0.99@12", new_tokens=40)
    assert max(run.steps.heads.max() for run in heads.values()) <= 4


def test_whose_drafts_are_right_is_said_where_another_drafter_is_paid_for() -> None:
    def notes(**options: object) -> tuple[str, ...]:
        return compare(Scenario().replace(**{**SMALL, **options})).notes

    assert any("is of drafter medusa, but eagle is paid for" in note for note in notes(drafter="eagle"))
    assert any("is of drafter eagle3, but medusa is paid for" in note for note in notes(trace="qwen3-8b-eagle3"))
    assert notes(drafter="eagle3") == ()  # whose own trace is taken
    assert notes(drafter="mtp", acceptance="0.8@3") == ()
    assert any("7 drafts deep: beyond 4" in note for note in notes(acceptance="3.24@7"))


def test_levels_start_from_what_eagle_is_known_to_get_right() -> None:
    prior = prior_of_levels(3, 12)
    assert prior.shape == (3, 12)
    assert (prior[0] == prior[2]).all()
    assert prior[0, 0] == 0.75
    assert prior[0, 1:].sum() < 0.25
    assert (np.diff(prior[0]) <= 1e-3).all()
    assert prior_of_levels(2, 1).tolist() == [[0.75], [0.75]]
    assert sum(EAGLE_MISSES) == pytest.approx(1 - 0.042, abs=0.002)  # the rest lies outside of lists of ten
