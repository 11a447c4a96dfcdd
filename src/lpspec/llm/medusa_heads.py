"""Medusa-1: heads that guess, each a token further ahead, from the hidden state of the last accepted token."""

from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict, PositiveInt

from lpspec.llm.layers import ADD_OPS, COMPARE_OPS, SILU_OPS
from lpspec.llm.model_spec import ModelSpec, step_tensor
from lpspec.llm.steps import Product, Vector
from lpspec.llm.structure import CountedStep
from lpspec.llm.weights import Tensor


class MedusaHeads(BaseModel):
    """Draft heads of a model (arXiv 2401.10774), stored as its feed-forward layers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, use_attribute_docstrings=True)

    count: PositiveInt = 4
    """How many there are."""
    layers: PositiveInt = 1
    """Residual blocks of a head: each adds SiLU(Linear(x) + bias) to x; an LM head follows."""

    def steps(self, model: ModelSpec, heads: int) -> Iterator[CountedStep]:
        """Of the first heads, for one hidden state."""
        blocks, hidden, vocabulary = heads * self.layers, model.hidden_size, model.vocab_size
        yield CountedStep(Product("medusa_block", hidden, hidden, "ffn_up"), blocks, 1)
        block_ops = ADD_OPS + SILU_OPS + ADD_OPS  # bias, activation, residual
        yield CountedStep(Vector("medusa_silu", hidden, block_ops, weights=hidden), blocks, 1)
        yield CountedStep(Product("medusa_lm_head", hidden, vocabulary, "ffn_down"), heads, 1)
        yield CountedStep(Vector("top_k", vocabulary, COMPARE_OPS), heads, 1)

    def tensors(self, model: ModelSpec) -> tuple[Tensor, ...]:
        """Weights of all heads."""
        found = (step_tensor(step, copies) for step, copies, _ in self.steps(model, self.count))
        return tuple(tensor for tensor in found if tensor is not None)
