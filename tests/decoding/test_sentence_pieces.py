"""Tokenizers from SentencePiece's pieces against its algorithm, merged one pair at a time."""

import json
import random
import struct
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from lpspec.decoding.gguf_tokenizer import gguf_tokenizer
from lpspec.decoding.sentence_pieces import ADDED, BYTE, CONTROL, NORMAL, SPACE, UNKNOWN, Piece, piece_tokenizer
from lpspec.decoding.tokenizer import TextTokenizer, has_tokenizer, load_tokenizer
from lpspec.errors import InputError

gguf = pytest.importorskip("gguf")

WORDS = [
    "the",
    "pen",
    "then",
    "a",
    "hen",
    "ten",
    "theme",
    "at",
    "12",
    "21",
    "été",
    "état",
    "naïve",
    "--",
    "...",
    "eat",
    "tea",
]


def pieces() -> list[Piece]:
    """Llama's shape: unknown, begin, end, 256 bytes, then merged pieces by falling score, then letters."""
    dice = random.Random(5)
    texts = {f"{SPACE}{word}"[start:end] for word in WORDS for start in range(8) for end in range(start + 1, 9)}
    longer = sorted((text for text in texts if len(text) > 1), key=lambda text: (len(text), dice.random()))
    letters = sorted({letter for text in texts for letter in text})
    found = [Piece("<unk>", 0.0, UNKNOWN), Piece("<s>", 0.0, CONTROL), Piece("</s>", 0.0, CONTROL)]
    found += [Piece(f"<0x{byte:02X}>", 0.0, BYTE) for byte in range(256)]
    found += [Piece(text, -float(rank), NORMAL) for rank, text in enumerate(longer)]
    found += [Piece(letter, -float(len(longer) + rank), NORMAL) for rank, letter in enumerate(letters)]
    return [*found, Piece("<|call|>", 0.0, ADDED)]


PIECES = pieces()


def merged(text: str, space_before: bool = True) -> list[int]:
    """Ids by the rule: of all neighbours that are a piece together, the best score, the leftmost of those."""
    ids = {piece.text: index for index, piece in enumerate(PIECES) if piece.kind == NORMAL}
    if not text:
        return []
    symbols = list((SPACE if space_before else "") + text.replace(" ", SPACE))
    while True:
        pairs = [(PIECES[ids[a + b]].score, -at) for at, (a, b) in enumerate(pairwise(symbols)) if a + b in ids]
        if not pairs:
            break
        at = -max(pairs)[1]
        symbols[at : at + 2] = [symbols[at] + symbols[at + 1]]
    found: list[int] = []
    for symbol in symbols:
        found += [ids[symbol]] if symbol in ids else [3 + byte for byte in symbol.encode()]
    return found


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + varint(number >> 7)


def field(number: int, value: int | float | bytes) -> bytes:
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def model_file(path: Path, kind: int = 2, prefix: int = 1, name: bytes = b"identity", charsmap: bytes = b"") -> Path:
    """As sentencepiece_model.proto has it."""
    data = b"".join(
        field(1, field(1, piece.text.encode()) + field(2, piece.score) + field(3, piece.kind)) for piece in PIECES
    )
    data += field(2, field(3, kind) + field(35, 1) + field(41, 1))
    data += field(3, field(1, name) + field(2, charsmap) + field(3, prefix) + field(4, 0))
    path.write_bytes(data)
    return path


def gguf_file(path: Path, **keys: Any) -> Path:
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_tokenizer_model("llama")
    writer.add_token_list([piece.text for piece in PIECES])
    writer.add_token_scores([piece.score for piece in PIECES] if "scores" not in keys else keys["scores"])
    writer.add_token_types([piece.kind for piece in PIECES])
    writer.add_bos_token_id(keys.get("bos", 1))
    if "prefix" in keys:
        writer.add_add_space_prefix(keys["prefix"])
    if "starts" in keys:
        writer.add_add_bos_token(keys["starts"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


ANY = st.text(
    st.one_of(st.sampled_from("thenpa 12é. "), st.characters(exclude_categories=["Cs"], exclude_characters=SPACE)),
    max_size=30,
).filter(lambda text: "<" not in text)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.one_of(ANY, st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)))
def test_ids_are_those_of_the_rule(text: str, tmp_path: Path) -> None:
    tokenizer = TextTokenizer(piece_tokenizer(PIECES, 1, True, "pieces"))
    assert tokenizer.encode(text) == [1, *merged(text)]
    assert tokenizer.decode(merged(text)) == text
    assert "".join(tokenizer.stream(merged(text))) == text
    plain = TextTokenizer(piece_tokenizer(PIECES, None, False, "pieces"))
    assert plain.encode(text) == merged(text, space_before=False)
    assert plain.decode(plain.encode(text)) == text


def same(found: TextTokenizer, wanted: Tokenizer) -> None:
    for text in ("the pen", " ten  then", "été\n水", "", "tea<|call|>eat", "naïve 1221..."):
        assert found.encode(text) == TextTokenizer(wanted).encode(text)


def test_a_gguf_file_and_a_model_file_hold_the_same(tmp_path: Path) -> None:
    same(TextTokenizer(gguf_tokenizer(gguf_file(tmp_path / "m.gguf"))), piece_tokenizer(PIECES, 1, True, ""))
    same(load_tokenizer(gguf_file(tmp_path / "n.gguf", prefix=False)), piece_tokenizer(PIECES, 1, False, ""))
    same(load_tokenizer(gguf_file(tmp_path / "o.gguf", starts=False)), piece_tokenizer(PIECES, None, True, ""))
    assert not has_tokenizer(tmp_path)
    model_file(tmp_path / "tokenizer.model")
    assert has_tokenizer(tmp_path)
    same(load_tokenizer(tmp_path), piece_tokenizer(PIECES, 1, True, ""))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"add_bos_token": False}))
    same(load_tokenizer(tmp_path), piece_tokenizer(PIECES, None, True, ""))
    model_file(tmp_path / "tokenizer.model", prefix=0)
    same(load_tokenizer(tmp_path), piece_tokenizer(PIECES, None, False, ""))


def test_added_and_control_pieces_are_found_whole() -> None:
    tokenizer = TextTokenizer(piece_tokenizer(PIECES, 1, True, "pieces"))
    call, end = len(PIECES) - 1, 2
    assert tokenizer.encode("the<|call|>pen</s>") == [1, *merged("the"), call, *merged("pen"), end]
    assert tokenizer.size == len(PIECES)


def one_line(caught: pytest.ExceptionInfo[InputError], said: str) -> None:
    assert said in str(caught.value)
    assert len(str(caught.value)) <= 200
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"kind": 1}, "model_type = 1 of SentencePiece is not read, allowed is 2 (BPE)"),
        ({"name": b"nmt_nfkc", "charsmap": b"abc"}, "normalizer_spec 'nmt_nfkc' changes letters"),
    ],
)
def test_other_models_are_refused_by_name(keys: dict[str, Any], said: str, tmp_path: Path) -> None:
    model_file(tmp_path / "tokenizer.model", **keys)
    with pytest.raises(InputError) as caught:
        load_tokenizer(tmp_path)
    one_line(caught, said)


def test_scores_that_say_no_order_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        gguf_tokenizer(gguf_file(tmp_path / "m.gguf", scores=[-1000.0] * len(PIECES)))
    one_line(caught, "all scores are -1000.0")
    with pytest.raises(InputError) as caught:
        gguf_tokenizer(gguf_file(tmp_path / "n.gguf", bos=10**6))
    one_line(caught, "texts begin with token 1000000")
    with pytest.raises(InputError) as caught:
        piece_tokenizer([*PIECES, PIECES[-1]], 1, True, "pieces")
    one_line(caught, "piece '<|call|>' stands twice")
    with pytest.raises(InputError) as caught:
        piece_tokenizer(PIECES[:100], 1, True, "pieces")
    one_line(caught, "it has 97 bytes as pieces")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_models_are_one_line(data: st.DataObject, tmp_path: Path) -> None:
    file = model_file(tmp_path / "tokenizer.model")
    whole = bytearray(file.read_bytes())
    at = data.draw(st.integers(0, len(whole) - 1))
    cut = data.draw(st.booleans())
    file.write_bytes(whole[:at] if cut else whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :])
    said = ""
    try:
        load_tokenizer(tmp_path)
    except InputError as error:
        said = str(error)
    assert len(said) <= 200
    assert "\n" not in said
