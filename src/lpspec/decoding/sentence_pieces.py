"""Tokenizers of SentencePiece's BPE kind, from pieces with scores: those of GGUF files and of ``tokenizer.model``.

Neighbours whose text together is a piece are merged, the piece with the highest score first, the leftmost of those;
letters that are no piece become their bytes. Sources: google/sentencepiece, src/bpe_model.cc and
src/sentencepiece_model.proto; ggml-org/llama.cpp, src/llama-vocab.cpp (llm_tokenizer_spm).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tokenizers import AddedToken, Tokenizer, decoders, normalizers, processors
from tokenizers.models import BPE

from lpspec.errors import InputError, shown
from lpspec.text_files import read_bytes

NORMAL, UNKNOWN, CONTROL, ADDED, UNUSED, BYTE = range(1, 7)
"""Kinds of pieces, in both sources."""

SPACE = "\u2581"
"""What stands in pieces for a space."""

_UNIGRAM, _BPE = 1, 2
_TRAINER, _NORMALIZER = 2, 3
_MOST_BYTES = 2**26  # of a tokenizer.model: Gemma's of 256,000 pieces is 4 MB


class Piece(NamedTuple):
    """A piece: its text, its score, and its kind."""

    text: str
    score: float
    kind: int


def piece_tokenizer(pieces: Sequence[Piece], first: int | None, space_before: bool, where: str) -> Tokenizer:
    """Make the tokenizer.

    Args:
        pieces: By their ids.
        first: The id that texts begin with; None for none.
        space_before: Put a space before every text, as in its middle.
        where: Begins what is said of any fault.

    Raises:
        InputError: Pieces stand twice, letters would have no piece, or scores say no order.
    """
    vocabulary = {piece.text: index for index, piece in enumerate(pieces)}
    bytes_there = sum(piece.kind == BYTE and piece.text == f"<0x{_byte(piece.text):02X}>" for piece in pieces)
    if len(vocabulary) != len(pieces):
        twice = next(piece.text for index, piece in enumerate(pieces) if vocabulary[piece.text] != index)
        raise InputError(f"{where}: piece '{shown(twice, 30)}' stands twice")
    if bytes_there not in (0, 256):
        raise InputError(f"{where}: it has {bytes_there} bytes as pieces: allowed are all 256, or none")
    if first is not None and not 0 <= first < len(pieces):
        raise InputError(f"{where}: texts begin with token {first}, and there are {len(pieces)}")
    merges = _merges(pieces, vocabulary)
    scores = {pieces[vocabulary[left + right]].score for left, right in merges}
    if len(merges) > 1 and len(scores) == 1:
        raise InputError(f"{where}: all scores are {scores.pop()}: in which order pieces are merged is not told")
    unknown = next((piece.text for piece in pieces if piece.kind == UNKNOWN), None)
    model = BPE(vocabulary, merges, unk_token=unknown, fuse_unk=True, byte_fallback=bytes_there == 256)
    tokenizer = Tokenizer(model)
    spaces = [normalizers.Replace(" ", SPACE)]
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(SPACE), *spaces] if space_before else spaces)
    parts = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence([*parts, decoders.Strip(" ", 1, 0)] if space_before else parts)
    tokenizer.add_tokens(
        [
            AddedToken(piece.text, special=piece.kind != ADDED, normalized=False)
            for piece in pieces
            if piece.kind in (UNKNOWN, CONTROL, ADDED)
        ]
    )
    if first is not None:
        begin = pieces[first].text
        tokenizer.post_processor = processors.TemplateProcessing(f"{begin} $A", special_tokens=[(begin, first)])
    return tokenizer


def _byte(text: str) -> int:
    try:
        return int(text[3:5], 16)
    except ValueError:
        return -1


def _merges(pieces: Sequence[Piece], vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    """Every pair of pieces that makes another, best first."""
    found = [
        (-piece.score, index, text[:cut], text[cut:])
        for index, (text, piece) in enumerate((piece.text, piece) for piece in pieces)
        if piece.kind == NORMAL
        for cut in range(1, len(text))
        if text[:cut] in vocabulary and text[cut:] in vocabulary
    ]
    return [(left, right) for _, _, left, right in sorted(found, key=lambda merge: merge[:2])]


def read_piece_model(file: Path, starts: bool) -> Tokenizer:
    """The tokenizer of a ``tokenizer.model``.

    Args:
        file: SentencePiece's model.
        starts: Whether texts begin with its token for that.

    Raises:
        InputError: It cannot be read, is damaged, or of another kind than BPE without changes of letters.
    """
    where = f"tokenizer '{shown(str(file), 60)}'"
    try:
        data = read_bytes(file)
    except OSError as error:
        raise InputError(f"{where} cannot be read: {error.strerror}; a model folder needs one") from None
    try:
        return _of_model(data, starts, where)
    except (ValueError, IndexError, struct.error, UnicodeDecodeError, OverflowError):
        raise InputError(f"{where} is damaged, or no model of SentencePiece") from None


def _of_model(data: bytes, starts: bool, where: str) -> Tokenizer:
    if not 0 < len(data) <= _MOST_BYTES:
        raise ValueError("length")
    pieces: list[Piece] = []
    trainer: dict[int, int | bytes] = {}
    normalizer: dict[int, int | bytes] = {}
    for field, value in _fields(data):
        if field == 1 and isinstance(value, bytes):
            own = dict(_fields(value))
            score = own.get(2, b"\0\0\0\0")
            if not isinstance(score, bytes):
                raise ValueError("score")
            pieces.append(Piece(_text(own.get(1, b"")), struct.unpack("<f", score)[0], _number(own.get(3, NORMAL))))
        elif field in (_TRAINER, _NORMALIZER) and isinstance(value, bytes):
            (trainer if field == _TRAINER else normalizer).update(_fields(value))
    if not pieces:
        raise ValueError("no pieces")
    if (kind := _number(trainer.get(3, _UNIGRAM))) != _BPE:
        raise InputError(f"{where}: model_type = {kind} of SentencePiece is not read, allowed is {_BPE} (BPE)")
    if normalizer.get(2):
        name = shown(_text(normalizer.get(1, b"")), 20)
        raise InputError(f"{where}: normalizer_spec '{name}' changes letters, which is not done: allowed is identity")
    if _number(normalizer.get(4, 1)) and _text(normalizer.get(1, b"")) not in ("identity", ""):
        raise InputError(f"{where}: normalizer_spec removes spaces, which is not done: allowed is identity")
    begin = _number(trainer.get(41, 1))
    return piece_tokenizer(
        pieces, begin if starts and begin < 2**31 else None, bool(_number(normalizer.get(3, 1))), where
    )


def _number(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ValueError("a number is needed")
    return value


def _text(value: int | bytes) -> str:
    if isinstance(value, int):
        raise ValueError("a text is needed")
    return value.decode()


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Numbers and values of the fields of a message in protocol buffers: varints as numbers, all else as bytes."""
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        kind = tag & 7
        if kind == 0:
            value, place = _varint(data, place)
            yield tag >> 3, value
            continue
        if kind not in (1, 2, 5):
            raise ValueError("wire type")
        size, place = _varint(data, place) if kind == 2 else ({1: 8, 5: 4}[kind], place)
        if size > len(data) - place:
            raise ValueError("cut short")
        yield tag >> 3, data[place : place + size]
        place += size


def _varint(data: bytes, place: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 70, 7):
        number |= (data[place] & 127) << shift
        place += 1
        if data[place - 1] < 128:
            return number, place
    raise ValueError("a number without an end")
