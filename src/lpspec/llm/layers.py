"""The parts of a decoder layer: how it mixes tokens, and its feed-forward network. Each lists its steps."""

from collections.abc import Iterator
from typing import Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt, model_validator

from lpspec.llm.steps import Attend, Product, Step, Vector

# Vector operations per element.
MOVE_OPS = 1  # embedding lookup: each element is copied
ADD_OPS = 1  # a residual, a bias, a factor
COMPARE_OPS = 1  # argmax, and a top-k whose k is far smaller than the vocabulary
ROPE_OPS = 3  # multiply by the cosine, multiply the rotated partner by the sine, add
RMS_NORM_OPS = 4  # square, accumulate, scale by 1/rms, multiply by the weight
LAYER_NORM_OPS = 7  # and accumulate the mean, subtract it, add a bias
SILU_OPS = 3  # exponential, add one, divide
SOFTMAX_OPS = 5  # maximum (a masked score is skipped here), subtract, exponential, accumulate, divide
SOFT_CAP_OPS = 3  # divide, hyperbolic tangent, multiply
SIGMOID_OPS = SILU_OPS  # the same exponential, add and divide

ACTIVATION_OPS = {"silu": SILU_OPS, "gelu": 6, "relu": 1, "relu2": 2, "xielu": 6}
"""By name. GELU: cube, multiply, add, hyperbolic tangent or error function, add, multiply. xIELU: two branches."""

Activation: TypeAlias = Literal["silu", "gelu", "relu", "relu2", "xielu"]


class Part(BaseModel):
    """A part of a layer; values that cannot be are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)


class Norm(Part):
    """One way of normalising, the same in all places of a model."""

    kind: Literal["rms", "layer"] = "rms"
    """Root mean square, or mean and variance."""
    has_weight: bool = True
    """True with a factor per number."""
    has_bias: bool = False
    """True with a summand per number."""

    def vector(self, name: str, width: int, of: int = 1) -> Vector:
        """The step that normalises ``of`` groups of ``width`` numbers, each with the same weights."""
        ops = RMS_NORM_OPS if self.kind == "rms" else LAYER_NORM_OPS
        return Vector(name, width * of, ops, width * (self.has_weight + self.has_bias))


RMS = Norm()


class SelfAttention(Part):
    """Attention over a cache of keys and values, of all tokens or of those in a window."""

    type: Literal["attention"] = "attention"
    heads: PositiveInt
    """Query heads."""
    kv_heads: PositiveInt
    """Key and value heads; each serves ``heads / kv_heads`` query heads."""
    head_dim: PositiveInt
    """Width of a query and a key."""
    value_dim: PositiveInt | None = None
    """Width of a value; None for that of a key."""
    rotary_dim: NonNegativeInt | None = None
    """Numbers of a head that its position turns; None for all, 0 for none."""
    qkv_bias: bool = False
    """True where the query, key and value projections add a bias."""
    out_bias: bool = False
    """True where the output projection adds a bias."""
    query_norm: NonNegativeInt = 0
    """Weights of a norm on queries: one head's width where all heads share them, all heads' where not; 0 for none."""
    key_norm: NonNegativeInt = 0
    """The same of keys."""
    value_norm: bool = False
    """True with a norm without weights on values."""
    out_norm: bool = False
    """True with a norm before the output projection (BitNet)."""
    sinks: bool = False
    """True where each head has a learned score that no token stands behind."""
    gate: bool = False
    """True where a further projection, as wide as the queries, gates the output."""
    score_cap: bool = False
    """True where a hyperbolic tangent bounds the scores."""
    window: PositiveInt | None = None
    """Tokens that a token sees, itself included; None for all. Between passes the cache holds one less."""
    chunk: bool = False
    """True where the window is a chunk of the text: a token sees what stands before it in its own chunk."""
    shares_cache: bool = False
    """True where keys and values are those of an earlier layer: this one has queries only."""
    keys_are_values: bool = False
    """True where values are the keys before norm and rotation: no projection of their own, but a cache."""

    @model_validator(mode="after")
    def _heads_share_evenly(self) -> Self:
        if self.heads % self.kv_heads:
            raise ValueError(f"heads ({self.heads}) must be a multiple of kv_heads ({self.kv_heads})")
        return self

    @property
    def kind(self) -> str:
        """What tables call it."""
        seen = "full" if self.window is None else "chunked" if self.chunk else "sliding"
        return f"{seen}, shared cache" if self.shares_cache else seen

    @property
    def query_width(self) -> int:
        """Width of all query heads together."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Width of all key heads together."""
        return self.kv_heads * self.head_dim

    @property
    def values_width(self) -> int:
        """Width of all value heads together."""
        return self.kv_heads * (self.value_dim or self.head_dim)

    @property
    def qkv_width(self) -> int:
        """Width of what the fused projection gives: queries, keys and values, and a gate as wide as the output."""
        own = 0 if self.shares_cache else self.kv_width + (0 if self.keys_are_values else self.values_width)
        return self.query_width + own + self.gate * self._out_width

    @property
    def _out_width(self) -> int:
        return self.heads * (self.value_dim or self.head_dim)

    def steps(self, hidden: int) -> Iterator[Step]:
        """From the layer's input to the output projection."""
        yield Product("qkv", hidden, self.qkv_width, "attention_in")
        if self.qkv_bias:
            yield Vector("qkv_bias", self.qkv_width, ADD_OPS, self.qkv_width)
        yield from self._norms()
        turned = self.heads + (0 if self.shares_cache else self.kv_heads)
        if rotary := self.head_dim if self.rotary_dim is None else self.rotary_dim:
            yield Vector("rope", turned * rotary, ROPE_OPS)
        yield self._attend()
        if self.sinks:
            yield Vector("sinks", self.heads, SOFTMAX_OPS, self.heads)
        if self.gate:
            yield Vector("attention_gate", self._out_width, SIGMOID_OPS + 1)
        if self.out_norm:
            yield Vector("attention_inner_norm", self._out_width, RMS_NORM_OPS, self._out_width)
        yield Product("out", self._out_width, hidden, "attention_out")
        if self.out_bias:
            yield Vector("out_bias", hidden, ADD_OPS, hidden)

    def _norms(self) -> Iterator[Step]:
        if self.query_norm:
            yield Vector("query_norm", self.query_width, RMS_NORM_OPS, self.query_norm)
        if self.key_norm:
            yield Vector("key_norm", self.kv_width, RMS_NORM_OPS, self.key_norm)
        if self.value_norm:
            yield Vector("value_norm", self.values_width, RMS_NORM_OPS)

    def _attend(self) -> Attend:
        return Attend(
            "attention" if self.window is None else f"{'chunked' if self.chunk else 'sliding'}_attention",
            self.heads,
            self.kv_heads,
            self.head_dim,
            self.value_dim or self.head_dim,
            self.window,
            self.chunk,
            writes=not self.shares_cache,
            score_ops=SOFTMAX_OPS + SOFT_CAP_OPS * self.score_cap,
        )


class LatentAttention(Part):
    """DeepSeek's attention over a cache of one latent vector and one rotated key a token, shared by all heads.

    Keys and values are never unfolded: the queries are multiplied with the keys' matrix, the attended latent with the
    values' (arXiv 2405.04434, section 2.1.2).
    """

    type: Literal["latent"] = "latent"
    heads: PositiveInt
    """Query heads."""
    query_rank: PositiveInt | None
    """Width of the compressed query; None where queries are projected at once."""
    latent_dim: PositiveInt
    """Width of the latent vector that is cached."""
    nope_dim: PositiveInt
    """Numbers of a head's key without a position."""
    rotary_dim: PositiveInt
    """Numbers of the rotated key, which is cached beside."""
    value_dim: PositiveInt
    """Width of a value."""
    bias: bool = False
    """True where the projections down to ranks and the output add biases."""
    index_heads: NonNegativeInt = 0
    """Heads of an indexer that chooses the tokens to attend to (DeepSeek-V3.2); 0 where an earlier layer chose them."""
    index_dim: NonNegativeInt = 0
    """Width of an indexer's head, and of the key that it keeps for each token."""
    index_top_k: NonNegativeInt = 0
    """Tokens that the indexer lets through; 0 for all of them."""

    @property
    def kind(self) -> str:
        """What tables call it."""
        return "latent, sparse" if self.index_top_k else "latent"

    @property
    def is_led(self) -> bool:
        """Whether an earlier layer chose the tokens to attend to."""
        return self.index_top_k > 0 and not self.index_heads

    def steps(self, hidden: int) -> Iterator[Step]:
        """From the layer's input to the output projection."""
        heads, latent, queries = self.heads, self.latent_dim, self.heads * (self.nope_dim + self.rotary_dim)
        if self.query_rank is None:
            yield Product("query", hidden, queries, "attention_in")
        else:
            yield Product("query_down", hidden, self.query_rank, "attention_in")
            yield from self._bias("query_down_bias", self.query_rank)
            yield Vector("query_latent_norm", self.query_rank, RMS_NORM_OPS, self.query_rank)
            yield Product("query_up", self.query_rank, queries, "attention_in")
        yield Product("latent_down", hidden, latent + self.rotary_dim, "attention_in")
        yield from self._bias("latent_down_bias", latent + self.rotary_dim)
        yield Vector("latent_norm", latent, RMS_NORM_OPS, latent)
        yield Product("latent_up", latent, heads * (self.nope_dim + self.value_dim), "attention_in")
        yield Vector("rope", (heads + 1) * self.rotary_dim, ROPE_OPS)
        yield from self._indexer(hidden)
        yield Attend("latent_attention", heads, 1, latent + self.rotary_dim, latent, latent=True, cached=self.index_dim)
        yield Product("out", heads * self.value_dim, hidden, "attention_out")
        yield from self._bias("out_bias", hidden)

    def _bias(self, name: str, width: int) -> Iterator[Step]:
        if self.bias:
            yield Vector(name, width, ADD_OPS, width)

    def _indexer(self, hidden: int) -> Iterator[Step]:
        if self.index_heads:
            width = self.index_heads * self.index_dim
            yield Product("index_query", self.query_rank or hidden, width, "attention_in")
            yield Product("index_key", hidden, self.index_dim, "attention_in")
            yield Vector("index_norm", self.index_dim, LAYER_NORM_OPS, 2 * self.index_dim)
            yield Product("index_weights", hidden, self.index_heads, "attention_in")
