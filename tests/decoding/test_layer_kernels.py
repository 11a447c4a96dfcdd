"""The compiled layer: torch's layer, and every token the same bits whatever else is in the pass."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_llama import grow_tree, tiny_config, tiny_llama
from torch import Tensor

from lpspec.decoding.exponential import LOWEST, exp
from lpspec.decoding.kv_cache import KvCache
from lpspec.decoding.llama import Llama
from lpspec.decoding.llama_weights import random_weights
from lpspec.decoding.tree_frame import TreeFrame
from lpspec.speculation.token_tree import TokenTree

MODELS = [
    tiny_llama(heads=heads, kv_heads=kv_heads, qkv_bias=heads == 6, out_bias=heads == 6)
    for heads, kv_heads in ((1, 1), (4, 2), (6, 2))
]
trees = st.lists(st.integers(0, 1000), max_size=15).map(
    lambda drawn: grow_tree([number % (node + 1) for node, number in enumerate(drawn)])
)


def filled(model: Llama, length: int) -> KvCache:
    cache = model.new_cache(length + 16)
    generator = torch.Generator().manual_seed(length)
    cache.data[:, :, :, :length] = torch.randn(cache.data[:, :, :, :length].shape, generator=generator)
    cache.length = length
    return cache


def tree_logits(model: Llama, tree: TokenTree, cache: KvCache, tokens: Tensor) -> Tensor:
    frame = TreeFrame(tree.size)
    return model.logits(model.forward(tokens, *frame.of(tree, cache.length), cache).hidden)


@settings(deadline=None, max_examples=40)
@given(model=st.sampled_from(MODELS), tree=trees, length=st.integers(1, 60))
def test_it_is_torchs_layer(model: Llama, tree: TokenTree, length: int) -> None:
    """Where gradients are wanted, torch computes."""
    tokens, caches = torch.arange(tree.size), [filled(model, length), filled(model, length)]
    with torch.no_grad():
        compiled = tree_logits(model, tree, caches[0], tokens)
    by_torch = tree_logits(model, tree, caches[1], tokens)
    torch.testing.assert_close(compiled, by_torch, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(caches[0].data, caches[1].data, atol=2e-5, rtol=2e-5)


@settings(deadline=None, max_examples=40)
@given(model=st.sampled_from(MODELS), tree=trees, length=st.integers(1, 60))
@torch.inference_mode()
def test_a_path_of_a_tree_is_plain_decoding_bit_for_bit(model: Llama, tree: TokenTree, length: int) -> None:
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
    narrow = Llama(config, rounded)
    found = tree_logits(narrow, grow_tree([0, 0, 1]), filled(narrow, 9), torch.arange(4))
    monkeypatch.setattr("lpspec.decoding.block_product.widens_quickly", lambda: False)
    wide = Llama(config, rounded)
    assert torch.equal(found, tree_logits(wide, grow_tree([0, 0, 1]), filled(wide, 9), torch.arange(4)))


def test_the_exponential_is_within_two_units_in_the_last_place() -> None:
    x = np.concatenate([np.linspace(LOWEST, 0, 20_001), -np.logspace(-9, 0, 2_000)]).astype(np.float32)
    found = np.array([exp(value) for value in x])
    true = np.exp(x.astype(np.float64))
    assert np.abs(found - true).max() <= 2 * np.finfo(np.float32).eps
    assert (np.abs(found / true - 1) <= 2 * np.finfo(np.float32).eps).all()
    assert exp(np.float32(0)) == 1
    assert exp(np.float32(-np.inf)) == exp(np.float32(-1e30)) == exp(np.float32(-88)) == 0
