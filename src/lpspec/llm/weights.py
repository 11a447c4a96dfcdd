"""How weights are stored, which tensors there are, and how much of each a pass reads."""

from typing import Any, Literal, NamedTuple, TypeAlias

from lpspec.llm.counts import Count
from lpspec.llm.formats import WeightFormat
from lpspec.llm.routing import Routing
from lpspec.llm.stored_tensors import TensorClass

Read: TypeAlias = Literal["whole", "rows", "experts", "none"]
"""What a pass reads of a tensor: all of it; a row per token, as of an embedding; one of its blocks per expert that a
token is sent to; nothing, where a checkpoint stores what no pass multiplies with."""


class Tensor(NamedTuple):
    """``copies`` equal weight tensors of ``rows`` x ``columns``; a bias or norm is one row.

    Rows are output features, as in a checkpoint: one row makes one column of the layer's output. A tensor of experts
    has a copy for each expert of each layer, of which a token is sent to ``top_k`` of every ``experts``.
    """

    name: str
    copies: int
    rows: int
    columns: int
    kind: TensorClass = "other"
    read: Read = "whole"
    experts: int = 1
    top_k: int = 1

    @property
    def elements(self) -> int:
        """Numbers held by all copies."""
        return self.copies * self.rows * self.columns

    def size_bytes(self, stored: WeightFormat) -> int:
        """Bytes of all copies, stored like this."""
        return self.copies * int(stored.size_bytes(self.rows, self.columns))


def distinct_experts(experts: int, top_k: int, tokens: Count, routing: Routing | None = None) -> Any:
    """Experts that at least one of the tokens is expected to be sent to.

    Args:
        experts: To choose from.
        top_k: That a token is sent to.
        tokens: Of the pass.
        routing: Choices that were measured. Without them every token is sent to ``top_k`` different experts, each as
            likely as any other and independent of the other tokens (assumed; published routers are trained towards
            even loads, and no trace of one is shipped).
    """
    if routing is not None:
        return routing.distinct(experts, tokens)
    return experts * (1 - (1 - top_k / experts) ** tokens)
