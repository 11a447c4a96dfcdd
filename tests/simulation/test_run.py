"""A run's totals, and the pruner against every fixed size."""

import gc
from dataclasses import replace

import numpy as np
import pytest

from lpspec.devices.cost import COMPONENTS
from lpspec.errors import InputError
from lpspec.experiments.systems import SYSTEMS, make_system
from lpspec.llm import load_model
from lpspec.scenario import Scenario, Workload
from lpspec.scenario.names import (
    BASES,
    FIDELITIES,
    LEARNING_RULES,
    OBJECTIVES,
    Basis,
    Fidelity,
    LearningRule,
    Objective,
)
from lpspec.simulation.decode_loop import decode
from lpspec.simulation.run import (
    allowed_prices,
    decode_steps,
    simulate,
)
from lpspec.simulation.step_cost import step_costs
from lpspec.simulation.workload import PrunerFactory, System, TreePolicy
from lpspec.speculation.measured import prior_accuracy
from lpspec.speculation.medusa_trees import named_tree
from lpspec.speculation.pruner import DraftTokenPruner
from lpspec.speculation.rank_trace import RankTrace, load_trace

MODEL = load_model("llama2-7b")
TRACE = load_trace("vicuna-7b")
SHORT = Workload(prompt_tokens=50, new_tokens=12)


def system(name: str, basis: Basis = "equal") -> System:
    return make_system(name, MODEL, Scenario(basis=basis))


def with_first(trace: RankTrace, turns: int) -> RankTrace:
    lengths = trace.turn_lengths[:turns]
    return replace(trace, ranks=trace.ranks[: lengths.sum()], turn_lengths=lengths, labels=trace.labels[:turns])


# Totals


@pytest.mark.parametrize("basis", BASES)
@pytest.mark.parametrize("name", SYSTEMS)
def test_totals_are_the_sum_of_the_steps(name: str, basis: Basis) -> None:
    one = system(name, basis)
    run = simulate(one, TRACE, SHORT, TreePolicy(objective="edp"))
    costs = step_costs(one, SHORT.prompt_tokens, 12)
    ns = 0.0
    pj = dict.fromkeys(COMPONENTS, 0.0)
    tokens = passes = verified = 0
    steps = run.steps
    columns = steps.position, steps.l_spec, steps.committed, steps.heads, steps.moved
    for position, l_spec, committed, heads, moved in zip(*(column.tolist() for column in columns), strict=True):
        ns += costs.latency_ns[position, l_spec - 1] + costs.draft_ns[heads] + costs.compaction_ns[moved]
        for i, component in enumerate(COMPONENTS):
            pj[component] += costs.energy_pj[i, position, l_spec - 1] + costs.draft_pj[i, heads]
            pj[component] += costs.compaction_pj[i, moved]
        tokens, passes, verified = tokens + committed, passes + 1, verified + l_spec
    parts_mj = sum(pj.values()) / 1e9
    gpu = {"attacc": 400, "rtx3090": 350}.get(name.removesuffix("-spec"))
    board_mj = ns * gpu / 1e6 if gpu else parts_mj + ns * 3.3 / 1e6
    assert run.memory_and_macs.mj_per_token == pytest.approx(parts_mj / tokens, rel=1e-9)
    assert run.board is not None
    assert run.board.mj_per_token == pytest.approx(board_mj / tokens, rel=1e-9)
    counts_board = basis == "board" or (basis == "published" and name.startswith("rtx3090"))
    if counts_board:
        rest = board_mj * 1e9 if gpu else board_mj * 1e9 - sum(pj.values())
        pj = (dict.fromkeys(pj, 0.0) if gpu else pj) | {"static": pj["static"] * (not gpu) + rest}
    mj = board_mj if counts_board else parts_mj
    assert run.tokens == tokens == np.minimum(TRACE.turn_lengths, 12).sum()
    assert run.tokens_per_s == pytest.approx(tokens / ns * 1e9, rel=1e-9)
    assert run.tokens_per_j == pytest.approx(tokens / mj * 1e3, rel=1e-9)
    assert run.edp_s_mj == pytest.approx((ns / 1e9 / tokens) * (mj / tokens), rel=1e-9)
    assert run.average_power_w == pytest.approx(mj / 1e3 / (ns / 1e9), rel=1e-9)
    assert run.mean_acceptance_length == pytest.approx(tokens / passes)
    assert run.mean_l_spec == pytest.approx(verified / passes)
    assert run.energy_by_component_mj == pytest.approx({key: part / 1e9 / tokens for key, part in pj.items()}, rel=1e-9)
    assert sum(run.energy_by_component_mj.values()) == pytest.approx(run.mj_per_token, rel=1e-9)
    assert run.time_to_first_token_ms == pytest.approx(costs.prefill_ns / 1e6)


def test_autoregressive_systems_commit_one_token_per_pass() -> None:
    for name in ("npu", "pim", "attacc", "rtx3090"):
        run = simulate(system(name), TRACE, SHORT, TreePolicy(fixed=named_tree("mc_sim_7b_63")))
        assert set(run.steps.l_spec) == set(run.steps.committed) == {1}
        assert run.system.model.most_drafts == 0


# The policies


@pytest.mark.parametrize("rule", LEARNING_RULES)
@pytest.mark.parametrize(
    "policy",
    [
        TreePolicy(),
        TreePolicy(objective="energy"),
        TreePolicy(size=7),
        TreePolicy(heads="all"),
        TreePolicy(size=7, depth=2),
    ],
)
def test_a_run_takes_the_steps_of_the_readable_loop(policy: TreePolicy, rule: LearningRule) -> None:
    policy, trace, one = replace(policy, rule=rule), with_first(TRACE, 12), system("lp-spec")
    costs = step_costs(one, 128, 90)
    heads = 2 if policy.depth else one.model.most_drafts
    pruner = DraftTokenPruner(prior_accuracy(heads, trace.top_k), 64, rule, policy.memory)
    steps = decode_steps(one, trace, Workload(128, 90), policy, costs)
    expected = list(decode(trace.with_heads(heads), pruner, allowed_prices(costs, policy, heads, 90), 90))
    assert steps.position.tolist() == [step.position for step in expected]
    assert steps.l_spec.tolist() == [step.l_spec for step in expected]
    assert steps.committed.tolist() == [step.committed for step in expected]
    assert steps.heads.tolist() == [step.heads for step in expected]
    assert steps.moved.tolist() == [step.moved for step in expected]


def test_no_tree_is_deeper_than_what_is_left_to_generate() -> None:
    """Where turns are cut at 12 tokens; where they end by themselves nobody knows before."""
    one, last = system("lp-spec"), 12 - 1 - np.arange(12)
    costs = step_costs(one, 128, 12)
    heads = one.model.most_drafts
    free, cut = (allowed_prices(costs, TreePolicy(), heads, budget)[0] for budget in (None, 12))
    wanted = np.arange(heads + 1) <= last[:, None]
    assert np.isfinite(free).all()
    assert (cut == np.where(wanted[..., None], free, np.inf)).all()
    assert (allowed_prices(costs, TreePolicy(), heads, 99) == free).all()
    for policy in (TreePolicy(size=5), TreePolicy(heads="all")):  # what is given, or not told apart, stays
        assert (allowed_prices(costs, policy, heads, 12) == allowed_prices(costs, policy, heads)).all()


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize(("name", "all_worth"), [("lp-spec", False), ("npu-spec", True)])
def test_sizes_that_are_left_out_cannot_pay(name: str, all_worth: bool, objective: Objective) -> None:
    costs, most_tokens = step_costs(system(name), 128, 90), 5
    sizes, price = costs.sizes_worth(most_tokens), costs.prices(objective)[0]
    assert (sizes == price.shape[-1]) == all_worth
    alone = 1 / price[:, 0, 0]
    assert (most_tokens / price[..., sizes:] < alone[:, None, None]).all()
    assert (costs.prices(objective, sizes=sizes)[0] == price[..., :sizes]).all()


@pytest.mark.parametrize("pruner", [None, DraftTokenPruner])
def test_no_head_runs_for_tokens_beyond_the_last(pruner: PrunerFactory | None) -> None:
    policy, trace = TreePolicy(pruner=pruner), with_first(TRACE, 12)
    cut = simulate(system("lp-spec"), trace, Workload(128, 12), policy).steps
    assert (cut.heads <= 11 - cut.position).all()
    assert (cut.l_spec[cut.position == 11] == 1).all()
    whole = simulate(system("lp-spec"), trace, Workload(128), policy).steps
    assert whole.heads[whole.position == trace.turn_lengths[whole.turn] - 1].max() > 0


@pytest.mark.parametrize("size", [1, 2, 5, 64])
def test_a_size_is_the_size_of_every_step(size: int) -> None:
    run = simulate(system("lp-spec"), TRACE, SHORT, TreePolicy(size=size))
    assert set(run.steps.l_spec) == {size}


def test_a_size_that_the_heads_cannot_fill_is_refused() -> None:
    """One head of ten ranks drafts ten tokens: with the root a tree of 11, and none of 12."""
    trace = TRACE.with_heads(1)
    assert set(simulate(system("lp-spec"), trace, SHORT, TreePolicy(size=11)).steps.l_spec) == {11}
    with pytest.raises(InputError) as refused:
        simulate(system("lp-spec"), trace, SHORT, TreePolicy(size=12))
    assert str(refused.value) == (
        "a tree of 12 tokens is not possible: llama2-7b with trace 'vicuna-7b' has 1 draft head with lists of 10, "
        "which fill at most 11"
    )


def test_a_shape_that_lists_cannot_fill_is_refused() -> None:
    """One level of ten guesses is eleven tokens with the root."""
    policy = TreePolicy(size=12, depth=1)
    with pytest.raises(InputError, match=r"lists of 10, which fill at most 11 in a depth of 1$"):
        simulate(system("lp-spec"), TRACE, SHORT, policy)
    run = simulate(system("lp-spec"), TRACE, SHORT, TreePolicy(size=11, depth=1))
    assert set(run.steps.l_spec) == {11}
    assert set(run.steps.heads) == {1}
    with pytest.raises(InputError, match=r"^a tree 5 deep is not possible: llama2-7b .* has 4 draft heads"):
        simulate(system("lp-spec"), TRACE, SHORT, TreePolicy(size=12, depth=5))


def test_a_tree_deeper_than_the_heads_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"^a tree \d deep is not possible: llama2-7b with trace 'vicuna-7b' has 2 draft heads "
    ):
        simulate(system("lp-spec"), TRACE.with_heads(2), SHORT, TreePolicy(fixed=named_tree("mc_sim_7b_63")))


@pytest.mark.parametrize("fidelity", FIDELITIES)
@pytest.mark.parametrize("name", ["npu-spec", "lp-spec", "rtx3090-spec"])
def test_every_turn_takes_what_it_takes_alone(name: str, fidelity: Fidelity) -> None:
    """With trees of one size, which no turn before it has any say in, and every phase run by itself."""
    policy, machine = TreePolicy(fixed=named_tree("mc_sim_7b_63").prefix(7)), replace(system(name), exact=True)
    whole = simulate(machine, TRACE, SHORT, policy, fidelity).by_turn
    assert whole is not None
    assert len(whole.tokens) == TRACE.turns
    starts = np.cumsum(TRACE.turn_lengths) - TRACE.turn_lengths
    for turn in (0, 1, TRACE.turns - 1):
        length = TRACE.turn_lengths[turn : turn + 1]
        ranks = TRACE.ranks[starts[turn] : starts[turn] + length[0]]
        alone = simulate(
            machine, replace(TRACE, ranks=ranks, turn_lengths=length, labels=("one",)), SHORT, policy, fidelity
        )
        assert whole.tokens[turn] == alone.tokens
        assert whole.decode_ns[turn] == pytest.approx(alone.decode_ns, rel=1e-9)
        assert whole.memory_and_macs_pj[turn] == pytest.approx(alone.decode_pj.sum(), rel=1e-9)


@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_turns_add_up_to_the_run(fidelity: Fidelity) -> None:
    run = simulate(system("lp-spec"), TRACE, SHORT, TreePolicy(objective="edp"), fidelity)
    assert run.by_turn is not None
    assert run.by_turn.tokens.sum() == run.tokens
    assert run.by_turn.decode_ns.sum() == pytest.approx(run.decode_ns, rel=1e-12)
    assert run.by_turn.memory_and_macs_pj.sum() == pytest.approx(run.decode_pj.sum(), rel=1e-12)


@pytest.mark.parametrize("collects", [True, False])
def test_garbage_is_looked_for_again_after_a_run_whether_it_fails_or_not(
    collects: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        assert not gc.isenabled()
        raise InputError("no prices")

    system = make_system("lp-spec", MODEL, Scenario())
    if not collects:
        gc.disable()
    try:
        simulate(system, TRACE, SHORT, TreePolicy())
        assert gc.isenabled() == collects
        monkeypatch.setattr("lpspec.simulation.run.command_costs", fails)
        with pytest.raises(InputError, match="no prices"):
            simulate(system, TRACE, SHORT, TreePolicy(), "command")
        assert gc.isenabled() == collects
    finally:
        gc.enable()
