"""A pass over a tree computes what separate passes over each of its paths compute, and leaves a sound cache."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_llama import grow_tree, tiny_llama

from lpspec.decoding.architecture import Architecture, LayerKind
from lpspec.decoding.kv_cache import KvCache
from lpspec.decoding.transformer import Transformer
from lpspec.decoding.tree_frame import TreeFrame
from lpspec.errors import InputError
from lpspec.scenario.names import BACKENDS
from lpspec.speculation.token_tree import TokenTree

SLIDES = Architecture(layers=(LayerKind(window=3), LayerKind(window=8, rotation="none")))
CAPPED = Architecture(layers=(LayerKind(window=5), LayerKind()), attention_cap=2.0, attention_scale=0.5)
SHAPES = [(1, 1, 8), (4, 4, 8), (4, 2, 8), (6, 2, 4), (8, 1, 16)]  # heads, kv heads, head dim
MODELS = [
    tiny_llama(
        backend=backend,
        heads=heads,
        kv_heads=kv_heads,
        head_dim=head_dim,
        qkv_bias=heads == 6,
        tied_embeddings=heads == 8,
    )
    for heads, kv_heads, head_dim in SHAPES
    for backend in BACKENDS
]
SLIDING = [tiny_llama(architecture=how) for how in (SLIDES, CAPPED)]

trees = st.lists(st.integers(0, 1000), max_size=23).map(
    lambda drawn: grow_tree([number % (node + 1) for node, number in enumerate(drawn)])
)


def filled(model: Transformer, context: torch.Tensor, room: int) -> KvCache:
    cache = model.new_cache(len(context) + room)
    model.forward(context, cache=cache)
    cache.compact(range(len(context)))
    return cache


def path_to(tree: TokenTree, node: int) -> list[int]:
    path = [node]
    while path[0]:
        path.insert(0, int(tree.parent[path[0]]))
    return path


@settings(max_examples=120)
@given(
    model=st.sampled_from(MODELS + SLIDING),
    tree=trees,
    length=st.integers(1, 40),
    seed=st.integers(0, 999),
    padded=st.booleans(),
)
@torch.inference_mode()
def test_logits_and_cache_equal_those_of_sequential_passes(
    model: Transformer, tree: TokenTree, length: int, seed: int, padded: bool
) -> None:
    generator = torch.Generator().manual_seed(seed)
    context = torch.randint(64, (length,), generator=generator)
    frame = TreeFrame(24, padded=padded)
    rows = 24 if padded else tree.size
    tokens = torch.randint(64, (rows,), generator=generator)
    cache = filled(model, context, 24)
    logits = model.logits(model.forward(tokens, *frame.of(tree, length), cache).hidden)

    for node in range(tree.size):
        alone = model.forward(torch.cat((context, tokens[path_to(tree, node)])))
        torch.testing.assert_close(logits[node], model.logits(alone.hidden[-1]), atol=1e-4, rtol=0)

    kept = path_to(tree, int(torch.randint(tree.size, (1,), generator=generator)))
    cache.compact(kept)
    plain = filled(model, context, 24)
    for token in tokens[kept]:
        model.forward(token[None], cache=plain)
        plain.compact([0])
    assert cache.length == plain.length == length + len(kept)
    torch.testing.assert_close(
        cache.data[:, :, :, : cache.length], plain.data[:, :, :, : plain.length], atol=1e-5, rtol=1e-5
    )


def test_a_node_does_not_see_its_siblings() -> None:
    model, tree = MODELS[4], grow_tree([0, 0, 1])
    frame, context = TreeFrame(8), torch.arange(5)
    with torch.inference_mode():
        for sibling in (7, 8):
            cache = filled(model, context, 4)
            tokens = torch.tensor([1, 2, sibling, 3])
            hidden = model.forward(tokens, *frame.of(tree, 5), cache).hidden
            torch.testing.assert_close(hidden[3], model.forward(torch.tensor([0, 1, 2, 3, 4, 1, 2, 3])).hidden[-1])


def test_the_frame_follows_the_tree() -> None:
    frame, chain, wide = TreeFrame(4), grow_tree([0, 1]), grow_tree([0, 0])
    assert frame.of(chain, 3)[0].tolist() == [3, 4, 5]
    positions, mask = frame.of(wide, 2)
    assert positions.tolist() == [2, 3, 3]
    assert (mask == 0).tolist() == [[1, 0, 0], [1, 1, 0], [1, 0, 1]]
    assert frame.of(chain, 2)[1].tolist() == frame.of(grow_tree([0, 1]), 7)[1].tolist() != mask.tolist()


@pytest.mark.parametrize("model", MODELS + SLIDING)
@torch.inference_mode()
def test_a_narrow_mask_is_a_wide_one_that_hides_no_text(model: Transformer) -> None:
    tree, tokens = grow_tree([0, 0, 1]), torch.tensor([1, 2, 7, 3])
    positions, narrow = TreeFrame(4).of(tree, 9)
    wide = torch.cat([torch.ones(4, 9, dtype=torch.bool), narrow == 0], 1)
    found = [
        model.forward(tokens, positions, mask, filled(model, torch.arange(9), 4)).hidden for mask in (narrow, wide)
    ]
    assert torch.equal(*found)


def test_a_full_cache_is_one_clear_line() -> None:
    model = MODELS[0]
    with pytest.raises(InputError, match="needs 5 places in the cache, which has 4"):
        model.forward(torch.arange(5), cache=model.new_cache(4))
