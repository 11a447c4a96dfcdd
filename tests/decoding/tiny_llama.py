"""Small random models, and drafters that guess from a list."""

from typing import Any

import numpy as np
import torch

from lpspec.arrays import FloatArray, IntArray
from lpspec.decoding.architecture import PLAIN, Architecture
from lpspec.decoding.backends import choose_backend
from lpspec.decoding.drafter import Committed, Draft
from lpspec.decoding.llama_weights import random_weights
from lpspec.decoding.model_config import ModelConfig
from lpspec.decoding.transformer import Transformer
from lpspec.llm.llama_spec import llama_spec
from lpspec.speculation.token_tree import TokenTree

torch.set_num_threads(1)  # models this small run many times slower on several threads of a busy machine

SIZES: dict[str, Any] = {
    "name": "tiny", "source": "test", "layers": 2, "hidden_size": 32, "intermediate_size": 48, "heads": 4,
    "kv_heads": 2, "head_dim": 8, "vocab_size": 64, "tied_embeddings": False, "qkv_bias": False, "max_context": 256,
}  # fmt: skip


def tiny_config(end_tokens: tuple[int, ...] = (), architecture: Architecture = PLAIN, **sizes: Any) -> ModelConfig:
    return ModelConfig(spec=llama_spec(**SIZES | sizes), end_tokens=end_tokens, architecture=architecture)


def tiny_llama(seed: int = 0, dtype: torch.dtype = torch.float32, backend: str = "torch", **sizes: Any) -> Transformer:
    """Weights so large that the next token depends on the context."""
    config = tiny_config(**sizes)
    return Transformer(
        config, random_weights(config, seed, scale=0.3), dtype, backend=choose_backend(backend, dtype, "cpu")
    )


def grow_tree(parents: list[int]) -> TokenTree:
    """The tree in which node i + 1 hangs on node ``parents[i]``; siblings are ranked in growth order."""
    parent, depth, rank = [-1], [0], [-1]
    for above in parents:
        rank.append(parent.count(above))
        depth.append(depth[above] + 1)
        parent.append(above)
    return TokenTree(np.array(parent), np.array(depth), np.array(rank))


class OracleDrafter:
    """Knows the text to come, and hides it in a random tree among wrong guesses: any path may be accepted."""

    taps: tuple[int, ...] = ()
    depth = 127

    def __init__(self, truth: list[int], vocabulary: int, size: int = 12, seed: int = 0) -> None:
        self.truth, self.vocabulary, self.size = truth, vocabulary, size
        self.random = np.random.default_rng(seed)
        self.known = 0

    def start(self, prompt: IntArray, known: Committed) -> None:
        assert len(known.tokens) == len(known.hidden) == len(prompt)
        self.known = 1

    def observe(self, draft: Draft, known: Committed) -> None:
        assert len(known.tokens) == len(known.hidden)
        self.known += len(known.tokens)

    def draft(self, price: FloatArray) -> Draft:
        size = int(self.random.integers(1, min(self.size, len(price)) + 1))
        tree = grow_tree([int(self.random.integers(max(0, node - 3), node)) for node in range(1, size)])
        true_node, tokens = {0: 0}, []
        for node in range(1, size):
            above, depth = int(tree.parent[node]), int(tree.depth[node])
            token = (int(self.random.integers(self.vocabulary)) + node) % self.vocabulary
            if above in true_node and self.known + depth - 1 < len(self.truth) and self.random.random() < 0.7:
                token = self.truth[self.known + depth - 1]
                true_node = {n: d for n, d in true_node.items() if d < depth} | {node: depth}
            tokens.append(token)
        return Draft(tree, np.array(tokens, np.int64), np.ones(size - 1))
