"""What one layer does, one operation after the other: tensors, bytes and operators all follow from this list.

Widths are numbers per token; a weight product multiplies rows of ``k`` numbers with a matrix of ``k`` x ``n``.
"""

from dataclasses import dataclass
from typing import TypeAlias

from lpspec.llm.stored_tensors import TensorClass


@dataclass(frozen=True, slots=True)
class Product:
    """Every token times one matrix, or the last token of a prompt only (an LM head)."""

    name: str
    k: int
    n: int
    kind: TensorClass


@dataclass(frozen=True, slots=True)
class Vector:
    """``ops`` vector operations on each of ``width`` numbers of a token; ``weights`` numbers of a norm or bias beside.

    Those of experts (``experts`` above 1) are read for each expert that a token is sent to.
    """

    name: str
    width: int
    ops: int
    weights: int = 0
    experts: int = 1
    top_k: int = 1


@dataclass(frozen=True, slots=True)
class Gather:
    """A table of which a pass reads one row per token."""

    name: str
    rows: int
    columns: int
    ops: int
    kind: TensorClass = "embedding"


@dataclass(frozen=True, slots=True)
class Unread:
    """A matrix that a checkpoint stores and no pass reads."""

    name: str
    rows: int
    columns: int
    kind: TensorClass


@dataclass(frozen=True, slots=True)
class ExpertProduct:
    """Every token times the matrices of ``top_k`` of ``experts``."""

    name: str
    k: int
    n: int
    experts: int
    top_k: int


@dataclass(frozen=True, slots=True)
class Attend:
    """Queries of a token times the keys it sees, softmax, times their values.

    Attributes:
        name: Of the product; its softmax is named after it.
        heads: Query heads.
        kv_heads: Heads of the cache.
        head_dim: Width of a cached key.
        value_dim: Width of a value.
        window: Tokens that a token sees, itself included; None for all. Between passes one less is kept.
        chunk: True where the window is a chunk: a token sees those of its own chunk.
        latent: True where the values are part of the cached keys.
        writes: False where the cache is another layer's.
        cached: Numbers that a token adds to the cache beside keys and values, such as an indexer's keys.
        score_ops: Vector operations on a score: softmax, and what stands before it.
    """

    name: str
    heads: int
    kv_heads: int
    head_dim: int
    value_dim: int
    window: int | None = None
    chunk: bool = False
    latent: bool = False
    writes: bool = True
    cached: int = 0
    score_ops: int = 5

    @property
    def numbers_per_token(self) -> int:
        """What a token adds to the cache."""
        if not self.writes:
            return 0
        return self.kv_heads * (self.head_dim + (0 if self.latent else self.value_dim)) + self.cached

    @property
    def vectors_per_token(self) -> int:
        """Keys and values that a token adds to the cache, one each for every head."""
        return self.writes * self.kv_heads * (1 if self.latent else 2)

    def kept(self, context: int) -> int:
        """Tokens that the cache holds between passes."""
        return context if self.window is None else min(context, self.window - 1)


@dataclass(frozen=True, slots=True)
class Recur:
    """A state of fixed size that a pass reads, moves on by every token, and writes back."""

    name: str
    numbers: int
    macs_per_token: int


Step: TypeAlias = Product | Vector | Gather | Unread | ExpertProduct | Attend | Recur
