"""Draw the four traces that come with the package from published figures; takes about 5 s.

    python tools/make_traces.py [folder]

The only inputs are Medusa's head accuracies and MT-bench counts, both in `lpspec.speculation.measured`.
For each of a model's 160 turns:

1. One tilt d makes the turn's text easier or harder than average. It changes the accuracies p of a head to
   p' = p e^d / (1 - C + C e^d), C being their sum over the top 10, and is solved so that Medusa's tree is
   expected to commit the tokens per pass that were measured on this turn.
2. Ranks are drawn from p', independently for each head and position.
3. Whole turns are drawn anew until the replay of that tree takes the measured number of passes: conditional
   (rejection) sampling. Should it fail, the closest draw is kept.

Every turn has its own generator, seeded by the model's seed and the turn's index.

The fourth is harder text: the passes of every turn of Vicuna-7B are raised by one factor, so that tokens per pass come
out as Spec-Bench measured them over its six tasks.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lpspec.speculation import measured
from lpspec.speculation.medusa_trees import named_tree
from lpspec.speculation.rank_trace import RankTrace, beyond_turn, count_passes, verify_passes
from lpspec.speculation.token_tree import TokenTree, accepted_lengths

TREE = "mc_sim_7b_63"
TOP_K = 10
MAX_DRAWS = 1000
SEEDS = {"vicuna-7b": 7, "vicuna-13b": 13, "vicuna-33b": 33}
HARDER, HARDER_MODEL = "vicuna-7b-spec-bench", "vicuna-7b"
SPEC_BENCH_TOKENS_PER_PASS = 2.32  # Medusa, Vicuna-7B, RTX 3090, mean of all tasks
SHIPPED = Path(__file__).parent.parent / "src/lpspec/speculation/traces"

DESCRIPTION = """\
Synthetic ranks, fitted to the measured accuracies of Medusa's heads (ranks 1-5 measured in training, 6-10 \
extrapolated by a power law) and to the measured tokens and verify passes of each MT-bench turn under the \
tree mc_sim_7b_63. Every turn has one difficulty throughout, and its heads and positions are drawn \
independently: the correlations that real text has between positions and between heads are lacking."""

HARDER_DESCRIPTION = """\
The turns are those of MT-bench, the passes of each raised by one factor so that tokens per pass come out as \
Spec-Bench measured them over its six tasks (2.32)."""

SOURCE = """\
FasterDecoding/Medusa @e2a5d20 (Apache-2.0): assets/medusa_acc.csv and llm_judge/data/mt_bench/model_answer"""
SPEC_BENCH_SOURCE = "hemingkx/Spec-Bench @fd2c1cd (Apache-2.0): Leaderboard.md"


def main() -> None:
    """Write one trace per model and print how close each came to its figures."""
    parser = argparse.ArgumentParser(description="Draw the traces that come with the package.")
    parser.add_argument("folder", type=Path, nargs="?", default=SHIPPED, help="default: the package's own")
    folder = parser.parse_args().folder
    for name in (*SEEDS, HARDER):
        trace = make_trace(name)
        trace.save(folder / f"{name}.npz")
        passes, due = verify_passes(trace, named_tree(TREE)), passes_due(name)
        print(
            f"{name}: {trace.positions} tokens in {passes.sum()} passes,",
            f"{trace.positions / passes.sum():.3f} tokens per pass,",
            f"{(passes == due).sum()} of {trace.turns} turns exact",
        )


def passes_due(name: str) -> NDArray[np.int32]:
    """Verify passes that each turn of a trace should take: as measured, or more of them for the harder text."""
    turns = measured.mtbench_turns(HARDER_MODEL if name == HARDER else name)
    if name != HARDER:
        return turns.passes
    more = turns.tokens.sum() / turns.passes.sum() / SPEC_BENCH_TOKENS_PER_PASS
    due: NDArray[np.int32] = np.minimum(np.rint(turns.passes * more), turns.tokens).astype(np.int32)
    return due


def make_trace(name: str) -> RankTrace:
    """Draw one trace."""
    model = HARDER_MODEL if name == HARDER else name
    passes = passes_due(name)
    tokens, _, labels = measured.mtbench_turns(model)
    probability = measured.rank_probabilities(model, TOP_K)
    drawn = [
        draw_turn(probability, int(length), int(due), np.random.default_rng([SEEDS[model], turn]))
        for turn, (length, due) in enumerate(zip(tokens, passes, strict=True))
    ]
    return RankTrace(
        ranks=np.concatenate(drawn),
        turn_lengths=tokens,
        top_k=TOP_K,
        labels=labels,
        name=name,
        model=f"{model}-v1.3",
        kind="synthetic",
        description=f"{DESCRIPTION} {HARDER_DESCRIPTION if name == HARDER else measured.caveat(model)}".rstrip(),
        source=SOURCE if name != HARDER else f"{SOURCE}; {SPEC_BENCH_SOURCE}",
        seed=SEEDS[model],
    )


def draw_turn(
    probability: NDArray[np.float64], tokens: int, passes: int, generator: np.random.Generator
) -> NDArray[np.int8]:
    """Draw the ranks of one turn, int8 [tokens, heads], whose replay takes the given number of passes."""
    tree = named_tree(TREE)
    cumulative = np.cumsum(tilted(probability, solve_tilt(tree, probability, tokens / passes)), axis=1)
    beyond = beyond_turn(np.array([tokens]), len(probability))
    best, best_gap = np.empty((0, 0), np.int8), tokens
    for _ in range(MAX_DRAWS):
        ranks = draw_ranks(cumulative, tokens, generator)
        ranks[beyond] = -1
        gap = abs(count_passes(accepted_lengths(tree, ranks)) - passes)
        if gap < best_gap:
            best, best_gap = ranks, gap
        if gap == 0:
            break
    return best


def draw_ranks(cumulative: NDArray[np.float64], tokens: int, generator: np.random.Generator) -> NDArray[np.int8]:
    """Draw int8 [tokens, heads] from cumulative probabilities [heads, top_k]; -1 is beyond the last rank."""
    heads, top_k = cumulative.shape
    uniform = generator.random((tokens, heads))
    ranks = (uniform[:, :, None] >= cumulative).sum(axis=2)  # [tokens, heads]
    return np.where(ranks < top_k, ranks, -1).astype(np.int8)


def solve_tilt(tree: TokenTree, probability: NDArray[np.float64], tokens_per_pass: float) -> float:
    """Find the tilt at which the tree is expected to commit so many tokens per pass, by bisection."""
    low, high = -20.0, 20.0
    for _ in range(50):
        middle = (low + high) / 2
        if expected_tokens(tree, tilted(probability, middle)) < tokens_per_pass:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def tilted(probability: NDArray[np.float64], tilt: float) -> NDArray[np.float64]:
    """Multiply each head's odds of having the true token in its list by e^tilt, all ranks alike."""
    inside = probability.sum(axis=1, keepdims=True)
    easier = np.exp(tilt)
    changed: NDArray[np.float64] = probability * easier / (1 - inside + inside * easier)
    return changed


def expected_tokens(tree: TokenTree, probability: NDArray[np.float64]) -> float:
    """Tokens that a pass is expected to commit with independent heads: the sum of all path probabilities."""
    reached = np.ones(tree.size)
    for node in range(1, tree.size):
        reached[node] = reached[tree.parent[node]] * probability[tree.depth[node] - 1, tree.rank[node]]
    return float(reached.sum())


if __name__ == "__main__":
    main()
