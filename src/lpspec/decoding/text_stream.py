"""Text from token ids as they come, such that the pieces together are what decoding all ids at once gives.

The text of a list of ids is no prefix of the text of a longer one: a letter may come in several tokens, and a run of
byte tokens is letters if all of it is UTF-8, and replacement characters if it is not. So a piece is said only when no
token that may follow can change it, which a tokenizer's decoder decides (``tail_of``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any

from tokenizers import Tokenizer

WINDOW = 8
"""Tokens that are decoded anew for each piece before the oldest of them are let go."""

REPLACEMENT = "\ufffd"
"""What stands for bytes that are no letter, or not yet one."""


class Tail(Enum):
    """What of a text the tokens that follow may change."""

    NOTHING = "nothing"
    LETTER = "an unfinished last letter"
    BYTES = "the byte tokens at its end, all of them"
    ALL = "anything"


def tail_of(decoder: dict[str, Any] | None) -> Tail:
    """What the next tokens may change of a text, by the decoder as ``tokenizer.json`` describes it.

    Decoders that are not known, or that look at the text across tokens, may change anything.
    """
    parts = [] if decoder is None else _parts(decoder)
    tail, joined, only_spaces = Tail.NOTHING, False, True
    for part in parts:
        kind = part.get("type")
        if joined and not (kind == "Fuse" or _strips_the_start(part)):
            return Tail.ALL
        if kind == "ByteLevel":
            if tail is Tail.BYTES:
                return Tail.ALL
            joined, tail = True, Tail.LETTER
        elif kind == "Fuse":
            joined = True
        elif kind == "ByteFallback":
            if not only_spaces:  # what it takes for bytes are no longer the tokens of the vocabulary
                return Tail.ALL
            tail = Tail.BYTES
        elif kind not in ("Replace", "Metaspace", "WordPiece", "Strip"):
            return Tail.ALL
        only_spaces &= kind == "Metaspace" or (kind == "Replace" and str(part.get("content")).isspace())
    return tail


def strips_ends(tokenizer: Tokenizer) -> bool:
    """Whether a decoder takes letters off the ends of tokens: tokenizers 0.23.3 panics at an empty one then."""
    parts = _parts(json.loads(tokenizer.decoder.__getstate__())) if tokenizer.decoder is not None else []
    return any(part.get("type") == "Strip" and part.get("stop", 0) > 0 for part in parts)


def _parts(decoder: dict[str, Any]) -> list[dict[str, Any]]:
    if decoder.get("type") != "Sequence":
        return [decoder]
    return [inner for part in decoder["decoders"] for inner in _parts(part)]


def _strips_the_start(part: dict[str, Any]) -> bool:
    return part.get("type") == "Strip" and part.get("stop") == 0 and part.get("content") != REPLACEMENT


class TextStream:
    """The text of one list of ids, piece by piece; special tokens and ids that nobody knows are left out.

    Only the last tokens are decoded for each piece. They begin behind text that has been said, with a token that left
    text of its own, so what a decoder does to the beginning of a text concerns what was said alone.

    Args:
        tokenizer: Whose ids they are.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Nothing has come yet."""
        decoder = tokenizer.decoder
        self._tokenizer = tokenizer
        self._tail = tail_of(None if decoder is None else json.loads(decoder.__getstate__()))
        self._special = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}

    def pieces(self, ids: Iterable[int]) -> Iterator[str]:
        """Each piece as soon as it is certain; the last when the ids end."""
        seen: list[int] = []
        window: list[int] = []
        said = said_in_window = 0
        for token in ids:
            seen.append(token)
            name: str | None = self._tokenizer.id_to_token(token)
            if self._tail is Tail.ALL or name is None or name in self._special:
                continue
            window.append(token)
            if self._tail is Tail.BYTES and name.startswith("<0x") and name.endswith(">"):
                continue
            text = self._decode(window)
            unfinished = self._tail is Tail.LETTER and text.endswith(REPLACEMENT)
            piece = text[said_in_window : len(text) - unfinished]
            said_in_window += len(piece)
            said += len(piece)
            if piece:
                yield piece
            if len(window) > WINDOW and not unfinished and (last := self._decode(window[-1:])):
                window, said_in_window = window[-1:], len(last)
        if rest := self._decode(seen)[said:]:
            yield rest

    def _decode(self, ids: list[int]) -> str:
        text: str = self._tokenizer.decode(ids)
        return text
