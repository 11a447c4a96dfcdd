"""What drafters compute: Medusa's heads, a network that drafts one level of the tree per pass, or nothing.

A network reads the newly committed tokens first, which fills its own cache, and guesses behind the last of them; every
further pass reads the drafts of a level that have drafts behind them. Of several networks alike each drafts one level:
it reads what was committed, and then the drafts of all levels above, since each has a cache of its own.

``DRAFT_WORK`` makes a model with its drafter by name, from the model and what stands behind a colon:
``draft-model:llama3.2-1b``.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt

from lpspec.errors import InputError, shown
from lpspec.llm.counts import Count
from lpspec.llm.layer import LayerGroup
from lpspec.llm.layers import COMPARE_OPS, SOFTMAX_OPS
from lpspec.llm.llama_spec import llama_spec
from lpspec.llm.loading import load_model
from lpspec.llm.medusa_heads import MedusaHeads
from lpspec.llm.model_spec import ModelSpec, step_tensor
from lpspec.llm.operators import Operator, Pass, step_operators
from lpspec.llm.steps import Product, Vector
from lpspec.llm.structure import SHARED_HEAD, CountedStep, Structure
from lpspec.llm.weights import Tensor
from lpspec.plugins import Registry

MOST_DRAFTS = 63
"""Levels that a network may draft: a tree has 64 tokens at most."""

EAGLE3_VOCABULARY = 32_000
"""Tokens that EAGLE-3's head knows. Source: ``draft_vocab_size`` of yuhuili/EAGLE3-LLaMA3.1-Instruct-8B."""

EAGLE3_TAPS = 3
"""Layers of the model whose hidden states EAGLE-3 fuses: a low, a middle and a high one (arXiv 2503.01840)."""


class DraftNetwork(BaseModel):
    """The network of a drafter that drafts level by level."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    kind: str
    """What its operators are named after."""
    body: ModelSpec
    """Its embedding, layers and head."""
    mixed: NonNegativeInt = 0
    """Vectors side by side, such as embedding and hidden state, that a product mixes to one before the layers."""
    attended: PositiveInt = 1
    """Vectors side by side that queries, keys and values are made of."""
    fused: NonNegativeInt = 0
    """Hidden states of the model that a product fuses to one, for every committed token."""
    input_norms: NonNegativeInt = 0
    """Norms of what goes in."""
    copies: PositiveInt = 1
    """Networks alike with weights and caches of their own, of which the first drafts the first level, and so on; one
    alone drafts every level."""
    is_bare: bool = False
    """True without the norms before the attention and before the head."""
    shares_embedding: bool = True
    """True where its embedding is the model's."""
    shares_head: bool = True
    """True where its head is the model's."""

    @property
    def most_drafts(self) -> int:
        """Levels that it drafts at most."""
        return MOST_DRAFTS if self.copies == 1 else self.copies

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes that one token adds to its caches, before any window is full."""
        return self.copies * self.body.kv_bytes_per_token

    def cache_bytes(self, context: int) -> int:
        """Bytes kept between passes after so many tokens."""
        return self.copies * self.body.cache_bytes(context)

    def name(self, of: str) -> str:
        """What an operator or tensor of the body is called beside those of the model."""
        return f"{self.kind.replace('-', '_')}_{of}"

    def layer_steps(self, fills: bool) -> Iterator[CountedStep]:
        """All before the head; ``fills`` where committed tokens are read, whose hidden states are fused."""
        first, last = ({step.name for step in steps} for steps in (self.body.first_steps(), self.body.last_steps()))
        hidden, entered = self.body.hidden_size, False
        for step, layers, runs in self.body.steps():
            if not entered and step.name not in first:
                entered = True
                yield from self._entry(hidden, fills)
            if step.name in last or (self.is_bare and step.name == "attention_norm"):
                continue
            named = replace(step, name=self.name(step.name))
            if isinstance(named, Product) and step.name == "qkv":
                named = replace(named, k=named.k * self.attended)
            yield CountedStep(named, layers, runs)

    def _entry(self, hidden: int, fills: bool) -> Iterator[CountedStep]:
        if self.fused and fills:
            yield CountedStep(Product(self.name("fuse"), self.fused * hidden, hidden, "ffn_up"), 1, 1)
        for place in range(self.input_norms):
            norm = self.body.norm.vector(self.name(f"input_norm_{place + 1}"), hidden)
            yield CountedStep(norm, 1, 1)
        if self.mixed:
            yield CountedStep(Product(self.name("mix"), self.mixed * hidden, hidden, "ffn_up"), 1, 1)

    def head_steps(self, model: ModelSpec) -> Iterator[CountedStep]:
        """From hidden states to probabilities of guesses."""
        vocabulary = model.vocab_size if self.shares_head else self.body.vocab_size
        for step in self.body.last_steps():
            if step.name == SHARED_HEAD and self.shares_head:
                yield CountedStep(Product(SHARED_HEAD, self.body.hidden_size, vocabulary, "head"), 1, 1)
            elif step.name != "argmax" and not (self.is_bare and step.name == "final_norm"):
                yield CountedStep(replace(step, name=self.name(step.name)), 1, 1)
        for what, ops in (("confidence", SOFTMAX_OPS), ("top_k", COMPARE_OPS)):
            yield CountedStep(Vector(self.name(what), vocabulary, ops), 1, 1)

    def tensors(self, model: ModelSpec) -> tuple[Tensor, ...]:
        """Weights of its own."""
        shared = {SHARED_HEAD} if self.shares_head else set()
        shared |= {self.name("embedding")} if self.shares_embedding else set()
        if self.body.tied_embeddings and not self.shares_head:
            shared |= {self.name(SHARED_HEAD)}
        steps = (*self.layer_steps(fills=True), *self.head_steps(model))
        found = (step_tensor(step, layers * self.copies) for step, layers, _ in steps)
        return tuple(tensor for tensor in found if tensor is not None and tensor.name not in shared)


class Drafter(BaseModel):
    """Who drafts for a model; without heads or a network it costs nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: str
    network: DraftNetwork | None = None
    heads: MedusaHeads | None = None

    @property
    def most_drafts(self) -> int:
        """Levels that a tree can have: one per head."""
        if self.heads is not None:
            return self.heads.count
        return MOST_DRAFTS if self.network is None else self.network.most_drafts


class DraftedModel(ModelSpec):
    """A model and its drafter."""

    drafter: Drafter

    @property
    def most_drafts(self) -> int:
        """Levels that its trees can have."""
        return self.drafter.most_drafts

    @property
    def draft_weight_bytes(self) -> int:
        """Bytes resident for the drafter, beside what it shares with the model."""
        network, heads = self.drafter.network, self.drafter.heads
        if heads is not None:
            return self.stored_bytes(*heads.tensors(self))
        return 0 if network is None else network.body.stored_bytes(*network.tensors(self))

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes that one token adds to the caches of model and drafter, before any window is full."""
        network = self.drafter.network
        return super().kv_bytes_per_token + (0 if network is None else network.kv_bytes_per_token)

    def cache_bytes(self, context: int) -> int:
        """Bytes kept between passes after so many tokens, by model and drafter."""
        network = self.drafter.network
        return super().cache_bytes(context) + (0 if network is None else network.cache_bytes(context))


def network_of(model: ModelSpec) -> DraftNetwork | None:
    """The network that drafts for a model, level by level; None for heads, or where nothing is computed."""
    return model.drafter.network if isinstance(model, DraftedModel) else None


def drafter_kind(model: ModelSpec) -> str:
    """The kind of the drafter of a model."""
    return model.drafter.kind if isinstance(model, DraftedModel) else "none"


def heads_of(model: ModelSpec) -> int:
    """Heads that draft for a model; 0 for a network, or where nothing is computed."""
    return model.drafter.heads.count if isinstance(model, DraftedModel) and model.drafter.heads is not None else 0


@lru_cache(maxsize=256)
def draft_operators(model: ModelSpec, heads: int | None = None, tokens: int = 1) -> tuple[Operator, ...]:
    """The draft heads on hidden states of last accepted tokens; empty where none run.

    Args:
        model: The decoder.
        heads: How many run, the first ones; all if left out.
        tokens: Hidden states, one for each request.
    """
    heads = heads_of(model) if heads is None else heads
    if not isinstance(model, DraftedModel) or model.drafter.heads is None or heads == 0:
        return ()
    return step_operators(model, model.drafter.heads.steps(model, heads), Pass(tokens, 0, tokens))


def level_operators(
    model: ModelSpec, tokens: Count, context: Count, guessing: Count, fills: bool = False
) -> tuple[Operator, ...]:
    """One pass through the network that drafts, in the order of execution; empty without one.

    Confidence is a probability, hence the softmax.

    Args:
        model: The decoder.
        tokens: What the pass reads: newly committed tokens for the first level, nodes to look beyond for the others.
        context: Tokens and nodes already in the network's cache.
        guessing: Of the tokens, those whose successors are guessed.
        fills: Whether the tokens are committed ones, whose hidden states come from the model.
    """
    return level_layers(model, tokens, context, fills) + level_head(model, guessing)


def level_layers(model: ModelSpec, tokens: Count, context: Count, fills: bool = False) -> tuple[Operator, ...]:
    """That pass up to the head; arguments as for ``level_operators``."""
    if (network := network_of(model)) is None:
        return ()
    return step_operators(network.body, network.layer_steps(fills), Pass(tokens, context, tokens))


def level_head(model: ModelSpec, guessing: Count) -> tuple[Operator, ...]:
    """The head of such a pass, from hidden states to probabilities of guesses; it does not look at the context."""
    if (network := network_of(model)) is None:
        return ()
    return step_operators(network.body, network.head_steps(model), Pass(guessing, 0, guessing))


def resident_levels(model: ModelSpec) -> tuple[Operator, ...]:
    """One token's operators of all networks that draft, which hold what weights and caches are the drafter's own."""
    if (network := network_of(model)) is None:
        return ()
    return _of_all(network, (op for op in level_operators(model, 1, 0, 1, fills=True) if op.name != SHARED_HEAD))


def _of_all(network: DraftNetwork, operators: Iterable[Operator]) -> tuple[Operator, ...]:
    """The same operators of every network alike."""
    return tuple(replace(op, count=op.count * network.copies) for op in operators)


def draft_prompt_operators(model: ModelSpec, prompt_tokens: Count) -> tuple[Operator, ...]:
    """The pass of the network over the prompt, which fills its cache; what it guesses belongs to the first step."""
    if (network := network_of(model)) is None:
        return ()
    one = step_operators(network.body, network.layer_steps(fills=True), Pass(prompt_tokens, 0, 1, causal=True))
    return _of_all(network, one)


# Drafters by name

MakeDrafted = Callable[[ModelSpec, str], ModelSpec]
"""Gives a model its drafter; the text is what stands behind the colon, empty for most."""


def drafted(model: ModelSpec, text: str) -> ModelSpec:
    """A model with the drafter of a text such as ``eagle3`` or ``draft-model:llama3.2-1b``.

    Raises:
        InputError: There is no such drafter, or it does not suit the model.
    """
    kind, colon, argument = text.partition(":")
    made = DRAFT_WORK.load(kind)
    if bool(colon) != (kind == "draft-model") and kind in _PLAIN:
        needs = "a model behind a colon, such as draft-model:llama3.2-1b" if not colon else "nothing behind its name"
        raise InputError(f"drafter '{shown(text, 40)}': {kind} takes {needs}")
    try:
        return made(undrafted(model), argument)
    except InputError as error:
        raise InputError(f"drafter {shown(text, 40)}: {error}") from None


def undrafted(model: ModelSpec) -> ModelSpec:
    """A model without its drafter."""
    if not isinstance(model, DraftedModel):
        return model
    return ModelSpec.model_validate({field: value for field, value in model if field != "drafter"})


def with_heads(model: ModelSpec, count: int) -> ModelSpec:
    """A model with so many Medusa heads, or none."""
    return _with(model, Drafter(kind="medusa", heads=MedusaHeads(count=count))) if count else undrafted(model)


@lru_cache(maxsize=64)
def _medusa(model: ModelSpec, argument: str) -> ModelSpec:
    return _with(model, Drafter(kind="medusa", heads=MedusaHeads()))


def _none(model: ModelSpec, argument: str) -> ModelSpec:
    return model


def _prompt_lookup(model: ModelSpec, argument: str) -> ModelSpec:
    return _with(model, Drafter(kind="prompt-lookup"))


def _eagle(model: ModelSpec, argument: str) -> ModelSpec:
    """EAGLE-1 and 2: a layer as the model's, behind a product of embedding and hidden state (arXiv 2406.16858)."""
    body = _body(model, (LayerGroup(count=1, layer=model.plain_layer),))
    return _with_network(model, DraftNetwork(kind="eagle", body=body, mixed=2, is_bare=True))


def _eagle3(model: ModelSpec, argument: str) -> ModelSpec:
    """EAGLE-3: a Llama layer that attends over embedding and hidden state, a small vocabulary, three fused layers."""
    own = {name: getattr(model, name) for name in ModelSpec.model_fields if name not in Structure.model_fields}
    sizes = ("hidden_size", "heads", "kv_heads", "head_dim", "intermediate_size", "max_context")
    shape = {size: getattr(model, size) for size in sizes}
    vocabulary = {"vocab_size": min(EAGLE3_VOCABULARY, model.vocab_size), "tied_embeddings": False}
    body = llama_spec(**{**own, **shape, **vocabulary, "layers": 1, "qkv_bias": False})
    network = DraftNetwork(
        kind="eagle3", body=body, attended=2, fused=EAGLE3_TAPS, input_norms=1, shares_head=False
    )  # the layer's own first norm is that of the other input
    return _with_network(model, network)


def _mtp(model: ModelSpec, argument: str) -> ModelSpec:
    """Multi-token prediction: a layer like the model's last, two norms, and a mix of embedding and hidden state.

    As DeepSeek-V3 has it (arXiv 2412.19437, section 2.2): layer k is trained on the token k + 1 places ahead, from what
    layer k - 1 made of the one before. So of several each drafts its level; one alone, trained for one token, is used
    again for every further one, as servers do. For a model that names none, one is assumed. No layer leads it.
    """
    led = [any(getattr(mixer, "is_led", False) for mixer in group.layer.mixers) for group in model.layer_groups]
    last = [group for group, by_another in zip(model.layer_groups, led, strict=True) if not by_another][-1]
    group = last.model_copy(update={"count": 1, "runs": 1})
    body, copies = _body(model, (group,)), max(model.mtp_layers, 1)
    return _with_network(model, DraftNetwork(kind="mtp", body=body, mixed=2, input_norms=2, copies=copies))


def _draft_model(model: ModelSpec, argument: str) -> ModelSpec:
    body = load_model(argument).with_bits(model.weight_bits, model.activation_bits, model.kv_bits)
    if body.max_context < model.max_context:
        body = body.model_copy(update={"max_context": model.max_context})
    return _with_network(model, DraftNetwork(kind="draft-model", body=body, shares_embedding=False, shares_head=False))


def _body(model: ModelSpec, groups: tuple[LayerGroup, ...]) -> ModelSpec:
    return model.model_copy(update={"layer_groups": groups, "mtp_layers": 0})


def _with_network(model: ModelSpec, network: DraftNetwork) -> ModelSpec:
    return _with(model, Drafter(kind=network.kind, network=network))


def _with(model: ModelSpec, drafter: Drafter) -> ModelSpec:
    return DraftedModel.model_validate({**dict(model), "drafter": drafter})


DRAFT_WORK: Registry[MakeDrafted] = Registry(
    "drafter",
    "lpspec.draft_work",
    {
        "medusa": _medusa,
        "eagle": _eagle,
        "eagle3": _eagle3,
        "mtp": _mtp,
        "draft-model": _draft_model,
        "prompt-lookup": _prompt_lookup,
        "none": _none,
    },
)
"""Drafters in the simulator by name; a script may add its own."""

_PLAIN = ("medusa", "eagle", "eagle3", "mtp", "draft-model", "prompt-lookup", "none")
