"""A pass of any list of operators, priced a second time: windows, latents, shared caches, experts and states.

The list says what is computed (shapes, copies, windows, chances to be chosen); what that costs is written out here, on
top of the twin of a plain step. Experts are summed over loads with whole binomial coefficients.
"""

from collections.abc import Callable, Iterable, Iterator
from math import comb
from typing import Any

from step_twin import (
    BUS,
    LANES,
    VECTOR_OPS,
    Events,
    Kind,
    appended,
    cached,
    npu_head,
    npu_product,
    read,
    scaled,
    split_heads,
    split_product,
    standing_by,
)

Split = Callable[[Any], Iterable[tuple[float, int]]]
"""Of an operator: copies, and columns or heads of each that PIM takes."""


def product_of(copies: float, tokens: int, k: int, n: int, columns: int | None) -> tuple[float, Events]:
    """Copies of a product on the NPU (columns None), or split."""
    if columns is None:
        array_ns, nbytes, on_chip = npu_product(tokens, k, n)
        took, events = max(array_ns, nbytes / BUS), on_chip + read(nbytes)
    else:
        took, events = split_product(tokens, k, n, columns)
    return copies * took, scaled(events, copies)


def keys_read(op: Any, in_blocks: bool) -> int:
    """Positions inside the window of any token of the pass; PIM takes whole blocks, and a window begins in any lane."""
    first = 0 if op.window is None else max(0, int(op.context - op.window + 1))
    last = int(op.context + op.tokens - 1)
    if not in_blocks:
        return last - first + 1
    if first == 0:
        return (last // LANES + 1) * LANES
    most = max((at + last - first) // LANES + 1 for at in range(LANES))
    return most * LANES


def attention_of(op: Any, heads_on_pim: int | None) -> tuple[float, Events]:
    kind = Kind(op.heads, op.kv_heads, op.head_dim, op.value_dim or op.head_dim, op.latent)
    layers, tokens, keys = op.count, op.tokens, keys_read(op, heads_on_pim is not None)
    if heads_on_pim is not None:
        took, events = split_heads(kind, tokens, keys, heads_on_pim)
        if op.writes:
            writing_ns, written = appended(kind, tokens, op.context)
            took, events = took + writing_ns, events + written
        return layers * took, scaled(events, layers)
    (scores_ns, scores), (values_ns, values) = npu_head(kind, tokens, keys)
    new = tokens if op.writes else 0
    took = max(kind.kv * (scores_ns + values_ns), (keys + new) * cached(kind) / BUS)
    events = scaled(scores + values, kind.kv) + read(keys * cached(kind)) + Events(written=8.0 * new * cached(kind))
    return layers * took, scaled(events, layers)


def experts_of(op: Any, split: Callable[[int], Iterable[tuple[float, int | None]]]) -> Iterator[tuple[float, Events]]:
    """Each expert is sent a binomial number of tokens; ``split`` says what PIM takes when all get so many."""
    share = op.top_k / op.experts
    for load in range(1, op.tokens + 1):
        chance = comb(op.tokens, load) * share**load * (1 - share) ** (op.tokens - load)
        for copies, columns in split(load):
            yield product_of(chance * copies, load, op.k, op.n, columns)


def mixed_pass(operators: Iterable[Any], split: Split | None) -> tuple[float, Events]:
    """Time and events of a pass on the NPU alone, or on a hybrid package whose splits are given."""
    total_ns, events = 0.0, Events()
    for op in operators:
        parts: list[tuple[float, Events]] = []
        match type(op).__name__:
            case "Gemm":
                shares = [(op.count, None)] if split is None else split(op)
                parts = [product_of(copies, op.tokens, op.k, op.n, columns) for copies, columns in shares]
            case "ExpertGemm":

                def of_load(load: int, op: Any = op) -> Iterable[tuple[float, int | None]]:
                    return [(op.count * op.experts, None)] if split is None else split(op.with_load(load))

                parts = list(experts_of(op, of_load))
            case "Attention":
                on_pim = None if split is None else next(iter(split(op)))[1]
                parts = [attention_of(op, on_pim)]
            case "StateUpdate":
                nbytes = op.count * op.state_bytes
                macs = op.count * op.tokens * op.macs_per_token
                doing = read(nbytes) + Events(mac8=float(macs), written=8.0 * nbytes)
                parts = [(max(2 * macs / VECTOR_OPS, nbytes / BUS) + nbytes / BUS, doing)]
            case _:
                operations, nbytes = op.count * op.elements * op.ops_per_element, op.memory_bytes
                doing = read(nbytes) + Events(mac8=operations / 2)
                parts = [(max(operations / VECTOR_OPS, nbytes / BUS), doing)]
        for took, doing in parts:
            total_ns += took
            events += doing
    return standing_by(total_ns, events)
