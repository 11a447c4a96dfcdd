"""The demo's training at a tiny size: what it writes is what the decoder reads, and an interrupted run goes on."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lpspec.decoding.drafters.medusa import load_medusa  # noqa: E402
from lpspec.decoding.transformer import load_transformer  # noqa: E402

TEXT = "The cat sat on the mat, and the dog sat on the log. Why? 1 + 2 = 3 cats.\n" * 60


@pytest.fixture(scope="module")
def tool() -> Iterator[Any]:
    folder = str(Path(__file__).parents[2] / "tools")
    sys.path.insert(0, folder)
    import train_demo

    yield train_demo
    sys.path.remove(folder)


@pytest.fixture(scope="module")
def recipe(tool: Any) -> Any:
    plan = tool.Plan(steps=40, batch=4, length=32, rate=3e-3)
    return tool.Recipe(
        shape=tool.Shape(hidden_size=32, layers=2, intermediate_size=48, vocab_size=300, context=128),
        base=plan,
        medusa=tool.Plan(steps=40, batch=64, length=1, rate=1e-2, muon=True),
        eagle=plan,
        medusa_heads=2,
        medusa_blocks=2,
        own_sequences=16,
        prompt=8,
        new_tokens=24,
        heldout_prompts=4,
    )


@pytest.fixture(scope="module")
def text(tool: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    file = tmp_path_factory.mktemp("texts") / "cats.txt"
    file.write_text(TEXT, encoding="utf-8")
    return tool.read_text(file)


@pytest.fixture(scope="module")
def folder(tool: Any, recipe: Any, text: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("demo")
    tool.train_demo(recipe, [text], [text], "All mine.", place / "work", place / "model")
    return place


def test_the_folder_is_complete_and_the_card_tells_of_it(folder: Path, text: Any) -> None:
    names = {file.relative_to(folder / "model").as_posix() for file in (folder / "model").rglob("*") if file.is_file()}
    assert names == {
        "MODEL_CARD.md",
        "config.json",
        "eagle/config.json",
        "eagle/model.safetensors",
        "medusa/config.json",
        "medusa/medusa_lm_head.safetensors",
        "model.safetensors",
        "tokenizer.json",
    }
    card = (folder / "model/MODEL_CARD.md").read_text("utf-8")
    assert text.sha256 in card
    assert "All mine." in card


def test_the_decoder_computes_what_was_trained(tool: Any, recipe: Any, folder: Path) -> None:
    from safetensors.torch import load_file

    from demo_training.model import hidden_states, logits

    llama = load_transformer(folder / "model")
    weights = {name: tensor.float() for name, tensor in load_file(folder / "model/model.safetensors").items()}
    tokens = torch.randint(300, (1, 40), generator=torch.Generator().manual_seed(3))
    expected = logits(weights, hidden_states(weights, recipe.shape, tokens))
    torch.testing.assert_close(llama.logits(llama.forward(tokens).hidden), expected, atol=1e-4, rtol=1e-4)


def test_the_decoders_heads_compute_what_was_trained(recipe: Any, folder: Path) -> None:
    from safetensors.torch import load_file

    from demo_training.model import medusa_logits

    model, medusa = folder / "model", folder / "model/medusa"
    base, heads = (
        {name: tensor.float() for name, tensor in load_file(file).items()}
        for file in (model / "model.safetensors", medusa / "medusa_lm_head.safetensors")
    )
    loaded = load_medusa(load_transformer(model), medusa).heads
    assert (loaded.count, len(loaded.block_weight)) == (2, 2)
    assert loaded.out is None  # the LM head is the model's
    hidden = torch.randn(5, 32, generator=torch.Generator().manual_seed(6))
    expected = torch.stack([medusa_logits(heads, base, head, hidden) for head in range(2)])
    torch.testing.assert_close(loaded.logits(hidden), expected, atol=1e-4, rtol=1e-4)


def test_it_learns(tool: Any, recipe: Any, folder: Path, text: Any) -> None:
    saved = torch.load(folder / "work/model.pt", weights_only=True)["weights"]
    tokenizer = tool.make_tokenizer([text], 300, folder / "work")
    untrained = tool.new_model(recipe.shape, torch.Generator().manual_seed(0))
    after, before = (tool.measure_text(recipe, weights, tokenizer, text).loss for weights in (saved, untrained))
    assert before == pytest.approx(np.log(300), abs=0.1)  # all tokens alike
    assert after < 0.7 * before


def test_greedy_text_with_the_cache_is_that_of_whole_passes(recipe: Any, folder: Path) -> None:
    from demo_training.base import greedy_text
    from demo_training.model import hidden_states, logits

    weights = torch.load(folder / "work/model.pt", weights_only=True)["weights"]
    written, hidden = greedy_text(weights, recipe.shape, torch.tensor([[5, 6, 7], [8, 9, 10]]), 12)
    again = hidden_states(weights, recipe.shape, written)[:, :-1]
    torch.testing.assert_close(hidden, again, atol=1e-4, rtol=1e-4)
    assert torch.equal(written[:, 3:], logits(weights, again).argmax(dim=-1)[:, 2:])


def test_head_ranks_count_as_rank_traces_do(tool: Any, recipe: Any, folder: Path) -> None:
    from demo_training.heads import OwnText
    from demo_training.measure import TOP_K, head_ranks
    from demo_training.model import hidden_states, medusa_logits

    base = torch.load(folder / "work/model.pt", weights_only=True)["weights"]
    medusa = torch.load(folder / "work/medusa.pt", weights_only=True)["weights"]
    tokens = torch.randint(300, (3, 20), generator=torch.Generator().manual_seed(4))
    hidden = hidden_states(base, recipe.shape, tokens)
    ranks = head_ranks(medusa, base, recipe.shape, OwnText(tokens, hidden[:, :-1], prompt=8))
    assert ranks.shape == (3, 12, 2)
    for turn, position, head in np.ndindex(3, 12, 2):
        root = 8 + position
        expected = -1
        if root + 1 + head < 20:
            order = medusa_logits(medusa, base, head, hidden[turn, root - 1]).argsort(descending=True).tolist()
            place = order.index(int(tokens[turn, root + 1 + head]))
            expected = place if place < TOP_K else -1
        assert ranks[turn, position, head] == expected


def test_muon_turns_every_direction_alike(tool: Any) -> None:
    from demo_training.muon import orthogonal

    left, right = (torch.linalg.qr(torch.randn(16, 16, generator=torch.Generator().manual_seed(n)))[0] for n in (7, 8))
    steps = left.T @ orthogonal(left @ torch.diag(torch.linspace(0.1, 3, 16)) @ right.T) @ right
    assert 0.6 < steps.diag().min() <= steps.diag().max() < 1.3
    torch.testing.assert_close(steps, steps.diag().diag(), atol=1e-4, rtol=0.0)


@pytest.mark.parametrize("muon", [False, True])
def test_an_interrupted_training_ends_where_the_whole_one_does(
    tool: Any, recipe: Any, muon: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from demo_training import optimise
    from demo_training.base import base_loss

    monkeypatch.setattr(optimise, "SAVE_EVERY", 5)
    tokens = torch.randint(300, (500,), generator=torch.Generator().manual_seed(5))

    def run(work: Path, stop_at: int | None = None) -> dict[str, Any]:
        weights: dict[str, Any] = tool.new_model(recipe.shape, torch.Generator().manual_seed(0))
        calls = 0

        def loss(generator: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == stop_at:
                raise KeyboardInterrupt
            return base_loss(weights, recipe.shape, recipe.base, tokens, generator)

        optimise.train("model", weights, tool.Plan(12, 2, 16, 1e-3, muon=muon), loss, work)
        return weights

    (tmp_path / "whole").mkdir()
    (tmp_path / "broken").mkdir()
    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "broken", stop_at=9)
    resumed = run(tmp_path / "broken")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
