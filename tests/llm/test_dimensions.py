"""Dimensions changed by name: the same model as one described by these numbers, and nothing that cannot be."""

import json
from pathlib import Path

import pytest

from lpspec.errors import InputError
from lpspec.experiments.setting import load_setting, model_of
from lpspec.llm.dimensions import DIMENSIONS, dimensions_of, split_changes, with_dimensions
from lpspec.llm.loading import load_model
from lpspec.scenario import Scenario

CONFIG = {
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 5632,
    "num_hidden_layers": 22,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 64,
    "vocab_size": 32000,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
}
KEYS = {
    "layers": "num_hidden_layers",
    "hidden_size": "hidden_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "intermediate_size": "intermediate_size",
    "vocab_size": "vocab_size",
}


@pytest.mark.parametrize(
    "numbers",
    [
        {"layers": 3},
        {"hidden_size": 1000, "vocab_size": 77},
        {"heads": 12, "kv_heads": 3, "head_dim": 80, "intermediate_size": 4099},
        {"layers": 7, "hidden_size": 640, "heads": 10, "kv_heads": 5, "head_dim": 64, "vocab_size": 1234},
    ],
)
def test_a_changed_model_is_one_described_by_these_numbers(tmp_path: Path, numbers: dict[str, int]) -> None:
    file = tmp_path / "config.json"
    file.write_text(json.dumps(CONFIG | {KEYS[name]: number for name, number in numbers.items()}))
    described = load_model(str(file))
    changed = with_dimensions(load_model("tinyllama"), {name: str(number) for name, number in numbers.items()})
    assert changed.layer_groups == described.layer_groups
    assert changed.parameters == described.parameters
    assert changed.read_bytes(5, 100) == described.read_bytes(5, 100)
    assert all(f"{name} {number}" in changed.name for name, number in numbers.items() if number != CONFIG[KEYS[name]])


def test_every_dimension_has_its_key_of_a_config() -> None:
    assert KEYS.keys() == DIMENSIONS.keys()
    assert dimensions_of(load_model("tinyllama")) == {name: CONFIG[key] for name, key in KEYS.items()}


def test_parameters_of_another_count_of_layers_by_hand() -> None:
    plain, more = load_model("tinyllama"), with_dimensions(load_model("tinyllama"), {"layers": "23"})
    layer = 2048 * (2048 + 2 * 256) + 2048 * 2048 + 3 * 2048 * 5632 + 2 * 2048
    assert more.parameters - plain.parameters == layer


def test_the_same_numbers_are_the_same_model() -> None:
    model = load_model("llama2-7b")
    assert with_dimensions(model, {"layers": "32", "vocab_size": "32000"}) == model


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model.layer": "3"}, "unknown dimension of a model 'model.layer': did you mean 'model.layers'?"),
        ({"model.layers": "0"}, "model.layers = '0': allowed is a whole number from 1 to 1024"),
        ({"model.layers": "1e3"}, "allowed is a whole number from 1 to 1024"),
        ({"model.vocab_size": "9" * 5000}, "allowed is a whole number from 1 to 2097152"),
        ({"model.hidden_size": "\u0663"}, "allowed is a whole number"),
        ({"model.kv_heads": "5"}, "multiple of kv_heads"),
    ],
)
def test_what_cannot_be_is_one_line(changes: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=r".") as caught:
        load_setting(Scenario(model="tinyllama", systems=("npu",), changes=changes))
    (line,) = str(caught.value).splitlines()
    assert said in line
    assert len(line) <= 191


def test_layers_that_are_not_llamas_keep_their_numbers() -> None:
    """GPT-2's have biases and layer norms, which no number of these says; its vocabulary may change."""
    model = load_model("gpt2-345m")
    assert set(dimensions_of(model)) == {"hidden_size", "vocab_size"}
    with pytest.raises(InputError, match=r"not Llama's: change model.hidden_size, model.vocab_size"):
        with_dimensions(model, {"layers": "3"})
    more = with_dimensions(model, {"vocab_size": str(model.vocab_size + 1)})
    assert more.parameters - model.parameters == model.hidden_size  # its LM head is its embedding
    assert [group.layer for group in more.layer_groups] == [group.layer for group in model.layer_groups]


def test_formats_must_fit_the_changed_rows() -> None:
    scenario = Scenario(model="tinyllama", weights="q4_k", changes={"model.hidden_size": "2000"})
    with pytest.raises(InputError, match="no whole blocks of 256"):
        model_of(scenario)


def test_machines_and_models_have_changes_of_their_own() -> None:
    assert split_changes({"model.layers": "3", "pim.alus": "4"}) == ({"layers": "3"}, {"pim.alus": "4"})
    setting = load_setting(
        Scenario(model="tinyllama", systems=("lp-spec",), changes={"model.layers": "3", "pim.alus": "2"})
    )
    assert setting.systems[0].model.layers == 3
    assert setting.systems[0].platform.pim is not None
    assert setting.systems[0].platform.pim.alus.n == 2
