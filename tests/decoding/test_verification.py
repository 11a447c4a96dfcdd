"""Acceptance: greedy by hand-made logits; sampling by the distribution of what it commits, for chains and trees."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from tiny_llama import grow_tree

from lpspec.decoding.drafter import Draft, FloatArray
from lpspec.decoding.verification import Greedy, Sampling, Target, TypicalAcceptance, Verifier
from lpspec.errors import InputError

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


def plain_distribution(model: FloatArray, target: Target) -> FloatArray:
    """Probability of each pair of first tokens, by enumeration."""
    first = target.probabilities(torch.from_numpy(model[0]))
    after = [target.probabilities(torch.from_numpy(model[context_of([token])])) for token in range(VOCABULARY)]
    return np.asarray(first[:, None] * np.stack(after), np.float64)


def first_two(
    verifier: Sampling, model: FloatArray, make_draft: Callable[[np.random.Generator], Draft], draws: int
) -> FloatArray:
    """How often each pair of first tokens is committed; a second one not verified is drawn by plain sampling."""
    counts = np.zeros((VOCABULARY, VOCABULARY))
    random = np.random.default_rng(7)
    for _ in range(draws):
        draft = make_draft(random)
        accepted = verifier.accept(draft, node_logits(model, draft))
        text = [*(int(draft.tokens[node - 1]) for node in accepted.path[1:]), accepted.next_token]
        if len(text) == 1:
            plain = verifier.target.probabilities(torch.from_numpy(model[context_of(text)]))
            text.append(int(random.choice(VOCABULARY, p=plain)))
        counts[text[0], text[1]] += 1
    return counts


def chi_square(counts: FloatArray, expected: FloatArray) -> tuple[float, int]:
    """The statistic and its degrees of freedom; a pair that cannot happen must not."""
    possible = expected > 0
    assert counts[~possible].sum() == 0
    want = expected[possible] * counts.sum()
    return float(((counts[possible] - want) ** 2 / want).sum()), int(possible.sum()) - 1


def drawn(parents: list[int], model: FloatArray, replace: bool) -> Callable[[np.random.Generator], Draft]:
    """Drafts drawn from another model, siblings with or without replacement."""
    tree = grow_tree(parents)

    def make(random: np.random.Generator) -> Draft:
        texts: list[list[int]] = [[]]
        tokens: list[int] = []
        proposal: list[FloatArray] = []
        for node, parent in enumerate(parents, 1):
            scores = np.exp(model[context_of(texts[parent])])
            if not replace:
                scores[[tokens[s - 1] for s in range(1, node) if parents[s - 1] == parent]] = 0
            proposal.append(scores / scores.sum())
            tokens.append(int(random.choice(VOCABULARY, p=proposal[-1])))
            texts.append([*texts[parent], tokens[-1]])
        return Draft(tree, np.array(tokens), np.ones(len(tokens)), torch.tensor(np.array(proposal)).float())

    return make


MODEL, OTHER = conditionals(1), conditionals(2)
CASES: dict[str, Callable[[np.random.Generator], Draft]] = {
    "chain": lambda random: deterministic(CHAIN, [2, 1]),
    "tree": lambda random: deterministic(TREE, [2, 0, 1, 4, 3]),
    "drawn chain": drawn(CHAIN, OTHER, replace=False),
    "drawn siblings": drawn(WIDE, OTHER, replace=False),
    "drawn tree": drawn(TREE, OTHER, replace=False),
    "drawn tree, with replacement": drawn(TREE, OTHER, replace=True),
}


@pytest.mark.slow
@pytest.mark.parametrize("target", [Target(), Target(0.7, 0.8)], ids=["plain", "cut"])
@pytest.mark.parametrize("case", CASES)
def test_sampling_commits_what_plain_sampling_would(case: str, target: Target) -> None:
    counts = first_two(Sampling(target, seed=3), MODEL, CASES[case], DRAWS)
    statistic, freedom = chi_square(counts, plain_distribution(MODEL, target))
    assert statistic < freedom + 4 * np.sqrt(2 * freedom)  # 4 standard deviations of chi-square


def test_the_distribution_test_can_fail() -> None:
    """Typical acceptance is not lossless, and far fewer draws than are asked for show it."""
    counts = first_two(TypicalAcceptance(Target(), seed=3), MODEL, CASES["tree"], 3000)  # type: ignore[arg-type]
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
