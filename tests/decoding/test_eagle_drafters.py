"""EAGLE's and a draft model's trees against the plain ones, and what their loaders refuse."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from head_weights import config_json, eagle3_weights, eagle_weights, write_head  # noqa: E402
from plain_drafters import (  # noqa: E402
    Guess,
    Plain,
    confident_tree,
    eagle3_guess,
    eagle_guess,
    model_guess,
    worthwhile,
)
from plain_drafters import Path as TokenPath  # noqa: E402
from tiny_llama import tiny_config  # noqa: E402
from torch import Tensor  # noqa: E402

from lpspec.decoding.drafter import ROOT_ALONE, Committed, Draft  # noqa: E402
from lpspec.decoding.drafters import load_drafter  # noqa: E402
from lpspec.decoding.drafters.confidence import ConfidenceDrafter  # noqa: E402
from lpspec.decoding.drafters.draft_model import load_draft_model  # noqa: E402
from lpspec.decoding.drafters.eagle import load_eagle  # noqa: E402
from lpspec.decoding.drafters.eagle3 import load_eagle3  # noqa: E402
from lpspec.decoding.llama_weights import random_weights  # noqa: E402
from lpspec.decoding.model_config import ModelConfig  # noqa: E402
from lpspec.decoding.rope import RopeSpec  # noqa: E402
from lpspec.decoding.transformer import Transformer  # noqa: E402
from lpspec.errors import InputError  # noqa: E402

CONFIG = tiny_config(layers=7)
WEIGHTS = random_weights(CONFIG, seed=0, scale=0.3)
MODEL, PLAIN = Transformer(CONFIG, WEIGHTS), Plain(CONFIG, WEIGHTS.tensors)
TEXT = np.random.default_rng(3).integers(0, 64, 14).tolist()
DRAFTED = [1, 4, 5, 9, *range(20, 52), 63]
WIDTH, DEPTH = 3, 4
FREE = 1.0 / np.arange(1, 17)

Case = tuple[ConfidenceDrafter, Callable[[list[int]], Guess]]


def eagle(folder: Path) -> Case:
    weights = eagle_weights(CONFIG.spec)
    drafter = load_eagle(MODEL, write_head(folder / "eagle", "pytorch_model.bin", weights), DEPTH, WIDTH)
    return drafter, lambda text: eagle_guess(weights, CONFIG, PLAIN, text)


def eagle_of_its_own_shape(folder: Path) -> Case:
    """Other heads, rotation and biases than the model's; no bias in front."""
    spec = CONFIG.spec.model_copy(update={"heads": 2, "kv_heads": 1, "head_dim": 12, "intermediate_size": 20})
    weights = eagle_weights(spec, bias=False, qkv_bias=True)
    config = ModelConfig(spec=spec, rope=RopeSpec(theta=500.0), rms_norm_eps=1e-5)
    said = config_json(spec, rope_theta=500.0, rms_norm_eps=1e-5)
    drafter = load_eagle(MODEL, write_head(folder / "other", "model.safetensors", weights, said), DEPTH, WIDTH)
    return drafter, lambda text: eagle_guess(weights, config, PLAIN, text)


def eagle3(folder: Path) -> Case:
    weights = eagle3_weights(CONFIG.spec, DRAFTED)
    drafter = load_eagle3(MODEL, write_head(folder / "eagle3", "pytorch_model.bin", weights), DEPTH, WIDTH)
    assert drafter.taps == (1, 2, 3)
    return drafter, lambda text: eagle3_guess(weights, CONFIG, PLAIN, (1, 2, 3), text)


def eagle3_with_named_taps(folder: Path) -> Case:
    weights = eagle3_weights(CONFIG.spec, None)
    said = config_json(CONFIG.spec, eagle_config={"eagle_aux_hidden_state_layer_ids": [0, 3, 6]})
    drafter = load_eagle3(MODEL, write_head(folder / "eagle3", "model.safetensors", weights, said), DEPTH, WIDTH)
    return drafter, lambda text: eagle3_guess(weights, CONFIG, PLAIN, (0, 3, 6), text)


def draft_model(folder: Path) -> Case:
    config = tiny_config(layers=1, hidden_size=24, heads=3, kv_heads=1)
    weights = dict(random_weights(config, seed=5, scale=0.3).tensors)
    said = config_json(config.spec)
    drafter = load_draft_model(MODEL, write_head(folder / "small", "model.safetensors", weights, said), DEPTH, WIDTH)
    return drafter, lambda text: model_guess(Plain(config, weights), text)


CASES = [eagle, eagle_of_its_own_shape, eagle3, eagle3_with_named_taps, draft_model]


class Reader:
    """Feeds a drafter the truth about a text, in pieces."""

    def __init__(self, drafter: ConfidenceDrafter, text: list[int]) -> None:
        with torch.inference_mode():
            self.known = MODEL.forward(torch.tensor(text), taps=drafter.taps)
        self.drafter, self.text = drafter, text

    def committed(self, start: int, end: int) -> Committed:
        """The tokens from ``start``, with what led to them."""
        rows = slice(start - 1, end - 1)
        taps = {layer: tap[rows] for layer, tap in self.known.taps.items()}
        return Committed(np.array(self.text[start:end]), self.known.hidden[rows], taps)

    def start(self, known: int) -> None:
        self.drafter.start(np.array(self.text[: known - 1]), self.committed(1, known))


def paths(draft: Draft) -> list[TokenPath]:
    found: list[TokenPath] = [()]
    for parent, token in zip(draft.tree.parent[1:].tolist(), draft.tokens.tolist(), strict=True):
        found.append((*found[parent], token))
    return found[1:]


def assert_same(draft: Draft, expected: list[tuple[TokenPath, float]]) -> None:
    assert paths(draft) == [path for path, _ in expected]
    assert np.allclose(draft.probability, [p for _, p in expected], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_drafts_are_the_plain_ones(case: Callable[[Path], Case], tmp_path: Path) -> None:
    drafter, guess = case(tmp_path)
    reader = Reader(drafter, TEXT)
    reader.start(9)
    expected = confident_tree(guess(TEXT[:9]), WIDTH, DEPTH, len(FREE) - 1)
    assert_same(drafter.draft(FREE), expected)
    for price in (np.linspace(1.0, 1.5, 16), np.append(np.full(5, np.inf), 1.0)):
        assert_same(drafter.draft(price), worthwhile(expected, price.tolist()))


@pytest.mark.parametrize("case", CASES)
def test_drafts_depend_on_the_text_alone(case: Callable[[Path], Case], tmp_path: Path) -> None:
    """What was guessed and refused before leaves no trace, nor does where passes began."""
    drafter, guess = case(tmp_path)
    reader = Reader(drafter, TEXT)
    reader.start(5)
    at = 5
    for committed in (1, 3, 2, 1):
        draft = drafter.draft(FREE)
        drafter.observe(draft, reader.committed(at, at + committed))
        at += committed
    drafter.observe(ROOT_ALONE, reader.committed(at, at + 1))  # a step without a draft
    assert_same(drafter.draft(FREE), confident_tree(guess(TEXT[: at + 1]), WIDTH, DEPTH, len(FREE) - 1))
    reader.start(4)  # another text
    assert_same(drafter.draft(FREE), confident_tree(guess(TEXT[:4]), WIDTH, DEPTH, len(FREE) - 1))


def test_a_price_on_the_root_alone_costs_no_drafting(tmp_path: Path) -> None:
    drafter, _ = eagle(tmp_path)
    Reader(drafter, TEXT).start(9)
    for price in (np.array([1.0]), np.array([1.0, np.inf])):
        assert drafter.draft(price) is ROOT_ALONE
    assert drafter._cache.length == 0


Weights = dict[str, Tensor | None]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fc.weight": torch.zeros(32, 96)}, "'fc.weight' has shape [32, 96], expected is [32, 64]"),
        ({"fc.bias": torch.zeros(16)}, "'fc.bias' has shape [16], expected is [32]"),
        ({"layers.0.mlp.up_proj.weight": None}, "has no tensor 'layers.0.mlp.up_proj.weight'"),
        ({"layers.0.self_attn.q_proj.weight": torch.zeros(8, 8)}, "has shape [8, 8], expected is [32, 32]"),
        ({"fc.weight": None}, "holds no EAGLE-1 or -2 layer"),
        ({"layers.1.self_attn.q_proj.weight": torch.zeros(32, 32)}, "several draft layers, allowed is one"),
    ],
)
def test_an_eagle_layer_of_another_model_is_refused(tmp_path: Path, change: Weights, message: str) -> None:
    assert message in refused("eagle", tmp_path, changed(eagle_weights(CONFIG.spec), change))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fc.weight": torch.zeros(32, 64)}, "'fc.weight' has shape [32, 64], expected is [32, 96]"),
        ({"norm.weight": None}, "has no tensor 'norm.weight'"),
        ({"midlayer.hidden_norm.weight": torch.zeros(8)}, "has shape [8], expected is [32]"),
        ({"lm_head.weight": torch.zeros(64, 32)}, f"has shape [64, 32], expected is [{len(DRAFTED)}, 32]"),
        ({"d2t": torch.full((len(DRAFTED),), 60), "t2d": None}, "'d2t' leads beyond the model's vocabulary of 64"),
        ({"t2d": torch.zeros(64, dtype=torch.bool)}, "'d2t' and 't2d' don't say the same"),
        ({"t2d": torch.zeros(65, dtype=torch.bool)}, "'t2d' has shape [65], expected is [64]"),
        ({"midlayer.self_attn.q_proj.weight": None}, "holds no EAGLE-3 layer"),
    ],
)
def test_an_eagle3_layer_of_another_model_is_refused(tmp_path: Path, change: Weights, message: str) -> None:
    assert message in refused("eagle3", tmp_path, changed(eagle3_weights(CONFIG.spec, DRAFTED), change))


def test_layers_that_the_model_has_not_are_refused(tmp_path: Path) -> None:
    weights = eagle3_weights(CONFIG.spec, None)
    for ids in ([0, 3, 7], [0, 3], [3, 0, 6], ["low", 3, 6], [0, 0, 6]):
        said = config_json(CONFIG.spec, eagle_config={"eagle_aux_hidden_state_layer_ids": ids})
        assert "of the model's 7 are needed" in refused("eagle3", tmp_path, weights, said)
    config = tiny_config(layers=2)
    shallow = Transformer(config, random_weights(config, seed=0))
    folder = write_head(tmp_path / "head", "model.safetensors", weights, config_json(config.spec))
    with pytest.raises(InputError, match=r"takes hidden states of layers \[1, 0, -2\]"):
        load_eagle3(shallow, folder)


def test_a_layer_of_another_width_is_refused(tmp_path: Path) -> None:
    said = config_json(CONFIG.spec.model_copy(update={"hidden_size": 48}))
    for name, weights in (("eagle", eagle_weights(CONFIG.spec)), ("eagle3", eagle3_weights(CONFIG.spec, None))):
        message = refused(name, tmp_path, weights, said)
        assert "hidden states 48 wide, the model's are 32" in message


def test_a_draft_model_of_another_vocabulary_is_refused(tmp_path: Path) -> None:
    config = tiny_config(vocab_size=65)
    weights = dict(random_weights(config, seed=0).tensors)
    message = refused("draft-model", tmp_path, weights, config_json(config.spec))
    assert "has a vocabulary of 65 tokens, the model's has 64" in message


def test_every_drafter_is_found_by_name(tmp_path: Path) -> None:
    assert load_drafter("none", MODEL).depth == 0
    assert load_drafter("prompt-lookup", MODEL).depth == 10
    head = write_head(tmp_path / "head", "model.safetensors", eagle_weights(CONFIG.spec))
    assert load_drafter("eagle", MODEL, head).depth == 6
    with pytest.raises(InputError, match="unknown drafter 'eagel': did you mean 'eagle'"):
        load_drafter("eagel", MODEL)
    with pytest.raises(InputError, match="drafter 'medusa' needs the file or folder of its weights"):
        load_drafter("medusa", MODEL)


def changed(weights: dict[str, Tensor], change: Weights) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in (weights | change).items() if tensor is not None}


def refused(name: str, folder: Path, weights: dict[str, Tensor], said: dict[str, object] | None = None) -> str:
    with pytest.raises(InputError) as error:
        load_drafter(name, MODEL, write_head(folder / name, "model.safetensors", weights, said))
    assert "\n" not in str(error.value)
    return str(error.value)
