"""A small random model decoded live in torch, and the trace recorded of it replayed: steps of both."""

import numpy as np
import torch

from lpspec.decoding.drafters.medusa import Medusa, MedusaHeads
from lpspec.decoding.generate import Generation
from lpspec.decoding.llama_weights import random_weights
from lpspec.decoding.model_config import ModelConfig
from lpspec.decoding.recording import Prompt, record_ranks
from lpspec.decoding.transformer import Transformer
from lpspec.llm.llama_spec import llama_spec
from lpspec.simulation.decode_loop import decode
from lpspec.speculation.pruner import FixedTree
from lpspec.speculation.token_tree import TokenTree

HEADS, NEW_TOKENS, PROMPTS = 3, 40, 4
SPEC = llama_spec(
    name="tiny",
    source="random",
    layers=2,
    hidden_size=32,
    intermediate_size=48,
    heads=4,
    kv_heads=2,
    head_dim=8,
    vocab_size=24,
    tied_embeddings=False,
    qkv_bias=False,
    max_context=128,
)
PATHS = [(0,), (1,), (2,), (3,), (0, 0), (0, 1), (1, 0), (2, 0), (0, 0, 0), (1, 0, 0)]

Steps = list[tuple[int, int, int, int]]


def steps_of_both() -> tuple[Steps, Steps]:
    """Position, tokens verified, tokens committed and drafts moved of every step: live, then replayed.

    The heads are the model's own output layer, so their lists are good guesses wherever the text repeats itself.
    """
    config = ModelConfig(spec=SPEC)
    model = Transformer(config, random_weights(config, seed=5, scale=0.3))
    width = SPEC.hidden_size
    heads = MedusaHeads(torch.zeros(1, HEADS, width, width), torch.zeros(1, HEADS, 1, width), None, model)
    drafter = Medusa(heads, FixedTree(TokenTree.from_paths(PATHS)))
    random = np.random.default_rng(1)
    prompts = [Prompt(random.integers(0, SPEC.vocab_size, 3 + i), f"prompt {i}") for i in range(PROMPTS)]
    live: Steps = []
    for prompt in prompts:
        generation = Generation(model, prompt.tokens, NEW_TOKENS, drafter, max_tree=len(PATHS) + 1)
        for step in generation:
            live.append((step.context - len(prompt.tokens), step.tree.size, len(step.tokens), step.moved))
    trace = record_ranks(model, drafter, prompts, NEW_TOKENS, "validation")
    price = np.ones((1, NEW_TOKENS, 1, len(PATHS) + 1))
    replayed = decode(trace, FixedTree(TokenTree.from_paths(PATHS)), price)
    return live, [(step.position, step.l_spec, step.committed, step.moved) for step in replayed]
