"""The seam: one place chooses who multiplies, nothing above it knows how, and both compute the same layers."""

import ast
from pathlib import Path

import pytest
import torch
from head_weights import eagle_weights, write_head
from tiny_llama import SIZES, tiny_llama

import lpspec.decoding
from lpspec.decoding.backends import choose_backend
from lpspec.decoding.drafters.draft_model import DraftModel
from lpspec.decoding.drafters.eagle import load_eagle
from lpspec.decoding.generate import Generation
from lpspec.errors import InputError
from lpspec.scenario.names import BACKENDS

DECODING = Path(lpspec.decoding.__file__).parent


def imported(file: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(file.read_text("utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return names | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


def test_only_the_compiled_backend_knows_how_loops_are_compiled() -> None:
    known = {
        file.relative_to(DECODING).as_posix(): name
        for file in DECODING.rglob("*.py")
        if file.parent.name != "compiled"
        for name in imported(file)
        if name.split(".")[0] in ("numba", "llvmlite")
        or name.startswith(("lpspec.compiled", "lpspec.decoding.compiled"))
    }
    assert known == {"backends.py": "lpspec.decoding.compiled.backend"}


@pytest.mark.parametrize("name", BACKENDS)
def test_the_backend_asked_for_is_the_one_that_runs(name: str) -> None:
    assert choose_backend(name, torch.bfloat16, "cpu").name == name
    assert tiny_llama(backend=name).computing.backend.name == name


@pytest.mark.parametrize("has_bfloat16", [True, False])
def test_the_faster_one_is_chosen(has_bfloat16: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lpspec.decoding.compiled.backend.multiplies_bfloat16", lambda: has_bfloat16)
    assert choose_backend(None, torch.float32, "cpu").name == "compiled"
    assert choose_backend(None, torch.bfloat16, "cpu").name == ("torch" if has_bfloat16 else "compiled")
    assert choose_backend(None, torch.float32, "cuda").name == "torch"


def test_what_cannot_be_had_is_one_line() -> None:
    with pytest.raises(InputError, match="unknown backend 'cuda'"):
        choose_backend("cuda", torch.float32, "cpu")
    with pytest.raises(InputError, match="backend 'compiled' computes on a CPU, not on 'cuda': take 'torch'"):
        choose_backend("compiled", torch.float32, "cuda")


@pytest.mark.parametrize("head_dim", [8, 12])
@pytest.mark.parametrize("hidden", [32, 36])
@torch.inference_mode()
def test_shapes_that_do_not_suit_vectors_are_computed_all_the_same(hidden: int, head_dim: int) -> None:
    found = []
    for name in BACKENDS:
        model = tiny_llama(backend=name, hidden_size=hidden, head_dim=head_dim)
        cache = model.new_cache(16)
        model.forward(torch.arange(9), cache=cache)
        cache.compact(range(9))
        found.append(model.logits(model.forward(torch.arange(3), cache=cache).hidden))
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_layers_tapped_are_the_same() -> None:
    found = []
    for name in BACKENDS:
        model = tiny_llama(backend=name, layers=3)
        cache = model.new_cache(16)
        model.forward(torch.arange(9), cache=cache)
        cache.compact(range(9))
        found.append(model.forward(torch.arange(3), cache=cache, taps=(0, 2)).taps)
    assert set(found[0]) == set(found[1]) == {0, 2}
    for tap in (0, 2):
        torch.testing.assert_close(found[0][tap], found[1][tap], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_drafters_multiply_as_their_model_does(dtype: torch.dtype, tmp_path: Path) -> None:
    texts: dict[str, list[int]] = {}
    for name in BACKENDS:
        model = tiny_llama(backend=name, dtype=dtype)
        file = write_head(tmp_path / name, "model.safetensors", eagle_weights(model.config.spec))
        eagle = load_eagle(model, file, depth=3, width=3)
        assert eagle.head.stack.backend.name == name
        own = DraftModel(tiny_llama(backend=name, dtype=dtype), depth=3, width=3)
        for drafter in (None, eagle, own):
            generation = Generation(model, [1, 2, 3], 20, drafter, max_tree=8)
            list(generation)
            texts.setdefault(name, generation.tokens)
            assert generation.tokens == texts[name]
    if dtype == torch.float32:
        assert texts["torch"] == texts["compiled"]
    assert len(set(texts["torch"])) > 3
    assert max(texts["torch"]) < SIZES["vocab_size"]
