"""Build a Llama-like model by hand from a few numbers."""

from typing import Any

from lpspec.llm.model_spec import ModelSpec


def llama_spec(**numbers: Any) -> ModelSpec:
    """A Llama-like decoder: RMSNorm, rotated positions, grouped heads and a gated SiLU network in all layers.

    Args:
        numbers: ``layers``, ``heads``, ``kv_heads``, ``head_dim``, ``intermediate_size``, ``qkv_bias``, ``out_bias``
            (False if left out), and the fields of ``ModelSpec`` other than ``layer_groups``.

    Raises:
        pydantic.ValidationError: One is missing, unknown, or has a value that is not allowed.
    """
    return ModelSpec.model_validate(numbers)
