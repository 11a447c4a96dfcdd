"""What a step of speculative decoding takes on this very machine: the DTP's hardware estimator for real speed.

Verify passes are timed with the engine that decodes, over tree sizes and context lengths. Each comes after a draft, as
in decoding, since the drafter's weights push the model's out of the caches. Every cell is timed several times, in
rounds over the whole grid, so that a burst of other work on the machine hits a cell at most once in a while. Other work
only ever adds time, so the fastest of a cell is kept. Prices are made monotone: a larger tree or a longer context
is never cheaper.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
import torch

from lpspec.arrays import FloatArray, IntArray
from lpspec.decoding.drafter import Drafter
from lpspec.decoding.generate import Generation, fixed_size
from lpspec.decoding.machine_prices import MachinePrices, describe_machine
from lpspec.decoding.transformer import Transformer
from lpspec.decoding.tree_frame import TreeFrame
from lpspec.errors import InputError
from lpspec.speculation.token_tree import TokenTree

SIZES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64)
"""Tree sizes that are timed; those between are interpolated."""

CONTEXTS = (16, 128, 512, 1024, 2048, 4096, 8192, 16384, 32768)
"""Context lengths that are timed, as far as the model reaches."""

LEAST_ROUNDS, MOST_ROUNDS = 3, 30
OVERHEAD_STEPS = 40
"""Steps of real decoding over which the time beside the pass (drafting, accepting, learning) is measured."""


def calibrate(
    model: Transformer,
    drafter: Drafter,
    drafter_name: str,
    dtype: str,
    longest: int,
    budget_s: float = 10.0,
    say: Callable[[float], None] = lambda done: None,
) -> MachinePrices:
    """Time verify passes of a model, and what its drafter adds to each.

    Args:
        model: The model, at the precision and on the device on which it will decode.
        drafter: The drafter that will be used.
        drafter_name: Its name, for the record.
        dtype: The model's precision, for the record.
        longest: Longest context that prices are needed for, tokens.
        budget_s: Seconds after which no further round is begun, once there were three.
        say: Told which part of the budget is used.

    Raises:
        InputError: The model's context is too short for the smallest grid.
    """
    contexts = _contexts(model, longest)
    passes_ns, rounds = _time_passes(model, drafter, contexts, budget_s, say)
    return MachinePrices(
        model=model.config.shape.name,
        drafter=drafter_name,
        contexts=contexts,
        sizes=SIZES,
        verify_ns=passes_ns.min(axis=0),
        overhead_ns=_overhead_ns(model, drafter),
        rounds=rounds,
        machine=describe_machine(model, dtype),
    )


def _contexts(model: Transformer, longest: int) -> tuple[int, ...]:
    last = min(max(longest, CONTEXTS[0]), model.config.shape.max_context - max(SIZES))
    if last < CONTEXTS[0]:
        raise InputError(
            f"'{model.config.shape.name}' reads {model.config.shape.max_context} tokens, too few to be timed: "
            f"{CONTEXTS[0] + max(SIZES)} at least"
        )
    return (*(context for context in CONTEXTS if context < last), last)


@torch.inference_mode()
def _time_passes(
    model: Transformer, drafter: Drafter, contexts: Sequence[int], budget_s: float, say: Callable[[float], None]
) -> tuple[FloatArray, int]:
    """Nanoseconds of every pass, float64 [rounds, contexts, sizes], and how many rounds there were."""
    bench = _Bench(model, drafter, contexts[-1])
    for size in SIZES:  # the first pass of each shape chooses and compiles its kernels
        bench.time_pass(contexts[0], size)
    falling = sorted(SIZES, reverse=True)  # a small pass right after a large one finds the caches in disorder
    rounds: list[list[list[int]]] = []
    begun = time.monotonic()
    while len(rounds) < LEAST_ROUNDS or (len(rounds) < MOST_ROUNDS and time.monotonic() - begun < budget_s):
        rounds.append([[bench.time_pass(context, size) for size in falling][::-1] for context in contexts])
        say(min(1.0, max(len(rounds) / MOST_ROUNDS, (time.monotonic() - begun) / budget_s)))
    return np.array(rounds, np.float64), len(rounds)


class _Bench:
    """Verify passes as ``Generation`` makes them, at any context, over a text of zeros."""

    def __init__(self, model: Transformer, drafter: Drafter, longest: int) -> None:
        Generation(model, _any_prompt(model), 1, drafter)  # gives the drafter a text to go on with
        self._drafter, self._price = drafter, np.ones(max(SIZES))
        capacity = longest + max(SIZES)
        self._model = model
        self._cache = model.new_cache(capacity)
        self._frame = TreeFrame(max(SIZES), model.dtype, model.device)
        self._trees = {size: TokenTree.from_paths([(rank,) for rank in range(size - 1)]) for size in SIZES}
        self._tokens = torch.zeros(max(SIZES), dtype=torch.int64, device=model.device)

    def time_pass(self, context: int, size: int) -> int:
        """Nanoseconds of the second of two passes over a tree, logits included: most steps follow one of their size.

        The tree's form does not matter, so it is a bush.
        """
        for _ in range(2):
            self._cache.length = context
            self._drafter.draft(self._price[:size])
            _wait(self._model)
            start = time.perf_counter_ns()
            positions, mask = self._frame.of(self._trees[size], context)
            found = self._model.forward(self._tokens[:size], positions, mask, self._cache)
            self._model.logits(found.hidden)
            _wait(self._model)
        return time.perf_counter_ns() - start


def _overhead_ns(model: Transformer, drafter: Drafter) -> float:
    """Time of a step beside its pass: the lower quartile over real steps of small trees, most of them undisturbed."""
    most = min(4 * OVERHEAD_STEPS, model.config.shape.max_context - 16)
    generation = Generation(model, _any_prompt(model), most, drafter, price=fixed_size(8), max_tree=8)
    steps = [step for step, _ in zip(generation, range(OVERHEAD_STEPS), strict=False)]
    return float(np.quantile([step.draft_ns + step.accept_ns for step in steps], 0.25)) if steps else 0.0


def _any_prompt(model: Transformer) -> IntArray:
    return np.arange(16, dtype=np.int64) % model.config.shape.vocab_size


def _wait(model: Transformer) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)
