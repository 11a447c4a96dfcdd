"""Every drafter for several requests: alone as a single request has it, and pass by pass what its operators cost."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_serve import assert_as_today, served

from lpspec.errors import InputError
from lpspec.llm.draft_work import level_head, level_layers, level_operators, network_of
from lpspec.llm.operators import Attention, Operator, verify_operators
from lpspec.scenario.names import FIDELITIES, Fidelity
from lpspec.simulation.batch_room import make_room
from lpspec.simulation.level_costs import nodes_above
from lpspec.simulation.price_grid import priced
from lpspec.simulation.served_run import ServedRun

EAGLE3 = {"model": "llama3.1-8b", "drafter": "eagle3", "trace": "llama3.1-8b-eagle3"}
DRAFTERS: dict[str, dict[str, Any]] = {
    "none": {"drafter": "none"},
    "prompt-lookup": {"drafter": "prompt-lookup", "acceptance": "0.7@12"},
    "eagle": {"drafter": "eagle", "model": "llama3.2-1b"},
    "eagle3": EAGLE3,
    "mtp": {"drafter": "mtp", "acceptance": "0.8@3", "model": "llama3.2-1b"},
    "draft-model": {"drafter": "draft-model:llama3.2-1b", "model": "llama3-8b", "acceptance": "0.7@5"},
}


@pytest.mark.parametrize("system", ["npu-spec", "lp-spec", "lp-spec-plus", "rtx3090-spec"])
@pytest.mark.parametrize("drafter", DRAFTERS)
def test_one_at_a_time_is_what_a_run_of_single_requests_is(drafter: str, system: str) -> None:
    assert_as_today(system, "analytic", **DRAFTERS[drafter], **written_alike(system))


def written_alike(system: str) -> dict[str, Any]:
    """Blocks that fill are of one request alone."""
    return {"changes": {"draft_cache": "scratchpad"}} if system == "lp-spec-plus" else {}


def test_a_batch_takes_drafts_to_be_as_good_as_the_number_that_was_given() -> None:
    """No head runs there at the accuracies of Medusa, so none would ever be found to be better."""
    pruned, chains, alone = (
        served("lp-spec-plus", 16, model="llama3-8b", objective="edp", acceptance="0.95", tree=tree)
        for tree in ("dtp", "5", "1")
    )
    assert pruned.steps.l_spec.mean() > 4
    assert pruned.counted.edp_s_mj < chains.counted.edp_s_mj < 0.7 * alone.counted.edp_s_mj


@pytest.mark.parametrize(
    "options",
    [
        {"tree": "4x3"},
        {"tree": "mc_sim_7b_63"},
        {"objective": "energy", "root_counts": False},
        {"learning": "verified-nodes"},
        {"heads": "all"},
        {"changes": {"draft_cache": "scratchpad"}},
    ],
    ids=str,
)
def test_so_it_is_under_every_option(options: dict[str, Any]) -> None:
    assert_as_today("lp-spec", "analytic", **EAGLE3, **options)


@pytest.mark.slow
@pytest.mark.parametrize("drafter", ["prompt-lookup", "eagle3", "draft-model"])
@pytest.mark.parametrize("system", ["npu-spec", "lp-spec", "lp-spec-plus"])
def test_so_it_is_at_command_level(system: str, drafter: str) -> None:
    assert_as_today(system, "command", exact=True, **DRAFTERS[drafter], **written_alike(system))


def is_own(op: Operator) -> bool:
    return isinstance(op, Attention) or "softmax" in op.name


def pass_by_hand(run: ServedRun, allocator: Any, number: int) -> tuple[float, float]:
    """Time and energy of a pass: products of all its tokens together, attention request by request."""
    system, mine = run.system, run.steps.verify_pass == number
    columns = run.steps.position, run.steps.l_spec, run.steps.committed, run.steps.heads
    rows = list(zip(*(column[mine].tolist() for column in columns), strict=True))
    parts: list[tuple[Operator, ...]] = []

    def add(of: Callable[[int, int, int], tuple[Operator, ...]], requests: list[tuple[int, int, int]]) -> None:
        """Requests are tokens, context, and tokens to guess behind."""
        tokens, _, guessing = (sum(column) for column in zip(*requests, strict=True))
        parts.append(tuple(op for op in of(tokens, 0, guessing) if not is_own(op)))
        parts.extend(tuple(op for op in of(*one) if is_own(op)) for one in requests)

    add(lambda n, context, _: verify_operators(system.model, n, context), [(n, 128 + at, 0) for at, n, _, _ in rows])
    level = partial(level_operators, system.model)
    drafted = [(n, 128 + at, 1) for at, _, n, deep in rows if deep > 0]
    if drafted:
        add(partial(level, fills=True), drafted)
    own = network_of(system.model)
    if own is not None and own.copies > 1:
        of_level = partial(level_layers, system.model, fills=True)
        for depth in range(2, max(deep for *_, deep in rows) + 1):
            mine = [(at, n, committed, deep) for at, n, committed, deep in rows if deep >= depth]
            above = [committed + int(nodes_above(np.array(n), np.array(deep), depth)) for _, n, committed, deep in mine]
            add(
                lambda n, context, _: of_level(n, context),
                [(n, 128 + at, 0) for n, (at, *_) in zip(above, mine, strict=True)],
            )
            guesses = sum(max((n + 1 - deep) // 2, 1) for _, n, _, deep in mine)
            parts.append(level_head(system.model, guesses))
        rows = [(at, n, committed, 0) for at, n, committed, _ in rows]
    for depth in range(2, max(deep for *_, deep in rows) + 1):
        wide = [(max((n + 1 - deep) // 2, 1), 128 + at) for at, n, _, deep in rows if deep >= depth]
        add(level, [(width, context, width) for width, context in wide])
    found = [priced(system, allocator.decode_cost(operators), (1, 1)) for operators in parts]
    return sum(float(ns[0, 0]) for ns, _ in found), sum(float(pj.sum()) for _, pj in found)


@pytest.mark.parametrize("tree", ["4x3", "dtp"])
@pytest.mark.parametrize("system", ["npu-spec", "lp-spec"])
def test_a_batch_drafts_with_one_reading_of_the_weights(system: str, tree: str) -> None:
    """Verification and drafting, pass by pass, from their operators; chains, so that nothing is moved up."""
    options: dict[str, Any] = {**EAGLE3, "model": "llama3.2-1b", "tree": tree, "requests": "poisson:100/s:9"}
    run = served(system, 3, **options)
    allocator = make_room(run.system, run.requests, 3, int(run.steps.l_spec.max()) if tree != "dtp" else 64).allocator
    total_pj, drafts = 0.0, set()
    for number in range(run.passes):
        mine = run.steps.verify_pass == number
        ns, pj = pass_by_hand(run, allocator, number)
        total_pj += pj
        if not run.steps.moved[mine].any():
            drafts |= {(int(mine.sum()), int(run.steps.heads[mine].max()))}
            assert run.pass_end_ns[number] - run.pass_begin_ns[number] == pytest.approx(ns, rel=1e-6)
    assert max(requests for requests, deep in drafts if deep > 0) > 1
    assert run.decode_pj.sum() == pytest.approx(total_pj, rel=1e-6 if tree == "4x3" else 1e-2)


# Layers of their own levels


@pytest.fixture
def own_levels(tmp_path: Path) -> dict[str, Any]:
    """Llama 3.2 1B's shape with three layers for multi-token prediction."""
    file = tmp_path / "config.json"
    shape = {"hidden_size": 2048, "intermediate_size": 8192, "num_hidden_layers": 16, "vocab_size": 128_256}
    heads = {"num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 64, "max_position_embeddings": 4096}
    file.write_text(json.dumps({"model_type": "mimo", "num_nextn_predict_layers": 3, **shape, **heads}))
    return {"drafter": "mtp", "acceptance": "0.8@4", "model": str(file)}


@pytest.mark.parametrize("system", ["npu-spec", "lp-spec", "rtx3090-spec"])
def test_layers_of_their_own_levels_one_at_a_time(system: str, own_levels: dict[str, Any]) -> None:
    assert_as_today(system, "analytic", **own_levels)


@pytest.mark.parametrize("options", [{"tree": "4x3"}, {"objective": "energy", "root_counts": False}, {"heads": "all"}])
def test_so_they_are_under_other_options(options: dict[str, Any], own_levels: dict[str, Any]) -> None:
    assert_as_today("lp-spec", "analytic", **own_levels, **options)


def test_so_they_are_by_commands(own_levels: dict[str, Any]) -> None:
    assert_as_today("lp-spec", "command", exact=True, **own_levels)


@pytest.mark.parametrize(("system", "tree"), [("npu-spec", "4x3"), ("npu-spec", "dtp"), ("lp-spec", "4x3")])
def test_a_batch_reads_each_of_several_layers_once(system: str, tree: str, own_levels: dict[str, Any]) -> None:
    """Each level's layer over what its requests committed and drafted above, its head behind the level before."""
    run = served(system, 3, **own_levels, tree=tree, requests="poisson:100/s:9")
    allocator = make_room(run.system, run.requests, 3, int(run.steps.l_spec.max()) if tree != "dtp" else 64).allocator
    total_pj, deepest = 0.0, 0
    for number in range(run.passes):
        mine = run.steps.verify_pass == number
        ns, pj = pass_by_hand(run, allocator, number)
        total_pj += pj
        if not run.steps.moved[mine].any():
            deepest = max(deepest, int(run.steps.heads[mine].max()))
            assert run.pass_end_ns[number] - run.pass_begin_ns[number] == pytest.approx(ns, rel=1e-6)
    assert deepest == 3
    assert run.decode_pj.sum() == pytest.approx(total_pj, rel=1e-6 if tree == "4x3" else 1e-2)


def test_commands_serve_several_layers_as_the_analytic_level_does(own_levels: dict[str, Any]) -> None:
    closed, timed = (served("lp-spec", 3, fidelity, **own_levels, requests="poisson:3/s:9") for fidelity in FIDELITIES)
    assert (closed.fidelity, timed.fidelity) == ("analytic", "command")
    assert timed.decode_ns == pytest.approx(closed.decode_ns, rel=0.05)
    assert timed.counted.mj_per_token == pytest.approx(closed.counted.mj_per_token, rel=0.05)


def test_steps_that_overlap_are_refused_for_layers_of_their_own_levels(own_levels: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="has a layer for each level: requests and batches take") as caught:
        served("lp-spec", 3, **own_levels, changes={"step_order": "pipelined"})
    assert len(str(caught.value)) <= 200


@pytest.mark.parametrize("fidelity", FIDELITIES)
@pytest.mark.parametrize("drafter", ["prompt-lookup", "eagle3", "draft-model"])
def test_nothing_is_lost_in_a_batch(drafter: str, fidelity: Fidelity) -> None:
    run = served("lp-spec", 4, fidelity, requests="poisson:3/s:20", **DRAFTERS[drafter])
    assert np.array_equal(np.bincount(run.steps.request, run.steps.committed), run.requests.new_tokens)
    assert (np.bincount(run.steps.verify_pass) <= 4).all()
    busy = (run.pass_end_ns - run.pass_begin_ns).sum() + (run.first_ns - run.joined_ns).sum()
    assert run.makespan_ns * (1 - run.idle_share) == pytest.approx(busy, rel=1e-9)
    assert sum(run.energy_by_component_mj.values()) == pytest.approx(run.counted.mj_per_token, rel=1e-9)


@pytest.mark.parametrize("system", ["npu-spec", "lp-spec", "rtx3090-spec"])
@pytest.mark.parametrize("drafter", ["prompt-lookup", "eagle3", "mtp"])
def test_throughput_does_not_fall_with_a_larger_batch(drafter: str, system: str) -> None:
    """All are there at once; a half per cent covers what the pruner learns in another order, and ends of turns."""
    options = {**DRAFTERS[drafter], "objective": "throughput"}
    found = [served(system, batch, **options).counted.tokens_per_s for batch in (1, 2, 3, 4, 8, 16)]
    assert (np.array(found[1:]) >= 0.995 * np.array(found[:-1])).all(), found


def test_both_levels_agree_on_a_batch() -> None:
    closed, commands = (served("lp-spec", 4, fidelity, **EAGLE3) for fidelity in FIDELITIES)
    assert commands.fidelity == "command"
    assert commands.counted.tokens_per_s == pytest.approx(closed.counted.tokens_per_s, rel=0.05)
    assert commands.counted.mj_per_token == pytest.approx(closed.counted.mj_per_token, rel=0.05)
