"""A recorded trace, replayed, takes the very steps that live decoding takes: for any tree, size, price and pruner."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from trained_drafters import CONFIDENT, HEADS, MODEL, medusa_heads  # noqa: E402

from lpspec.arrays import FloatArray  # noqa: E402
from lpspec.decoding.draft_trace import DraftTrace, replay_drafts  # noqa: E402
from lpspec.decoding.drafter import Drafter  # noqa: E402
from lpspec.decoding.drafters.medusa import Medusa  # noqa: E402
from lpspec.decoding.generate import Generation, Step  # noqa: E402
from lpspec.decoding.recording import Prompt, record_drafts, record_ranks  # noqa: E402
from lpspec.errors import InputError  # noqa: E402
from lpspec.simulation.decode_loop import decode  # noqa: E402
from lpspec.speculation.measured import prior_accuracy  # noqa: E402
from lpspec.speculation.pruner import DraftTokenPruner, FixedTree, Pruner  # noqa: E402
from lpspec.speculation.rank_trace import RankTrace, load_trace, verify_passes  # noqa: E402
from lpspec.speculation.token_tree import TokenTree  # noqa: E402

NEW_TOKENS = 26
NODES = 15
PROMPTS = [Prompt(np.random.default_rng(n).integers(0, 24, 3 + n), f"prompt {n}") for n in range(4)]

Record = tuple[int, int, int, int]  # position, tokens verified, tokens committed, drafts moved

SIZES = np.arange(1, NODES + 2)
FLAT = np.ones((NEW_TOKENS, NODES + 1))
PRICES = {
    "every size alike": FLAT,
    "steps of four": np.outer(1 + 0.02 * np.arange(NEW_TOKENS), 1 + 0.3 * ((SIZES - 1) // 4) + 0.01 * SIZES),
    "dear drafts": np.outer(np.ones(NEW_TOKENS), 1 + 0.25 * SIZES),
    "six tokens or nothing": np.where(SIZES == 6, 1.0, np.inf) * FLAT,
    "small, then large": np.where((SIZES > 3) == (np.arange(NEW_TOKENS)[:, None] > 9), 1.0, np.inf),
}


def live(drafter: Drafter, price: FloatArray) -> tuple[list[Record], list[list[int]]]:
    """Decode all prompts, row i of the price list being for the i-th token of a turn."""
    records: list[Record] = []
    texts = []
    for prompt in PROMPTS:
        before = len(prompt.tokens)
        generation = Generation(MODEL, prompt.tokens, NEW_TOKENS, drafter, price=partial(row_of, price, before))
        records += [record_of(step, before) for step in generation]
        texts.append(generation.tokens)
    return records, texts


def row_of(price: FloatArray, before: int, context: int) -> FloatArray:
    row: FloatArray = price[context - before]
    return row


def record_of(step: Step, before: int) -> Record:
    return step.context - before, step.tree.size, len(step.tokens), step.moved


@pytest.fixture(scope="module")
def plain_texts() -> list[list[int]]:
    found = []
    for prompt in PROMPTS:
        generation = Generation(MODEL, prompt.tokens, NEW_TOKENS)
        list(generation)
        found.append(generation.tokens)
    return found


# Medusa

PATHS = [(0,), (1,), (2,), (0, 0), (0, 1), (1, 0), (0, 0, 0), (0, 1, 0)]
PRUNERS: dict[str, Callable[[], Pruner]] = {
    "fixed": lambda: FixedTree(TokenTree.from_paths(PATHS)),
    "dtp": lambda: DraftTokenPruner(prior_accuracy(HEADS, 10), NODES + 1),
    "dtp with a short memory": lambda: DraftTokenPruner(prior_accuracy(HEADS, 10), NODES + 1, memory=20.0),
}


@pytest.fixture(scope="module")
def ranks() -> RankTrace:
    """Recorded while decoding with one pruner, and replayed under all of them."""
    drafter = Medusa(medusa_heads(), PRUNERS["dtp"]())
    return record_ranks(MODEL, drafter, PROMPTS, NEW_TOKENS, name="recorded")


BY_DEPTH = {
    "heads at a tenth each": PRICES["steps of four"][:, None] + 0.1 * np.arange(HEADS + 1)[:, None],
    "heads dear, at times one more": PRICES["steps of four"][:, None] + 0.004 * 5.0 ** np.arange(HEADS + 1)[:, None],
}
"""Float64 [tokens of a turn, heads + 1, sizes]."""


@pytest.mark.parametrize("pruner", PRUNERS)
@pytest.mark.parametrize("price", BY_DEPTH)
def test_medusa_runs_the_heads_that_the_replay_runs(
    ranks: RankTrace, pruner: str, price: str, plain_texts: list[list[int]]
) -> None:
    """Heads that did not run can teach neither side anything."""
    drafter, found = Medusa(medusa_heads(), PRUNERS[pruner]()), []
    for prompt, text in zip(PROMPTS, plain_texts, strict=True):
        before = len(prompt.tokens)
        generation = Generation(
            MODEL, prompt.tokens, NEW_TOKENS, drafter, price=partial(row_of, BY_DEPTH[price], before)
        )
        found += [(*record_of(step, before), step.heads) for step in generation]
        assert generation.tokens == text
    replayed = decode(ranks, PRUNERS[pruner](), BY_DEPTH[price][None])
    assert [(step.position, step.l_spec, step.committed, step.moved, step.heads) for step in replayed] == found
    assert any(heads < HEADS for *_, heads in found) or pruner == "fixed"


@pytest.mark.parametrize("pruner", PRUNERS)
@pytest.mark.parametrize("price", PRICES)
def test_medusa_replays_as_it_decodes(ranks: RankTrace, pruner: str, price: str, plain_texts: list[list[int]]) -> None:
    records, texts = live(Medusa(medusa_heads(), PRUNERS[pruner]()), PRICES[price])
    assert texts == plain_texts
    replayed = decode(ranks, PRUNERS[pruner](), PRICES[price][None, :, None])
    assert [(step.position, step.l_spec, step.committed, step.moved) for step in replayed] == records
    assert np.mean([committed for _, _, committed, _ in records]) > 1.2


def test_the_verified_nodes_rule_replays_within_a_turn(ranks: RankTrace) -> None:
    """Across turns it may not: where a text ends, the trace leaves open whether the last guesses were right."""
    prompt = PROMPTS[3]
    drafter = Medusa(medusa_heads(), DraftTokenPruner(prior_accuracy(HEADS, 10), NODES + 1, "verified-nodes"))
    generation = Generation(MODEL, prompt.tokens, NEW_TOKENS, drafter, max_tree=NODES + 1)
    records = [record_of(step, len(prompt.tokens)) for step in generation]
    trace = record_ranks(MODEL, drafter, [prompt], NEW_TOKENS, name="one turn")
    pruner = DraftTokenPruner(prior_accuracy(HEADS, 10), NODES + 1, "verified-nodes")
    assert [
        (step.position, step.l_spec, step.committed, step.moved) for step in decode(trace, pruner, FLAT[None, :, None])
    ] == records


def test_ranks_count_the_passes_of_a_fixed_tree(ranks: RankTrace) -> None:
    tree = TokenTree.from_paths(PATHS)
    records, _ = live(Medusa(medusa_heads(), FixedTree(tree)), FLAT)
    starts = [place for place, record in enumerate(records) if record[0] == 0]
    assert verify_passes(ranks, tree).tolist() == np.diff([*starts, len(records)]).tolist()


def test_a_recording_says_what_it_is(ranks: RankTrace, tmp_path: Path) -> None:
    assert ranks.kind == "measured"
    assert ranks.model == "tiny"
    assert ranks.labels == tuple(prompt.label for prompt in PROMPTS)
    assert ranks.turn_lengths.tolist() == [NEW_TOKENS - 1] * 4
    file = tmp_path / "ranks.npz"
    ranks.save(file)
    assert load_trace(file).content_hash == ranks.content_hash


# Drafters that size trees by their own confidence


@pytest.fixture(scope="module", params=CONFIDENT)
def confident(request: pytest.FixtureRequest) -> tuple[Drafter, DraftTrace]:
    drafter = CONFIDENT[request.param]()
    return drafter, record_drafts(MODEL, drafter, PROMPTS, NEW_TOKENS, NODES, "recorded", request.param)


@pytest.mark.parametrize("price", PRICES)
def test_confident_drafters_replay_as_they_decode(
    confident: tuple[Drafter, DraftTrace], price: str, plain_texts: list[list[int]]
) -> None:
    drafter, trace = confident
    assert (trace.true_path[np.cumsum(trace.turn_lengths) - 1] == -1).all()  # nothing is right beyond the end
    records, texts = live(drafter, PRICES[price])
    assert texts == plain_texts
    replayed = replay_drafts(trace, PRICES[price])
    assert list(zip(*(array.tolist() for array in replayed), strict=True)) == records
    drafted = [committed for _, size, committed, _ in records if size > 1]
    assert np.mean(drafted) > 1.2 if drafted else trace.drafter == "prompt-lookup"


def test_a_shorter_turn_is_the_beginning_of_a_longer_one(confident: tuple[Drafter, DraftTrace]) -> None:
    _, trace = confident
    whole, part = replay_drafts(trace, FLAT), replay_drafts(trace, FLAT, new_tokens=9)
    assert part.committed.sum() == 9 * len(trace.turn_lengths)
    kept = part.position + part.committed < 9
    pairs = set(zip(whole.position.tolist(), whole.committed.tolist(), strict=True))
    assert set(zip(part.position[kept].tolist(), part.committed[kept].tolist(), strict=True)) <= pairs


def test_a_turn_of_one_token_has_no_step() -> None:
    drafter = CONFIDENT["prompt-lookup"]()
    with pytest.raises(InputError, match="nothing was recorded"):
        record_drafts(MODEL, drafter, PROMPTS[:1], 1, NODES, "short", "prompt-lookup")


def test_recording_says_how_far_it_is() -> None:
    said: list[str] = []
    record_drafts(MODEL, CONFIDENT["prompt-lookup"](), PROMPTS[:2], 5, NODES, "short", "prompt-lookup", said.append)
    assert said == ["prompt 0", "prompt 1"]
