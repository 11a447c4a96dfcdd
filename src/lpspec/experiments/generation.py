"""Real text, and what platforms would have taken for its very steps."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lpspec.decoding.drafter import Drafter
from lpspec.decoding.drafters.medusa import Medusa
from lpspec.decoding.generate import Generation, Price, Step, fixed_size
from lpspec.decoding.machine_prices import MachinePrices, describe_machine
from lpspec.decoding.tokenizer import TextTokenizer
from lpspec.decoding.verification import Greedy, Sampling, Target, TypicalAcceptance, Verifier
from lpspec.errors import InputError
from lpspec.experiments.acceptance import PositionAcceptance, count_acceptance
from lpspec.experiments.decoder import ON_MACHINE, Decoder, load_decoder, prompt_tokens, unlearnt, warm_up
from lpspec.experiments.notes import basis_notes, drafting_notes
from lpspec.experiments.provenance import generation_provenance
from lpspec.experiments.step_pricing import live_costs, price_texts, with_real_heads
from lpspec.experiments.systems import check_changes, check_command_level, make_system
from lpspec.llm.loading import load_model
from lpspec.llm.model_spec import ModelSpec
from lpspec.machine.loading import load_profile
from lpspec.scenario import Request
from lpspec.scenario.names import MACHINE
from lpspec.scenario.scenario import DEFAULT, Scenario
from lpspec.simulation.run import Run, allowed_prices, most_depth
from lpspec.simulation.step_cost import StepCosts, step_costs
from lpspec.simulation.workload import System, TreePolicy, check_shape, tree_policy

ASKED = Request()
"""What is asked for where nothing is said."""


@dataclass(frozen=True, eq=False)
class Written:
    """The continuation of one prompt.

    Attributes:
        prompt: The prompt.
        prompt_tokens: Its length.
        text: What follows it.
        token_ids: The same as tokens.
        steps: The passes that made it; the first token comes from prefill.
        prefill_ns: Measured time of prefill.
    """

    prompt: str
    prompt_tokens: int
    text: str
    token_ids: tuple[int, ...]
    steps: tuple[Step, ...]
    prefill_ns: int


@dataclass(frozen=True, eq=False)
class Generated:
    """Texts, and what they would have taken.

    Attributes:
        request: What was asked for.
        written: One per prompt.
        runs: One per system that can run.
        acceptance: One per depth.
        priced_as: Name of the model that was priced.
        provenance: What the result was made from.
        notes: Options that have no effect, and weights that are computed otherwise than stored, one line each.
        left_out: Systems that cannot run, such as those that do not hold the model, with the reason.
    """

    request: Request
    written: tuple[Written, ...]
    runs: tuple[Run, ...]
    acceptance: tuple[PositionAcceptance, ...]
    priced_as: str
    provenance: dict[str, Any]
    notes: tuple[str, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def steps(self) -> list[Step]:
        """Steps of all texts."""
        return [step for text in self.written for step in text.steps]

    @property
    def tokens_per_step(self) -> float | None:
        """Tokens that a step added on average, those that the end cut short included; None where there was no step."""
        steps = self.steps
        return sum(len(step.tokens) for step in steps) / len(steps) if steps else None

    @property
    def measured_tokens_per_s(self) -> float | None:
        """Tokens per second of decoding on this machine; None where there was no step."""
        steps = self.steps
        spent_ns = sum(step.draft_ns + step.verify_ns + step.accept_ns for step in steps)
        return sum(len(step.tokens) for step in steps) / (spent_ns / 1e9) if steps else None


def generate(
    request: Request,
    prices: Callable[[Decoder, int], MachinePrices],
    say_text: Callable[[str], None] | None = None,
    say_done: Callable[[int], None] = lambda done: None,
) -> Generated:
    """Continue every prompt, and charge every system for the steps.

    Args:
        request: What is wanted.
        prices: Finds this machine's prices up to a context length; asked only for the objective ``machine``.
        say_text: Told pieces of text as they come.
        say_done: Told how many prompts are done.

    Raises:
        InputError: Anything asked for that cannot be.
    """
    scenario = _scenario(request)
    policy = _policy(request, scenario)
    _check_names(request)
    verifiers = [_verifier(request, number) for number in range(len(request.prompts))]
    priced = None if request.priced_as is None else load_model(request.priced_as)
    decoder = load_decoder(request.model, request.drafter, request.heads, policy, request.dtype, request.backend)
    prompts = prompt_tokens(decoder, request.prompts, request.new_tokens, request.chat)
    spec = priced or decoder.model.config.spec
    systems = _systems(scenario, spec, decoder.drafter)
    check_command_level(scenario, systems)
    on, left_out = _able(systems, lambda one: _costs(one, decoder.drafter, list(map(len, prompts)), request.new_tokens))
    first = on[0][1]
    machine = prices(decoder, max(map(len, prompts)) + request.new_tokens) if request.objective == MACHINE else None
    warm_up(decoder)
    texts: list[Written] = []
    for number, tokens in enumerate(prompts):
        verifier = verifiers[number]
        drafter = decoder.drafter if verifier.lossless else unlearnt(decoder.drafter)
        roots = len(tokens) - first.first_context + request.new_tokens - 1  # up to that of the last step
        price = _price(policy, decoder.drafter, first, machine, roots)
        generation = Generation(
            decoder.model, tokens, request.new_tokens, drafter, verifier, price, strict=request.strict
        )
        texts.append(_write(generation, decoder.tokenizer, request.prompts[number], len(tokens), say_text))
        say_done(len(texts))
    steps = [text.steps for text in texts]
    ran = [system for system, _ in on]
    asked = on if any(steps) else []  # a text may end with its first token
    runs = tuple(price_texts(system, cost, steps, policy, decoder.drafter, scenario.level) for system, cost in asked)
    sized_by = None if machine is None else machine.document()
    origin = generation_provenance(
        request, ran, policy, describe_machine(decoder.model, decoder.dtype), sized_by, scenario.level
    )
    return Generated(
        request,
        tuple(texts),
        runs,
        count_acceptance(steps),
        spec.name,
        origin,
        (*decoder.model.notes, *_notes(request, scenario, ran)),
        left_out,
    )


def _able(
    systems: Sequence[System], costs: Callable[[System], StepCosts]
) -> tuple[list[tuple[System, StepCosts]], tuple[tuple[str, str], ...]]:
    """Systems that can run with what steps cost on them, and why the others cannot.

    Raises:
        InputError: The first cannot, which trees are sized for.
    """
    able: list[tuple[System, StepCosts]] = []
    left_out: list[tuple[str, str]] = []
    for system in systems:
        try:
            able.append((system, costs(system)))
        except InputError as error:
            if not able:
                raise
            left_out.append((system.name, str(error)))
    return able, tuple(left_out)


def _notes(request: Request, scenario: Scenario, systems: Sequence[System]) -> tuple[str, ...]:
    given = {
        "--tree": request.tree != ASKED.tree,
        "--objective": request.objective != ASKED.objective,
        "--heads": request.heads is not None,
        "--seed": request.seed != ASKED.seed and request.temperature == 0,
    }
    return (*drafting_notes(request.drafter, given), *basis_notes(systems, scenario.basis, scenario.changes))


def _scenario(request: Request) -> Scenario:
    """What steps are priced on, and how trees are found.

    Raises:
        InputError: A value is not allowed.
    """
    same = ("systems", "tree", "objective", "basis", "energy_profile", "changes", "fidelity", "exact")
    wanted = {name: getattr(request, name) for name in same}
    on_machine = {"objective": "throughput", "learning": ON_MACHINE} if request.objective == MACHINE else {}
    return DEFAULT.replace(**wanted | on_machine)


def _policy(request: Request, scenario: Scenario) -> TreePolicy:
    policy = tree_policy(scenario)
    if request.objective == MACHINE and policy.depth is not None:
        raise InputError(f"objective {MACHINE} has no prices by depth: give --tree dtp or a size")
    return policy


def _verifier(request: Request, number: int) -> Verifier:
    """Who accepts drafts for one prompt; what it draws depends on no other prompt."""
    if request.temperature == 0 and (request.top_p != 1 or request.accept != "exact"):
        raise InputError("greedy decoding has neither top-p nor typical acceptance: give a temperature too")
    if request.temperature == 0:
        return Greedy()
    target = Target(request.temperature, request.top_p)
    seed = np.random.SeedSequence(request.seed, spawn_key=(number,))
    return Sampling(target, seed) if request.accept == "exact" else TypicalAcceptance(target, seed=seed)


def _check_names(request: Request) -> None:
    """Refuse what can be refused before a model is loaded."""
    if not request.prompts:
        raise InputError("there is no prompt")
    check_changes(request.systems, request.changes)
    load_profile(request.energy_profile)


def _systems(scenario: Scenario, model: ModelSpec, drafter: Drafter) -> list[System]:
    return [with_real_heads(make_system(name, model, scenario), drafter) for name in scenario.systems or ()]


def _costs(system: System, drafter: Drafter, prompt_lengths: Sequence[int], new_tokens: int) -> StepCosts:
    """Prices of all steps behind these prompts; prefill is that of a prompt of mean length."""
    first, last = min(prompt_lengths), max(prompt_lengths)
    costs = live_costs(system, drafter, first, last - first + new_tokens)
    typical = step_costs(system, round(sum(prompt_lengths) / len(prompt_lengths)), 1)
    return replace(costs, prefill_ns=typical.prefill_ns, prefill_pj=typical.prefill_pj)


def _price(policy: TreePolicy, drafter: Drafter, costs: StepCosts, machine: MachinePrices | None, roots: int) -> Price:
    """What the drafter sizes its trees by: the machine's prices, or else the first system's.

    Only Medusa heads are told what heads cost one by one, and that no tree should be deeper than the text goes on:
    ``roots`` contexts, from the shortest that is priced on, may have a root.
    """
    given = policy.size if policy.fixed is None else policy.fixed.size
    if given is not None and (machine is not None or not isinstance(drafter, Medusa)):
        return fixed_size(given)
    if machine is not None:
        return machine
    if not isinstance(drafter, Medusa):
        rows = costs.prices(policy.objective)[0, :, 0]
        return lambda context: rows[context - costs.first_context]
    check_shape(policy, drafter.depth, drafter.top_k, f"'{drafter.heads.model.config.spec.name}'")
    by_heads = allowed_prices(costs, policy, drafter.depth, roots)[0]
    by_heads[:, most_depth(policy, drafter.depth) + 1 :] = np.inf
    return lambda context: by_heads[context - costs.first_context]


def _write(
    generation: Generation, tokenizer: TextTokenizer, prompt: str, prompt_tokens: int, say: Callable[[str], None] | None
) -> Written:
    def tokens() -> Iterator[int]:
        yield from generation.tokens
        for step in generation:
            yield from step.tokens

    pieces: list[str] = []
    for piece in tokenizer.stream(tokens()):
        pieces.append(piece)
        if say is not None:
            say(piece)
    return Written(
        prompt, prompt_tokens, "".join(pieces), tuple(generation.tokens), tuple(generation.steps), generation.prefill_ns
    )
