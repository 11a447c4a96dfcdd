"""What a Hugging Face ``config.json`` fixes of a Llama-like model beyond the dimensions: norm, rotation, end tokens."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveFloat, ValidationError

from lpspec.decoding.end_tokens import own_end_tokens
from lpspec.decoding.rope import RopeSpec
from lpspec.errors import InputError, shown
from lpspec.llm.loading import config_spec, read_config
from lpspec.llm.model_spec import ModelSpec, one_line

INT8 = 8
"""Bits per weight at which a decoder's steps are priced."""


class LlamaConfig(BaseModel):
    """A Llama-like model that can be run."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    spec: ModelSpec
    """Dimensions, and which projections add a bias."""
    rms_norm_eps: PositiveFloat = 1e-6
    """What RMSNorm adds to the mean square."""
    rope: RopeSpec = RopeSpec()
    """Rotation of positions."""
    end_tokens: tuple[NonNegativeInt, ...] = ()
    """Token ids that end a text."""


def load_config(folder: str | Path, draft_layer: bool = False) -> LlamaConfig:
    """Read the ``config.json`` of a model folder.

    Args:
        folder: The folder.
        draft_layer: Read the layer of a draft head, whose own keys are its drafter's to read.

    Raises:
        InputError: There is none, it is no Llama, Mistral or Qwen2 model, or it has a feature that is not computed.
    """
    file = Path(folder) / "config.json"
    config = read_config(file, draft_layer)
    spec = config_spec(config, file, weight_bits=INT8)  # what a checkpoint stores is for those to see who read it
    try:
        rope = RopeSpec.model_validate(config.rope)
    except ValidationError as error:
        raise InputError(f"model config '{shown(str(file))}': rope.{one_line(error)}") from None
    ends = own_end_tokens(file.parent) or config.end_tokens
    return LlamaConfig(spec=spec, rms_norm_eps=config.rms_norm_eps, rope=rope, end_tokens=ends)
