"""What the decoder adds to a model's own arithmetic: verify passes over widths, and what a step does around them.

Times are the calling thread's CPU time, on one torch thread, and ratios are of the fastest of alternating runs, so that
a busy machine does not decide.
"""

import resource
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from lpspec.decoding.backends import choose_backend
from lpspec.decoding.checkpoint import Checkpoint
from lpspec.decoding.drafter import Draft
from lpspec.decoding.kv_cache import KvCache
from lpspec.decoding.llama_weights import random_weights
from lpspec.decoding.model_config import ModelConfig
from lpspec.decoding.quantized import quantized
from lpspec.decoding.transformer import Transformer
from lpspec.decoding.tree_frame import TreeFrame
from lpspec.decoding.verification import Greedy
from lpspec.llm import ModelSpec, llama_spec
from lpspec.speculation.pruner import DraftTokenPruner
from lpspec.speculation.token_tree import TokenTree

DEMO = llama_spec(
    name="as the demo", source="shape of the shipped model", layers=4, hidden_size=256, intermediate_size=576, heads=4,
    kv_heads=2, head_dim=64, vocab_size=1024, tied_embeddings=True, qkv_bias=False, max_context=1024,
)  # fmt: skip
TINY_LLAMA = llama_spec(
    name="1.1 B", source="shape of TinyLlama-1.1B", layers=22, hidden_size=2048, intermediate_size=5632, heads=32,
    kv_heads=4, head_dim=64, vocab_size=32000, tied_embeddings=False, qkv_bias=False, max_context=2048,
)  # fmt: skip
CONTEXT = 200


@pytest.fixture(autouse=True)
def _one_thread() -> object:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def tree_of(size: int) -> TokenTree:
    """A tree about as deep as four heads make it: two children per node, four levels, then siblings."""
    parent = [-1, *((node - 1) // 2 if node < 15 else node % 7 for node in range(1, size))]
    depth, rank = [0], [-1]
    for node in range(1, size):
        depth.append(depth[parent[node]] + 1)
        rank.append(parent[1:node].count(parent[node]))
    return TokenTree(np.array(parent), np.array(depth), np.array(rank))


def fastest(*runs: Callable[[], object], rounds: int = 150) -> list[float]:
    """The least CPU time of each, in seconds, in turns, each right after itself, so that the caches hold its data."""
    least = [float("inf")] * len(runs)
    for _ in range(rounds):
        for index, run in enumerate(runs):
            run()
            start = time.thread_time()
            run()
            least[index] = min(least[index], time.thread_time() - start)
    return least


def loaded(spec: ModelSpec, backend: str) -> tuple[Transformer, KvCache]:
    """A random model, stored in half precision as the demo is, and a cache that holds the context and a tree."""
    config = ModelConfig(spec=spec)
    weights = random_weights(config, seed=0)
    stored = Checkpoint({name: tensor.half().float() for name, tensor in weights.tensors.items()}, weights.said_as)
    model = Transformer(config, stored, backend=choose_backend(backend, torch.float32, "cpu"))
    cache = model.new_cache(CONTEXT + 64)
    model.forward(torch.arange(CONTEXT), cache=cache)
    cache.compact(range(CONTEXT))
    return model, cache


def by_torch(model: Transformer, cache: KvCache, mask: Tensor, size: int) -> Callable[[], object]:
    """The matrix multiplications and attention of a pass as torch does them, on operands that lie ready."""
    spec = model.config.spec
    x, inner = torch.randn(size, spec.hidden_size), torch.randn(size, spec.intermediate_size)
    q = torch.randn(1, spec.heads, size, spec.head_dim)
    layers = [
        (layer.attention.qkv.weight, layer.attention.out.weight, layer.mlp.gate_up.weight, layer.mlp.down.weight)  # type: ignore[attr-defined]
        for layer in model.layers
    ]
    keys_values = [(views.keys, views.values) for views in cache.window(size).layers]
    grouped = spec.heads != spec.kv_heads

    def run() -> None:
        for (qkv, out, gate_up, down), (k, v) in zip(layers, keys_values, strict=True):
            functional.linear(x, qkv)
            functional.scaled_dot_product_attention(q, k, v, mask, enable_gqa=grouped)
            functional.linear(x, out)
            functional.linear(x, gate_up)
            functional.linear(inner, down)
        functional.linear(x, model.embedding)

    return run


def verify_tree(model: Transformer, cache: KvCache, frame: TreeFrame, tree: TokenTree) -> Tensor:
    return model.logits(model.forward(torch.arange(tree.size), *frame.of(tree, CONTEXT), cache).hidden)


@pytest.mark.parametrize("size", [1, 8, 16, 32, 64])
@torch.inference_mode()
def test_a_verify_pass_by_each_backend(size: int) -> None:
    """A tree's pass by each backend, beside its matrix multiplications and attention alone by torch."""
    frame, tree = TreeFrame(64), tree_of(size)
    verify: list[Callable[[], object]] = []
    for backend in ("compiled", "torch"):
        model, cache = loaded(DEMO, backend)
        verify.append(partial(verify_tree, model, cache, frame, tree))
    arithmetic = by_torch(model, cache, functional.pad(frame.of(tree, CONTEXT)[1], (CONTEXT, 0)), size)
    compiled, by_operators, bare = (seconds * 1e6 for seconds in fastest(*verify, arithmetic))
    print(
        f"{size:3d} tokens: {compiled:6.0f} us compiled, {by_operators:6.0f} us by torch,"
        f" of which its arithmetic takes {bare:6.0f} us"
    )


@pytest.mark.parametrize("size", [8, 32])
@torch.inference_mode()
def test_acceptance_compaction_and_pruning_are_a_small_part_of_a_step(size: int) -> None:
    """What is left of a step beside its verify pass."""
    model, cache = loaded(DEMO, "compiled")
    frame, tree, tokens = TreeFrame(64), tree_of(size), torch.arange(size)
    draft = Draft(tree, np.arange(1, size) % 64, np.ones(size - 1))
    logits = torch.zeros(size, 1024)
    logits[0, int(draft.tokens[1])] = logits[2, int(draft.tokens[5])] = 1.0  # a path that has to be moved
    assert Greedy().accept(draft, logits).path == [0, 2, 6]
    pruner = DraftTokenPruner(np.array([[0.6, 0.2, 0.1, 0.05]] * 4))
    price, ranks = np.linspace(1, 3, 64), np.array([1, 1, -1, -1], np.int8)

    def verify() -> None:
        model.logits(model.forward(tokens, *frame.of(tree, CONTEXT), cache).hidden)

    def decide() -> None:
        accepted = Greedy().accept(draft, logits)
        cache.compact(accepted.path)
        cache.length = CONTEXT
        pruner.observe(1, ranks, pruner.choose(price), len(accepted.path))

    verifying, deciding = fastest(verify, decide)
    share = deciding / (verifying + deciding)
    print(f"{size:3d} tokens: deciding {deciding * 1e6:.0f} us beside {verifying * 1e6:.0f} us: {share:.1%} of a step")


@pytest.mark.parametrize("kind", ["fp32", "bf16", "w8a8"])
@torch.inference_mode()
def test_a_model_of_a_billion_parameters(kind: str) -> None:
    """Time of verify passes, and memory; random weights in the shape of TinyLlama-1.1B."""
    config = ModelConfig(spec=TINY_LLAMA)
    weights = random_weights(config, seed=0)
    dtype = torch.bfloat16 if kind == "bf16" else torch.float32
    chosen = choose_backend(None, dtype, "cpu")
    model = Transformer(config, quantized(weights) if kind == "w8a8" else weights, dtype, backend=chosen)
    del weights
    cache = model.new_cache(CONTEXT + 64)
    cache.length = CONTEXT  # what the cache holds takes no part in how long a pass takes
    frame = TreeFrame(64, dtype)
    for size in (1, 8, 32):
        tree, tokens = tree_of(size), torch.arange(size)

        def verify(tree: TokenTree = tree, tokens: Tensor = tokens) -> None:
            model.logits(model.forward(tokens, *frame.of(tree, CONTEXT), cache).hidden)

        (seconds,) = fastest(verify, rounds=3)
        print(f"{kind}, {size:2d} tokens: {seconds * 1e3:.0f} ms")
    print(f"{kind}: weights {weight_bytes(model) / 1e9:.2f} GB, process at most {peak_bytes() / 1e9:.2f} GB")


def weight_bytes(model: Transformer) -> int:
    linears = [model.head]
    for layer in model.layers:
        linears += [layer.attention.qkv, layer.attention.out, layer.mlp.gate_up, layer.mlp.down]
    tensors = {id(t): t for linear in linears for t in vars(linear).values() if isinstance(t, Tensor)}
    tensors[id(model.embedding)] = model.embedding
    return sum(tensor.nbytes for tensor in tensors.values())


def peak_bytes() -> int:
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
