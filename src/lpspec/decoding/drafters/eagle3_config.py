"""What the ``config.json`` of an EAGLE-3 layer says beyond its dimensions: norms, taps and vocabulary."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from lpspec.decoding.drafters.head_files import LAYER, HeadConfig
from lpspec.errors import LONGEST, InputError
from lpspec.llm.model_spec import one_line

TAPS = 3

_IDS = "eagle_aux_hidden_state_layer_ids"


class _Nested(BaseModel):
    """NVIDIA's and SGLang's ``eagle_config``: its ids name layers whose outputs are taken."""

    model_config = ConfigDict(extra="forbid", strict=True)

    eagle_aux_hidden_state_layer_ids: list[Any] | None = None
    norm_before_fc: bool = False
    use_aux_hidden_state: Literal[True] = True
    use_input_layernorm_in_first_layer: Literal[True] = True
    use_last_layernorm: Literal[True] = True
    use_mtp_layernorm: Literal[False] = False


class Eagle3Keys(BaseModel):
    """The keys that are read; the first four as vLLM reads them, absent ones false.

    Source: vllm-project/vllm llama_eagle3.py, vllm-project/speculators eagle3.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    norm_before_residual: bool = False
    """The residual stream begins with the normalised hidden state."""
    norm_before_fc: bool = False
    """The tapped hidden states, side by side, are normalised as one (``input_norm``)."""
    fc_norm: bool = False
    """Each of them is, by a norm of its own (``fc_norm.0`` to ``fc_norm.2``)."""
    norm_output: bool = False
    """What feeds deeper guesses is normalised as for the output layer."""
    draft_vocab_size: PositiveInt | None = None
    """Tokens that the layer can guess."""
    target_hidden_size: PositiveInt | None = None
    """Width of the model's hidden states."""
    eagle_aux_hidden_state_layer_ids: list[Any] | None = None
    """Layers whose inputs are taken, 0-based."""
    eagle_config: _Nested | None = None


KNOWN = frozenset(Eagle3Keys.model_fields)


def read_keys(config: HeadConfig, hidden_size: int) -> Eagle3Keys:
    """Read the keys.

    Raises:
        InputError: One is wrong, or the layer is for hidden states of another width.
    """
    said = config.said
    try:
        keys = Eagle3Keys.model_validate(said)
    except ValidationError as error:
        room = LONGEST - len(config.where) - 2
        raise InputError(f"{config.where}: {one_line(error, room)}"[:LONGEST]) from None
    if LAYER in said and "norm_before_residual" not in said:  # its writers and readers differ on what that means
        raise InputError(f"{config.where}: missing key 'norm_before_residual'")
    if LAYER in said and said.get("speculators_model_type", "eagle3") != "eagle3":
        raise InputError(f"{config.where}: speculators_model_type = {said['speculators_model_type']!r}: not eagle3")
    if keys.target_hidden_size not in (None, hidden_size):
        raise InputError(
            f"{config.where}: target_hidden_size = {keys.target_hidden_size}, the model's is {hidden_size}"
        )
    if keys.eagle_config is not None and keys.eagle_config.norm_before_fc:
        return keys.model_copy(update={"norm_before_fc": True})
    return keys


def taps(config: HeadConfig, keys: Eagle3Keys, layers: int) -> tuple[int, ...]:
    """The model's layers, 0-based, whose outputs the head takes: those it names, or low, middle and high.

    Ids at the top of the file name layers by their inputs, ids of its ``eagle_config`` by their outputs. Where there
    are none, the paper's code takes the inputs of layers 2, L / 2 and L - 3.

    Raises:
        InputError: The model has no such layers, or the two disagree.
    """
    outputs = keys.eagle_config.eagle_aux_hidden_state_layer_ids if keys.eagle_config else None
    inputs = keys.eagle_aux_hidden_state_layer_ids
    if inputs is not None:
        before = [layer - 1 if type(layer) is int else layer for layer in inputs]
        if outputs is not None and outputs != before:
            raise InputError(f"{config.where}: '{_IDS}' (layer inputs) and that of 'eagle_config' (outputs) disagree")
        outputs = before
    found = [1, layers // 2 - 1, layers - 4] if outputs is None else outputs
    whole = all(type(layer) is int and 0 <= layer < layers for layer in found)
    if not whole or len(set(found)) != TAPS or found != sorted(found):
        shown = str(found)[:40]
        raise InputError(
            f"{config.where} takes hidden states of layers {shown}: {TAPS} ascending ones of the model's {layers}"
            f" are needed ('{_IDS}')"
        )
    return tuple(found)
