"""Texts and the tokenizer: byte-pair merges learnt on the texts, and the texts as one row of tokens."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor


@dataclass(frozen=True)
class Text:
    """A text file.

    Attributes:
        name: Its file name.
        content: What it holds.
        sha256: Of its bytes, in hexadecimal.
    """

    name: str
    content: str
    sha256: str


def read_text(path: Path) -> Text:
    """Read a UTF-8 file."""
    content = path.read_bytes()
    return Text(path.name, content.decode(), hashlib.sha256(content).hexdigest())


def train_tokenizer(texts: Iterable[Text], vocab_size: int) -> Tokenizer:
    """Learn byte-level merges: any text can be written, and every token sequence has a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator((text.content for text in texts), trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[Text]) -> Tensor:
    """All texts as one row of tokens, int64."""
    return torch.cat([torch.tensor(tokenizer.encode(text.content).ids) for text in texts])


def windows(tokens: Tensor, count: int, length: int, generator: torch.Generator) -> Tensor:
    """Pieces of the row that begin at random places: int64 [count, length]."""
    starts = torch.randint(len(tokens) - length + 1, (count,), generator=generator)
    return tokens[starts[:, None] + torch.arange(length)]


def batches(rows: Tensor, size: int) -> Iterator[Tensor]:
    """Rows in batches of at most ``size``."""
    for first in range(0, len(rows), size):
        yield rows[first : first + size]
