"""The operators of a pass through a decoder, in the order of execution, from its steps.

Dimensions such as ``tokens`` and ``context`` may be ints or int64 arrays that broadcast, so one call
describes a step or a whole (tokens, context) grid; ints in give ints out.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple, TypeAlias

import numpy as np

from lpspec.arrays import IntArray
from lpspec.llm.counts import Count, packed_bytes, plain
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.steps import Attend, ExpertProduct, Gather, Product, Recur, Step, Vector
from lpspec.llm.stored_tensors import TensorClass
from lpspec.llm.structure import SHARED_HEAD, CountedStep
from lpspec.llm.weights import distinct_experts
from lpspec.llm.work import Attention, Elementwise, ExpertGemm, Gemm, Operator, PlainOperator, StateUpdate

__all__ = [
    "SHARED_HEAD",
    "Attention",
    "Elementwise",
    "ExpertGemm",
    "Gemm",
    "Operator",
    "Pass",
    "PlainOperator",
    "StateUpdate",
    "prefill_operators",
    "step_operators",
    "verify_operators",
]


_Content: TypeAlias = tuple[tuple[int, ...], bytes]
"""Shape and numbers of an int64 array."""


def verify_operators(model: ModelSpec, tokens: Count, context: Count) -> tuple[Operator, ...]:
    """One verify pass over a token tree, in the order of execution; one token is plain decoding.

    Attention is dense over ``tokens * keys`` pairs, where a layer with a window has those keys that its cache holds:
    the tree mask hides most of the ``tokens`` x ``tokens`` corner, but it is irregular and changes with the tree, so
    matrix units compute the corner and then mask it. The LM head runs for every token, since each node's successor must
    be known.

    Args:
        model: The decoder.
        tokens: Tokens verified in the pass, the root included.
        context: Committed tokens already in the key-value cache.
    """
    if isinstance(tokens, int) and isinstance(context, int):
        return _verify_numbers(model, tokens, context)
    return _verify_arrays(model, _content(tokens), _content(context))


@lru_cache(maxsize=256)
def _verify_numbers(model: ModelSpec, tokens: int, context: int) -> tuple[Operator, ...]:
    """The same of counts that are numbers, asked for again and again while weights are placed."""
    return step_operators(model, model.steps(), Pass(tokens, context, tokens))


@lru_cache(maxsize=4)
def _verify_arrays(model: ModelSpec, tokens: _Content, context: _Content) -> tuple[Operator, ...]:
    """The same of arrays, of which many machines are asked for the same; a thousand contexts take some MB."""
    each, before = _array_of(tokens), _array_of(context)
    return step_operators(model, model.steps(), Pass(each, before, each))


def _content(count: Count) -> _Content:
    return np.shape(count), np.asarray(count, np.int64).tobytes()


def _array_of(content: _Content) -> IntArray:
    """The array again, which cannot be written to."""
    return np.frombuffer(content[1], np.int64).reshape(content[0])


def prefill_operators(model: ModelSpec, prompt_tokens: Count) -> tuple[Operator, ...]:
    """The pass over the prompt, in the order of execution.

    Attention is causal, ``prompt_tokens * (prompt_tokens + 1) / 2`` pairs, or those inside the window: the mask is
    always the same, so what lies outside is skipped. The LM head runs for the last token only.

    Args:
        model: The decoder.
        prompt_tokens: Tokens of the prompt.
    """
    if isinstance(prompt_tokens, int):
        return _prefill_numbers(model, prompt_tokens)
    return step_operators(model, model.steps(), Pass(prompt_tokens, 0, 1, causal=True))


@lru_cache(maxsize=16)
def _prefill_numbers(model: ModelSpec, prompt_tokens: int) -> tuple[Operator, ...]:
    """The same of a number, which many machines are asked for."""
    return step_operators(model, model.steps(), Pass(prompt_tokens, 0, 1, causal=True))


class Pass(NamedTuple):
    """What a pass reads: new tokens after a context, of which some get logits."""

    tokens: Count
    context: Count
    with_logits: Count
    causal: bool = False
    runs: int = 1

    def pairs(self, step: Attend) -> Count:
        """Products of a query and a key, per head."""
        if not self.causal:
            return self.tokens * (_at_most(self.context, step.window and step.window - 1) + self.tokens)
        if step.window is None:
            return _triangle(self.tokens)
        if step.chunk:
            chunks, rest = self.tokens // step.window, self.tokens % step.window
            return chunks * _triangle(step.window) + _triangle(rest)
        inside = _at_most(self.tokens, step.window)
        return _triangle(inside) + (self.tokens - inside) * step.window


def _at_most(count: Count, most: int | None) -> Count:
    bounded: Count = count if most is None else plain(np.minimum(count, most))
    return bounded


def _triangle(side: Count) -> Count:
    return side * (side + 1) // 2


def step_operators(model: ModelSpec, steps: Iterable[CountedStep], of: Pass) -> tuple[Operator, ...]:
    """Those of the steps, in their order; those behind the last layer get tokens with logits only."""
    last = {step.name for step in model.last_steps()}
    found: list[Operator] = []
    for step, layers, runs in steps:
        tokens = of.with_logits if step.name in last else of.tokens
        found += _of_step(model, step, layers * runs, of._replace(tokens=tokens, runs=runs))
    return tuple(found)


def _of_step(model: ModelSpec, step: Step, count: int, of: Pass) -> Iterator[Operator]:
    tokens, activation_bits = of.tokens, model.activation_bits
    match step:
        case Product():
            stored = model.stored_as(step.kind)
            yield Gemm(step.name, count, tokens, step.k, step.n, stored, activation_bits, of.runs)
        case Vector():
            row, needed = _row_bytes(model, "other", step.weights) if step.weights else 0, 1.0
            if step.experts > 1:
                needed = distinct_experts(step.experts, step.top_k, tokens, model.routing)
            memory = count * row if step.experts == 1 else plain(np.rint(count * row * np.asarray(needed)).astype(int))
            yield Elementwise(step.name, count, tokens * step.width, step.ops, memory)
        case Gather():
            row_bytes = _row_bytes(model, step.kind, step.columns)
            yield Elementwise(step.name, count, tokens * step.columns, step.ops, count * tokens * row_bytes)
        case ExpertProduct():
            stored = model.stored_as("expert")
            shape = (step.k, step.n, step.experts, step.top_k)
            yield ExpertGemm(step.name, count, tokens, *shape, stored, activation_bits, model.routing)
        case Attend():
            yield from _attention(model, step, count, of)
        case Recur():
            state_bytes = packed_bytes(step.numbers, model.kv_bits)
            yield StateUpdate(step.name, count, tokens, state_bytes, step.macs_per_token)


def _attention(model: ModelSpec, step: Attend, count: int, of: Pass) -> Iterator[Operator]:
    pairs = of.pairs(step)
    yield Attention(
        step.name,
        count,
        of.tokens,
        of.context,
        pairs,
        step.heads,
        step.kv_heads,
        step.head_dim,
        model.kv_bits,
        model.activation_bits,
        None if step.value_dim == step.head_dim else step.value_dim,
        step.window,
        step.latent,
        step.cached,
        step.writes,
    )
    softmax = "softmax" if step.name == "attention" else f"{step.name}_softmax"
    yield Elementwise(softmax, count, step.heads * pairs, step.score_ops, 0)


def _row_bytes(model: ModelSpec, kind: TensorClass, width: int) -> int:
    """Bytes of one embedding row, norm or bias."""
    return int(model.stored_as(kind).size_bytes(1, width))
