"""A tiny model with drafters that are often right: taught for a moment on the text that the model itself writes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from head_weights import config_json, eagle3_weights, eagle_weights, medusa_weights, write_head
from tiny_llama import tiny_config
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss

from lpspec.decoding.checkpoint import Checkpoint
from lpspec.decoding.drafter import Drafter
from lpspec.decoding.drafters.draft_model import DraftModel
from lpspec.decoding.drafters.eagle import Eagle, load_eagle
from lpspec.decoding.drafters.eagle3 import Eagle3, load_eagle3
from lpspec.decoding.drafters.medusa import MedusaHeads, take_heads
from lpspec.decoding.drafters.prompt_lookup import PromptLookup
from lpspec.decoding.layer import DecoderLayer
from lpspec.decoding.linear import FloatLinear, Linear
from lpspec.decoding.llama_weights import random_weights
from lpspec.decoding.pass_context import PassContext
from lpspec.decoding.rope import RopeTable
from lpspec.decoding.transformer import Transformer

CONFIG = tiny_config(layers=4, vocab_size=24, max_context=128)
WEIGHTS = random_weights(CONFIG, seed=5, scale=0.18)
MODEL = Transformer(CONFIG, WEIGHTS)
TAPS = (0, 1, 3)
HEADS = 3


@cache
def own_text(texts: int = 24, prompt: int = 4, new_tokens: int = 28) -> Tensor:
    """int64 [texts, prompt + new_tokens], greedy after a random prompt."""
    text = torch.randint(CONFIG.spec.vocab_size, (texts, prompt), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        for _ in range(new_tokens):
            hidden = MODEL.forward(text).hidden[:, -1]
            text = torch.cat([text, MODEL.logits(hidden).argmax(-1, keepdim=True)], 1)
    return text


@cache
def medusa_heads() -> MedusaHeads:
    heads = take_heads(Checkpoint(medusa_weights(CONFIG.spec, HEADS), "random heads"), MODEL)
    assert heads.out is not None
    text = own_text()
    with torch.no_grad():
        hidden = MODEL.forward(text).hidden[:, : -HEADS - 1]
    truth = torch.stack([text[:, 2 + h : text.shape[1] - HEADS + 1 + h] for h in range(HEADS)])

    def loss() -> Tensor:
        return cross_entropy(heads.logits(hidden.flatten(0, 1)).flatten(0, 1), truth.flatten())

    teach([heads.block_weight, heads.block_bias, heads.out], loss)
    return heads


@cache
def eagle() -> Eagle:
    with TemporaryDirectory() as folder:
        file = write_head(Path(folder) / "eagle", "model.safetensors", eagle_weights(CONFIG.spec))
        drafter = load_eagle(MODEL, file, depth=4, width=4)
    head, text = drafter.head, own_text()
    with torch.no_grad():
        hidden = MODEL.forward(text).hidden
    around = causal(head.rope, text.shape[1] - 2)

    def loss() -> Tensor:
        guessed = head(MODEL.embed(text[:, 1:-1]), hidden[:, :-2], around)
        again = head(MODEL.embed(text[:, 2:]), guessed, around)  # what it drafts with at the second level
        scores = MODEL.logits(torch.cat([guessed, again[:, :-1]], 1)).flatten(0, 1)
        truth = torch.cat([text[:, 2:], text[:, 3:]], 1).flatten()
        return cross_entropy(scores, truth) + mse_loss(guessed, hidden[:, 1:-1])

    teach([*floats(head.mix), *layer_floats(head.stack.layers[0])], loss)
    return drafter


@cache
def eagle3() -> Eagle3:
    """Its draft vocabulary lacks token 0."""
    weights = eagle3_weights(CONFIG.spec, list(range(1, CONFIG.spec.vocab_size)))
    said = config_json(CONFIG.spec, eagle_config={"eagle_aux_hidden_state_layer_ids": list(TAPS)})
    with TemporaryDirectory() as folder:
        drafter = load_eagle3(MODEL, write_head(Path(folder) / "eagle3", "model.safetensors", weights, said), 4, 4)
    head, text = drafter.head, own_text()
    with torch.no_grad():
        taps = MODEL.forward(text, taps=TAPS).taps
        sides = torch.cat([taps[layer] for layer in TAPS], -1)[:, :-2]
    around = causal(head.rope, text.shape[1] - 2)
    truth = (text[:, 2:] - 1).masked_fill(text[:, 2:] == 0, -100)

    def loss() -> Tensor:
        guessed = head(MODEL.embed(text[:, 1:-1]), head.mix(sides), around)
        again = head(MODEL.embed(text[:, 2:]), guessed, around)[:, :-1]
        scores = head.logits(torch.cat([guessed, again], 1)).flatten(0, 1)
        return cross_entropy(scores, torch.cat([truth, truth[:, 1:]], 1).flatten())

    teach([*floats(head.mix), *layer_floats(head.layer), *floats(head.out)], loss)
    return drafter


@cache
def draft_model() -> DraftModel:
    """The model itself with some noise on its weights."""
    noise = torch.Generator().manual_seed(9)
    weights = {name: t + 0.02 * torch.randn(t.shape, generator=noise) for name, t in WEIGHTS.tensors.items()}
    return DraftModel(Transformer(CONFIG, Checkpoint(weights, "noisy weights")), depth=4, width=3)


CONFIDENT: dict[str, Callable[[], Drafter]] = {
    "eagle": eagle,
    "eagle3": eagle3,
    "draft-model": draft_model,
    "prompt-lookup": PromptLookup,
}


def causal(rope: RopeTable, n: int) -> PassContext:
    return PassContext(rope.up_to(n), torch.arange(n), None, n)


def floats(linear: Linear) -> list[Tensor]:
    assert isinstance(linear, FloatLinear)
    return [linear.weight] if linear.bias is None else [linear.weight, linear.bias]


def layer_floats(layer: DecoderLayer) -> list[Tensor]:
    parts = (layer.attention.qkv, layer.attention.out, layer.mlp.gate_up, layer.mlp.down)
    return [tensor for part in parts for tensor in floats(part)]


def teach(weights: list[Tensor], loss: Callable[[], Tensor], steps: int = 60, rate: float = 0.01) -> None:
    """Adam by hand: torch's own takes longer to import than to run."""
    for tensor in weights:
        tensor.requires_grad_()
    mean = [torch.zeros_like(tensor) for tensor in weights]
    square = [torch.zeros_like(tensor) for tensor in weights]
    for step in range(1, steps + 1):
        gradients = torch.autograd.grad(loss(), weights)
        with torch.no_grad():
            for tensor, m, v, g in zip(weights, mean, square, gradients, strict=True):
                m.lerp_(g, 0.1)
                v.lerp_(g * g, 0.01)
                tensor.sub_(rate * (m / (1 - 0.9**step)) / ((v / (1 - 0.99**step)).sqrt() + 1e-8))
    for tensor in weights:
        tensor.requires_grad_(False)
