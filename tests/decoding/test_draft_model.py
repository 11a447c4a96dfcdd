"""A draft model needs the model's tokenizer, not its number of rows, and leaves the text as it is."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from head_weights import config_json, write_head
from tiny_llama import tiny_config
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE, WordLevel

from lpspec.decoding.drafters import load_drafter
from lpspec.decoding.drafters.draft_model import DraftModel
from lpspec.decoding.generate import Generation
from lpspec.decoding.llama_weights import random_weights
from lpspec.decoding.transformer import Transformer, load_transformer
from lpspec.errors import InputError

WORDS = {f"w{i}": i for i in range(40)}


def tokenizer(words: dict[str, int], *added: str) -> Tokenizer:
    made = Tokenizer(WordLevel(words, unk_token="w0"))
    made.add_special_tokens([AddedToken(name) for name in added])
    return made


def folder(at: Path, vocab_size: int, words: Tokenizer | None, seed: int = 0, **sizes: Any) -> Path:
    config = tiny_config(vocab_size=vocab_size, **sizes)
    weights = dict(random_weights(config, seed, scale=0.3).tensors)
    write_head(at, "model.safetensors", weights, config_json(config.spec))
    if words is not None:
        words.save(str(at / "tokenizer.json"))
    return at


def drafter(model: Transformer, source: Path) -> DraftModel:
    made = load_drafter("draft-model", model, source)
    assert isinstance(made, DraftModel)
    return made


@pytest.mark.parametrize(("rows", "drafting_rows"), [(48, 56), (56, 48), (48, 48)])
@pytest.mark.parametrize("seed", [0, 1])
def test_padding_may_differ_and_the_text_does_not(rows: int, drafting_rows: int, seed: int, tmp_path: Path) -> None:
    """Random models also say tokens of the padding, which the other one may not have."""
    model = load_transformer(folder(tmp_path / "large", rows, tokenizer(WORDS), seed=seed))
    made = drafter(model, folder(tmp_path / "small", drafting_rows, tokenizer(WORDS), seed=5, layers=1))
    plain, drafted = Generation(model, [1, 2, 3], 40), Generation(model, [1, 2, 3], 40, made)
    for run in (plain, drafted):
        list(run)
    assert plain.tokens == drafted.tokens
    assert all(int(token) < rows for step in drafted.steps for token in step.tokens)


def test_padding_changes_no_draft(tmp_path: Path) -> None:
    words = tokenizer(WORDS)
    model = load_transformer(folder(tmp_path / "large", 48, words))
    found = []
    for padding in (0, 8):
        small = folder(tmp_path / f"small{padding}", 48, words)
        tensors = dict(random_weights(tiny_config(vocab_size=48), 0, scale=0.3).tensors)
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            tensors[name] = torch.cat([tensors[name], torch.full((padding, 32), 9.0)])
        write_head(small, "model.safetensors", tensors, config_json(tiny_config(vocab_size=48 + padding).spec))
        run = Generation(model, [1, 2, 3], 40, drafter(model, small))
        found.append([step.tokens for step in run])
    assert found[0] == found[1]
    assert len(found[0]) < 20


OTHERS: dict[str, tuple[Tokenizer, str]] = {
    "words that are swapped": (tokenizer(WORDS | {"w5": 6, "w6": 5}), "their vocabularies differ"),
    "another word": (tokenizer({f"v{i}": i for i in range(40)}), "their vocabularies differ"),
    "more words": (tokenizer(WORDS | {"w40": 40}), "their vocabularies differ"),
    "another kind": (Tokenizer(BPE({f"x{i}": i for i in range(40)}, [])), "their vocabularies differ"),
    "another added token": (tokenizer(WORDS, "<|tool|>"), "its token 40 is '<|tool|>', the model's is '<|end|>'"),
}


@pytest.mark.parametrize("other", OTHERS)
def test_another_tokenizer_of_equal_size_is_refused(other: str, tmp_path: Path) -> None:
    words, said = OTHERS[other]
    model = load_transformer(folder(tmp_path / "large", 48, tokenizer(WORDS, "<|end|>")))
    with pytest.raises(InputError) as caught:
        drafter(model, folder(tmp_path / "small", 48, words))
    assert f"has another tokenizer than the model: {said}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 200


@pytest.mark.parametrize(("mine", "its"), [((), ("<|end|>",)), (("<|end|>", "<|tool|>"), ("<|end|>",))])
def test_either_may_have_more_added_tokens(mine: tuple[str, ...], its: tuple[str, ...], tmp_path: Path) -> None:
    model = load_transformer(folder(tmp_path / "large", 48, tokenizer(WORDS, *mine)))
    drafter(model, folder(tmp_path / "small", 56, tokenizer(WORDS, *its)))


def test_a_draft_model_without_a_tokenizer_cannot_be_compared(tmp_path: Path) -> None:
    model = load_transformer(folder(tmp_path / "large", 48, tokenizer(WORDS)))
    with pytest.raises(InputError, match=r"tokenizer .*small/tokenizer.json' cannot be read"):
        drafter(model, folder(tmp_path / "small", 48, None))


def test_without_tokenizers_the_sizes_must_agree(tmp_path: Path) -> None:
    model = load_transformer(folder(tmp_path / "large", 48, None))
    drafter(model, folder(tmp_path / "same", 48, None))
    with pytest.raises(InputError, match="has a vocabulary of 56 tokens, the model's has 48"):
        drafter(model, folder(tmp_path / "small", 56, None))
    assert json.loads((tmp_path / "small" / "config.json").read_text())["vocab_size"] == 56
