"""Compiled decode loops over rank traces. ``decode_loop.py`` says the same thing readably; tests hold them equal."""

import numpy as np
from numpy.typing import NDArray

from lpspec.allocation.migration import next_placement
from lpspec.arrays import FloatArray, IntArray
from lpspec.native.functions import native
from lpspec.speculation.kernels import (
    Growth,
    accepted_in,
    depth_of,
    expected_length,
    first_guesses_right,
    grow_best_tree,
    grow_to,
    heads_to_run,
    learn_rank,
    learn_verified,
)
from lpspec.speculation.optimism import Runs, count_run, raise_odds
from lpspec.speculation.settled import Settled, best_rival, decide, recall, still_stands


@native()
def replay_pruned(
    ranks: NDArray[np.int8],
    turn_lengths: IntArray,
    price: FloatArray,
    accuracy: FloatArray,
    weight: FloatArray,
    feedback: bool,
    chain: bool,
    memory: float,
    errors: float,
    runs: Runs,
    growth: Growth,
    settled: Settled,
    move: FloatArray,
    out: IntArray,
) -> int:
    """Decode every turn with the pruner choosing each tree.

    Args:
        ranks: int8 [positions, heads], as ``RankTrace.ranks``.
        turn_lengths: int64 [turns], tokens to generate in each turn, then the tokens of the turn in the trace.
        price: float64 [placements, contexts, rows, sizes], as for ``grow_best_tree``; [:, i] prices steps whose root is
            token i of a turn.
        accuracy: float64 [heads, top_k], prior; holds the last state afterwards.
        weight: float64 [heads, top_k], observations behind the prior; likewise.
        feedback: Learn from committed tokens (otherwise from verified nodes).
        chain: But of a head only where the first guesses of all heads before it were right.
        memory: Observations after which earlier ones begin to be forgotten.
        errors: Standard errors by which the odds of heads are raised that ran in fewer steps than others.
        runs: How often heads ran; as at the start.
        growth: Working memory of the explorer.
        settled: Decisions that stand; none at first.
        move: float64 [placements, placements], price of moving the weights from one placement (row) to another.
        out: int64 [6, steps or more] out, of each step tokens verified and committed, the position of the root in its
            turn, where the weights lay, draft heads that ran, and accepted drafts out of place.

    Returns:
        The number of steps.
    """
    heads = accuracy.shape[0]
    sizes, committed, positions, placements, heads_run, moved = out[0], out[1], out[2], out[3], out[4], out[5]
    held, size, depth = False, 0, 0  # whether the explorer holds the tree that was kept
    optimistic = runs.optimistic[0]
    next_unscored = np.zeros(heads, np.int64)
    work = move[0].copy()
    rates, served = np.empty(len(work)), np.empty(len(work))
    last_row = price.shape[2] - 1
    placement = 0
    step = 0
    start = 0
    for turn in range(turn_lengths.shape[0]):
        wanted = turn_lengths[turn, 0]
        first_step = step
        next_unscored[:] = first_step
        position = 0
        while position < wanted:
            row = ranks[start + position, : wanted - position - 1]  # beyond the end is nothing to accept or learn
            raise_odds(accuracy, runs, 0, errors)
            stands, moved_by = still_stands(settled, optimistic)
            if stands and moved_by >= settled.firm[0]:
                held = False
                stands = grow_to(optimistic, settled.rivals[1], settled.levels[0], growth)
            elif stands and not held:
                held = recall(settled, growth) > 0
            if stands:
                size = best_rival(settled, optimistic, price[placement, position], growth)
            else:
                size, held = decide(settled, optimistic, price[placement, position], growth, len(work) == 1), False
            depth = depth_of(growth, size)
            heads_run[step] = heads_to_run(price[placement, position], depth, heads)
            count_run(runs, 0, heads_run[step], memory)
            accepted, moved[step] = accepted_in(growth, size, row)
            tokens = accepted + 1
            sizes[step] = size
            committed[step] = tokens
            positions[step] = position
            placements[step] = placement
            step += 1
            if len(work) > 1:
                present = price[placement, position, min(depth, last_row), size - 1]
                for other in range(len(work)):
                    other_size = grow_best_tree(optimistic, price[other, position], growth)
                    of = min(depth_of(growth, other_size), last_row)
                    rates[other] = expected_length(growth, other_size) / price[other, position, of, other_size - 1]
                for other in range(len(work)):
                    served[other] = present * (rates[placement] / rates[other])
                grow_best_tree(optimistic, price[placement, position], growth)  # the tree that was verified
                placement = next_placement(work, served, move, placement)
            if feedback:
                for head in range(heads):
                    while next_unscored[head] < step:
                        root = positions[next_unscored[head]]
                        if root + 1 + head >= position + tokens:
                            break
                        known = ranks[start + root]
                        if head < heads_run[next_unscored[head]] and (not chain or first_guesses_right(known, head)):
                            learn_rank(accuracy, weight, head, known[head], memory)
                        next_unscored[head] += 1
            elif size > 1:
                learn_verified(accuracy, weight, growth, size, row, tokens - 1, memory)
            position += tokens
        start += turn_lengths[turn, 1]
    return step


@native()
def replay_fixed(
    accepted: IntArray,
    in_place: IntArray,
    turn_lengths: IntArray,
    size: int,
    sizes: IntArray,
    committed: IntArray,
    positions: IntArray,
    moved: IntArray,
) -> int:
    """Decode every turn with one tree, whose accepted length at every position is known.

    Arguments and result are as for ``replay_pruned``; ``accepted`` is int64 [positions], and so is ``in_place``, how
    many of these are not moved: the first ones.
    """
    step = 0
    start = 0
    for turn in range(turn_lengths.shape[0]):
        wanted = turn_lengths[turn, 0]
        position = 0
        while position < wanted:
            tokens = min(accepted[start + position] + 1, wanted - position)
            sizes[step] = size
            committed[step] = tokens
            positions[step] = position
            moved[step] = max(tokens - 1 - in_place[start + position], 0)
            step += 1
            position += tokens
        start += turn_lengths[turn, 1]
    return step
