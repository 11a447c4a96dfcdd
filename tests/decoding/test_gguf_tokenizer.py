"""The tokenizer in a GGUF file gives the ids of the one that it was written from."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from lpspec.decoding.gguf_tokenizer import gguf_tokenizer
from lpspec.decoding.tokenizer import TextTokenizer, load_tokenizer
from lpspec.errors import InputError

gguf = pytest.importorskip("gguf")

TEXTS = [
    "It's 12,345 pens; they'LL cost $9.\n\n  Or ten?\tYes: na\u00efve caf\u00e9s, \u6c34 & \u00e9t\u00e9 2024!",
    "the pen " * 9,
]
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
KINDS: dict[str, Any] = {
    "llama-bpe": pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(LLAMA3), "isolated"), BYTES]),
    "qwen2": pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN2), "isolated"), BYTES]),
    "gpt-2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "smollm": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
}


def trained(kind: str) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(ignore_merges=kind == "llama-bpe"))
    tokenizer.pre_tokenizer, tokenizer.decoder = KINDS[kind], decoders.ByteLevel()
    if kind == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=330, initial_alphabet=alphabet, special_tokens=["<|end|>", "<|im_start|>"], show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    return tokenizer


def write_tokenizer(file: Path, tokenizer: Tokenizer, pre: str, **keys: Any) -> Path:
    model = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_tokenizer_model(keys.pop("model", "gpt2"))
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in ("<|end|>", "<|im_start|>") else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in model["merges"]])
    writer.add_bos_token_id(keys.pop("bos", 0))
    if "starts" in keys:
        writer.add_add_bos_token(keys.pop("starts"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


ANY = st.text(
    st.one_of(st.sampled_from("aeIt'sLL 019,;.\n\t\u00e9\u6c34"), st.characters(exclude_categories=["Cs"])), max_size=40
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=ANY)
def test_ids_are_those_of_the_tokenizer_that_was_written(kind: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "m.gguf"
    if not file.exists():
        write_tokenizer(file, trained(kind), kind, starts=False)
    known = CACHE.setdefault((kind, file), (TextTokenizer(trained(kind)), load_tokenizer(file)))
    theirs, ours = known
    for each in (text, f"<|im_start|>{text}<|end|>"):
        assert ours.encode(each) == theirs.encode(each)
        assert ours.decode(ours.encode(each)) == theirs.decode(theirs.encode(each))


CACHE: dict[Any, tuple[TextTokenizer, TextTokenizer]] = {}


@pytest.mark.parametrize(
    ("kind", "starts", "first"), [("qwen2", True, [0]), ("llama-bpe", None, [0]), ("gpt-2", None, [])]
)
def test_a_text_begins_with_the_token_that_the_file_wants(
    kind: str, starts: bool, first: list[int], tmp_path: Path
) -> None:
    said = {} if starts is None else {"starts": starts}
    tokenizer = load_tokenizer(write_tokenizer(tmp_path / "m.gguf", trained(kind), kind, **said))
    assert tokenizer.encode("the pen") == [*first, *TextTokenizer(trained(kind)).encode("the pen")]


@pytest.mark.parametrize(
    ("pre", "keys", "line"),
    [
        ("tekken", {}, "tokenizer.ggml.pre = 'tekken' is not read, .*put the model's tokenizer.json beside the file"),
        ("gpt-2", {"model": "bert"}, "tokenizer.ggml.model = 'bert' is not read, allowed are gpt2 and llama"),
        ("gpt-2", {"model": "llama"}, "tokens, scores and token_type don't fit together"),
        ("gpt-2", {"starts": True, "bos": 9999}, "bos_token_id = 9999 is no token"),
    ],
)
def test_another_kind_is_refused_by_name(pre: str, keys: dict[str, Any], line: str, tmp_path: Path) -> None:
    file = write_tokenizer(tmp_path / "m.gguf", trained("gpt-2"), pre, **keys)
    with pytest.raises(InputError, match=line) as caught:
        gguf_tokenizer(file)
    assert len(str(caught.value)) <= 200


def test_a_tokenizer_beside_the_file_comes_first(tmp_path: Path) -> None:
    file = write_tokenizer(tmp_path / "m.gguf", trained("gpt-2"), "tekken")
    (tmp_path / "tokenizer.json").write_text(trained("qwen2").to_str(), "utf-8")
    assert load_tokenizer(file).encode("the pen") == TextTokenizer(trained("qwen2")).encode("the pen")
