"""Text to tokens and back, and streaming without broken letters; the demo's tokenizer and a small one."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from lpspec.decoding.model_files import demo_folder
from lpspec.decoding.tokenizer import TextTokenizer, load_tokenizer
from lpspec.errors import InputError


@pytest.fixture(scope="module")
def demo() -> TextTokenizer:
    return load_tokenizer(demo_folder())


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@given(text=ANY_TEXT)
def test_every_text_comes_back(text: str) -> None:
    tokenizer = load_tokenizer(demo_folder())
    assert tokenizer.decode(tokenizer.encode(text)) == text


@given(text=ANY_TEXT, cut=st.integers(0, 100))
def test_streamed_pieces_are_the_text_and_each_is_whole(text: str, cut: int) -> None:
    tokenizer = load_tokenizer(demo_folder())
    ids = tokenizer.encode(text)[:cut]  # the last letter may be cut in two
    pieces = list(tokenizer.stream(ids))
    assert "".join(pieces) == tokenizer.decode(ids)
    assert all("\ufffd" not in piece for piece in pieces[:-1]) or "\ufffd" in text


def test_a_letter_of_several_tokens_waits_for_its_last(demo: TextTokenizer) -> None:
    ids = demo.encode("\u6c34")  # three bytes, none merged in English texts
    assert len(ids) == 3
    assert list(demo.stream(ids)) == ["\u6c34"]


def test_ids_lie_below_the_size(demo: TextTokenizer) -> None:
    assert demo.size == 1024
    assert max(demo.encode("Q: How many? \u20ac 12\n")) < demo.size


def test_nothing_that_a_file_stores_of_batches_changes_a_prompt(tmp_path: Path) -> None:
    """Truncation and padding as somebody left them, and dropout, by which every encoding would be another."""
    (tmp_path / "tokenizer.json").write_bytes((demo_folder() / "tokenizer.json").read_bytes())
    text = "Q: Tom has 3 boxes of 12 pens. How many pens does he have in all of the boxes?\nA:" * 2
    wanted = load_tokenizer(tmp_path).encode(text)
    for options in ({"max_length": 8}, {"max_length": 8, "direction": "left", "stride": 2}):
        stored = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
        stored.enable_truncation(**options)
        stored.enable_padding(length=256, pad_to_multiple_of=64)
        content = json.loads(stored.to_str())
        content["model"]["dropout"] = 0.3
        (tmp_path / "tokenizer.json").write_text(json.dumps(content), "utf-8")
        assert len(stored.encode(text).ids) == 256
        tokenizer = load_tokenizer(tmp_path)
        assert [tokenizer.encode(text) for _ in range(20)] == [wanted] * 20


def test_a_surrogate_is_refused(demo: TextTokenizer) -> None:
    with pytest.raises(InputError, match="no text in UTF-8"):
        demo.encode("a\udcffb")


def test_a_letter_without_a_token_is_refused() -> None:
    tokenizer = TextTokenizer(Tokenizer(models.Unigram([("a", -1.0)])))
    assert tokenizer.encode("aa") == [0, 0]
    with pytest.raises(InputError, match=r"the tokenizer cannot take the prompt: .*unk_id") as error:
        tokenizer.encode("ab")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{}", b"not json", b'{"version": "1.0"}', b"\xff\xfe\x00"])
def test_a_damaged_file_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "tokenizer.json").write_bytes(content)
    with pytest.raises(InputError, match=r"tokenizer '.*' is damaged or of another kind: ") as error:
        load_tokenizer(tmp_path)
    assert "\n" not in str(error.value)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: No such file"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("nested", [False, True])
def test_a_decoder_that_breaks_on_nothing_is_refused(nested: bool, tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.BPE({"a": 0, " ": 1}, []))
    strip = decoders.Strip(" ", 0, 1)
    tokenizer.decoder = decoders.Sequence([decoders.Fuse(), strip]) if nested else strip
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InputError, match=r"tokenizer '.*' has a decoder Strip with stop above 0, at which its library"):
        load_tokenizer(tmp_path)
