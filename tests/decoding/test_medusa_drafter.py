"""Medusa's drafts against the plain ones, in every layout that is published."""

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from head_weights import medusa_weights, write_head  # noqa: E402
from plain_drafters import Plain, medusa_lists  # noqa: E402
from tiny_llama import grow_tree, tiny_config  # noqa: E402
from torch import Tensor  # noqa: E402

from lpspec.arrays import FloatArray  # noqa: E402
from lpspec.decoding.drafter import Committed  # noqa: E402
from lpspec.decoding.drafters.medusa import Medusa, filled, load_medusa, ranks_in, score_guesses  # noqa: E402
from lpspec.decoding.llama_weights import random_weights  # noqa: E402
from lpspec.decoding.transformer import Transformer  # noqa: E402
from lpspec.errors import InputError  # noqa: E402
from lpspec.speculation.pruner import FixedTree  # noqa: E402
from lpspec.speculation.token_tree import TokenTree  # noqa: E402

CONFIG = tiny_config()
WEIGHTS = random_weights(CONFIG, seed=0, scale=0.3)
MODEL, PLAIN = Transformer(CONFIG, WEIGHTS), Plain(CONFIG, WEIGHTS.tensors)
TREE = TokenTree.from_paths([(0,), (1,), (9,), (0, 0), (1, 3), (0, 0, 2), (0, 0, 7)])
TEXT = np.random.default_rng(3).integers(0, 64, 9).tolist()
FREE = np.ones(64)


def start(drafter: Medusa, text: list[int]) -> None:
    with torch.inference_mode():
        hidden = MODEL.forward(torch.tensor(text[:-1])).hidden
    drafter.start(np.array(text[:-1]), Committed(np.array(text[1:]), hidden))


def drafted_paths(drafter: Medusa) -> list[tuple[int, ...]]:
    draft = drafter.draft(FREE)
    found: list[tuple[int, ...]] = [()]
    for parent, token in zip(draft.tree.parent[1:].tolist(), draft.tokens.tolist(), strict=True):
        found.append((*found[parent], token))
    return found[1:]


@pytest.mark.parametrize("name", ["medusa_lm_head.pt", "medusa_lm_head.safetensors", "model.safetensors"])
@pytest.mark.parametrize(("blocks", "own"), [(1, True), (2, True), (1, False)])
def test_drafts_are_the_plain_ones(tmp_path: Path, name: str, blocks: int, own: bool) -> None:
    """The third name is a checkpoint that holds the model as well, its heads under a prefix."""
    prefix = "medusa_head." if name == "model.safetensors" else ""
    weights = medusa_weights(CONFIG.spec, blocks=blocks, own=own, prefix=prefix)
    folder = write_head(tmp_path / "heads", name, weights | (dict(WEIGHTS.tensors) if prefix else {}))
    drafter = load_medusa(MODEL, folder, FixedTree(TREE))
    assert drafter.depth == 3
    lists = medusa_lists(weights, PLAIN, TEXT, prefix)
    start(drafter, TEXT)
    assert drafted_paths(drafter) == [tuple(lists[h][rank] for h, rank in enumerate(path)) for path in TREE.paths()]
    assert drafted_paths(load_and_start(folder / name)) == drafted_paths(drafter)


def load_and_start(file: Path) -> Medusa:
    drafter = load_medusa(MODEL, file, FixedTree(TREE))
    start(drafter, TEXT)
    return drafter


def test_a_path_is_as_likely_as_its_heads_say(tmp_path: Path) -> None:
    drafter = load_medusa(MODEL, write_head(tmp_path / "h", "medusa_lm_head.pt", medusa_weights(CONFIG.spec)), None)
    drafter.pruner = FixedTree(TREE)
    start(drafter, TEXT)
    shares = drafter.heads.logits(drafter._hidden)[:, 0].softmax(-1)
    paths, draft = drafted_paths(drafter), drafter.draft(FREE)
    expected = [np.prod([shares[head, token].item() for head, token in enumerate(path)]) for path in paths]
    assert np.allclose(draft.probability, expected, rtol=1e-5)


class Listener:
    """A pruner that takes one tree and writes down what it is told, ranks as they are in the end."""

    def __init__(self) -> None:
        self.told: list[tuple[int, np.ndarray, int]] = []

    def choose(self, price: FloatArray) -> TokenTree:
        return TREE

    def observe(self, position: int, ranks: np.ndarray, tree: TokenTree, committed: int) -> None:
        known = ranks[:committed].tolist()
        assert all(ranks[committed:] == -1), "a token that is not committed cannot be known"
        self.told.append((position, ranks, committed))
        assert len(known) == min(committed, 3)


def test_the_pruner_is_told_every_true_rank_when_it_is_known(tmp_path: Path) -> None:
    weights = medusa_weights(CONFIG.spec)
    listener = Listener()
    heads = load_medusa(MODEL, write_head(tmp_path / "h", "medusa_lm_head.pt", weights)).heads
    drafter = Medusa(heads, listener, top_k=64)  # every token has a rank
    text = PLAIN.greedy(TEXT, 14)
    whole = TEXT + text
    with torch.inference_mode():
        hidden = MODEL.forward(torch.tensor(whole)).hidden
    first = len(TEXT) + 1  # tokens known: the prompt and the root
    start(drafter, whole[:first])
    at = first
    for committed in (1, 3, 2, 1, 1, 4, 1):
        draft = drafter.draft(FREE)
        tokens = np.array(whole[at : at + committed])
        drafter.observe(draft, Committed(tokens, hidden[at - 1 : at - 1 + committed]))
        at += committed
    assert [position for position, _, _ in listener.told] == [0, 1, 4, 6, 7, 8, 12]
    for position, ranks, _ in listener.told:
        root = len(TEXT) + position
        lists = medusa_lists(weights, PLAIN, whole[: root + 1])
        known = whole[root + 1 : at][:3]
        expected = [lists[head].index(token) for head, token in enumerate(known)]
        assert ranks.tolist() == expected + [-1] * (3 - len(known))


@given(drawn=st.lists(st.integers(0, 1000), max_size=20), seed=st.integers(0, 99))
def test_a_draft_is_as_likely_as_all_guesses_on_its_path(drawn: list[int], seed: int) -> None:
    tree = grow_tree([number % (node + 1) for node, number in enumerate(drawn)])
    random, shape = np.random.default_rng(seed), (20, 20)
    lists, probability = random.integers(0, 99, shape), random.random(shape)
    tokens, likely = filled(tree, lists, probability)
    assert len(tokens) == len(likely) == tree.size - 1
    for node, path in enumerate(tree.paths()):
        assert tokens[node] == lists[len(path) - 1, path[-1]]
        assert likely[node] == pytest.approx(math.prod(probability[h, rank] for h, rank in enumerate(path)))


@given(first=st.integers(0, 4), known=st.lists(st.integers(0, 9), max_size=8), seed=st.integers(0, 99))
def test_guesses_are_scored_from_the_first_head_that_can_be(first: int, known: list[int], seed: int) -> None:
    lists = np.random.default_rng(seed).permuted(np.tile(np.arange(10), (4, 1)), axis=1)[:, :6]
    ranks = np.full(4, 7, np.int8)
    score_guesses(lists, first, np.array(known, np.int64), ranks)
    for head, row in enumerate(lists.tolist()):
        if first <= head < first + len(known):
            token = known[head - first]
            assert ranks[head] == (row.index(token) if token in row else -1)
        else:
            assert ranks[head] == 7


def test_ranks_are_places_in_lists() -> None:
    lists = np.array([[5, 3, 9], [5, 3, 9], [1, 2, 4]])
    assert ranks_in(lists, np.array([3, 7, 1])).tolist() == [1, -1, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"0.0.linear.weight": torch.zeros(16, 16)}, "'0.0.linear.weight' has shape [16, 16], expected is [32, 32]"),
        ({"1.1.weight": torch.zeros(99, 32)}, "'1.1.weight' has shape [99, 32], expected is [64, 32]"),
        ({"1.0.linear.bias": None}, "has no tensor '1.0.linear.bias'"),
        ({"2.1.weight": None}, "has no tensor '2.1.weight'"),
        ({"0.0.linear.weight": None}, "holds no Medusa heads"),
    ],
)
def test_heads_of_another_model_are_refused(tmp_path: Path, change: dict[str, Tensor | None], message: str) -> None:
    changed = {name: t for name, t in (medusa_weights(CONFIG.spec) | change).items() if t is not None}
    folder = write_head(tmp_path / "h", "medusa_lm_head.safetensors", changed)
    with pytest.raises(InputError) as error:
        load_medusa(MODEL, folder)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_trees_that_do_not_fit_the_heads_are_refused(tmp_path: Path) -> None:
    folder = write_head(tmp_path / "h", "medusa_lm_head.pt", medusa_weights(CONFIG.spec, heads=2))
    with pytest.raises(InputError, match=r"^the tree is 3 deep, but there are 2 Medusa heads$"):
        load_medusa(MODEL, folder, FixedTree(TREE))
    with pytest.raises(InputError, match=r"^the tree takes 12 guesses of a head, but the lists hold 10$"):
        load_medusa(MODEL, folder, FixedTree(TokenTree.from_paths([(11,)])))


def test_a_missing_or_foreign_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such file or folder"):
        load_medusa(MODEL, tmp_path / "nowhere")
    with pytest.raises(InputError, match="has no weights"):
        load_medusa(MODEL, tmp_path)
    (tmp_path / "medusa_lm_head.pt").write_bytes(b"no checkpoint")
    with pytest.raises(InputError, match="damaged"):
        load_medusa(MODEL, tmp_path)
