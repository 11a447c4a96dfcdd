import json
from pathlib import Path

import pytest

from lpspec.errors import InputError
from lpspec.llm import load_model, model_names

LLAMA2_7B: dict[str, object] = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "intermediate_size": 11008,
    "num_attention_heads": 32,
    "vocab_size": 32000,
    "max_position_embeddings": 4096,
    "torch_dtype": "float16",
}


def write_config(folder: Path, content: object) -> Path:
    file = folder / "config.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def error_line(name_or_path: str | Path) -> str:
    with pytest.raises(InputError) as caught:
        load_model(str(name_or_path))
    line = str(caught.value)
    assert "\n" not in line
    return line


def test_config_json_gives_the_preset(tmp_path: Path) -> None:
    folder = tmp_path / "my-llama"
    folder.mkdir()
    file = write_config(folder, LLAMA2_7B)
    model = load_model(str(file))
    assert model == load_model(str(folder)).model_copy(update={"source": str(file)})
    assert model.name == "my-llama"
    assert model.source == str(file)
    assert model.default_trace is None
    own = {"name", "source", "default_trace"}
    assert model.model_dump(exclude=own) == load_model("llama2-7b").model_dump(exclude=own)


def test_nulls_mean_the_defaults(tmp_path: Path) -> None:
    nulls = {"head_dim": None, "num_key_value_heads": None, "sliding_window": None}
    model = load_model(str(write_config(tmp_path, {**LLAMA2_7B, **nulls})))
    assert (model.head_dim, model.kv_heads, model.max_context) == (128, 32, 4096)


def test_qwen2_has_qkv_bias_and_tied_embeddings(tmp_path: Path) -> None:
    config = {
        "model_type": "qwen2",
        "num_hidden_layers": 28,
        "hidden_size": 1536,
        "intermediate_size": 8960,
        "num_attention_heads": 12,
        "num_key_value_heads": 2,
        "vocab_size": 151936,
        "max_position_embeddings": 131072,
        "tie_word_embeddings": True,
        "sliding_window": 1024,
        "use_sliding_window": False,
    }
    model = load_model(str(write_config(tmp_path, config)))
    assert model.parameters == 1_543_714_304
    assert model.qkv_bias
    assert not model.out_bias
    assert model.max_context == 131072


def test_llama_attention_bias_is_on_the_output_too(tmp_path: Path) -> None:
    model = load_model(str(write_config(tmp_path, {**LLAMA2_7B, "attention_bias": True})))
    assert model.parameters == 6_738_415_616 + 32 * 4 * 4096


def test_all_layers_of_mistral_slide(tmp_path: Path) -> None:
    mistral = {**LLAMA2_7B, "model_type": "mistral", "num_key_value_heads": 8, "sliding_window": 1024}
    model = load_model(str(write_config(tmp_path, mistral)))
    assert (model.kv_heads, model.max_context) == (8, 4096)
    assert model.cache_bytes(1022) + 2 * model.kv_bytes_per_token > model.cache_bytes(1023) == model.cache_bytes(4096)


def test_other_file_name_names_the_model(tmp_path: Path) -> None:
    file = write_config(tmp_path, LLAMA2_7B).rename(tmp_path / "tiny.json")
    assert load_model(str(file)).name == "tiny"


def test_preset_wins_over_a_file_of_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tinyllama").mkdir()
    monkeypatch.chdir(tmp_path)
    assert load_model("tinyllama").layers == 22


def test_existing_folder_is_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "checkpoint").mkdir()
    write_config(tmp_path / "checkpoint", LLAMA2_7B)
    monkeypatch.chdir(tmp_path)
    assert load_model("checkpoint").name == "checkpoint"


def test_names_are_sorted_and_unknown_ones_get_a_hint() -> None:
    assert list(model_names()) == sorted(model_names())
    assert error_line("llama2-7").startswith("unknown model 'llama2-7': did you mean 'llama2-7b'? known are ")
    assert error_line("").startswith("unknown model ''")


def test_missing_file(tmp_path: Path) -> None:
    line = error_line(tmp_path / "none.json")
    assert line.startswith("cannot read model config '")  # of a long path only the end is said
    assert "/none.json': No such file or directory" in line
    assert "lpspec inspect lists them" in line
    assert "/config.json': No such file or directory" in error_line(tmp_path)
    assert "No such file" in error_line("meta-llama/Llama-2-7b-hf")


@pytest.mark.parametrize("content", [b"", b"{", b"hello", b"\xff\xfe\x00", b"[" * 100_000])
def test_not_json(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(content)
    assert "/config.json' is not JSON: " in error_line(file)


@pytest.mark.parametrize(("content", "kind"), [([LLAMA2_7B], "list"), ("llama", "str"), (None, "NoneType")])
def test_not_an_object(tmp_path: Path, content: object, kind: str) -> None:
    file = write_config(tmp_path, content)
    assert error_line(file) == f"model config '{file}' must hold a JSON object, not a {kind}"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "bert"}, "model_type = 'bert': allowed are apertus, arcee, bamba"),
        ({"hidden_size": "4096"}, "hidden_size = '4096': input should be a valid integer"),
        ({"hidden_size": 4096.0}, "hidden_size = 4096.0: input should be a valid integer"),
        ({"vocab_size": None}, "vocab_size = None: input should be a valid integer"),
        ({"num_hidden_layers": 0}, "num_hidden_layers = 0: input should be greater than 0"),
        ({"num_hidden_layers": True}, "num_hidden_layers = True: input should be a valid integer"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings = 'no': input should be a valid boolean"),
        ({"mlp_bias": 1}, "mlp_bias = 1: input should be a valid boolean"),
        ({"hidden_size": ["x" * 99]}, f"hidden_size = ['{'x' * 38}...: input should be a valid integer"),
        ({"num_attention_heads": 30}, "head_dim is needed where hidden_size (4096) is not a multiple of"),
        ({"num_key_value_heads": 5}, "heads (32) must be a multiple of kv_heads (5)"),
    ],
)
def test_wrong_value_names_path_key_and_rule(tmp_path: Path, change: dict[str, object], said: str) -> None:
    file = write_config(tmp_path, {**LLAMA2_7B, **change})
    line = error_line(file)
    assert line.startswith("model config '")  # of a long path only the end is said
    assert f"/config.json': {said}" in line


def test_the_first_errors_are_reported_at_once(tmp_path: Path) -> None:
    file = write_config(tmp_path, {**LLAMA2_7B, "vocab_size": 0, "hidden_size": 0})
    assert "/config.json': vocab_size = 0: input should be greater than 0" in error_line(file)
    assert error_line(file).endswith(("; hidden_size = 0: input should be greater than 0", " and 1 more"))


def test_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(LLAMA2_7B).encode())
    assert load_model(str(file)).layers == 32


@pytest.mark.parametrize("start", [b"\xff\xfe", b"// a comment\n"])
def test_other_encodings_and_comments_are_one_line(tmp_path: Path, start: bytes) -> None:
    file = tmp_path / "config.json"
    file.write_bytes(start + json.dumps(LLAMA2_7B).encode("utf-16-le" if start == b"\xff\xfe" else "utf-8"))
    assert "/config.json' is not JSON: " in error_line(file)


def test_a_long_path_leaves_room_for_what_is_wrong(tmp_path: Path) -> None:
    folder = tmp_path / ("a" * 100) / ("b" * 100)
    folder.mkdir(parents=True)
    line = error_line(write_config(folder, {**LLAMA2_7B, "vocab_size": 0}))
    assert len(line) <= 200
    assert "vocab_size = 0: input should be greater than 0" in line
