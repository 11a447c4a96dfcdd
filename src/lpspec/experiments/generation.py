"""Real text, and what platforms would have taken for its very steps."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from lpspec.decoding.drafter import Drafter
from lpspec.decoding.drafters.medusa import Medusa
from lpspec.decoding.generate import Generation, Price, Step, fixed_size
from lpspec.decoding.machine_prices import MachinePrices, describe_machine
from lpspec.decoding.tokenizer import TextTokenizer
from lpspec.decoding.verification import Greedy, Sampling, Target, TypicalAcceptance, Verifier
from lpspec.errors import InputError, unknown_name
from lpspec.experiments.acceptance import PositionAcceptance, count_acceptance
from lpspec.experiments.decoder import ON_MACHINE, Decoder, load_decoder, prompt_tokens, unlearnt, warm_up
from lpspec.experiments.notes import basis_notes, drafting_notes
from lpspec.experiments.provenance import generation_provenance
from lpspec.experiments.step_pricing import live_costs, price_texts, priced_model
from lpspec.experiments.systems import BASES, check_changes, make_system
from lpspec.llm.loading import load_model
from lpspec.llm.model_spec import ModelSpec
from lpspec.machine.loading import load_profile
from lpspec.simulation.run import Run, allowed_prices, check_shape, most_depth
from lpspec.simulation.step_cost import StepCosts, step_costs
from lpspec.simulation.workload import OBJECTIVES, System, TreePolicy, parse_fidelity, parse_tree

MACHINE = "machine"
"""The objective of real speed here, by calibrated prices."""

ACCEPT = ("exact", "typical")
"""How drafts are accepted when sampling."""


@dataclass(frozen=True)
class Request:
    """What to generate, and on what to price it.

    Attributes:
        prompts: One or several.
        model: ``demo``, a model folder, or a hub id.
        drafter: Who drafts.
        heads: Weights of the drafter; None for those inside the model's folder.
        systems: Platforms; trees are sized for the first, and all are charged for the steps.
        tree: ``dtp``, a size, or a published tree.
        objective: ``throughput``, ``energy``, ``edp``, or ``machine`` for real speed on this machine.
        new_tokens: Tokens to generate per prompt.
        temperature: 0 for greedy decoding.
        top_p: Share of probability kept when sampling.
        seed: Of sampling; each prompt draws from its own stream, by its place among the prompts.
        accept: ``exact``, or ``typical``: more drafts, but no longer the model's own distribution.
        priced_as: Model whose dimensions are priced; None for the model's own.
        basis: ``equal``, ``board`` or ``published``.
        energy_profile: Shipped name or path.
        changes: Constants of the platforms to change.
        dtype: Precision on this machine.
        strict: Compute every row by the same kernels whatever the tree.
        fidelity: ``analytic``, or ``command``: what prices the steps; trees are sized in closed form.
    """

    prompts: tuple[str, ...]
    model: str = "demo"
    drafter: str = "medusa"
    heads: str | None = None
    systems: tuple[str, ...] = ("lp-spec",)
    tree: str = "dtp"
    objective: str = "edp"
    new_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    accept: str = "exact"
    priced_as: str | None = None
    basis: str = "equal"
    energy_profile: str = "attacc"
    changes: dict[str, str] = field(default_factory=dict)
    dtype: str = "float32"
    strict: bool = False
    fidelity: str = "analytic"


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
        runs: One per system.
        acceptance: One per depth.
        priced_as: Name of the model that was priced.
        provenance: What the result was made from.
        notes: Options that have no effect, one line each.
    """

    request: Request
    written: tuple[Written, ...]
    runs: tuple[Run, ...]
    acceptance: tuple[PositionAcceptance, ...]
    priced_as: str
    provenance: dict[str, Any]
    notes: tuple[str, ...] = ()

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
    policy, fidelity = tree_policy(request), parse_fidelity(request.fidelity)
    _check_names(request)
    verifiers = [_verifier(request, number) for number in range(len(request.prompts))]
    priced = None if request.priced_as is None else load_model(request.priced_as)
    decoder = load_decoder(request.model, request.drafter, request.heads, policy, request.dtype)
    prompts = prompt_tokens(decoder, request.prompts, request.new_tokens)
    spec = priced or decoder.model.config.spec
    systems = _systems(request, priced_model(spec, decoder.drafter))
    costs = [_costs(system, decoder.drafter, list(map(len, prompts)), request.new_tokens) for system in systems]
    machine = prices(decoder, max(map(len, prompts)) + request.new_tokens) if request.objective == MACHINE else None
    price = _price(policy, decoder.drafter, costs[0], machine)
    warm_up(decoder)
    texts: list[Written] = []
    for number, tokens in enumerate(prompts):
        verifier = verifiers[number]
        drafter = decoder.drafter if verifier.lossless else unlearnt(decoder.drafter)
        generation = Generation(
            decoder.model, tokens, request.new_tokens, drafter, verifier, price, strict=request.strict
        )
        texts.append(_write(generation, decoder.tokenizer, request.prompts[number], len(tokens), say_text))
        say_done(len(texts))
    steps = [text.steps for text in texts]
    on = list(zip(systems, costs, strict=True)) if any(steps) else []  # a text may end with its first token
    runs = tuple(price_texts(system, cost, steps, policy, decoder.drafter, fidelity) for system, cost in on)
    sized_by = None if machine is None else machine.document()
    origin = generation_provenance(
        asdict(request), systems, policy, describe_machine(decoder.model, decoder.dtype), sized_by, fidelity
    )
    return Generated(request, tuple(texts), runs, count_acceptance(steps), spec.name, origin, _notes(request, systems))


def _notes(request: Request, systems: Sequence[System]) -> tuple[str, ...]:
    given = {
        "--tree": request.tree != "dtp",
        "--objective": request.objective != "edp",
        "--heads": request.heads is not None,
        "--seed": request.seed != 0 and request.temperature == 0,
    }
    basis = next(basis for basis in BASES if basis == request.basis)
    return (*drafting_notes(request.drafter, given), *basis_notes(systems, basis, request.changes))


def tree_policy(request: Request) -> TreePolicy:
    """How the request wants trees found.

    Raises:
        InputError: Tree or objective is unknown.
    """
    if request.objective not in (*OBJECTIVES, MACHINE):
        raise unknown_name("objective", request.objective, (*OBJECTIVES, MACHINE))
    if request.objective == MACHINE:
        policy = parse_tree(request.tree, "throughput", ON_MACHINE)
        if policy.depth is not None:
            raise InputError(f"objective {MACHINE} has no prices by depth: give --tree dtp or a size")
        return policy
    return parse_tree(request.tree, request.objective)


def _verifier(request: Request, number: int) -> Verifier:
    """Who accepts drafts for one prompt; what it draws depends on no other prompt."""
    if request.accept not in ACCEPT:
        raise unknown_name("acceptance", request.accept, ACCEPT)
    if request.temperature == 0 and (request.top_p != 1 or request.accept != "exact"):
        raise InputError("greedy decoding has neither top-p nor typical acceptance: give a temperature too")
    if request.seed < 0:
        raise InputError(f"seed {request.seed} is not possible: 0 is the least")
    if request.temperature == 0:
        return Greedy()
    target = Target(request.temperature, request.top_p)
    seed = np.random.SeedSequence(request.seed, spawn_key=(number,))
    return Sampling(target, seed) if request.accept == "exact" else TypicalAcceptance(target, seed=seed)


def _check_names(request: Request) -> None:
    """Refuse what can be refused before a model is loaded."""
    if request.basis not in BASES:
        raise unknown_name("basis", request.basis, BASES)
    if not request.prompts:
        raise InputError("there is no prompt")
    if request.new_tokens < 2:
        raise InputError(
            f"{request.new_tokens} new tokens leave no step to price: 2 are the least, since the first is prefill's"
        )
    check_changes(request.systems, request.changes)
    load_profile(request.energy_profile)


def _systems(request: Request, model: ModelSpec) -> list[System]:
    profile = load_profile(request.energy_profile)
    basis = next(known for known in BASES if known == request.basis)
    return [make_system(name, model, profile, basis, request.changes) for name in dict.fromkeys(request.systems)]


def _costs(system: System, drafter: Drafter, prompt_lengths: Sequence[int], new_tokens: int) -> StepCosts:
    """Prices of all steps behind these prompts; prefill is that of a prompt of mean length."""
    first, last = min(prompt_lengths), max(prompt_lengths)
    costs = live_costs(system, drafter, first, last - first + new_tokens)
    typical = step_costs(system, round(sum(prompt_lengths) / len(prompt_lengths)), 1)
    return replace(costs, prefill_ns=typical.prefill_ns, prefill_pj=typical.prefill_pj)


def _price(policy: TreePolicy, drafter: Drafter, costs: StepCosts, machine: MachinePrices | None) -> Price:
    """What the drafter sizes its trees by: the machine's prices, or else the first system's.

    Only Medusa heads are told what heads cost one by one.
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
    by_heads = allowed_prices(costs, policy, drafter.depth)[0]
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
