"""Write down, while a model decodes, what its drafter guessed and what was right: traces that replay the run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lpspec.arrays import FloatArray, IntArray
from lpspec.decoding.draft_trace import DraftTrace
from lpspec.decoding.drafter import ROOT_ALONE, Committed, Draft, Drafter
from lpspec.decoding.drafters.medusa import Medusa, MedusaHeads, ranks_in
from lpspec.decoding.generate import Generation
from lpspec.decoding.transformer import Transformer
from lpspec.errors import InputError
from lpspec.speculation.rank_trace import RankTrace, beyond_turn

SOURCE = "recorded from greedy decoding; the first token of a turn comes from prefill, its last one is never a root"

ROWS_AT_ONCE = 256
"""Hidden states per pass of the heads over a recorded text: bounds the memory of their scores."""


class Prompt(NamedTuple):
    """What a turn begins with."""

    tokens: Sequence[int] | IntArray
    label: str = ""


class _Watcher:
    """Passes everything on to another drafter."""

    def __init__(self, drafter: Drafter) -> None:
        self.drafter, self.depth, self.taps = drafter, drafter.depth, drafter.taps

    def start(self, prompt: IntArray, known: Committed) -> None:
        self.drafter.start(prompt, known)

    def draft(self, price: FloatArray) -> Draft:
        return self.drafter.draft(price)

    def observe(self, draft: Draft, known: Committed) -> None:
        self.drafter.observe(draft, known)


class _HiddenStates(_Watcher):
    """Keeps the hidden state that led to each root."""

    def start(self, prompt: IntArray, known: Committed) -> None:
        self.rows = [known.hidden[-1:]]
        super().start(prompt, known)

    def observe(self, draft: Draft, known: Committed) -> None:
        self.rows.append(known.hidden)
        super().observe(draft, known)


class _EveryDraft(_Watcher):
    """Has a whole tree of ``nodes`` drafts made at every token, and none of it verified."""

    def __init__(self, drafter: Drafter, nodes: int) -> None:
        super().__init__(drafter)
        self.nodes = nodes

    def start(self, prompt: IntArray, known: Committed) -> None:
        self.drafts: list[Draft] = []
        super().start(prompt, known)

    def draft(self, price: FloatArray) -> Draft:
        self.drafts.append(super().draft(1.0 / np.arange(1, self.nodes + 2)))  # the larger, the better
        return ROOT_ALONE


def record_ranks(
    model: Transformer,
    drafter: Medusa,
    prompts: Iterable[Prompt],
    new_tokens: int,
    name: str,
    say: Callable[[str], None] = lambda label: None,
) -> RankTrace:
    """Decode greedily with Medusa and record the rank of every true token in every head's list.

    Args:
        model: The model.
        drafter: Whose heads are recorded; its trees make the recording fast, and change nothing of it.
        prompts: What the turns begin with.
        new_tokens: Tokens to generate per turn, at least 2, unless the model ends the turn.
        name: Of the trace.
        say: Told the label of every finished turn.

    Raises:
        InputError: A prompt is not possible, or no turn has two tokens.
    """
    watcher = _HiddenStates(drafter)
    ranks, lengths, labels = [], [], []
    for prompt in prompts:
        text = _decode(model, prompt, new_tokens, watcher)
        if len(text) > 1:
            ranks.append(_ranks(drafter.heads, torch.cat(watcher.rows)[: len(text) - 1], text, drafter.top_k))
            lengths.append(len(text) - 1)
            labels.append(prompt.label)
        say(prompt.label)
    _check_turns(lengths)
    turn_lengths = np.array(lengths, np.int32)
    all_ranks = np.concatenate(ranks)
    all_ranks[beyond_turn(turn_lengths, drafter.depth)] = -1
    return RankTrace(
        all_ranks,
        turn_lengths,
        drafter.top_k,
        tuple(labels),
        name=name,
        model=model.config.shape.name,
        kind="measured",
        description=f"ranks in the lists of {drafter.depth} Medusa heads, {new_tokens} tokens per turn at most",
        source=SOURCE,
    )


def record_drafts(
    model: Transformer,
    drafter: Drafter,
    prompts: Iterable[Prompt],
    new_tokens: int,
    nodes: int,
    name: str,
    drafter_name: str,
    say: Callable[[str], None] = lambda label: None,
) -> DraftTrace:
    """Decode greedily, one token a step, and record the tree that a drafter offers at every one.

    Args:
        model: The model.
        drafter: Must size its trees by their own probabilities: any but Medusa, whose pruner remembers.
        prompts: What the turns begin with.
        new_tokens: Tokens to generate per turn, at least 2, unless the model ends the turn.
        nodes: Drafts per tree at most, the root not counted.
        name: Of the trace.
        drafter_name: What the trace calls the drafter.
        say: Told the label of every finished turn.

    Raises:
        InputError: A prompt is not possible, or no turn has two tokens.
    """
    watcher = _EveryDraft(drafter, nodes)
    drafts: list[Draft] = []
    paths, lengths, labels = [], [], []
    for prompt in prompts:
        text = _decode(model, prompt, new_tokens, watcher)
        if len(text) > 1:
            drafts += watcher.drafts
            paths += [_true_path(draft, text[i + 1 : -1], drafter.depth) for i, draft in enumerate(watcher.drafts)]
            lengths.append(len(text) - 1)
            labels.append(prompt.label)
        say(prompt.label)
    _check_turns(lengths)
    return DraftTrace(
        *_stack(drafts, nodes),
        np.array(paths, np.int16).reshape(len(drafts), -1),
        np.array(lengths, np.int32),
        tuple(labels),
        name=name,
        model=model.config.shape.name,
        drafter=drafter_name,
        description=f"trees of up to {nodes} drafts, {new_tokens} tokens per turn at most",
        source=SOURCE,
    )


def _decode(model: Transformer, prompt: Prompt, new_tokens: int, drafter: Drafter) -> IntArray:
    generation = Generation(model, prompt.tokens, new_tokens, drafter)
    for _ in generation:
        pass
    return np.array(generation.tokens)


def _check_turns(lengths: list[int]) -> None:
    if not lengths:
        raise InputError("nothing was recorded: a turn needs two generated tokens at least")


def _ranks(heads: MedusaHeads, hidden: Tensor, text: IntArray, top_k: int) -> NDArray[np.int8]:
    """int8 [roots, heads]; the text is padded by what no list holds."""
    with torch.inference_mode():
        lists = np.concatenate([heads.lists(rows, top_k)[0] for rows in torch.split(hidden, ROWS_AT_ONCE)])
    padded = np.append(text, np.full(heads.count, -1))
    return ranks_in(lists, np.lib.stride_tricks.sliding_window_view(padded[1:], heads.count)[: len(lists)])


def _true_path(draft: Draft, after: IntArray, depth: int) -> list[int]:
    """The nodes that the text after the root runs through, -1 beyond."""
    child = {
        (parent, token): node
        for node, (parent, token) in enumerate(
            zip(draft.tree.parent[1:].tolist(), draft.tokens.tolist(), strict=True), 1
        )
    }
    path: list[int] = []
    node = 0
    for token in after[:depth].tolist():
        if (node := child.get((node, token), -1)) < 0:
            break
        path.append(node)
    return path + [-1] * (depth - len(path))


def _stack(drafts: list[Draft], nodes: int) -> tuple[NDArray[np.int16], NDArray[np.int8], NDArray[np.float32]]:
    """Parents, ranks and probabilities of all trees, [drafts, nodes] each."""
    parent = np.full((len(drafts), nodes), -1, np.int16)
    rank = np.full((len(drafts), nodes), -1, np.int8)
    probability = np.zeros((len(drafts), nodes), np.float32)
    for row, draft in enumerate(drafts):
        there = draft.tree.size - 1
        parent[row, :there], rank[row, :there] = draft.tree.parent[1:], draft.tree.rank[1:]
        probability[row, :there] = draft.probability
    return parent, rank, probability
