"""What a Hugging Face ``config.json`` fixes of a Llama-like model beyond the dimensions: norm, rotation, end tokens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveFloat, ValidationError

from lpspec.decoding.end_tokens import own_end_tokens
from lpspec.decoding.rope import RopeSpec
from lpspec.errors import LONGEST, InputError, shown
from lpspec.llm.hugging_face import DecoderConfig, parse_config
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


def load_config(folder: str | Path) -> LlamaConfig:
    """Read the ``config.json`` of a model folder.

    Raises:
        InputError: There is none, it is no Llama, Mistral or Qwen2 model, or it has a feature that is not computed.
    """
    file = Path(folder) / "config.json"
    return _as_llama(read_config(file), file)


def draft_layer_config(content: Mapping[str, Any], file: Path) -> LlamaConfig:
    """The same of a draft head's layer, from the part of its file that describes it; other keys are for its drafter.

    Raises:
        InputError: The layer is none of such a model, or has a feature that is not computed.
    """
    return _as_llama(parse_config(content, f"draft layer config '{shown(str(file), 60)}'", draft_layer=True), file)


def _as_llama(config: DecoderConfig, file: Path) -> LlamaConfig:
    spec = config_spec(config, file, weight_bits=INT8)  # what a checkpoint stores is for those to see who read it
    try:
        rope = RopeSpec.model_validate(config.rope)
    except ValidationError as error:
        start = f"model config '{shown(str(file), 60)}': rope."
        raise InputError(start + one_line(error, LONGEST - len(start))) from None
    ends = own_end_tokens(file.parent) or config.end_tokens
    return LlamaConfig(spec=spec, rms_norm_eps=config.rms_norm_eps, rope=rope, end_tokens=ends)
