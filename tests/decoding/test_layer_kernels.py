"""Compiled layers: torch's layers, and every token the same bits whatever else is in the pass."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_llama import grow_tree, tiny_config, tiny_llama
from torch import Tensor
from torch.nn import functional

from lpspec.decoding.compiled.backend import CompiledBackend
from lpspec.decoding.compiled.exponential import LOWEST, exp
from lpspec.decoding.compiled.layer_kernels import norm_rows
from lpspec.decoding.kv_cache import KvCache
from lpspec.decoding.llama_weights import random_weights
from lpspec.decoding.transformer import Transformer
from lpspec.decoding.tree_frame import TreeFrame
from lpspec.speculation.token_tree import TokenTree

SHAPES = {(heads, kv_heads): (heads == 6, heads == 6) for heads, kv_heads in ((1, 1), (4, 2), (6, 2))}  # biases
MODELS, BY_TORCH = (
    [
        tiny_llama(backend=backend, heads=heads, kv_heads=kv_heads, qkv_bias=qkv_bias, out_bias=out_bias)
        for (heads, kv_heads), (qkv_bias, out_bias) in SHAPES.items()
    ]
    for backend in ("compiled", "torch")
)
trees = st.lists(st.integers(0, 1000), max_size=15).map(
    lambda drawn: grow_tree([number % (node + 1) for node, number in enumerate(drawn)])
)


def filled(model: Transformer, length: int) -> KvCache:
    cache = model.new_cache(length + 16)
    generator = torch.Generator().manual_seed(length)
    cache.data[:, :, :, :length] = torch.randn(cache.data[:, :, :, :length].shape, generator=generator)
    cache.length = length
    return cache


def tree_logits(model: Transformer, tree: TokenTree, cache: KvCache, tokens: Tensor) -> Tensor:
    frame = TreeFrame(tree.size)
    return model.logits(model.forward(tokens, *frame.of(tree, cache.length), cache).hidden)


@settings(max_examples=40)
@given(shape=st.integers(0, len(SHAPES) - 1), tree=trees, length=st.integers(1, 60))
@torch.inference_mode()
def test_they_are_torchs_layers(shape: int, tree: TokenTree, length: int) -> None:
    models = MODELS[shape], BY_TORCH[shape]
    caches = [filled(model, length) for model in models]
    compiled, by_torch = (
        tree_logits(model, tree, cache, torch.arange(tree.size)) for model, cache in zip(models, caches, strict=True)
    )
    torch.testing.assert_close(compiled, by_torch, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(caches[0].data, caches[1].data, atol=2e-5, rtol=2e-5)


@settings(max_examples=40)
@given(model=st.sampled_from(MODELS), tree=trees, length=st.integers(1, 60))
@torch.inference_mode()
def test_a_path_of_a_tree_is_plain_decoding_bit_for_bit(model: Transformer, tree: TokenTree, length: int) -> None:
    tokens, cache = torch.arange(tree.size), filled(model, length)
    together = tree_logits(model, tree, cache, tokens)
    path = [tree.size - 1]
    while path[0]:
        path.insert(0, int(tree.parent[path[0]]))
    alone, root = filled(model, length), grow_tree([])
    for node in path:
        assert torch.equal(tree_logits(model, root, alone, tokens[node : node + 1])[0], together[node])
        alone.compact([0])
    cache.compact(path)
    assert torch.equal(cache.data[:, :, :, : cache.length], alone.data[:, :, :, : alone.length])


@torch.inference_mode()
def test_weights_of_half_precision_give_the_same_bits_as_when_widened(monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny_config()
    weights = random_weights(config, seed=1, scale=0.3)
    rounded = type(weights)({name: t.half().float() for name, t in weights.tensors.items()}, "rounded")
    narrow = Transformer(config, rounded, backend=CompiledBackend())
    found = tree_logits(narrow, grow_tree([0, 0, 1]), filled(narrow, 9), torch.arange(4))
    monkeypatch.setattr("lpspec.decoding.compiled.block_product.widens_quickly", lambda: False)
    wide = Transformer(config, rounded, backend=CompiledBackend())
    assert torch.equal(found, tree_logits(wide, grow_tree([0, 0, 1]), filled(wide, 9), torch.arange(4)))


@pytest.mark.parametrize("loop", ["decoder_stack", "add_product"])
@torch.inference_mode()
def test_the_loops_are_what_computes(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests of this backend would hold as well if it left all to torch."""

    def refuse(*_: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(f"lpspec.decoding.compiled.backend.{loop}", refuse)
    with pytest.raises(NotImplementedError):
        tree_logits(MODELS[1], grow_tree([0]), filled(MODELS[1], 9), torch.arange(2))
    tree_logits(BY_TORCH[1], grow_tree([0]), filled(BY_TORCH[1], 9), torch.arange(2))


@torch.inference_mode()
def test_passes_of_many_tokens_are_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The bounds, in multiply-adds, and none for products of few rows; what both sides compute is the same."""
    tree, tokens = grow_tree([0] * 39), torch.arange(40)
    found = []
    for most in (20_000_000, 1):
        monkeypatch.setattr("lpspec.decoding.compiled.backend.SMALL", most)
        cache = MODELS[1].new_cache(49)
        cache.length = 9
        found.append(tree_logits(MODELS[1], tree, cache, tokens))
    torch.testing.assert_close(*found, atol=1e-4, rtol=1e-4)
    assert not torch.equal(*found)


@given(rows=st.integers(1, 9), width=st.integers(1, 70), seed=st.integers(0, 999))
def test_the_norm_is_torchs(rows: int, width: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, weight = torch.randn(rows, width, generator=generator) * 5, torch.randn(width, generator=generator)
    out = torch.empty_like(x)
    norm_rows(x.numpy(), weight.numpy(), 1e-3, out.numpy())
    torch.testing.assert_close(out, functional.rms_norm(x, (width,), weight, 1e-3), atol=2e-6, rtol=2e-6)


def test_the_exponential_is_within_two_units_in_the_last_place() -> None:
    x = np.concatenate([np.linspace(LOWEST, 0, 20_001), -np.logspace(-9, 0, 2_000)]).astype(np.float32)
    found = np.array([exp(value) for value in x])
    true = np.exp(x.astype(np.float64))
    assert np.abs(found - true).max() <= 2 * np.finfo(np.float32).eps
    assert (np.abs(found / true - 1) <= 2 * np.finfo(np.float32).eps).all()
    assert exp(np.float32(0)) == 1
    assert exp(np.float32(-np.inf)) == exp(np.float32(-1e30)) == exp(np.float32(-88)) == 0
