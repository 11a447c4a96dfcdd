"""Draw the EAGLE-3 traces that come with the package from published figures; takes about half a minute.

    python tools/make_eagle3_traces.py [folder]

Nobody publishes ranks, so these are syntheses: nothing of them was recorded. What was published, and is fitted:
survival by depth (the share of positions at which the first d drafts of a chain are right), and, for four sets of
requests, how tokens per pass differ from request to request and hang together from pass to pass. For each set:

1. A hidden score is drawn for every position, in part one for the whole request and one for a passage of about 32
   tokens; its place among all positions decides how many first guesses are right there, so survival is as published.
2. The two parts are solved so that spread and correlation of a chain's passes are as published. Sets for which they
   were not published take those of ShareGPT, as chat is what MT-bench has.
3. Where the first guess is wrong, the rank of the right one is drawn from the recorded misses of the demo model's EAGLE
   layer, that text being all for which ranks of an autoregressive drafter are at hand. Behind a wrong guess the next
   first guess is right less often, by the factor in the same recording.

vLLM counts survival over passes, of which easy text has fewer: for its sets, survival over positions is raised until
that over passes is as published. Requests of a set have one length, the mean that was published or else that of
MT-bench's turns of Vicuna. Where survival was published for fewer than seven depths but tokens per pass of chains of
3, 5 and 7, the rest is a geometric tail, its ratio per depth the root of (7 - 5) over (5 - 3). Every set has its own
generator, seeded by its place in the list.
"""

import argparse
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lpspec.decoding.draft_trace import demo_draft_trace
from lpspec.speculation.chains import (
    PASSAGE_TOKENS,
    ChainStatistics,
    Difficulty,
    accepted_by_depth,
    chain_statistics,
    conditional_rates,
    draw_first_guesses,
    spread_and_lag,
)
from lpspec.speculation.rank_trace import RankTrace, beyond_turn, verify_passes
from lpspec.speculation.token_tree import TokenTree

SHIPPED = Path(__file__).parent.parent / "src/lpspec/speculation/traces"
RECORDED_LEVELS = 2
"""Levels of the recorded trees whose lists are whole, but for one in a hundred: 59 nodes cut the deeper ones."""

BENCH = "SpecDecode-Bench/simulator @2fdccbd6 (figures only): chains of EAGLE-3 on Llama-3.1-8B-Instruct, greedy"


@dataclass(frozen=True)
class Published:
    """Figures of one set of requests.

    Attributes:
        model: Who decoded.
        survival: By depth, over positions.
        source: Where they stand.
        requests: How many are drawn; fewer than were measured, which keeps files small.
        tokens: Length of each.
        spread: Standard deviation over requests of tokens per pass; None where not published.
        lag_1: Correlation of tokens per pass with those of the next pass; likewise.
        tokens_per_pass: As measured with chains of so many drafts.
        of_passes: Whether survival is over passes instead.
    """

    model: str
    survival: tuple[float, ...]
    source: str
    requests: int
    tokens: int
    spread: float | None = None
    lag_1: float | None = None
    tokens_per_pass: dict[int, float] = field(default_factory=dict)
    of_passes: bool = False

    @property
    def to_full_depth(self) -> NDArray[np.float64]:
        """Survival with the tail that was not published: float64 [depths]."""
        survival, due = list(self.survival), self.tokens_per_pass
        if {3, 5, 7} <= set(due):
            ratio = float(np.sqrt((due[7] - due[5]) / (due[5] - due[3])))
            while len(survival) < 7:
                survival.append(survival[-1] * ratio)
        return np.array(survival)


LLAMA, QWEN = "Llama-3.1-8B-Instruct", "Qwen3-8B"
CHAT = "llama3.1-8b-eagle3-sharegpt"
"""The set whose unevenness the others take that published none."""

SETS = {
    CHAT: Published(
        LLAMA,
        (0.622, 0.381, 0.252),
        f"{BENCH}; ShareGPT",
        40,
        740,
        0.617,
        0.193,
        {1: 1.660, 2: 2.037, 3: 2.252, 5: 2.476, 7: 2.579},
    ),
    "llama3.1-8b-eagle3-gsm8k": Published(
        LLAMA,
        (0.663, 0.428, 0.271, 0.177, 0.110, 0.071, 0.046),
        f"{BENCH}; GSM8K",
        150,
        165,
        0.357,
        0.048,
        {1: 1.693, 2: 2.124, 3: 2.379, 5: 2.651, 7: 2.750},
    ),
    "llama3.1-8b-eagle3-instructcoder": Published(
        LLAMA,
        (0.717, 0.520, 0.390, 0.302, 0.242),
        f"{BENCH}; InstructCoder",
        100,
        250,
        0.813,
        0.236,
        {1: 1.679, 2: 2.091, 3: 2.343, 5: 2.619, 7: 2.753},
    ),
    "llama3.1-8b-eagle3-cnn": Published(
        LLAMA,
        (0.693, 0.462, 0.307, 0.209),
        f"{BENCH}; CNN/DailyMail",
        80,
        322,
        0.391,
        0.098,
        {1: 1.673, 2: 2.081, 3: 2.325, 5: 2.573, 7: 2.689},
    ),
    "llama3.1-8b-eagle3": Published(
        LLAMA,
        (0.74, 0.54, 0.41, 0.31, 0.23, 0.17, 0.13),
        "vLLM issue 26191: yuhuili's EAGLE-3 on MT-bench, seven drafts",
        100,
        273,
        tokens_per_pass={7: 3.53},
        of_passes=True,
    ),
    "qwen3-8b-eagle3": Published(
        QWEN,
        (0.654, 0.399, 0.202),
        "vLLM @029ba375, tests/v1/spec_decode/test_acceptance_length.py: EAGLE-3 on MT-bench, three drafts",
        100,
        273,
        tokens_per_pass={3: 2.26},
        of_passes=True,
    ),
}

DRAWN = """\
Nothing of it was recorded; ranks behind the first wrong guess are drawn as the demo model's EAGLE layer has them."""

SPEC_FORGE = {"mtbench": (3.516, 3.006, 3.856, 2.938), "gsm8k": (2.854, 2.282, 2.973, 2.367)}
"""Tokens per pass on Llama-3.1-8B of steps-topk-tokens 5-1-6, 5-3-6, 7-1-8 and 7-4-8: SpecForge @a6b6b023."""


def main() -> None:
    """Write every trace, and print its statistics beside the published ones."""
    parser = argparse.ArgumentParser(description="Draw the EAGLE-3 traces that come with the package.")
    parser.add_argument("folder", type=Path, nargs="?", default=SHIPPED, help="default: the package's own")
    folder = parser.parse_args().folder
    for name in SETS:
        trace = make_trace(name)
        trace.save(folder / f"{name}.npz")
        print_beside(name, chain_statistics(trace))
    for name, told in (("llama3.1-8b-eagle3", "mtbench"), ("llama3.1-8b-eagle3-gsm8k", "gsm8k")):
        print_trees(make_trace(name), told)


def make_trace(name: str) -> RankTrace:
    """Draw one trace."""
    figures = SETS[name]
    lengths, seed = np.full(figures.requests, figures.tokens, np.int32), list(SETS).index(name)
    survival = over_positions(name)
    right = draw_first_guesses(survival, lengths, np.random.default_rng(seed), unevenness(name))
    own = figures.spread is not None
    said = ", ".join(f"{share:.3g}" for share in figures.survival)
    spread = (
        f"their spread over requests ({figures.spread}) and correlation from pass to pass ({figures.lag_1}), too"
        if own
        else "spread and correlation, which were not published, as in ShareGPT's trace"
    )
    tail = ", then a geometric tail" if len(survival) > len(figures.survival) else ""
    return RankTrace(
        draw_ranks(right, conditional_rates(survival), lengths, np.random.default_rng([seed, 1])),
        lengths,
        10,
        tuple(f"{name}-{request}" for request in range(figures.requests)),
        name=name,
        model=figures.model,
        kind="synthetic",
        description=f"Synthesised, fitted to published survival by depth of chains ({said}{tail}); {spread}. {DRAWN} "
        f"Requests have {figures.tokens} tokens, passages of {PASSAGE_TOKENS} are alike in difficulty.",
        source=f"{figures.source}; ranks of misses: demo-eagle2 of this package",
        seed=seed,
        drafter="eagle3",
    )


def over_positions(name: str) -> NDArray[np.float64]:
    """Survival over positions at which that over positions, or over passes, is as published."""
    figures = SETS[name]
    survival = due = figures.to_full_depth
    lengths, uneven = np.full(figures.requests, figures.tokens, np.int32), unevenness(name)
    for _ in range(20 if figures.of_passes else 0):
        right = draw_first_guesses(survival, lengths, np.random.default_rng(list(SETS).index(name)), uneven)
        survival = np.minimum.accumulate(survival * due / accepted_by_depth(right, lengths, len(due)))
    return survival


@cache
def unevenness(name: str) -> Difficulty:
    """The two parts of the hidden score at which spread and correlation are as published, by bisection of both."""
    figures = SETS[name]
    if figures.spread is None or figures.lag_1 is None:
        return unevenness(CHAT)
    low, high = 0.0, 0.6
    for _ in range(12):
        of_passage = (low + high) / 2
        _, lag_1 = drawn_with(name, Difficulty(part_of_requests(name, of_passage, figures.spread), of_passage))
        low, high = (of_passage, high) if lag_1 < figures.lag_1 else (low, of_passage)
    return Difficulty(part_of_requests(name, low, figures.spread), low)


def part_of_requests(name: str, of_passage: float, spread: float) -> float:
    """The part of whole requests at which tokens per pass spread as asked for."""
    low, high = 0.0, 1.0 - of_passage
    for _ in range(12):
        middle = (low + high) / 2
        found, _ = drawn_with(name, Difficulty(middle, of_passage))
        low, high = (middle, high) if found < spread else (low, middle)
    return low


def drawn_with(name: str, uneven: Difficulty) -> tuple[float, float]:
    """Spread and correlation of one draw, always with the same random numbers."""
    figures, lengths = SETS[name], np.full(SETS[name].requests, SETS[name].tokens, np.int32)
    generator = np.random.default_rng(list(SETS).index(name))
    return spread_and_lag(draw_first_guesses(figures.to_full_depth, lengths, generator, uneven), lengths)


def draw_ranks(
    right: NDArray[np.int64], rates: NDArray[np.float64], lengths: NDArray[np.int32], generator: np.random.Generator
) -> NDArray[np.int8]:
    """Ranks: right first guesses, then a miss, then what follows a miss; int8 [tokens, heads]."""
    misses, factor = recorded_misses()
    heads = np.arange(len(rates))
    missed = generator.choice(misses, (len(right), len(rates)))
    again = generator.random(missed.shape) < factor * rates
    behind = heads > right[:, None]
    ranks = np.where((heads < right[:, None]) | (behind & again), 0, missed).astype(np.int8)
    ranks[beyond_turn(lengths, len(rates))] = -1
    return ranks


@cache
def recorded_misses() -> tuple[NDArray[np.int8], float]:
    """Ranks of true tokens where the first guess of the demo model's EAGLE layer was wrong, -1 outside its list.

    And how much less often its next first guess is right after a wrong one than after a right one.
    """
    trace = demo_draft_trace().ranks_of_truth()
    first, second = trace.ranks[:, 0], trace.ranks[:, 1]
    there = trace.within_turn
    levels = [
        trace.ranks[there[:, level] & (trace.ranks[:, :level] == 0).all(axis=1), level]
        for level in range(RECORDED_LEVELS)
    ]
    ranks = np.concatenate(levels)
    after_miss = (second[there[:, 1] & (first > 0)] == 0).mean()
    after_hit = (second[there[:, 1] & (first == 0)] == 0).mean()
    return ranks[ranks != 0], float(after_miss / after_hit)


def print_beside(name: str, found: ChainStatistics) -> None:
    """What a trace comes to, and in brackets what was published."""
    figures = SETS[name]
    counted = found.accepted if figures.of_passes else found.survival
    pairs = zip(counted, figures.to_full_depth, strict=True)
    print(f"{name}: survival", " ".join(f"{share:.3f} ({due:.3g})" for share, due in pairs))
    due = figures.tokens_per_pass
    print("  tokens per pass", " ".join(f"{found.tokens_per_pass[k - 1]:.3f} ({mean:g})" for k, mean in due.items()))
    print(f"  spread {found.turn_sd:.3f} ({figures.spread}), lag-1 {found.lag_1:.3f} ({figures.lag_1})")


def print_trees(trace: RankTrace, told: str) -> None:
    """Trees beside chains of the same size, as shares of the chain: ours of fixed shapes, and SpecForge's own."""
    chain_5, tree_5, chain_7, tree_7 = SPEC_FORGE[told]
    theirs = f"5-3-6 over 5-1-6 {tree_5 / chain_5:.3f}, 7-4-8 over 7-1-8 {tree_7 / chain_7:.3f}"
    print(f"{trace.name}: trees over chains of as many tokens; SpecForge {told} {theirs}")
    for drafts, widths in SHAPES:
        chain = tokens_per_pass(trace, [1] * drafts)
        print(f"  levels of {widths}: {tokens_per_pass(trace, widths) / chain:.3f} of {chain:.3f}")


SHAPES = [(5, [2, 2, 1]), (5, [3, 1, 1]), (5, [2, 1, 1, 1]), (7, [4, 2, 1]), (7, [2, 2, 2, 1]), (7, [2, 1, 1, 1, 1, 1])]
"""Drafts, and how many there are at each level: siblings at the likeliest node, all else one likeliest path."""


def tokens_per_pass(trace: RankTrace, widths: list[int]) -> float:
    """Tokens per pass of a tree whose levels hold so many guesses after the likeliest path."""
    paths = [(*(0,) * level, rank) for level, width in enumerate(widths) for rank in range(width)]
    return float(trace.positions / verify_passes(trace, TokenTree.from_paths(paths)).sum())


if __name__ == "__main__":
    main()
