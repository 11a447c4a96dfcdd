"""What a decoder is made of: embedding, layers in groups of equal ones, LM head; and its steps in order."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, model_validator

from lpspec.errors import InputError
from lpspec.llm.feed_forward import FeedForward
from lpspec.llm.layer import Layer, LayerGroup, More
from lpspec.llm.layers import ADD_OPS, COMPARE_OPS, MOVE_OPS, RMS, Norm, SelfAttention
from lpspec.llm.steps import Gather, Product, Step, Vector

SHARED_HEAD = "lm_head"
"""The product with the LM head, which draft layers share."""

PLAIN_NUMBERS = ("layers", "heads", "kv_heads", "head_dim", "intermediate_size", "qkv_bias", "out_bias")
"""What says everything of a Llama-like model's layers, which are all alike."""


class CountedStep(NamedTuple):
    """A kind of step, how many layers have it, and how often a token passes each of them."""

    step: Step
    layers: int
    runs: int


class PerLayerEmbedding(BaseModel):
    """Gemma's further embedding: a row per token holds numbers for each layer, mixed with a product of the first."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    rows: PositiveInt
    """Rows of the table."""
    width: PositiveInt
    """Numbers for each layer."""


class Structure(BaseModel):
    """A decoder without its precision.

    A Llama-like one may be given by the numbers of ``PLAIN_NUMBERS`` instead of ``layer_groups``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    hidden_size: PositiveInt
    """Width of the residual stream."""
    vocab_size: PositiveInt
    """Rows of the embedding table, padding rows included."""
    tied_embeddings: bool
    """True where the LM head is the embedding table."""
    max_context: PositiveInt
    """Positions that the model was made for."""
    layer_groups: tuple[LayerGroup, ...]
    """Decoder layers, those in a row that are alike as one group."""
    norm: Norm = RMS
    """How the residual stream is normalised."""
    final_norm: bool = True
    """True with a norm before the LM head."""
    head_bias: bool = False
    """True where the LM head adds a bias."""
    embedding_norm: bool = False
    """True with a norm behind the embedding."""
    embedding_width: PositiveInt | None = None
    """Width of the embedding table where it is not that of the residual stream; then products lead to and from it."""
    position_rows: NonNegativeInt = 0
    """Rows of a table of positions that is added to the embedding; 0 for none."""
    embedding_ops: NonNegativeInt = 0
    """Vector operations on an embedded number, such as a factor."""
    logit_ops: NonNegativeInt = 0
    """Vector operations on a logit before the largest is looked for, such as a factor or a bound."""
    per_layer_embedding: PerLayerEmbedding | None = None
    """A further embedding with numbers for each layer."""
    more: tuple[More, ...] = ()
    """What else is computed once per token."""
    mtp_layers: NonNegativeInt = 0
    """Layers of the model's own that draft (multi-token prediction), each like its last; no part of a plain pass."""

    @model_validator(mode="before")
    @classmethod
    def _from_plain_numbers(cls, fields: Any) -> Any:
        """Layers from the numbers of a Llama-like model; all of them are checked where they belong."""
        if not isinstance(fields, Mapping) or "layer_groups" in fields or "layers" not in fields:
            return fields
        return plain_layers(dict(fields))

    @model_validator(mode="after")
    def _has_layers(self) -> Self:
        if not self.layer_groups:
            raise ValueError("a model has at least one layer")
        return self

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """As pydantic's; numbers of a Llama-like model's layers may be changed too.

        Raises:
            InputError: Such a number, and the layers are not all alike.
        """
        plain = {key: value for key, value in (update or {}).items() if key in PLAIN_NUMBERS}
        changed = {key: value for key, value in (update or {}).items() if key not in PLAIN_NUMBERS}
        if plain:
            numbers = {key: getattr(self, key) for key in PLAIN_NUMBERS} | plain
            changed["layer_groups"] = plain_layers(numbers)["layer_groups"]
        return super().model_copy(update=changed, deep=deep)

    # What is computed

    def steps(self) -> Iterator[CountedStep]:
        """Every kind of step with how many layers have it and how often a token passes each, in order of execution.

        Equal steps of all layers are one; of two that differ, only one keeps its name.
        """
        return iter(_counted_steps(self))

    def all_steps(self) -> Iterator[CountedStep]:
        """Those of every layer, one after the other."""
        for step in self.first_steps():
            yield CountedStep(step, 1, 1)
        for group in self.layer_groups:
            for step in group.layer.steps(self.hidden_size, self.norm):
                yield CountedStep(step, group.count, group.runs)
        for step in self.last_steps():
            yield CountedStep(step, 1, 1)

    def first_steps(self) -> Iterator[Step]:
        """From token ids to the residual stream."""
        width = self.embedding_width or self.hidden_size
        yield Gather("embedding", self.vocab_size, width, MOVE_OPS)
        if self.position_rows:
            yield Gather("position_embedding", self.position_rows, self.hidden_size, ADD_OPS)
        if width != self.hidden_size:
            yield Product("embedding_in", width, self.hidden_size, "embedding")
        if self.embedding_ops:
            yield Vector("embedding_scale", self.hidden_size, self.embedding_ops)
        if self.embedding_norm:
            yield self.norm.vector("embedding_norm", self.hidden_size)
        if (own := self.per_layer_embedding) is not None:
            wide = own.width * self.layers
            yield Gather("layer_embedding", own.rows, wide, MOVE_OPS)
            yield Product("layer_embedding_in", self.hidden_size, wide, "embedding")
            yield Vector("layer_embedding_norm", wide, self.norm.vector("", 1).ops + 2 * ADD_OPS, own.width)
        for one in self.more:
            yield from one.steps(self.hidden_size)

    def last_steps(self) -> Iterator[Step]:
        """From the residual stream to the next token; in a prompt for the last token only."""
        width = self.embedding_width or self.hidden_size
        if self.final_norm:
            yield self.norm.vector("final_norm", self.hidden_size)
        if width != self.hidden_size:
            yield Product("embedding_out", self.hidden_size, width, "head")
        yield Product(SHARED_HEAD, width, self.vocab_size, "head")
        if self.head_bias:
            yield Vector("lm_head_bias", self.vocab_size, ADD_OPS, self.vocab_size)
        if self.logit_ops:
            yield Vector("logit_scale", self.vocab_size, self.logit_ops)
        yield Vector("argmax", self.vocab_size, COMPARE_OPS)

    # What Llama-like models have in all layers

    @property
    def layers(self) -> int:
        """Decoder layers with weights of their own."""
        return sum(group.count for group in self.layer_groups)

    @property
    def plain_layer(self) -> Layer:
        """The layer of a model whose layers are all alike.

        Raises:
            InputError: They are not.
        """
        layer: Layer = self._same("layers", [group.layer for group in self.layer_groups])
        return layer

    @property
    def attention(self) -> SelfAttention:
        """The attention of a model in which it has the same shape in all layers, whatever they see of the text.

        Raises:
            InputError: It has not, or there are layers with another mixer.
        """
        mixers = [mixer for group in self.layer_groups for mixer in group.layer.mixers]
        if len(mixers) > 1:
            unseen = {"window": None, "chunk": False}
            mixers = [mixer.model_copy(update=unseen if mixer.type == "attention" else {}) for mixer in mixers]
        found = self._same("mixers", mixers)
        if not isinstance(found, SelfAttention):
            raise InputError(f"{self._named}: {found.kind} has no heads of keys and values")
        return found

    @property
    def heads(self) -> int:
        """Query heads per layer."""
        return self.attention.heads

    @property
    def kv_heads(self) -> int:
        """Key and value heads per layer; each serves ``heads / kv_heads`` query heads."""
        return self.attention.kv_heads

    @property
    def head_dim(self) -> int:
        """Width of one head."""
        return self.attention.head_dim

    @property
    def qkv_bias(self) -> bool:
        """True where the query, key and value projections add a bias."""
        return self.attention.qkv_bias

    @property
    def out_bias(self) -> bool:
        """True where the attention output projection adds a bias."""
        return self.attention.out_bias

    @property
    def query_width(self) -> int:
        """Width of all query heads together."""
        return self.attention.query_width

    @property
    def kv_width(self) -> int:
        """Width of all key heads together, and likewise of all value heads."""
        return self.attention.kv_width

    @property
    def qkv_width(self) -> int:
        """Width of queries, keys and values side by side: the fused projection's output."""
        return self.attention.qkv_width

    @property
    def intermediate_size(self) -> int:
        """Width of the feed-forward layer.

        Raises:
            InputError: The network has no one width.
        """
        network = self._same("feed-forward networks", [group.layer.feed_forward for group in self.layer_groups])
        if not isinstance(network, FeedForward):
            raise InputError(f"{self._named}: {network and network.kind} has no one width")
        return network.width

    @property
    def _named(self) -> str:
        return str(getattr(self, "name", "model"))

    def _same(self, what: str, found: list[Any]) -> Any:
        if not found or any(one != found[0] for one in found):
            raise InputError(f"{self._named}: {what} are not all alike, as is needed here")
        return found[0]


def plain_layers(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of a Llama-like model with its layers made of the numbers given for all of them.

    Raises:
        ValueError: A number is missing or wrong.
    """
    numbers = {key: fields.pop(key) for key in PLAIN_NUMBERS if key in fields}
    if missing := [key for key in PLAIN_NUMBERS if key not in numbers and key != "out_bias"]:
        raise ValueError(f"missing key '{missing[0]}'")
    layers, width = numbers.pop("layers"), numbers.pop("intermediate_size")
    layer = Layer(mixers=(SelfAttention(**numbers),), feed_forward=FeedForward(width=width))
    return {**fields, "layer_groups": (LayerGroup(count=layers, layer=layer),)}


@lru_cache(64)
def _counted_steps(structure: Structure) -> tuple[CountedStep, ...]:
    """What ``Structure.steps`` says, kept: every price of a pass begins with it."""
    merged: dict[tuple[Step, int], int] = {}
    for step, count, runs in structure.all_steps():
        merged[step, runs] = merged.get((step, runs), 0) + count
    names: dict[str, int] = {}
    found = []
    for (step, runs), count in merged.items():
        names[step.name] = names.get(step.name, 0) + 1
        found.append(CountedStep(_renamed(step, names[step.name]), count, runs))
    return tuple(found)


def _renamed(step: Step, number: int) -> Step:
    return step if number == 1 else replace(step, name=f"{step.name}_{number}")
