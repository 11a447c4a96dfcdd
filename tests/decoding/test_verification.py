"""Acceptance: greedy by hand-made logits; sampling by the distribution of what it commits, for chains and trees."""

import functools
from bisect import bisect
from collections.abc import Callable

import numpy as np
import pytest
import torch
from tiny_llama import grow_tree

from lpspec.arrays import FloatArray
from lpspec.decoding.drafter import Draft
from lpspec.decoding.verification import Greedy, Sampling, Target, TypicalAcceptance, Verifier
from lpspec.errors import InputError

MakeDraft = Callable[[np.random.Generator], Draft]
VOCABULARY, DRAWS = 5, 200_000
CHAIN, WIDE, TREE = [0, 1], [0, 0, 0], [0, 0, 1, 1, 2]


def deterministic(parents: list[int], tokens: list[int]) -> Draft:
    return Draft(grow_tree(parents), np.array(tokens), np.ones(len(tokens)))


def test_greedy_follows_the_most_likely_tokens() -> None:
    draft = deterministic([0, 0, 1, 2, 2, 5], [3, 4, 0, 1, 2, 3])
    logits = torch.zeros(7, VOCABULARY)
    logits[0, 4] = logits[1, 0] = logits[2, 2] = logits[5, 3] = logits[6, 1] = 1.0
    accepted = Greedy().accept(draft, logits)
    assert (accepted.path, accepted.next_token) == ([0, 2, 5, 6], 1)
    logits[0, 2] = 2.0
    accepted = Greedy().accept(draft, logits)
    assert (accepted.path, accepted.next_token) == ([0], 2)


@pytest.mark.parametrize("temperature", [1e-30, 1e-300, 5e-324])
@pytest.mark.parametrize("top_p", [1.0, 0.5])
def test_a_temperature_near_zero_is_greedy(temperature: float, top_p: float) -> None:
    logits = torch.from_numpy(np.random.default_rng(0).normal(size=(20, 300)) * 40)
    target = Target(temperature, top_p)
    for row in logits:
        probability = target.probabilities(row)
        assert probability[int(row.argmax())] == 1.0
        assert probability.sum() == 1.0


def test_equally_likely_tokens_stay_so_near_zero() -> None:
    probability = Target(1e-310).probabilities(torch.tensor([3.0, 7.0, 7.0, -1e30]))
    assert probability.tolist() == [0.0, 0.5, 0.5, 0.0]


@pytest.mark.parametrize("temperature", [1e30, 1e300])
def test_a_huge_temperature_is_uniform(temperature: float) -> None:
    logits = torch.from_numpy(np.random.default_rng(1).normal(size=50) * 1e3)
    np.testing.assert_allclose(Target(temperature).probabilities(logits), 1 / 50)


def always(draft: Draft) -> MakeDraft:
    return lambda random: draft


def conditionals(seed: int, sharp: float = 1.5) -> FloatArray:
    """Logits after each context of up to two tokens: [1 + V + V * V, V], context by its number."""
    drawn = np.random.default_rng(seed).normal(size=(1 + VOCABULARY + VOCABULARY**2, VOCABULARY)) * sharp
    return np.asarray(drawn, np.float64)


def context_of(tokens: list[int]) -> int:
    number = 0
    for token in tokens[-2:]:
        number = number * VOCABULARY + token + 1
    return number


def node_logits(model: FloatArray, draft: Draft) -> torch.Tensor:
    texts: list[list[int]] = [[]]
    for parent, token in zip(draft.tree.parent[1:], draft.tokens, strict=True):
        texts.append([*texts[parent], int(token)])
    return torch.from_numpy(model[[context_of(text) for text in texts]])


class Remembering(Target):
    """Computes the distribution of each row of logits once; the rows must stay alive."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "found", {})

    def probabilities(self, logits: torch.Tensor) -> FloatArray:
        found: dict[int, FloatArray] = self.__dict__["found"]
        if (place := logits.data_ptr()) not in found:
            found[place] = super().probabilities(logits)
        return found[place]


def plain_distribution(model: FloatArray, target: Target) -> FloatArray:
    """Probability of each pair of first tokens, by enumeration."""
    first = target.probabilities(torch.from_numpy(model[0]))
    after = [target.probabilities(torch.from_numpy(model[context_of([token])])) for token in range(VOCABULARY)]
    return np.asarray(first[:, None] * np.stack(after), np.float64)


def first_two(verifier: Verifier, model: FloatArray, make_draft: MakeDraft, draws: int, target: Target) -> FloatArray:
    """How often each pair of first tokens is committed; a second one not verified is drawn by plain sampling."""
    counts = np.zeros((VOCABULARY, VOCABULARY))
    plain = np.zeros(VOCABULARY, np.int64)  # texts of which one token is known
    random = np.random.default_rng(7)
    logits_of: dict[bytes, torch.Tensor] = {}
    for _ in range(draws):
        draft = make_draft(random)
        key = draft.tokens.tobytes()
        if key not in logits_of:
            logits_of[key] = node_logits(model, draft)
        accepted = verifier.accept(draft, logits_of[key])
        text = [*(int(draft.tokens[node - 1]) for node in accepted.path[1:]), accepted.next_token]
        if len(text) == 1:
            plain[text[0]] += 1
        else:
            counts[text[0], text[1]] += 1
    for token in range(VOCABULARY):
        after = target.probabilities(torch.from_numpy(model[context_of([token])]))
        counts[token] += random.multinomial(plain[token], after)
    return counts


def chi_square(counts: FloatArray, expected: FloatArray) -> tuple[float, int]:
    """The statistic and its degrees of freedom; a pair that cannot happen must not."""
    possible = expected > 0
    assert counts[~possible].sum() == 0
    want = expected[possible] * counts.sum()
    return float(((counts[possible] - want) ** 2 / want).sum()), int(possible.sum()) - 1


def drawn(parents: list[int], model: FloatArray, replace: bool) -> MakeDraft:
    """Drafts drawn from another model, siblings with or without replacement."""
    tree = grow_tree(parents)
    made: dict[tuple[int, ...], Draft] = {}

    def distribution(tokens: tuple[int, ...]) -> FloatArray:
        """What the next node's token is drawn from, given those of the nodes before it."""
        node = len(tokens) + 1
        text: list[int] = []
        above = parents[node - 1]
        while above:
            text.insert(0, tokens[above - 1])
            above = parents[above - 1]
        scores = np.exp(model[context_of(text)])
        if not replace:
            scores[[tokens[s - 1] for s in range(1, node) if parents[s - 1] == parents[node - 1]]] = 0
        return np.asarray(scores / scores.sum(), np.float64)

    remembered = functools.cache(distribution)
    cumulative = functools.cache(lambda tokens: remembered(tokens).cumsum().tolist())

    def make(random: np.random.Generator) -> Draft:
        tokens: tuple[int, ...] = ()
        for number in random.random(len(parents)).tolist():
            tokens = (*tokens, min(bisect(cumulative(tokens), number), VOCABULARY - 1))
        if tokens not in made:
            proposal = np.stack([remembered(tokens[:node]) for node in range(len(tokens))])
            made[tokens] = Draft(tree, np.array(tokens), np.ones(len(tokens)), torch.from_numpy(proposal).float())
        return made[tokens]

    return make


MODEL, OTHER = conditionals(1), conditionals(2)
CASES: dict[str, MakeDraft] = {
    "chain": always(deterministic(CHAIN, [2, 1])),
    "tree": always(deterministic(TREE, [2, 0, 1, 4, 3])),
    "drawn chain": drawn(CHAIN, OTHER, replace=False),
    "drawn siblings": drawn(WIDE, OTHER, replace=False),
    "drawn tree": drawn(TREE, OTHER, replace=False),
    "drawn tree, with replacement": drawn(TREE, OTHER, replace=True),
}


PLAIN, CUT = (1.0, 1.0), (0.7, 0.8)  # temperature, top-p


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "settings"),
    [
        ("chain", PLAIN),
        ("tree", CUT),
        ("drawn chain", CUT),
        ("drawn siblings", PLAIN),
        ("drawn tree", CUT),
        ("drawn tree, with replacement", PLAIN),
    ],
)
def test_sampling_commits_what_plain_sampling_would(case: str, settings: tuple[float, float]) -> None:
    target = Target(*settings)
    counts = first_two(Sampling(Remembering(*settings), seed=3), MODEL, CASES[case], DRAWS, target)
    statistic, freedom = chi_square(counts, plain_distribution(MODEL, target))
    assert statistic < freedom + 4 * np.sqrt(2 * freedom)  # 4 standard deviations of chi-square


def test_the_distribution_test_can_fail() -> None:
    """Typical acceptance is not lossless, and far fewer draws than are asked for show it."""
    counts = first_two(TypicalAcceptance(Remembering(), seed=3), MODEL, CASES["tree"], 3000, Target())
    statistic, freedom = chi_square(counts, plain_distribution(MODEL, Target()))
    assert statistic > freedom + 20 * np.sqrt(2 * freedom)


def test_top_p_keeps_the_smallest_set_that_reaches_it() -> None:
    logits = torch.tensor([0.1, 0.4, 0.3, 0.2]).log()
    for top_p, kept in ((0.39, [0, 1, 0, 0]), (0.41, [0, 4, 3, 0]), (0.69, [0, 4, 3, 0]), (0.71, [0, 4, 3, 2])):
        np.testing.assert_allclose(Target(1.0, top_p).probabilities(logits), np.array(kept) / sum(kept), atol=1e-6)
    np.testing.assert_allclose(
        Target(0.5).probabilities(logits), np.array([1, 16, 9, 4]) / 30, atol=1e-6
    )  # temperature 1/2 squares


def test_a_draft_from_the_target_itself_is_always_accepted() -> None:
    sampling, random = Sampling(Target(), seed=1), np.random.default_rng(1)
    make = drawn(CHAIN, MODEL, replace=False)
    lengths = []
    for _ in range(2000):
        draft = make(random)
        lengths.append(len(sampling.accept(draft, node_logits(MODEL, draft)).path))
    assert np.mean(lengths) > 2.999  # float32 proposals may lose one in millions


def test_typical_acceptance_says_that_it_is_lossy() -> None:
    verifiers: list[Verifier] = [Greedy(), Sampling(Target()), TypicalAcceptance(Target())]
    assert [verifier.lossless for verifier in verifiers] == [True, True, False]


def test_typical_acceptance_judges_by_entropy() -> None:
    draft = deterministic([0, 1, 0], [0, 1, 2])
    logits = torch.tensor([[0.5, 0.05, 0.2, 0.2, 0.05]] * 4).log()  # exp(-entropy) 0.28: enough is 0.084
    accepted = TypicalAcceptance(Target()).accept(draft, logits)
    assert accepted.path == [0, 1]
    assert TypicalAcceptance(Target(), epsilon=0.04).accept(draft, logits).path == [0, 1, 2]


@pytest.mark.parametrize(
    ("temperature", "top_p"), [(0.0, 1.0), (-1.0, 1.0), (float("inf"), 1.0), (1.0, 0.0), (1.0, 1.1)]
)
def test_impossible_settings_are_one_clear_line(temperature: float, top_p: float) -> None:
    with pytest.raises(InputError, match="allowed is more than 0"):
        Target(temperature, top_p)
