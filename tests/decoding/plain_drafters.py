"""Every drafter once more, written plainly: no cache, no fused weights, each guess computed from the first token on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lpspec.decoding.model_config import ModelConfig

Weights = Mapping[str, Tensor]
Path = tuple[int, ...]


@dataclass(frozen=True)
class Plain:
    """A model by its tensors, as in its checkpoint."""

    config: ModelConfig
    tensors: Weights

    def embed(self, tokens: list[int]) -> Tensor:
        return torch.stack([self.tensors["model.embed_tokens.weight"][token] for token in tokens])

    def layers(self, tokens: list[int]) -> list[Tensor]:
        """The output of every layer, then the final-norm hidden states."""
        x, found = self.embed(tokens), []
        for index in range(self.config.spec.layers):
            prefix = f"model.layers.{index}."
            before = norm(x, self.tensors[f"{prefix}input_layernorm.weight"], self.config)
            x = rest_of_layer(self.tensors, prefix, self.config, x, before)
            found.append(x)
        return [*found, norm(x, self.tensors["model.norm.weight"], self.config)]

    def logits(self, hidden: Tensor) -> Tensor:
        tied = self.config.spec.tied_embeddings
        return hidden @ self.tensors["model.embed_tokens.weight" if tied else "lm_head.weight"].T

    def greedy(self, prompt: list[int], new_tokens: int) -> list[int]:
        text = list(prompt)
        for _ in range(new_tokens):
            text.append(int(self.logits(self.layers(text)[-1][-1]).argmax()))
        return text[len(prompt) :]


def norm(x: Tensor, weight: Tensor, config: ModelConfig) -> Tensor:
    return x / (x.pow(2).mean(-1, keepdim=True) + config.rms_norm_eps).sqrt() * weight


def rest_of_layer(tensors: Weights, prefix: str, config: ModelConfig, x: Tensor, before: Tensor) -> Tensor:
    """A decoder layer after its norm: attention over ``before``, one head at a time, then the MLP."""
    spec, size = config.spec, config.spec.head_dim
    q, k, v = (linear(before, tensors, f"{prefix}self_attn.{name}_proj") for name in "qkv")
    later = torch.ones(len(x), len(x)).triu(1).bool()
    heads = []
    for head in range(spec.heads):
        a, b = head * size, head * spec.kv_heads // spec.heads * size
        scores = turn(q[:, a : a + size], config) @ turn(k[:, b : b + size], config).T / size**0.5
        heads.append(scores.masked_fill(later, -torch.inf).softmax(1) @ v[:, b : b + size])
    x = x + linear(torch.cat(heads, 1), tensors, f"{prefix}self_attn.o_proj")
    y = norm(x, tensors[f"{prefix}post_attention_layernorm.weight"], config)
    gate, up = (linear(y, tensors, f"{prefix}mlp.{name}_proj") for name in ("gate", "up"))
    return x + linear(gate * gate.sigmoid() * up, tensors, f"{prefix}mlp.down_proj")


def linear(x: Tensor, tensors: Weights, name: str) -> Tensor:
    y = x @ tensors[f"{name}.weight"].T
    return y + tensors[f"{name}.bias"] if f"{name}.bias" in tensors else y


def turn(x: Tensor, config: ModelConfig) -> Tensor:
    """Rotate the pairs (i, i + half) of row after row as complex numbers."""
    half = x.shape[1] // 2
    speed = torch.tensor([config.rope.theta ** (-i / half) for i in range(half)])
    angle = torch.arange(len(x))[:, None] * speed
    turned = torch.complex(x[:, :half], x[:, half:]) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([turned.real, turned.imag], 1)


# What each drafter expects after a path of guesses: probabilities of every token, given a text whose last token is
# the root.

Guess = Callable[[Path], dict[int, float]]


def medusa_lists(heads: Weights, model: Plain, text: list[int], prefix: str = "") -> list[list[int]]:
    """Every token in each head's order."""
    x = model.layers(text[:-1])[-1][-1]
    lists, head = [], 0
    while f"{prefix}{head}.0.linear.weight" in heads:
        y, block = x, 0
        while f"{prefix}{head}.{block}.linear.weight" in heads:
            z = linear(y, heads, f"{prefix}{head}.{block}.linear")
            y, block = y + z * z.sigmoid(), block + 1
        out = f"{prefix}{head}.{block}.weight"
        scores = heads[out] @ y if out in heads else model.logits(y)
        lists.append(scores.argsort(descending=True).tolist())
        head += 1
    return lists


def embedded_by(head: Weights, model: Plain, tokens: list[int]) -> Tensor:
    own = head.get("embed_tokens.weight")
    return model.embed(tokens) if own is None else torch.stack([own[token] for token in tokens])


def eagle_guess(head: Weights, config: ModelConfig, model: Plain, text: list[int]) -> Guess:
    truth = model.layers(text)[-1][:-1]  # at every token but the root

    def guess(path: Path) -> dict[int, float]:
        hidden = list(truth)
        for guessed in range(len(path) + 1):
            tokens = [*text[1:], *path[:guessed]]
            mixed = linear(torch.cat([embedded_by(head, model, tokens), torch.stack(hidden)], 1), head, "fc")
            hidden.append(rest_of_layer(head, "layers.0.", config, mixed, mixed)[-1])
        return by_token(model.logits(hidden[-1]))

    return guess


def eagle3_guess(
    head: Weights,
    config: ModelConfig,
    model: Plain,
    taps: tuple[int, ...],
    text: list[int],
    flags: Collection[str] = (),
) -> Guess:
    """``flags`` are the keys of the head's configuration that are true."""
    outputs = model.layers(text)
    tapped = [outputs[layer] for layer in taps]
    if "fc_norm" in flags:
        tapped = [norm(x, head[f"fc_norm.{i}.weight"], config) for i, x in enumerate(tapped)]
    side_by_side = torch.cat(tapped, 1)
    if "norm_before_fc" in flags:
        side_by_side = norm(side_by_side, head["input_norm.weight"], config)
    truth = linear(side_by_side, head, "fc")[:-1]
    prefix = "midlayer." if "midlayer.hidden_norm.weight" in head else "layers.0."

    def guess(path: Path) -> dict[int, float]:
        hidden = list(truth)
        for guessed in range(len(path) + 1):
            embedded = embedded_by(head, model, [*text[1:], *path[:guessed]])
            x = torch.stack(hidden)
            normed = norm(x, head[f"{prefix}hidden_norm.weight"], config)
            sides = torch.cat([norm(embedded, head[f"{prefix}input_layernorm.weight"], config), normed], 1)
            stream = normed if "norm_before_residual" in flags else x
            out = rest_of_layer(head, prefix, config, stream, sides)[-1]
            hidden.append(norm(out, head["norm.weight"], config) if "norm_output" in flags else out)
        last = hidden[-1] if "norm_output" in flags else norm(hidden[-1], head["norm.weight"], config)
        found = by_token(last @ head["lm_head.weight"].T)
        return {token + int(head["d2t"][token]): p for token, p in found.items()} if "d2t" in head else found

    return guess


def model_guess(drafting: Plain, text: list[int]) -> Guess:
    return lambda path: by_token(drafting.logits(drafting.layers([*text, *path])[-1][-1]))


def by_token(logits: Tensor) -> dict[int, float]:
    return dict(enumerate(logits.softmax(0).tolist()))


def confident_tree(guess: Guess, width: int, depth: int, nodes: int) -> list[tuple[Path, float]]:
    """EAGLE-2's tree: at each level look beyond the likeliest paths, and of all paths found keep the likeliest."""
    found: list[tuple[Path, float]] = []
    frontier: list[tuple[Path, float]] = [((), 1.0)]
    for _ in range(depth):
        level = []
        for path, p in frontier:
            likeliest = sorted(guess(path).items(), key=lambda item: -item[1])[:width]
            level += [((*path, token), float(np.float32(p) * np.float32(share))) for token, share in likeliest]
        found += level
        frontier = sorted(level, key=lambda item: -item[1])[:width]
    return sorted(found, key=lambda item: -item[1])[:nodes]


def worthwhile(tree: list[tuple[Path, float]], price: list[float]) -> list[tuple[Path, float]]:
    """The part of a tree with the most expected tokens per price."""
    best, gain = (0.0, 0), 0.0
    for size in range(1, min(len(tree) + 1, len(price)) + 1):
        gain += tree[size - 2][1] if size > 1 else 0.0
        best = max(best, ((1.0 + gain) / price[size - 1], -size))
    return tree[: max(-best[1] - 1, 0)]


def copied(text: list[int], longest: int, depth: int) -> list[int]:
    """Prompt lookup: what followed the latest earlier stand of the longest run of last tokens, gone on with itself."""
    for length in range(min(longest, len(text) - 1), 0, -1):
        run = text[-length:]
        for start in range(len(text) - length - 1, -1, -1):
            if text[start : start + length] == run:
                longer = list(text)
                for i in range(depth):
                    longer.append(longer[start + length + i])
                return longer[len(text) :]
    return []
