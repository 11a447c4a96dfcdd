"""The dimensions of a Llama-like decoder and of its Medusa heads, and the bytes they take."""

import re
from typing import Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, ValidationError, model_validator

from lpspec.errors import LONGEST, InputError, listed
from lpspec.llm.counts import Count, ceil_div, packed_bytes

Bits = Literal[4, 8, 16, 32]


class WeightFormat(NamedTuple):
    """How the numbers of a weight tensor are stored: each in ``bits``, and beside each group of them ``group_bits``.

    A group is ``group_size`` neighbours of one row, or the whole row where that is 0; its bits are a scale and, where
    there is one, a zero point. Each row of numbers starts on a whole byte.
    """

    bits: int
    group_size: int = 0
    group_bits: int = 0

    def size_bytes(self, rows: Count, columns: int) -> Count:
        """Bytes of ``rows`` x ``columns`` numbers with all that is stored beside them."""
        groups = ceil_div(columns, self.group_size or columns)
        return rows * packed_bytes(columns, self.bits) + packed_bytes(rows * groups, self.group_bits)


class Tensor(NamedTuple):
    """``copies`` equal weight tensors of ``rows`` x ``columns``; a bias or norm is one row.

    Rows are output features, as in a checkpoint: one row makes one column of the layer's output. ``is_linear`` tells
    the products inside the layers and draft heads from embedding, LM head, norms and biases, which may be stored wider.
    """

    name: str
    copies: int
    rows: int
    columns: int
    is_linear: bool = False

    @property
    def elements(self) -> int:
        """Numbers held by all copies."""
        return self.copies * self.rows * self.columns

    def size_bytes(self, stored: WeightFormat) -> int:
        """Bytes of all copies, stored like this."""
        return self.copies * int(stored.size_bytes(self.rows, self.columns))


class ModelSpec(BaseModel):
    """A Llama-like decoder (RMSNorm, RoPE, grouped-query attention, gated SiLU) with optional Medusa heads.

    Raises ``pydantic.ValidationError`` when built by hand from wrong values; ``load_model`` and
    ``with_bits`` say the same in one line as ``InputError``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    name: str
    """What tables and figures call the model."""
    source: str
    """Where the dimensions come from."""
    layers: PositiveInt
    """Decoder layers."""
    hidden_size: PositiveInt
    """Width of the residual stream."""
    intermediate_size: PositiveInt
    """Width of the gated feed-forward layer."""
    heads: PositiveInt
    """Query heads per layer."""
    kv_heads: PositiveInt
    """Key and value heads per layer; each serves ``heads / kv_heads`` query heads."""
    head_dim: PositiveInt
    """Width of one head."""
    vocab_size: PositiveInt
    """Rows of the embedding table, padding rows included."""
    tied_embeddings: bool
    """True where the LM head is the embedding table."""
    qkv_bias: bool
    """True where the query, key and value projections add a bias."""
    out_bias: bool = False
    """True where the attention output projection adds a bias."""
    max_context: PositiveInt
    """Positions for which attention over every earlier token is what the model computes."""
    weight_bits: Bits = 8
    """Bits of a weight of the layers' products, and of draft heads."""
    group_size: NonNegativeInt = 0
    """Weights of one output that share what is stored beside them; 0 where all of them do."""
    group_bits: NonNegativeInt = 0
    """Bits stored beside each such group: its scale and zero point."""
    other_bits: Bits | None = None
    """Bits of a number of embedding, LM head, norms and biases; None for those of a weight."""
    activation_bits: Bits = 8
    """Bits of an activation between operators."""
    kv_bits: Bits = 8
    """Bits of a cached key or value element."""
    medusa_heads: NonNegativeInt = 4
    """Medusa-1 draft heads; 0 for none (arXiv 2401.10774)."""
    medusa_layers: PositiveInt = 1
    """Residual blocks of a Medusa head: each adds SiLU(Linear(x) + bias) to x; an LM head follows."""
    eagle: bool = False
    """True with an EAGLE-2 draft layer: the model's own dimensions, cache and LM head (arXiv 2406.16858)."""
    default_trace: str | None = None
    """Name of the shipped acceptance trace that suits the model, or stands in for its own."""

    @model_validator(mode="after")
    def _heads_share_evenly(self) -> Self:
        if self.heads % self.kv_heads:
            raise ValueError(f"heads ({self.heads}) must be a multiple of kv_heads ({self.kv_heads})")
        return self

    @property
    def query_width(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Width of all key heads together, and likewise of all value heads."""
        return self.kv_heads * self.head_dim

    @property
    def qkv_width(self) -> int:
        """Width of queries, keys and values side by side: the fused projection's output."""
        return self.query_width + 2 * self.kv_width

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Every weight tensor of the base model; those that share an input are fused."""
        return (
            Tensor("embedding", 1, self.vocab_size, self.hidden_size),
            Tensor("norms", 2 * self.layers, 1, self.hidden_size),
            Tensor("qkv", self.layers, self.qkv_width, self.hidden_size, True),
            Tensor("qkv_bias", self.layers * self.qkv_bias, 1, self.qkv_width),
            Tensor("out", self.layers, self.hidden_size, self.query_width, True),
            Tensor("out_bias", self.layers * self.out_bias, 1, self.hidden_size),
            Tensor("gate_up", self.layers, 2 * self.intermediate_size, self.hidden_size, True),
            Tensor("down", self.layers, self.hidden_size, self.intermediate_size, True),
            Tensor("final_norm", 1, 1, self.hidden_size),
            Tensor("lm_head", int(not self.tied_embeddings), self.vocab_size, self.hidden_size),
        )

    @property
    def medusa_tensors(self) -> tuple[Tensor, ...]:
        """Every weight tensor of the Medusa heads."""
        blocks = self.medusa_heads * self.medusa_layers
        return (
            Tensor("medusa_block", blocks, self.hidden_size, self.hidden_size, True),
            Tensor("medusa_block_bias", blocks, 1, self.hidden_size),
            Tensor("medusa_lm_head", self.medusa_heads, self.vocab_size, self.hidden_size, True),
        )

    @property
    def eagle_tensors(self) -> tuple[Tensor, ...]:
        """Every weight tensor of the EAGLE layer, which has no norm before its attention and shares the LM head."""
        copies = int(self.eagle)
        return (
            Tensor("eagle_mix", copies, self.hidden_size, 2 * self.hidden_size, True),
            Tensor("eagle_norm", copies, 1, self.hidden_size),
            Tensor("eagle_qkv", copies, self.qkv_width, self.hidden_size, True),
            Tensor("eagle_qkv_bias", copies * self.qkv_bias, 1, self.qkv_width),
            Tensor("eagle_out", copies, self.hidden_size, self.query_width, True),
            Tensor("eagle_out_bias", copies * self.out_bias, 1, self.hidden_size),
            Tensor("eagle_gate_up", copies, 2 * self.intermediate_size, self.hidden_size, True),
            Tensor("eagle_down", copies, self.hidden_size, self.intermediate_size, True),
        )

    @property
    def linear_format(self) -> WeightFormat:
        """How weights of the layers' products and of draft heads are stored."""
        return WeightFormat(self.weight_bits, self.group_size, self.group_bits)

    @property
    def other_format(self) -> WeightFormat:
        """How embedding, LM head, norms and biases are stored."""
        return WeightFormat(self.other_bits or self.weight_bits)

    def stored_bytes(self, tensor: Tensor) -> int:
        """Bytes of all copies of one of the model's tensors."""
        return tensor.size_bytes(self.linear_format if tensor.is_linear else self.other_format)

    @property
    def parameters(self) -> int:
        """Parameters of the base model; tied embeddings count once."""
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def medusa_parameters(self) -> int:
        """Parameters of all Medusa heads together."""
        return sum(tensor.elements for tensor in self.medusa_tensors)

    @property
    def weight_bytes(self) -> int:
        """Bytes resident for the base model, the embedding table included."""
        return sum(map(self.stored_bytes, self.tensors))

    @property
    def medusa_weight_bytes(self) -> int:
        """Bytes resident for all Medusa heads together."""
        return sum(map(self.stored_bytes, self.medusa_tensors))

    @property
    def eagle_weight_bytes(self) -> int:
        """Bytes resident for the EAGLE layer."""
        return sum(map(self.stored_bytes, self.eagle_tensors))

    @property
    def cached_layers(self) -> int:
        """Layers that keep keys and values, the EAGLE layer included."""
        return self.layers + self.eagle

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes that one token adds to the key-value cache, all layers."""
        return self.cached_layers * packed_bytes(2 * self.kv_width, self.kv_bits)

    def with_bits(self, weight: int | None = None, activation: int | None = None, kv: int | None = None) -> "ModelSpec":
        """The same model at other precisions; what is left out stays.

        Args:
            weight: Bits per weight: 4, 8, 16 or 32; then all weights are alike, with nothing stored beside them.
            activation: Bits per activation.
            kv: Bits per cached key or value element.

        Raises:
            InputError: A width is none of the allowed ones.
        """
        given: dict[str, int | None] = {"weight_bits": weight, "activation_bits": activation, "kv_bits": kv}
        changed: dict[str, int | None] = {field: bits for field, bits in given.items() if bits is not None}
        if weight is not None:
            changed |= {"group_size": 0, "group_bits": 0, "other_bits": None}
        return validated_spec({**self.model_dump(), **changed}, f"model '{self.name}'")


def validated_spec(fields: dict[str, object], where: str) -> ModelSpec:
    """Build a ``ModelSpec``, or say in one line that starts with ``where`` all that is wrong with its fields.

    Raises:
        InputError: A field is missing, unknown, or has a value that is not allowed.
    """
    try:
        return ModelSpec.model_validate(fields)
    except ValidationError as error:
        raise InputError(f"{where}: {one_line(error, LONGEST - len(where) - 2)}") from None


def one_line(error: ValidationError, room: int = 100) -> str:
    """The first errors that pydantic found, each with its key and what is allowed, and how many more there are."""
    found = [
        _one_error(".".join(map(str, item["loc"])), item["type"], item["msg"], item["input"])
        for item in error.errors(include_url=False, include_context=False)
    ]
    return listed(found, room, "; ")


_TAG = re.compile(r"Input tag ('.*') found using '(.*)' does not match any of the expected tags: (.*)")


def _one_error(key: str, kind: str, message: str, value: object) -> str:
    match kind:
        case "missing":
            return f"missing key '{key}'"
        case "extra_forbidden":
            return f"unknown key '{key}'"
        case "union_tag_invalid":
            return _TAG.sub(rf"{key}.\2 = \1: allowed are \3", message)
        case "value_error":
            return message.removeprefix("Value error, ")
        case _:
            return f"{key} = {_shortened(value)}: {message[0].lower()}{message[1:]}"


def _shortened(value: object, width: int = 40) -> str:
    text = repr(value)
    return text if len(text) <= width else f"{text[:width]}..."
