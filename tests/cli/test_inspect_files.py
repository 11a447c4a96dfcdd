"""``lpspec inspect`` of files that hold weights."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Said, assert_refused

ROOT = Path(__file__).parents[2]


def test_a_files_weights_are_shown_by_class_and_type(lpspec: Callable[..., Said]) -> None:
    """Of the demo model: 4 layers of width 256 with 576 inner values, half precision, tied embeddings of 1,024 rows."""
    said = lpspec("inspect", str(ROOT / "src/lpspec/decoding/demo/model.safetensors"), "--json", "-")
    sheet = json.loads(said.out)["stored_weights"]
    assert {key: fact["value"] for key, fact in sheet["values"].items()} == {
        "embedding.f16": 2 * 1024 * 256,
        "attention_in.f16": 2 * 4 * 256 * (256 + 2 * 128),
        "attention_out.f16": 2 * 4 * 256 * 256,
        "ffn_up.f16": 2 * 4 * 256 * 2 * 576,
        "ffn_down.f16": 2 * 4 * 256 * 576,
        "other.f16": 2 * 9 * 256,
    }
    assert sheet["identities"]["tensor_bytes"]["value"] == 5_640_704


@pytest.mark.parametrize("name", ["gone.gguf", "gone.safetensors", "gone.safetensors.index.json"])
def test_a_missing_file_is_one_line(lpspec: Callable[..., Said], name: str) -> None:
    said = lpspec("inspect", name)
    assert_refused(said, name)
