"""Who fits the memory at a time: weights, draft heads, activations at their peak, and caches in whole blocks."""

from dataclasses import dataclass

import numpy as np

from lpspec.allocation.allocator import Allocator
from lpspec.arrays import IntArray
from lpspec.errors import InputError
from lpspec.llm.counts import packed_bytes
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.operators import Gemm, Operator, prefill_operators, verify_operators
from lpspec.simulation.draft_cache import KEY_BLOCK
from lpspec.simulation.pass_parts import MOST_PASS_TOKENS
from lpspec.simulation.requests import Requests
from lpspec.simulation.step_cost import allocator_of
from lpspec.simulation.workload import MAX_TREE_SIZE, System


@dataclass(frozen=True)
class Room:
    """The memory of a run of several requests.

    Attributes:
        allocator: Made for all caches that there is room for.
        needed_bytes: int64 [requests], what the cache of each may fill, in whole blocks of ``KEY_BLOCK`` tokens, drafts
            included.
        cache_bytes: Room for caches at a time.
        weights_bytes: Weights and draft heads.
        is_short: Whether less than the largest requests of a whole batch fit.
    """

    allocator: Allocator
    needed_bytes: IntArray
    cache_bytes: int
    weights_bytes: int
    is_short: bool


def make_room(system: System, requests: Requests, batch: int, largest_tree: int) -> Room:
    """Find out how much of the cache fits beside the rest, up to what a full batch of the largest requests fills.

    Args:
        system: The model on its machine.
        requests: What is to be served.
        batch: Requests of a pass at most.
        largest_tree: Tokens of a tree at most.

    Raises:
        InputError: One request alone does not fit.
    """
    model, platform = system.model, system.platform
    ends = requests.prompt_tokens + requests.new_tokens
    found, which = np.unique(-(-(ends + largest_tree) // KEY_BLOCK) * KEY_BLOCK, return_inverse=True)
    needed = np.array([model.cache_bytes(tokens) for tokens in found.tolist()], np.int64)[which]
    wanted = int(np.sort(needed)[::-1][:batch].sum())
    weights = model.weight_bytes + model.draft_weight_bytes
    passes = min(batch * largest_tree, max(largest_tree, MOST_PASS_TOKENS))
    working = activation_bytes(model, int(requests.prompt_tokens.max()), passes)
    room = min(wanted, platform.capacity_bytes - weights - working)
    if room < needed.max():
        gib = (weights + working + int(needed.max())) / 2**30
        raise InputError(
            f"{model.name} does not fit {platform.name}: weights, draft heads, activations and the cache of a request "
            f"of {int(ends.max())} tokens need {gib:.2f} GiB, it holds {platform.capacity_bytes / 2**30:.2f} GiB"
        )
    longest = requests.last_context
    most = int(np.sort(ends)[::-1][:batch].sum()) + batch * (largest_tree + KEY_BLOCK)
    own_trees = MAX_TREE_SIZE if system.speculates else 1  # room that the allocator leaves by itself
    context = longest if batch == 1 else max(longest, _context_of(model, wanted, most) - own_trees)
    allocator, fits = _largest_allocator(system, batch, longest, context)
    if fits is not None:
        room = min(room, max(model.cache_bytes(fits), int(needed.max())))
    return Room(allocator, needed, int(room), weights, room < wanted)


def _context_of(model: ModelSpec, cache_bytes: int, most: int) -> int:
    """Tokens of one request whose cache is as large as those of several, at most as many as these have together.

    Windows and states are kept once for each request; an allocator knows one request, so it is told of a longer one.
    """
    low, high = 0, most
    while low < high:
        middle = (low + high) // 2
        if model.cache_bytes(middle) < cache_bytes:
            low = middle + 1
        else:
            high = middle
    return low


def activation_bytes(model: ModelSpec, prompt_tokens: int, pass_tokens: int) -> int:
    """Bytes of activations at their peak: what goes into and comes out of the largest product, and the residual.

    Args:
        model: The decoder.
        prompt_tokens: Of the longest prompt, which is read at once.
        pass_tokens: Of the largest verify pass; 0 for none.
    """
    prompt = _largest(model, prefill_operators(model, prompt_tokens), prompt_tokens)
    return max(prompt, _largest(model, verify_operators(model, pass_tokens, 0), pass_tokens))


def _largest(model: ModelSpec, operators: tuple[Operator, ...], tokens: int) -> int:
    bits = model.activation_bits
    products = (int(packed_bytes(op.tokens * (op.k + op.n), bits)) for op in operators if isinstance(op, Gemm))
    return max(products) + int(packed_bytes(tokens * model.hidden_size, bits))


def _largest_allocator(system: System, batch: int, one: int, wanted: int) -> tuple[Allocator, int | None]:
    """The allocator for as many tokens of caches as fit, one request at least; and how many, where not all fit."""
    try:
        return allocator_of(system, wanted, batch), None
    except InputError:
        found = allocator_of(system, one, batch)
    fits, too_many = one, wanted
    while too_many - fits > KEY_BLOCK:
        middle = (fits + too_many) // 2
        try:
            found, fits = allocator_of(system, middle, batch), middle
        except InputError:
            too_many = middle
    return found, fits
