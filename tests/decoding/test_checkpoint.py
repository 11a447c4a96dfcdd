"""What is not a sound checkpoint is refused in one line, and nothing in it is run."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from tiny_llama import tiny_config

from lpspec.decoding.checkpoint import load_tensors, open_checkpoint
from lpspec.decoding.llama_weights import random_weights
from lpspec.decoding.model_config import load_config
from lpspec.decoding.transformer import load_transformer
from lpspec.errors import InputError

KEYS = {
    "model_type": "llama", "num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 48,
    "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 64, "max_position_embeddings": 256,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(KEYS))
    save_file(dict(random_weights(tiny_config(), seed=0).tensors), tmp_path / "model.safetensors")
    return tmp_path


def test_a_sound_folder_loads_and_so_does_its_bin(folder: Path) -> None:
    tokens = torch.arange(9)
    hidden = load_transformer(folder).forward(tokens).hidden
    torch.save(load_tensors(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    assert torch.equal(load_transformer(folder).forward(tokens).hidden, hidden)


def _missing_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def _missing_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _truncated(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def _truncated_bin(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    file = folder / "pytorch_model.bin"
    torch.save({"a": torch.zeros(1000)}, file)
    file.write_bytes(file.read_bytes()[:1000])


def _empty(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"")


def _html(folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(b"<!doctype html><html>Not found</html>" * 99)


def _foreign(folder: Path) -> None:
    save_file({"transformer.wte.weight": torch.zeros(64, 32)}, folder / "model.safetensors")


def _wrong_shape(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(KEYS | {"num_key_value_heads": 4}))


def _missing_shard(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"model.norm.weight": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _shard_elsewhere(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"model.norm.weight": "../other.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _shard_without_its_tensor(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    index = {"weight_map": {"model.norm.weight": "a.safetensors", "model.nonsense": "a.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _shard_twice(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "a.safetensors")
    tensors = load_tensors(folder / "a.safetensors")
    save_file({"model.norm.weight": torch.zeros(32)}, folder / "b.safetensors")
    index = {"weight_map": dict.fromkeys(tensors, "a.safetensors") | {"model.norm.weight": "b.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _missing_shard_held_elsewhere(folder: Path) -> None:
    _shard_twice(folder)
    tensors = load_tensors(folder / "a.safetensors")
    index = {"weight_map": dict.fromkeys(tensors, "a.safetensors") | {"model.norm.weight": "c.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def _shard_with_more(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    tensors = dict(random_weights(tiny_config(), seed=0).tensors)
    index = {"weight_map": dict.fromkeys(tensors, "a.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    save_file(tensors | {"model.nonsense": torch.zeros(2)}, folder / "a.safetensors")


def _no_map(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text("{}")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_missing_config, "cannot read model config .*config.json"),
        (_missing_weights, "has no weights: model.safetensors or pytorch_model.bin must be there, or its .index.json"),
        (_truncated, "is damaged or no checkpoint"),
        (_truncated_bin, "is damaged or no checkpoint"),
        (_empty, "is damaged or no checkpoint"),
        (_html, "is damaged or no checkpoint"),
        (_foreign, "has no tensor 'model.embed_tokens.weight': not a checkpoint of this kind"),
        (_wrong_shape, r"'model.layers.0.self_attn.k_proj.weight' has shape \[16, 32\], expected is \[32, 32\]"),
        (_missing_shard, "lists 'model-00001-of-00002.safetensors', which is not there"),
        (_missing_shard_held_elsewhere, "lists 'c.safetensors', which is not there"),
        (_shard_elsewhere, "names '../other.safetensors', allowed are files of its own folder"),
        (_shard_without_its_tensor, "lists 'model.nonsense', which its file does not hold"),
        (_shard_twice, "'model.norm.weight' lies in 'a.safetensors' and in another file too"),
        (_shard_with_more, "holds 'model.nonsense', which by its configuration is not used"),
        (_no_map, "has no weight_map"),
    ],
)
def test_an_unsound_folder_is_one_clear_line(folder: Path, spoil: Callable[[Path], None], said: str) -> None:
    spoil(folder)
    with pytest.raises(InputError, match=said) as caught:
        load_transformer(folder)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 200


class Malicious:
    """Unpickled, it makes a file."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.witness,)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("name", ["heads.pt", "pytorch_model.bin"])
def test_no_pickle_is_run(tmp_path: Path, name: str, zipped: bool) -> None:
    witness, file = tmp_path / "witness", tmp_path / name
    if zipped:
        torch.save({"weight": Malicious(witness)}, file)
    else:
        file.write_bytes(pickle.dumps({"weight": Malicious(witness)}))
    with pytest.raises(InputError, match="it was not read") as caught:
        load_tensors(file)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 200
    assert not witness.exists()
    torch.load(file, weights_only=False) if zipped else pickle.loads(file.read_bytes())
    assert witness.exists(), "the attack works where it is let"


@pytest.mark.parametrize("content", [torch.zeros(3), {"a": 1}, [torch.zeros(1)]])
def test_a_file_must_hold_tensors_by_name(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "heads.pt")
    with pytest.raises(InputError, match="must hold tensors by name"):
        load_tensors(tmp_path / "heads.pt")


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    for name in ("a.pt", "a.safetensors"):
        with pytest.raises(InputError, match="cannot be read: No such file"):
            load_tensors(tmp_path / name)
    with pytest.raises(InputError, match="has no weights"):
        open_checkpoint(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model_type": "gpt2"}, "model_type"),
        ({"hidden_act": "gelu"}, "hidden_act"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ({"model_type": "mistral", "mlp_bias": True}, "mlp_bias"),
        (
            {"rope_scaling": {"type": "dynamic", "factor": 2.0}},
            "rope.*dynamic.*'default', 'linear', 'llama3', 'longrope', 'yarn'",
        ),
        ({"rope_scaling": {"rope_type": "longrope", "short_factor": [1.0]}}, "longrope"),
        ({"rope_scaling": {"rope_type": "linear"}}, "factor"),
        ({"rope_scaling": {"rope_type": "linear", "factor": 2.0, "beta": 1}}, "unknown key.*beta"),
        ({"rope_scaling": 3}, "rope_scaling must be an object"),
        ({"rms_norm_eps": 0}, "rms_norm_eps"),
    ],
)
def test_what_is_not_computed_is_refused(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(KEYS | changes))
    with pytest.raises(InputError, match=said) as caught:
        load_config(tmp_path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 200


@pytest.mark.parametrize(("given", "ends"), [(None, ()), (2, (2,)), ([3, 5], (3, 5))])
def test_end_tokens_are_one_or_several(tmp_path: Path, given: object, ends: tuple[int, ...]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(KEYS | {"eos_token_id": given}))
    assert load_config(tmp_path).end_tokens == ends


@pytest.mark.parametrize(
    ("own", "in_config", "ends"),
    [
        ({"eos_token_id": 7}, None, (7,)),
        ({"eos_token_id": [7, 9]}, 2, (7, 9)),
        ({"eos_token_id": 0}, 2, (0,)),
        ({"eos_token_id": None}, 2, (2,)),
        ({"eos_token_id": []}, 2, (2,)),
        ({"temperature": 0.6}, [2, 3], (2, 3)),
        ({}, None, ()),
    ],
)
def test_the_generation_config_comes_before_the_config(
    tmp_path: Path, own: dict[str, object], in_config: object, ends: tuple[int, ...]
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(KEYS | {"eos_token_id": in_config}))
    (tmp_path / "generation_config.json").write_text(json.dumps(own))
    assert load_config(tmp_path).end_tokens == ends


@pytest.mark.parametrize("file", ["config.json", "generation_config.json"])
@pytest.mark.parametrize("wrong", [-1, "</s>", True, 2.5, [1, -2], {"id": 2}])
def test_an_end_token_that_is_no_id_is_refused(tmp_path: Path, file: str, wrong: object) -> None:
    for name, content in (("config.json", KEYS), ("generation_config.json", {})):
        (tmp_path / name).write_text(json.dumps(content | ({"eos_token_id": wrong} if name == file else {})))
    with pytest.raises(InputError, match=f"{file}.*eos_token_id") as caught:
        load_config(tmp_path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 200 + len(str(tmp_path))


@pytest.mark.parametrize("content", ["", "[]", "{"])
def test_a_damaged_generation_config_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(KEYS))
    (tmp_path / "generation_config.json").write_text(content)
    with pytest.raises(InputError, match=r"generation config '.*generation_config\.json'"):
        load_config(tmp_path)
