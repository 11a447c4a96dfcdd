"""What a pass computes, one operator after the other, with exact counts of work and bytes.

Dimensions such as ``tokens`` and ``context`` may be ints or int64 arrays that broadcast, so one operator describes a
step or a whole (tokens, context) grid; ints in give ints out. Properties are sums over all ``count`` copies of an
operator (mostly one per layer) unless they say otherwise.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from math import lgamma
from typing import Any, TypeAlias

import numpy as np

from lpspec.arrays import FloatArray, IntArray
from lpspec.llm.counts import Count, cached_bytes, packed_bytes, plain, scale_bytes
from lpspec.llm.formats import WeightFormat
from lpspec.llm.routing import Routing
from lpspec.llm.weights import distinct_experts


@dataclass(frozen=True, slots=True)
class Gemm:
    """``count`` matrix products of activations (tokens, k) with resident weights (k, n).

    Where a token passes each layer several times, every matrix is multiplied ``runs`` times: ``copies`` are stored.
    """

    name: str
    count: int
    tokens: Count
    k: int
    n: int
    stored: WeightFormat
    activation_bits: int
    runs: int = 1

    @property
    def copies(self) -> int:
        """Matrices that are stored."""
        return self.count // self.runs

    @property
    def macs(self) -> Count:
        """Multiply-accumulates."""
        return self.count * self.tokens * self.k * self.n

    @property
    def column_bytes(self) -> int:
        """Bytes of the ``k`` weights behind one output column of one copy with their scales, in whole bytes."""
        return _column_bytes(self.stored, self.k)

    @property
    def weight_bytes(self) -> int:
        """Weight bytes when each product reads its weights once, scales and zero points included."""
        return self.count * int(self.stored.size_bytes(self.n, self.k))

    @property
    def weight_bits(self) -> int:
        """Bits of a weight, without what is stored beside it."""
        return self.stored.bits

    @property
    def input_bytes(self) -> Count:
        """Bytes of the activations that go in."""
        return self.count * packed_bytes(self.tokens * self.k, self.activation_bits)


@dataclass(frozen=True, slots=True)
class ExpertGemm:
    """``count`` layers of products with experts: a router sends each token to ``top_k`` of ``experts`` matrices (k, n).

    Counts are expected ones: measured where there is ``routing``, else under the model of ``distinct_experts``.
    """

    name: str
    count: int
    tokens: Count
    k: int
    n: int
    experts: int
    top_k: int
    stored: WeightFormat
    activation_bits: int
    routing: Routing | None = None

    def with_load(self, tokens: Count) -> Gemm:
        """The products with all experts of all layers if each were sent so many tokens."""
        count = self.count * self.experts
        return Gemm(self.name, count, tokens, self.k, self.n, self.stored, self.activation_bits)

    @property
    def loads(self) -> IntArray:
        """Every number of tokens that an expert may be sent, but 0: int64 [loads]."""
        return np.arange(1, int(np.max(self.tokens, initial=0)) + 1)

    def chance(self, load: Count) -> Any:
        """How likely an expert is sent exactly so many tokens; ``tokens`` and ``load`` broadcast.

        What an operator costs is the sum over all loads of this chance times what ``with_load`` costs.
        """
        if self.routing is not None:
            return self.routing.chance(self.experts, self.tokens, load)
        tokens, share = np.asarray(self.tokens), self.top_k / self.experts
        if share == 1.0:
            return (tokens == load) * 1.0
        left = np.maximum(tokens - load, 0)
        choices = _log_factorial(tokens) - _log_factorial(np.minimum(load, tokens)) - _log_factorial(left)
        chance = np.exp(choices + np.asarray(load) * np.log(share) + left * np.log1p(-share))
        return np.where(tokens >= load, chance, 0.0)

    @property
    def distinct(self) -> Any:
        """Experts of one layer that at least one token is expected to be sent to: a float or float64 array."""
        return distinct_experts(self.experts, self.top_k, self.tokens, self.routing)

    @property
    def macs(self) -> Count:
        """Multiply-accumulates."""
        return self.count * self.tokens * self.top_k * self.k * self.n

    @property
    def weight_bytes(self) -> Any:
        """Weight bytes when each expert that a token is sent to is read once."""
        return self.with_load(1).weight_bytes * self.distinct / self.experts


@dataclass(frozen=True, slots=True)
class Attention:
    """``count`` layers of attention by ``tokens`` new tokens over earlier ones and themselves.

    ``pairs`` is the number of (query, key) products per head and layer. Softmax is an ``Elementwise``.

    Attributes:
        context: Tokens before, those beyond a window included.
        kv_heads: Heads of the cache.
        head_dim: Width of a key.
        value_dim: Width of a value; None for that of a key.
        window: Tokens that a token sees, itself included; None for all. Between passes the cache keeps one less.
        latent: Whether values are part of the cached keys, read once for both.
        cached: Numbers that a token has in the cache beside keys and values.
        writes: Whether new keys and values are written; not where the cache is another layer's.
        read: Positions read where that was given (``over``); None for those of the context and the new tokens.
    """

    name: str
    count: int
    tokens: Count
    context: Count
    pairs: Count
    heads: int
    kv_heads: int
    head_dim: int
    kv_bits: int
    activation_bits: int
    value_dim: int | None = None
    window: int | None = None
    latent: bool = False
    cached: int = 0
    writes: bool = True
    read: Count | None = None

    @property
    def value_width(self) -> int:
        """Width of a value."""
        return self.head_dim if self.value_dim is None else self.value_dim

    @property
    def keys(self) -> Count:
        """Positions read: what the cache keeps of the context, and the new tokens."""
        if self.read is not None:
            return self.read
        if self.window is None:
            return self.context + self.tokens
        kept: Count = plain(np.minimum(self.context, self.window - 1))
        return kept + self.tokens

    def over(self, keys: Count) -> "Attention":
        """The same attention over so many positions, all of which all tokens see."""
        return replace(self, context=keys - self.tokens, pairs=self.tokens * keys, window=None, read=keys)

    @property
    def queries(self) -> Count:
        """Query rows that share the keys of one key-value head."""
        return self.tokens * (self.heads // self.kv_heads)

    @property
    def macs(self) -> Count:
        """Multiply-accumulates of QK^T and of PV together."""
        return self.count * self.heads * (self.head_dim + self.value_width) * self.pairs

    @property
    def kv_read_bytes(self) -> Count:
        """Bytes of K and V of all ``keys``, each read once for the query heads that share it."""
        return self.keys * self.kv_bytes_per_token

    @property
    def kv_write_bytes(self) -> Count:
        """Bytes of K and V of the new tokens, those of drafts that will be rejected included."""
        return self.tokens * self.kv_bytes_per_token * self.writes

    @property
    def query_bytes(self) -> Count:
        """Bytes of the queries that go in."""
        return self.count * packed_bytes(self.tokens * self.heads * self.head_dim, self.activation_bits)

    @property
    def result_bytes(self) -> Count:
        """Bytes of the attended values that come out."""
        return self.count * packed_bytes(self.tokens * self.heads * self.value_width, self.activation_bits)

    @property
    def score_bytes(self) -> Count:
        """Bytes of the scores between QK^T and softmax, and as many again between softmax and PV."""
        return self.count * packed_bytes(self.heads * self.pairs, self.activation_bits)

    @property
    def scores_share(self) -> float:
        """Part of ``kv_read_bytes`` that QK^T reads; PV reads the rest."""
        keys, values = self._numbers
        return keys / (keys + values)

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes of one token in the caches that all layers read."""
        return self.count * cached_bytes(sum(self._numbers), self.kv_heads * (1 if self.latent else 2), self.kv_bits)

    @property
    def scale_bytes(self) -> int:
        """Bytes beside a head's key of one token, and beside its value: what the NPU multiplies scores with, and
        probabilities before they meet values.
        """
        return scale_bytes(self.kv_bits)

    @property
    def _numbers(self) -> tuple[int, int]:
        """Numbers of one token in the cache of a layer: keys with what lies beside, and values."""
        return self.kv_heads * self.head_dim + self.cached, 0 if self.latent else self.kv_heads * self.value_width


@dataclass(frozen=True, slots=True)
class StateUpdate:
    """``count`` layers whose memory of the text is a state of fixed size, read and written back once a pass.

    Attributes:
        state_bytes: Of one layer.
        macs_per_token: Multiply-accumulates by which a token moves the state of one layer on and reads it.
    """

    name: str
    count: int
    tokens: Count
    state_bytes: int
    macs_per_token: int

    @property
    def macs(self) -> Count:
        """Multiply-accumulates."""
        return self.count * self.tokens * self.macs_per_token

    @property
    def stored_bytes(self) -> int:
        """Bytes of all states: what a pass reads, and what it writes."""
        return self.count * self.state_bytes


@dataclass(frozen=True, slots=True)
class Elementwise:
    """``count`` vector operators over ``elements`` each, which read ``memory_bytes`` of weights in all.

    Attributes:
        passed_bytes: What passes scratchpad and local buffers for them in all, beside activations.
    """

    name: str
    count: int
    elements: Count
    ops_per_element: int
    memory_bytes: Count
    passed_bytes: Count = 0

    @property
    def vector_ops(self) -> Count:
        """Vector-lane operations."""
        return self.elements * (self.count * self.ops_per_element)


@lru_cache(maxsize=256)
def _column_bytes(stored: WeightFormat, k: int) -> int:
    """Bytes of a column, asked for at every tile that is placed."""
    return int(stored.size_bytes(1, k))


LEAST_CHANCE = 1e-12
"""Of a number of tokens that an expert is sent, below which it is left out: a millionth of a ppm of the time."""

PlainOperator: TypeAlias = Gemm | Attention | StateUpdate | Elementwise
"""What devices compute."""

Operator: TypeAlias = PlainOperator | ExpertGemm


def by_load(op: Operator) -> Iterator[tuple[PlainOperator, Any]]:
    """An operator as it is; products with experts as plain ones, and how often each of their copies runs in a pass.

    Loads that come less than once in ``1 / LEAST_CHANCE`` passes are left out.
    """
    if not isinstance(op, ExpertGemm):
        yield op, 1
        return
    for load in op.loads.tolist():
        chance = plain(op.chance(load))
        if np.max(chance) > LEAST_CHANCE:
            yield op.with_load(load), chance


def _log_factorial(numbers: Any) -> FloatArray:
    """Logarithms of n!, elementwise."""
    most = int(np.max(numbers, initial=0))
    table = np.array([lgamma(n + 1.0) for n in range(most + 1)])
    return np.asarray(table[numbers])
