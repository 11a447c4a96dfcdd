"""Streamed pieces together are what decoding the whole gives, for every kind of tokenizer and any ids."""

import random
from collections.abc import Iterator
from typing import Any

import pytest
from small_tokenizers import KINDS
from tokenizers import Tokenizer, decoders

from lpspec.decoding import text_stream
from lpspec.decoding.text_stream import Tail, TextStream, tail_of

LISTS = 20_000


def draw_ids(drawn: random.Random, size: int, length: int) -> list[int]:
    """Ids at random, some of them nobody's, often with a token several times or in runs of neighbours."""
    ids: list[int] = []
    while len(ids) < length:
        token = drawn.randrange(size + 2)
        ids += drawn.choice(([token], [token], [token] * drawn.randint(2, 5), list(range(token, min(token + 4, size)))))
    return ids[:length]


def ids_of(tokenizer: Tokenizer, *tokens: str) -> list[int]:
    ids = [tokenizer.token_to_id(token) for token in tokens]
    assert None not in ids
    return [number for number in ids if number is not None]


def streamed(tokenizer: Tokenizer, ids: list[int]) -> list[str]:
    return list(TextStream(tokenizer).pieces(ids))


@pytest.mark.parametrize("window", [2, text_stream.WINDOW])
@pytest.mark.parametrize("kind", KINDS)
def test_pieces_are_the_text_of_the_whole(kind: str, window: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_stream, "WINDOW", window)
    tokenizer, drawn = KINDS[kind](), random.Random(f"{kind} {window}")
    size = tokenizer.get_vocab_size()
    for number in range(LISTS // 4 if window < text_stream.WINDOW else LISTS):
        ids = draw_ids(drawn, size, drawn.randint(0, 60) if number % 20 == 0 else drawn.randint(0, 10))
        pieces = streamed(tokenizer, ids)
        assert "".join(pieces) == tokenizer.decode(ids), ids
        assert all(pieces), ids


@pytest.mark.parametrize("kind", ["llama2", "mistral_metaspace"])
def test_a_letter_that_turns_out_to_be_none_raises_nothing(kind: str) -> None:
    tokenizer = KINDS[kind]()
    six, first, second, letter = ids_of(tokenizer, "<0x36>", "<0xC3>", "<0xA9>", "a")
    assert streamed(tokenizer, [six, first, letter]) == ["\ufffd\ufffda"]
    assert streamed(tokenizer, [six, letter, six, first, second]) == ["6a", "6é"]


@pytest.mark.parametrize("kind", ["llama2", "gemma", "byte_level", "unigram", "word_piece", "without_decoder"])
def test_what_is_certain_is_said_at_once(kind: str) -> None:
    tokenizer = KINDS[kind]()
    (token,) = ids_of(tokenizer, "a")
    given: list[int] = []

    def ids() -> Iterator[int]:
        for _ in range(40):
            given.append(token)
            yield token

    for number, piece in enumerate(TextStream(tokenizer).pieces(ids()), 1):
        assert (piece.strip(), len(given)) == ("a", number)
    assert len(given) == 40


def test_only_the_last_tokens_are_decoded_for_a_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = KINDS["llama2"]()
    stream = TextStream(tokenizer)
    lengths: list[int] = []
    decode = stream._decode

    def counting(ids: list[int]) -> str:
        lengths.append(len(ids))
        return decode(ids)

    monkeypatch.setattr(stream, "_decode", counting)
    ids = ids_of(tokenizer, "▁a", "▁", "b", "é") * 500
    assert "".join(stream.pieces(ids)) == tokenizer.decode(ids)
    assert max(lengths[:-1]) <= text_stream.WINDOW + 2
    assert lengths[-1] == len(ids)


REPLACE = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
FUSE: dict[str, Any] = {"type": "Fuse"}
BYTES: dict[str, Any] = {"type": "ByteFallback"}
LETTERS: dict[str, Any] = {"type": "ByteLevel"}


@pytest.mark.parametrize(
    ("parts", "tail"),
    [
        ([], Tail.NOTHING),
        ([REPLACE, BYTES, FUSE, {"type": "Strip", "content": " ", "start": 1, "stop": 0}], Tail.BYTES),
        ([REPLACE, BYTES, FUSE, {"type": "Strip", "content": " ", "start": 1, "stop": 1}], Tail.ALL),
        ([REPLACE, BYTES, FUSE, REPLACE], Tail.ALL),
        ([{"type": "Sequence", "decoders": [LETTERS]}], Tail.LETTER),
        ([BYTES, LETTERS], Tail.ALL),
        ([LETTERS, BYTES], Tail.ALL),
        ([{**REPLACE, "content": "0"}, BYTES], Tail.ALL),
        ([{"type": "of tomorrow"}], Tail.ALL),
        ([{"type": "BPEDecoder", "suffix": "</w>"}], Tail.ALL),
    ],
)
def test_what_a_decoder_may_change(parts: list[dict[str, Any]], tail: Tail) -> None:
    assert tail_of({"type": "Sequence", "decoders": parts}) is tail


def test_every_decoder_of_the_library_is_known_or_waits() -> None:
    made = [decoders.ByteLevel(), decoders.Metaspace(), decoders.WordPiece(), decoders.Fuse(), decoders.CTC()]
    for decoder, tail in zip(made, (Tail.LETTER, Tail.NOTHING, Tail.NOTHING, Tail.NOTHING, Tail.ALL), strict=True):
        tokenizer = KINDS["unigram"]()
        tokenizer.decoder = decoder
        assert TextStream(tokenizer)._tail is tail
