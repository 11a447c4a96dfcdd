"""What work there is: model dimensions and the operators of a pass."""

from lpspec.llm.counts import Count, packed_bytes
from lpspec.llm.draft_work import draft_operators
from lpspec.llm.llama_spec import llama_spec
from lpspec.llm.loading import load_model, model_names
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.operators import prefill_operators, verify_operators
from lpspec.llm.weights import Tensor
from lpspec.llm.work import Attention, Elementwise, ExpertGemm, Gemm, Operator, StateUpdate

__all__ = [
    "Attention",
    "Count",
    "Elementwise",
    "ExpertGemm",
    "Gemm",
    "ModelSpec",
    "Operator",
    "StateUpdate",
    "Tensor",
    "draft_operators",
    "llama_spec",
    "load_model",
    "model_names",
    "packed_bytes",
    "prefill_operators",
    "verify_operators",
]
