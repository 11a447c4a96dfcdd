"""A small tokenizer of each kind that model folders hold, with odd tokens among the ordinary ones."""

from collections.abc import Callable

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
LETTERS = ["a", "b", "é", "水", "\ufffd", " ", "", ".", "'s", "n't", "the", "6"]
LOWER = "▁"
SPACED = [LOWER, LOWER * 2, LOWER * 3, f"{LOWER}a", f"a{LOWER}", f"{LOWER}the", f"a{LOWER}b", *LETTERS]


def _bpe(tokens: list[str], **options: object) -> Tokenizer:
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(["<unk>", *tokens]))}
    return Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", **options))


def _with_added(tokenizer: Tokenizer) -> Tokenizer:
    """With tokens beyond the model's own, special ones and others."""
    tokenizer.add_special_tokens(["<s>", "</s>", AddedToken("<|end|>", special=True)])
    tokenizer.add_tokens(["<tool>", AddedToken(" spaced "), "▁added", "é!"])
    return tokenizer


def llama2() -> Tokenizer:
    """SentencePiece with byte fallback, a space put before and taken off again: Llama 2, Mistral 7B."""
    tokenizer = _bpe([*BYTES, *SPACED], byte_fallback=True, fuse_unk=True)
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend(LOWER), normalizers.Replace(" ", LOWER)])
    parts = [decoders.Replace(LOWER, " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(parts)
    tokenizer.post_processor = processors.TemplateProcessing("<unk> $A", special_tokens=[("<unk>", 0)])
    return _with_added(tokenizer)


def gemma() -> Tokenizer:
    """Byte fallback without a space before."""
    tokenizer = _bpe([*BYTES, *SPACED], byte_fallback=True)
    tokenizer.decoder = decoders.Sequence([decoders.Replace(LOWER, " "), decoders.ByteFallback(), decoders.Fuse()])
    return _with_added(tokenizer)


def mistral_metaspace() -> Tokenizer:
    """Byte fallback with Metaspace, as newer conversions have it."""
    tokenizer = _bpe([*BYTES, *SPACED], byte_fallback=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(LOWER, "first", split=False)
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace(LOWER, "first")])
    return _with_added(tokenizer)


def byte_level() -> Tokenizer:
    """Bytes as letters, some merged across the ends of letters: GPT-2, Llama 3, Qwen2."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    several = ["Ġa", "the", "æ°´", "æ°", "°´", "Ã©a", "aÃ", "ðŁ", "ĺĢ", "ðŁĺĢ", "ï¿½", "´a", "ĠĠ"]
    tokenizer = _bpe([*alphabet, *several])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return _with_added(tokenizer)


def word_piece() -> Tokenizer:
    """BERT's: parts of words marked, and spaces before punctuation taken out."""
    words = ["[UNK]", "a", "##a", "the", "##s", ".", ",", "n't", "'s", "do", "not", "'", "##.", "é", " .", "##"]
    tokenizer = Tokenizer(models.WordPiece({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.decoder = decoders.WordPiece(cleanup=True)
    return _with_added(tokenizer)


def unigram() -> Tokenizer:
    """T5's: every piece with its probability."""
    tokenizer = Tokenizer(models.Unigram([("<unk>", 0.0), *((piece, -1.0) for piece in SPACED if piece)], unk_id=0))
    tokenizer.decoder = decoders.Metaspace(LOWER, "always")
    return _with_added(tokenizer)


def unigram_bytes() -> Tokenizer:
    """Unigram with byte fallback, bytes joined by spaces taken off their starts."""
    pieces = [("<unk>", 0.0), *((piece, -1.0) for piece in [*BYTES, *SPACED] if piece)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=True))
    parts = [decoders.ByteFallback(), decoders.Metaspace(LOWER, "never"), decoders.Fuse(), decoders.Strip(" ", 2, 0)]
    tokenizer.decoder = decoders.Sequence(parts)
    return _with_added(tokenizer)


def ends_of_words() -> Tokenizer:
    """The first BPE, with a mark at the end of words, which is a space except in the last token."""
    tokenizer = _bpe(["a", "a</w>", "b", "b</w>", "é</w>", "</w>", "a</w>b"], end_of_word_suffix="</w>")
    tokenizer.decoder = decoders.BPEDecoder("</w>")
    return _with_added(tokenizer)


def speech() -> Tokenizer:
    """CTC: one token again and again is one letter."""
    words = ["<pad>", "a", "b", "|", "é", "'s"]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<pad>"))
    tokenizer.decoder = decoders.CTC("<pad>", "|")
    return _with_added(tokenizer)


def without_decoder() -> Tokenizer:
    """Tokens with spaces between them."""
    return _with_added(_bpe(LETTERS))


def across_tokens() -> Tokenizer:
    """A decoder that changes text over the borders of tokens."""
    tokenizer = _bpe(["a", "b", "ab", " ", "  ", "ba"])
    tokenizer.decoder = decoders.Sequence([decoders.Fuse(), decoders.Replace(Regex("ab+"), "x")])
    return _with_added(tokenizer)


KINDS: dict[str, Callable[[], Tokenizer]] = {
    made.__name__: made
    for made in (
        llama2,
        gemma,
        mistral_metaspace,
        byte_level,
        word_piece,
        unigram,
        unigram_bytes,
        ends_of_words,
        speech,
        without_decoder,
        across_tokens,
    )
}
