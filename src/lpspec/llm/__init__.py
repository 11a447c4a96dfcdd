"""What work there is: model dimensions and the operators of a pass."""

from lpspec.llm.counts import Count, packed_bytes
from lpspec.llm.loading import load_model, model_names
from lpspec.llm.model_spec import ModelSpec, Tensor

__all__ = ["Count", "ModelSpec", "Tensor", "load_model", "model_names", "packed_bytes"]
