"""The tokenizer that a GGUF file holds: of GPT-2's kind, pairs of bytes merged in order, or of SentencePiece's.

Source of what each ``tokenizer.ggml.pre`` means: ggml-org/llama.cpp, src/llama-vocab.cpp.
"""

from __future__ import annotations

from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import PreTokenizer

from lpspec.decoding.sentence_pieces import Piece, piece_tokenizer
from lpspec.errors import InputError, shown
from lpspec.llm.gguf import GgufValue, read_gguf

_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""Words, numbers and what stands between them, as Llama 3 and Qwen 2 split a text."""

_CONTROL, _ADDED = 3, 4  # token types: never written, and added to what was trained


def gguf_tokenizer(path: str | Path) -> Tokenizer:
    """Make the tokenizer.

    Raises:
        InputError: The file holds none, one of another kind, or keys that contradict each other.
    """
    keys, where = read_gguf(path).keys, f"GGUF file '{shown(str(path), 50)}'"
    instead = "put the model's tokenizer.json beside the file"
    if keys.get("tokenizer.ggml.model") == "llama":
        return _of_pieces(keys, where)
    if keys.get("tokenizer.ggml.model") != "gpt2":
        kind = shown(repr(keys.get("tokenizer.ggml.model")), 20)
        raise InputError(f"{where}: tokenizer.ggml.model = {kind} is not read, allowed are gpt2 and llama: {instead}")
    before = keys.get("tokenizer.ggml.pre")
    if not isinstance(before, str) or before not in _BEFORE:
        allowed = ", ".join(_BEFORE)
        said = shown(repr(before), 20)
        raise InputError(f"{where}: tokenizer.ggml.pre = {said} is not read, allowed are {allowed}: {instead}")
    tokens, types = _texts(keys, "tokens", where), keys.get("tokenizer.ggml.token_type", ())
    merges = [merge.partition(" ")[::2] for merge in _texts(keys, "merges", where)]
    if not isinstance(types, tuple) or len(types) != len(tokens):
        raise InputError(f"{where}: its tokens, token_type and merges don't fit together")
    vocabulary = {token: index for index, token in enumerate(tokens)}
    try:
        tokenizer = Tokenizer(BPE(vocabulary, merges, ignore_merges=before == "llama-bpe"))
    except Exception as error:  # the library raises bare Exceptions
        raise InputError(f"{where}: its tokens and merges don't fit together: {shown(str(error), 60)}") from None
    if before == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer, tokenizer.decoder = _BEFORE[before], decoders.ByteLevel()
    added = [
        AddedToken(token, special=kind == _CONTROL, normalized=False)
        for token, kind in zip(tokens, types, strict=True)
        if kind in (_CONTROL, _ADDED)
    ]
    tokenizer.add_tokens(added)
    _begin(tokenizer, keys, tokens, starts=before == "llama-bpe", where=where)
    return tokenizer


def _of_pieces(keys: dict[str, GgufValue], where: str) -> Tokenizer:
    """SentencePiece's pieces with their scores."""
    tokens = _texts(keys, "tokens", where)
    scores, kinds = (keys.get(f"tokenizer.ggml.{name}", ()) for name in ("scores", "token_type"))
    lists = [values for values in (scores, kinds) if isinstance(values, tuple) and len(values) == len(tokens)]
    if len(lists) != 2 or any(isinstance(value, str) for values in lists for value in values):
        raise InputError(f"{where}: its tokens, scores and token_type don't fit together")
    pieces = [Piece(token, float(score), int(kind)) for token, score, kind in zip(tokens, *lists, strict=True)]
    starts = bool(keys.get("tokenizer.ggml.add_bos_token", True))
    first = keys.get("tokenizer.ggml.bos_token_id", 1) if starts else None
    if first is not None and type(first) is not int:
        raise InputError(f"{where}: tokenizer.ggml.bos_token_id = {shown(repr(first), 20)} is no token")
    return piece_tokenizer(pieces, first, bool(keys.get("tokenizer.ggml.add_space_prefix", True)), where)


def _begin(tokenizer: Tokenizer, keys: dict[str, GgufValue], tokens: tuple[str, ...], starts: bool, where: str) -> None:
    """Let every text begin with the token that the model wants there, if it wants one."""
    if not keys.get("tokenizer.ggml.add_bos_token", starts):
        return
    first = keys.get("tokenizer.ggml.bos_token_id")
    if type(first) is not int or not 0 <= first < len(tokens):
        raise InputError(f"{where}: tokenizer.ggml.bos_token_id = {first!r} is no token")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{tokens[first]} $A", special_tokens=[(tokens[first], first)]
    )


def _texts(keys: dict[str, GgufValue], name: str, where: str) -> tuple[str, ...]:
    found = keys.get(f"tokenizer.ggml.{name}")
    if not isinstance(found, tuple) or not all(isinstance(text, str) for text in found):
        raise InputError(f"{where}: 'tokenizer.ggml.{name}' is missing, or no list of texts")
    return tuple(str(text) for text in found)


def _split(numbers: str) -> PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS % numbers), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


_BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False)
_BEFORE: dict[str, PreTokenizer] = {
    "llama-bpe": _split("{1,3}"),
    "qwen2": _split(""),
    "gpt-2": _BYTES,
    "smollm": pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), _BYTES]),
}
"""How a text is cut before pairs are merged."""
