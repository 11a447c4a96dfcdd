"""What a decoder takes from configurations of other people."""

import json
from pathlib import Path
from typing import Any

import pytest

from lpspec.decoding.model_config import draft_layer_config, load_config
from lpspec.decoding.rope import LinearRope
from lpspec.errors import InputError

SMALL: dict[str, Any] = {
    "model_type": "llama", "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1,
    "num_attention_heads": 4, "max_position_embeddings": 256,
}  # fmt: skip


def folder_with(tmp_path: Path, **keys: Any) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(SMALL | keys))
    return tmp_path


def test_the_older_layout_of_rope_wins(tmp_path: Path) -> None:
    """transformers 5.24.0 takes rope_scaling where both stand, and rope_theta from beside it."""
    config = load_config(
        folder_with(
            tmp_path,
            rope_theta=500000.0,
            rope_scaling={"rope_type": "linear", "factor": 4.0},
            rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        )
    )
    assert (config.rope.theta, config.rope.scaling) == (500_000, LinearRope(factor=4.0))


@pytest.mark.parametrize("given", [{}, {"original_max_position_embeddings": 64, "long_factor": [1.0] * 8}])
def test_longrope_is_refused_where_two_lists_would_be_needed(tmp_path: Path, given: dict[str, object]) -> None:
    """The library's Llama takes the long list behind the trained context: one list alone is no LongRoPE."""
    scaling = {"rope_type": "longrope", "short_factor": [1.0] * 8, "attention_factor": 1.1, **given}
    with pytest.raises(InputError, match=r"rope_type = 'longrope' is computed in phi3 alone, not in llama$"):
        load_config(folder_with(tmp_path, rope_scaling=scaling))


def test_an_absent_end_token_is_the_family_s(tmp_path: Path) -> None:
    assert load_config(folder_with(tmp_path)).end_tokens == (2,)
    assert load_config(folder_with(tmp_path, eos_token_id=None)).end_tokens == ()
    assert load_config(folder_with(tmp_path, model_type="qwen2", num_key_value_heads=4)).end_tokens == ()


def test_a_draft_layer_may_say_its_context_otherwise(tmp_path: Path) -> None:
    said = {"max_position_embeddings": 2048, "max_sequence_length": 512, "draft_vocab_size": 32}
    folder = folder_with(tmp_path, **said)
    assert draft_layer_config(SMALL | said, folder / "config.json").spec.max_context == 2048
    with pytest.raises(InputError, match="'draft_vocab_size' belongs to a draft head"):
        load_config(folder)


def test_a_quantised_folder_is_priced_as_int8(tmp_path: Path) -> None:
    """Whoever reads the tensors says whether they can be read."""
    assert load_config(folder_with(tmp_path, quantization_config={"quant_method": "fp8"})).spec.weight_bits == 8
