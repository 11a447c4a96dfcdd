"""Run a system over a trace and add up what its steps took."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lpspec.allocation.migration import follow_placements
from lpspec.arrays import FloatArray, IntArray
from lpspec.devices.cost import COMPONENTS
from lpspec.llm.draft_work import drafter_kind, heads_of
from lpspec.scenario import Workload
from lpspec.scenario.names import Fidelity
from lpspec.simulation.command_cost import CommandCosts, command_costs
from lpspec.simulation.cooperating import accepted_by
from lpspec.simulation.decode_loop import decode
from lpspec.simulation.draft_cache import DraftCache
from lpspec.simulation.energy_basis import Efficiency, board_efficiency, counted_parts_pj, counted_pj
from lpspec.simulation.kernels import replay_fixed, replay_pruned
from lpspec.simulation.looked_up import looked_up
from lpspec.simulation.price_grid import priced
from lpspec.simulation.requests import refuse_served
from lpspec.simulation.step_cost import StepCosts, step_costs
from lpspec.simulation.step_order import check_order, is_pipelined, right_ahead, run_ahead, shared_share
from lpspec.simulation.steps import Steps
from lpspec.simulation.workload import PrunerFactory, System, TreePolicy, usable_drafts
from lpspec.speculation.kernels import make_growth
from lpspec.speculation.measured import prior_for
from lpspec.speculation.optimism import LEAST_CHANCE, make_runs
from lpspec.speculation.pruner import PRIOR_WEIGHT
from lpspec.speculation.rank_trace import RankTrace
from lpspec.speculation.settled import nothing_settled
from lpspec.speculation.token_tree import TokenTree, accepted_lengths


@dataclass(frozen=True)
class TurnTotals:
    """What every turn of a run took: float64 [turns] each.

    Attributes:
        tokens: Tokens generated.
        decode_ns: Time of its steps, and of weights moved before them.
        memory_and_macs_pj: Their energy.
    """

    tokens: FloatArray
    decode_ns: FloatArray
    memory_and_macs_pj: FloatArray


@dataclass(frozen=True)
class Run:
    """A system's decode steps over a workload, and their totals. Prefill is kept apart, as in the paper.

    Attributes:
        system: What ran.
        steps: Every step.
        decode_ns: Time of all steps, and of moving weights between them.
        decode_pj: float64 [components], their energy in memory and MACs, in the order of ``COMPONENTS``.
        migration_ns: Time of moving weights, part of ``decode_ns``.
        prefill_ns: Time of one prompt, which is the time to the first token.
        prefill_pj: Energy of one prompt in memory and MACs.
        fidelity: Which level priced it.
        by_turn: Turn by turn; None where a step's price is not of its turn alone.
        error_bound: Largest relative error of its time against exact runs of every phase; None where all are exact.
    """

    system: System
    steps: Steps
    decode_ns: float
    decode_pj: FloatArray
    migration_ns: float
    prefill_ns: float
    prefill_pj: float
    fidelity: Fidelity = "analytic"
    by_turn: TurnTotals | None = None
    error_bound: float | None = None

    @cached_property
    def tokens(self) -> int:
        """Tokens generated."""
        return int(self.steps.committed.sum())

    @property
    def tokens_per_s(self) -> float:
        """Decode throughput, tokens per second."""
        return self.tokens / (self.decode_ns / 1e9)

    @property
    def mj_per_token(self) -> float:
        """Decode energy per token on the energy basis of the platform, mJ."""
        return counted_pj(self.system.platform, float(self.decode_pj.sum()), self.decode_ns) / 1e9 / self.tokens

    @property
    def counted(self) -> Efficiency[float]:
        """What a token took on the energy basis of the platform."""
        return Efficiency(self.tokens_per_s, self.mj_per_token)

    @property
    def memory_and_macs(self) -> Efficiency[float]:
        """What a token took in memory and MACs alone."""
        return Efficiency(self.tokens_per_s, float(self.decode_pj.sum()) / 1e9 / self.tokens)

    @property
    def board(self) -> Efficiency[float] | None:
        """What a token took on the whole board or SoC; None for a platform that does not say."""
        return board_efficiency(self.system.platform, self.tokens, float(self.decode_pj.sum()), self.decode_ns)

    @property
    def prefill_mj(self) -> float:
        """Energy of one prompt on the energy basis of the platform, mJ."""
        return counted_pj(self.system.platform, self.prefill_pj, self.prefill_ns) / 1e9

    @property
    def tokens_per_j(self) -> float:
        """Energy efficiency, tokens per joule."""
        return self.counted.tokens_per_j

    @property
    def edp_s_mj(self) -> float:
        """Energy-delay product of a token, s x mJ."""
        return self.counted.edp_s_mj

    @property
    def average_power_w(self) -> float:
        """Power while decoding, W."""
        return self.counted.power_w

    @property
    def time_to_first_token_ms(self) -> float:
        """Time of the pass over the prompt, ms."""
        return self.prefill_ns / 1e6

    @property
    def mean_acceptance_length(self) -> float:
        """Tokens per verify pass, the root included."""
        return float(self.steps.committed.mean())

    @property
    def mean_l_spec(self) -> float:
        """Tokens verified per pass, the root included."""
        return float(self.steps.l_spec.mean())

    @property
    def l_spec_histogram(self) -> dict[int, int]:
        """How many passes verified how many tokens, smallest first."""
        sizes, counts = np.unique(self.steps.l_spec, return_counts=True)
        return dict(zip(sizes.tolist(), counts.tolist(), strict=True))

    @property
    def mean_heads(self) -> float:
        """Draft heads run per pass."""
        return float(self.steps.heads.mean())

    @property
    def migrations(self) -> int:
        """How often weights moved between ranks."""
        return int(np.count_nonzero(np.diff(self.steps.placement)))

    @property
    def energy_by_component_mj(self) -> dict[str, float]:
        """Decode energy per token by component, on the energy basis of the platform, mJ."""
        parts = counted_parts_pj(self.system.platform, self.decode_pj, self.decode_ns)
        return {name: float(pj) / 1e9 / self.tokens for name, pj in zip(COMPONENTS, parts, strict=True)}


@contextmanager
def _no_collection() -> Iterator[None]:
    """Leave garbage until a run is priced: its phases live until then, and to look through them took 5 % of all."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


@_no_collection()
def simulate(
    system: System, trace: RankTrace, workload: Workload, policy: TreePolicy, fidelity: Fidelity = "analytic"
) -> Run:
    """Decode every turn of a trace on a system.

    Args:
        system: The model on its machine.
        trace: What the draft heads would have predicted.
        workload: Prompt length, and tokens to generate per turn.
        policy: How trees are found; ignored when the system does not speculate.
        fidelity: ``command`` prices the steps taken by the memory's commands, where the system has a command level.

    Raises:
        InputError: The model does not fit, the heads of model or trace cannot fill the tree, or several are served.
    """
    refuse_served(workload)
    system, contexts = system.under(policy), int(turn_bounds(trace, workload)[:, 0].max())
    trace = accepted_by(system, trace)
    costs = step_costs(system, workload.prompt_tokens, contexts)
    steps = decode_steps(system, trace, workload, policy, costs)
    asked = system, workload.prompt_tokens, contexts, costs.allocator
    commands = command_costs(*asked) if fidelity == "command" else None
    return price_steps(system, costs, steps) if commands is None else price_by_commands(system, commands, steps)


def turn_bounds(trace: RankTrace, workload: Workload) -> IntArray:
    """Tokens to generate, and tokens in the trace, of every turn: int64 [turns, 2]."""
    lengths = trace.turn_lengths.astype(np.int64)
    wanted = lengths if workload.new_tokens is None else np.minimum(lengths, workload.new_tokens)
    return np.column_stack([wanted, lengths])


def decode_steps(system: System, trace: RankTrace, workload: Workload, policy: TreePolicy, costs: StepCosts) -> Steps:
    """Replay a trace under a policy, with ``costs`` as the hardware estimator of the pruner."""
    check_order(system)
    steps = put_in_place(costs.cache, _decode_steps(system, trace, workload, policy, costs), costs.first_context)
    if is_pipelined(system):
        steps = replace(steps, right_ahead=right_ahead(trace, steps))
    return steps


def put_in_place(cache: DraftCache, steps: Steps, first_context: int) -> Steps:
    """Steps whose ``moved`` says what is put in place after each; turns begin after so many tokens."""
    context = first_context + steps.position
    return replace(steps, moved=cache.put_in_place(steps.l_spec, steps.committed, steps.moved, context))


def _decode_steps(system: System, trace: RankTrace, workload: Workload, policy: TreePolicy, costs: StepCosts) -> Steps:
    turns = turn_bounds(trace, workload)
    if not system.speculates:
        return place_steps(_replay_fixed(TokenTree.from_paths([]), trace.ranks[:, :0], turns), policy, costs)
    heads = usable_drafts(system.model, [trace], policy)
    if policy.fixed is not None:
        steps = _replay_fixed(policy.fixed, trace.ranks[:, :heads], turns)
        return place_steps(replace(steps, heads=_charged(steps.heads, system, policy, heads)), policy, costs)
    if policy.pruner is not None:
        return _replay_added(policy.pruner, system, trace, workload, policy, costs)
    return _replay_pruned(system, trace, workload, policy, costs)


def place_steps(steps: Steps, policy: TreePolicy, costs: StepCosts) -> Steps:
    """Steps that don't depend on where the weights lie, moved as their prices under the policy's objective ask for."""
    if costs.placements is None:
        return replace(steps, placement=np.zeros_like(steps.position))
    rows = range(int(steps.heads.max()) + 1)
    price = costs.prices(policy.objective, rows)[:, steps.position, steps.heads, steps.l_spec - 1].T
    placement = np.empty_like(steps.placement)
    follow_placements(np.ascontiguousarray(price), costs.move_price(policy.objective), placement)
    return replace(steps, placement=placement)


def price_steps(system: System, costs: StepCosts, steps: Steps) -> Run:
    """Look up every step in a price list and add up."""
    step_ns, step_pj, decode_pj, migration_ns = looked_up(costs, steps)
    if steps.right_ahead is not None:
        draft_ns, draft_pj = costs.drafted(steps.position, steps.l_spec, steps.committed, steps.heads)
        shared = shared_share(system, costs.allocator, costs.first_context, steps)
        saved_ns, lost_pj = run_ahead(steps.right_ahead, shared, step_ns - draft_ns, draft_ns, draft_pj, step_pj[None])
        step_ns, step_pj, decode_pj = step_ns - saved_ns, step_pj + lost_pj.sum(axis=0), decode_pj + lost_pj.sum(axis=1)
    totals = float(step_ns.sum()), decode_pj, migration_ns, costs.prefill_ns, float(costs.prefill_pj.sum())
    turn = steps.turn
    by_turn = TurnTotals(*(_summed(turn, part) for part in (steps.committed, step_ns, step_pj)))
    return Run(system, steps, *totals, by_turn=by_turn)


def _summed(turn: IntArray, part: IntArray | FloatArray) -> FloatArray:
    """float64 [turns], the sum of a figure over the steps of each turn."""
    return np.bincount(turn, part).astype(np.float64)


def price_by_commands(system: System, costs: CommandCosts, steps: Steps) -> Run:
    """Price every step at command level and add up."""
    moving = costs.migrations(steps.placement, turn := steps.turn)
    decode = costs.decode(steps.position, steps.l_spec, steps.moved, steps.placement, steps.heads, turn)
    decode += costs.drafting(steps.position, steps.l_spec, steps.committed, steps.placement, steps.heads, turn)
    turn_ns, turn_pj = priced(system, decode + moving, (1, int(turn[-1]) + 1))
    if steps.right_ahead is not None:
        saved_ns, lost_pj = _run_ahead_by_commands(system, costs, steps)
        turn_ns = turn_ns - _summed(turn, saved_ns)
        turn_pj = turn_pj + np.stack([_summed(turn, component) for component in lost_pj])[:, None]
    totals = float(turn_ns.sum()), turn_pj.sum(axis=(1, 2)), float(np.sum(moving.latency_ns))
    prefill_ns, prefill_pj = (float(part.sum()) for part in priced(system, costs.prefill(costs.first_context), (1, 1)))
    of_turns = TurnTotals(_summed(turn, steps.committed), turn_ns[0], turn_pj.sum(axis=(0, 1)))
    return Run(system, steps, *totals, prefill_ns, prefill_pj, "command", of_turns, costs.error_bound)


def _run_ahead_by_commands(system: System, costs: CommandCosts, steps: Steps) -> tuple[FloatArray, FloatArray]:
    """What running ahead saves and loses in each step, arguments and result as for ``run_ahead``."""
    assert steps.right_ahead is not None
    each, shape = np.arange(len(steps.position)), (1, len(steps.position))
    verify = costs.decode(steps.position, steps.l_spec, steps.moved, steps.placement, steps.heads, each)
    draft = costs.drafting(steps.position, steps.l_spec, steps.committed, steps.placement, steps.heads, each)
    (verify_ns, verify_pj), (draft_ns, draft_pj) = priced(system, verify, shape), priced(system, draft, shape)
    shared, pj = shared_share(system, costs.allocator, costs.first_context, steps), (verify_pj + draft_pj)[:, 0]
    return run_ahead(steps.right_ahead, shared, verify_ns[0], draft_ns[0], draft_pj[:, 0], pj)


def allowed_prices(
    costs: StepCosts, policy: TreePolicy, heads: int, new_tokens: int | None = None, sizes: int | None = None
) -> FloatArray:
    """The pruner's price lists: float64 [placements, contexts, rows, sizes], rows as for ``Pruner.choose``.

    Of a given size, only that has a price. Of others, none has one that is deeper than what is left to generate, since
    nobody wants its leaves.

    Args:
        costs: Of all steps.
        policy: What trees may be.
        heads: Those that trees may use; where all run, those of the model do.
        new_tokens: Tokens to generate per turn at most; None where nobody knows when a turn ends.
        sizes: The first ones that are priced; all if left out.
    """
    every = max(len(costs.draft_ns) - 1, heads)
    price = costs.prices(policy.objective, (0, every) if policy.heads == "all" else range(heads + 1), sizes)
    if policy.size is not None:
        price[..., : policy.size - 1] = np.inf
        price[..., policy.size :] = np.inf
    elif new_tokens is not None and policy.heads != "all":
        for left in range(min(heads, new_tokens)):
            price[:, new_tokens - 1 - left :, left + 1 :] = np.inf
    return price


def most_depth(policy: TreePolicy, heads: int) -> int:
    """Levels that the policy's trees can have: no more than there are heads."""
    if policy.size is None:
        return heads
    return min(heads, policy.size - 1 if policy.depth is None else policy.depth)


def _replay_pruned(system: System, trace: RankTrace, workload: Workload, policy: TreePolicy, costs: StepCosts) -> Steps:
    turns = turn_bounds(trace, workload)
    there = min(system.model.most_drafts, trace.heads)
    heads = most_depth(policy, there)
    sizes = policy.size
    if sizes is None and policy.rule != "verified-nodes":  # there chances of a list may add up to more than 1
        sizes = costs.sizes_worth((heads + 1) / (1 - LEAST_CHANCE) ** heads)
    price = allowed_prices(costs, policy, heads, workload.new_tokens, sizes)
    accuracy, out = (
        prior_for(drafter_kind(system.model), trace, heads, trace.top_k),
        np.empty((6, int(turns[:, 0].sum())), np.int64),
    )
    steps = replay_pruned(
        trace.of_first_heads(heads),
        turns,
        price,
        accuracy,
        np.full_like(accuracy, PRIOR_WEIGHT),
        policy.rule != "verified-nodes",
        policy.rule == "chain-feedback",
        policy.memory,
        policy.standard_errors,
        make_runs((1, *accuracy.shape), PRIOR_WEIGHT),
        make_growth(heads, trace.top_k, price.shape[-1]),
        nothing_settled(price, heads, trace.top_k),
        costs.move_price(policy.objective),
        out,
    )
    l_spec, committed, position, placement, ran, moved = out[:, :steps]
    return Steps(position, l_spec, committed, placement, _charged(ran, system, policy, there), moved)


def _charged(heads_run: IntArray, system: System, policy: TreePolicy, levels: int) -> IntArray:
    """Heads to pay for: where all run, those too that no tree can use; of a network, the levels that the trace has."""
    every = heads_of(system.model) or levels
    return np.where(heads_run > 0, every, 0) if policy.heads == "all" else heads_run


def _replay_added(
    factory: PrunerFactory,
    system: System,
    trace: RankTrace,
    workload: Workload,
    policy: TreePolicy,
    costs: StepCosts,
) -> Steps:
    """Run a user-defined pruner in the readable loop."""
    trace = trace.with_heads(min(system.model.most_drafts, trace.heads))
    pruner = factory(prior_for(drafter_kind(system.model), trace, trace.heads, trace.top_k))
    price = allowed_prices(costs, policy, trace.heads, workload.new_tokens)
    move = costs.move_price(policy.objective)
    rows = [
        (step.position, step.l_spec, step.committed, step.placement, step.heads, step.moved)
        for step in decode(trace, pruner, price, workload.new_tokens, move)
    ]
    steps = Steps(*np.array(rows, np.int64).T)
    return replace(steps, heads=_charged(steps.heads, system, policy, trace.heads))


def _replay_fixed(tree: TokenTree, ranks: NDArray[np.int8], turns: IntArray) -> Steps:
    accepted, in_place = (accepted_lengths(part, ranks).astype(np.int64) for part in (tree, tree.trunk()))
    out = np.empty((4, int(turns[:, 0].sum())), np.int64)
    steps = replay_fixed(accepted, in_place, turns, tree.size, *out)
    l_spec, committed, position, moved = out[:, :steps]
    return Steps(position, l_spec, committed, np.zeros_like(position), np.full_like(position, tree.max_depth), moved)
