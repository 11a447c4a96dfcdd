"""Medusa heads: each guesses one later token from the hidden state that led to the root, and a pruner shapes the tree.

Source: FasterDecoding/Medusa; arXiv 2401.10774.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import silu

from lpspec.arrays import FloatArray, IntArray
from lpspec.decoding.checkpoint import Checkpoint
from lpspec.decoding.drafter import Committed, Draft
from lpspec.decoding.drafters.head_files import open_heads, read_head_config
from lpspec.decoding.transformer import Transformer
from lpspec.errors import InputError, shown
from lpspec.speculation.measured import prior_accuracy
from lpspec.speculation.pruner import DraftTokenPruner, FixedTree, Pruner, heads_run
from lpspec.speculation.token_tree import TokenTree

TOP_K = 10
"""Tokens in each head's list, as in Medusa."""

_FILES = ("medusa_lm_head.safetensors", "medusa_lm_head.pt")
_CONFIG_KEYS = (
    "medusa_num_heads",
    "medusa_num_layers",
    "medusa_choices",
)  # the last a tree, and the pruner has its own
_PREFIXES = ("", "medusa_head.")  # a file of heads; a checkpoint that holds the model too


@dataclass(frozen=True, eq=False)
class MedusaHeads:
    """The heads' weights, stacked so that one pass runs all of them.

    Args:
        block_weight: [blocks, heads, hidden size, hidden size], of the residual blocks.
        block_bias: [blocks, heads, 1, hidden size].
        out: [heads, vocabulary, hidden size]; None where the heads share the model's output layer.
        model: Whose hidden states they take.
    """

    block_weight: Tensor
    block_bias: Tensor
    out: Tensor | None
    model: Transformer

    @property
    def count(self) -> int:
        """How many heads there are: the deepest tree they fill."""
        return int(self.block_weight.shape[1])

    def logits(self, hidden: Tensor, heads: int | None = None) -> Tensor:
        """[heads, n, vocabulary] from final-norm hidden states [n, hidden size]; of the first heads, or of all."""
        heads = self.count if heads is None else heads
        x = hidden.expand(heads, *hidden.shape)
        for weight, bias in zip(self.block_weight[:, :heads], self.block_bias[:, :heads], strict=True):
            x = x + silu(torch.baddbmm(bias, x, weight.mT))
        return self.model.logits(x) if self.out is None else x @ self.out[:heads].mT

    def lists(self, hidden: Tensor, top_k: int, heads: int | None = None) -> tuple[IntArray, FloatArray]:
        """Each head's likeliest tokens, int64 [n, heads, top_k], and how likely it finds them, float64 likewise.

        Args:
            hidden: [n, hidden size], final-norm hidden states.
            top_k: Tokens of a list.
            heads: How many run, the first ones, one at least; all if left out.
        """
        heads = self.count if heads is None else heads
        top = self.logits(hidden, heads).float().softmax(-1).topk(top_k)
        return top.indices.transpose(0, 1).cpu().numpy(), top.values.transpose(0, 1).cpu().numpy().astype(np.float64)


class _Step(NamedTuple):
    """A draft whose deeper guesses are still to be scored."""

    position: int
    lists: IntArray  # [heads that ran, top_k]
    ranks: NDArray[np.int8]  # [heads that ran], -1 until known


class Medusa:
    """Drafts with Medusa heads.

    Args:
        heads: The heads.
        pruner: Shapes the tree; None for LP-Spec's DTP.
        top_k: Tokens of each head's list that a tree may hold.

    Raises:
        InputError: The pruner's fixed tree is deeper than there are heads, or wider than the lists.
    """

    taps: tuple[int, ...] = ()

    def __init__(self, heads: MedusaHeads, pruner: Pruner | None = None, top_k: int = TOP_K) -> None:
        """Start with what the pruner knows; it keeps learning from text to text."""
        if isinstance(pruner, FixedTree):
            _check_tree(pruner, heads.count, top_k)
        self.heads, self.depth, self.top_k = heads, heads.count, top_k
        self.pruner: Pruner = pruner or DraftTokenPruner(prior_accuracy(heads.count, top_k))

    def start(self, prompt: IntArray, known: Committed) -> None:
        """Forget the text before."""
        self._hidden = known.hidden[-1:]
        self._position = 0
        self._open: list[_Step] = []

    @torch.inference_mode()
    def draft(self, price: FloatArray) -> Draft:
        """Fill the pruner's tree from the lists of as many heads as it needs.

        A node is as likely as the heads find its path.
        """
        tree = self.pruner.choose(price)
        heads = heads_run(self.pruner, tree, price, self.depth)
        lists, probability = np.empty((0, self.top_k), np.int64), np.empty((0, self.top_k))
        if heads:
            lists, probability = (found[0] for found in self.heads.lists(self._hidden, self.top_k, heads))
        self._open.append(_Step(self._position, lists, np.full(heads, -1, np.int8)))
        return Draft(tree, *filled(tree, lists, probability), heads=heads)

    def observe(self, draft: Draft, known: Committed) -> None:
        """Score every head against the tokens now known, and let the pruner learn from it."""
        committed = len(known.tokens)
        for step in self._open:
            score_guesses(step.lists, self._position - step.position, known.tokens, step.ranks)
        self.pruner.observe(self._position, self._open[-1].ranks, draft.tree, committed)
        self._position += committed
        self._hidden = known.hidden[-1:]
        self._open = [step for step in self._open if step.position + self.depth > self._position]


def filled(tree: TokenTree, lists: IntArray, probability: FloatArray) -> tuple[IntArray, FloatArray]:
    """Every draft's token, and the probability of its path, int64 and float64 [nodes - 1].

    Args:
        tree: Which guesses it takes.
        lists: [heads, top_k], each head's guesses.
        probability: [heads, top_k], how likely it finds them.
    """
    head, rank = tree.depth[1:] - 1, tree.rank[1:]
    likely = [1.0]
    for parent, own in zip(tree.parent[1:].tolist(), probability[head, rank].tolist(), strict=True):
        likely.append(likely[parent] * own)
    return lists[head, rank], np.array(likely[1:])


def score_guesses(lists: IntArray, first: int, tokens: IntArray, ranks: NDArray[np.int8]) -> None:
    """Write into ranks [heads] where lists [heads, top_k] hold ``tokens``, head ``first`` the first; -1 for nowhere."""
    scored = slice(first, min(first + len(tokens), len(lists)))
    ranks[scored] = ranks_in(lists[scored], tokens[: len(lists[scored])])


def ranks_in(lists: IntArray, tokens: IntArray) -> NDArray[np.int8]:
    """The place of tokens [...] in lists [..., top_k], -1 where they are not: int8 [...]."""
    hit = lists == tokens[..., None]
    return np.where(hit.any(-1), hit.argmax(-1), -1).astype(np.int8)


def load_medusa(model: Transformer, source: str | Path, pruner: Pruner | None = None) -> Medusa:
    """Load heads for a model, in either published layout: of their own, or in one checkpoint with the model.

    Args:
        model: Whose hidden states the heads take.
        source: A file of heads, or a folder with one.
        pruner: As for ``Medusa``.

    Raises:
        InputError: There are no heads, or they don't match the model.
    """
    heads = take_heads(open_heads(source, *_FILES), model)
    _check_config(source, heads)
    return Medusa(heads, pruner)


def _check_config(source: str | Path, heads: MedusaHeads) -> None:
    """Refuse what the ``config.json`` beside heads says and they don't do; it may tell of fewer than there are.

    Raises:
        InputError: It tells of more, or of what is not computed.
    """
    said, file = read_head_config(source)
    where = f"Medusa config '{shown(str(file), 60)}'"
    for key, there in (("medusa_num_heads", heads.count), ("medusa_num_layers", len(heads.block_weight))):
        told = said.get(key, there)
        if type(told) is not int or told > there:
            raise InputError(f"{where}: {key} = {shown(repr(told), 30)}, but the file holds {there}")
    for key, value in said.items():
        if key.startswith("medusa_") and value and key not in _CONFIG_KEYS:
            raise InputError(f"{where}: '{shown(key, 40)}' may change what is computed, and is not known")


def take_heads(tensors: Checkpoint, model: Transformer) -> MedusaHeads:
    """Take the heads out of a checkpoint.

    Raises:
        InputError: It holds none, or they don't match the model.
    """
    prefix = next((prefix for prefix in _PREFIXES if f"{prefix}0.0.linear.weight" in tensors), None)
    if prefix is None:
        raise InputError(
            f"{tensors.said_as} holds no Medusa heads, which begin with '0.0.linear.weight' or"
            " 'medusa_head.0.0.linear.weight'"
        )
    heads = next(h for h in count() if f"{prefix}{h}.0.linear.weight" not in tensors)
    blocks = next(b for b in count() if f"{prefix}0.{b}.linear.weight" not in tensors)
    shape = model.config.shape

    def stack(name: str, *shape: int) -> Tensor:
        taken = [tensors.take(f"{prefix}{h}.{name}", *shape) for h in range(heads)]
        return torch.stack(taken).to(model.device, model.dtype)

    hidden, out = shape.hidden_size, f"{blocks}.weight"
    own = f"{prefix}0.{out}" in tensors
    taken = MedusaHeads(
        torch.stack([stack(f"{b}.linear.weight", hidden, hidden) for b in range(blocks)]),
        torch.stack([stack(f"{b}.linear.bias", hidden) for b in range(blocks)]).unsqueeze(2),
        stack(out, shape.vocab_size, hidden) if own else None,
        model,
    )
    of_model = [name for name in tensors.untaken if prefix and not name.startswith(prefix)]
    tensors.refuse_rest(of_model)
    return taken


def _check_tree(pruner: FixedTree, heads: int, top_k: int) -> None:
    if pruner.tree.max_depth > heads:
        raise InputError(f"the tree is {pruner.tree.max_depth} deep, but there are {heads} Medusa heads")
    if (widest := int(pruner.tree.rank.max()) + 1) > top_k:
        raise InputError(f"the tree takes {widest} guesses of a head, but the lists hold {top_k}")
