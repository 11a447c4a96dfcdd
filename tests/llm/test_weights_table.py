"""Tables of weight formats: the same as the text of the same classes, or one line that says what is wrong."""

from pathlib import Path

import pytest

from lpspec import Scenario
from lpspec.errors import InputError
from lpspec.llm import load_model


def written(folder: Path, text: str) -> str:
    (folder / "mix.toml").write_text(text)
    return str(folder / "mix.toml")


def test_a_table_says_the_same_as_its_classes_in_a_row(tmp_path: Path) -> None:
    text = "embedding=16,attention_in=4g128,attention_out=8,expert=mxfp4"
    (tmp_path / "config.json").write_text('{"model_type": "mixtral"}')
    table = written(tmp_path, 'embedding = 16\nattention_in = "4g128"\nattention_out = 8\nexpert = "mxfp4"\n')
    assert load_model(str(tmp_path), weights=table) == load_model(str(tmp_path), weights=text)


def test_classes_that_a_table_leaves_out_stay(tmp_path: Path) -> None:
    model = load_model("llama2-7b", weights=written(tmp_path, "ffn_down = 4"))
    plain = load_model("llama2-7b")
    halved = sum(tensor.elements for tensor in plain.tensors if tensor.kind == "ffn_down") // 2
    assert plain.weight_bytes - model.weight_bytes == halved == 32 * 11_008 * 4096 // 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("ffn_up = ", "is not TOML"),
        ("ffn_up = true", "ffn_up = True: allowed are bits"),
        ("[ffn_up]\nbits = 4", "ffn_up = {'bits': 4}: allowed are bits"),
        ("ffn_up = 5", "weights of 5 bits: allowed are 4, 8, 16, 32"),
        ("ffn = 4", "'ffn' is no class of tensors: known are embedding, head"),
        ("expert = 4", "has no tensors of class expert"),
        ('ffn_up = "4,head=8"', "allowed are bits"),
    ],
)
def test_a_wrong_table_is_one_line_that_names_the_key(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_model("llama2-7b", weights=written(tmp_path, text))
    assert said in str(caught.value)
    assert len(str(caught.value)) <= 200
    assert "\n" not in str(caught.value)


def test_a_table_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"weights table '.*none\.toml' cannot be read"):
        load_model("llama2-7b", weights=str(tmp_path / "none.toml"))


def test_a_scenario_file_names_a_table_that_lies_beside_it(tmp_path: Path) -> None:
    written(tmp_path, "ffn_down = 4")
    (tmp_path / "run.toml").write_text('weights = "mix.toml"\n')
    assert Scenario.load(tmp_path / "run.toml").weights == str(tmp_path / "mix.toml")
    (tmp_path / "run.toml").write_text("weights = 4\n")
    assert Scenario.load(tmp_path / "run.toml").weights == 4
