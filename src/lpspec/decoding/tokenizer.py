"""Text to token ids and back, by a model's ``tokenizer.json``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Tokenizer
from tokenizers.models import BPE

from lpspec.decoding.gguf_tokenizer import gguf_tokenizer
from lpspec.decoding.model_files import is_gguf
from lpspec.decoding.text_stream import TextStream
from lpspec.errors import InputError
from lpspec.text_files import read_text

FILE = "tokenizer.json"


class TextTokenizer:
    """The tokenizer of a model.

    A file may also store how batches of training texts were once made: truncation, padding, and BPE dropout, which is
    random. A prompt is none of them, so they are turned off.

    Args:
        tokenizer: What does the work.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        """Hold the tokenizer, without what it would do to batches."""
        tokenizer.no_truncation()
        tokenizer.no_padding()
        if isinstance(tokenizer.model, BPE):
            tokenizer.model.dropout = None
        self._tokenizer = tokenizer

    @property
    def size(self) -> int:
        """One more than the largest token id."""
        return 1 + max(self._tokenizer.get_vocab().values(), default=-1)

    @property
    def vocabulary(self) -> dict[str, int]:
        """Every token with its id, added ones too."""
        return dict(self._tokenizer.get_vocab())

    @property
    def plain_vocabulary(self) -> dict[str, int]:
        """The same without those that were added to what was trained."""
        return dict(self._tokenizer.get_vocab(with_added_tokens=False))

    def encode(self, text: str) -> list[int]:
        """The ids of a text, with the tokens that the model wants at its start.

        Raises:
            InputError: The text is no valid Unicode, or holds what the tokenizer has no token for.
        """
        try:
            ids: list[int] = self._tokenizer.encode(text).ids
        except (TypeError, UnicodeEncodeError):  # the library says TypeError of half a surrogate pair
            raise InputError("the prompt holds bytes that are no text in UTF-8") from None
        except Exception as error:  # bare, too, such as of letters that it has no token for
            raise InputError(f"the tokenizer cannot take the prompt: {_first_line(error)[:120]}") from None
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; special tokens are left out."""
        text: str = self._tokenizer.decode(list(ids))
        return text

    def stream(self, ids: Iterable[int]) -> Iterator[str]:
        """The text of ids, piece by piece as they come; a letter of several tokens waits for its last.

        The pieces together are ``decode`` of all ids.
        """
        return TextStream(self._tokenizer).pieces(ids)


def load_tokenizer(folder: str | Path) -> TextTokenizer:
    """Read the ``tokenizer.json`` of a model folder, or that beside a GGUF file, or the one that the file holds.

    Raises:
        InputError: There is none, or it is damaged.
    """
    file = tokenizer_file(folder)
    if file is None:
        return TextTokenizer(gguf_tokenizer(folder))
    try:
        return TextTokenizer(Tokenizer.from_str(read_text(file)))
    except OSError as error:
        raise InputError(f"tokenizer '{file}' cannot be read: {error.strerror}; a model folder needs one") from None
    except Exception as error:  # the library raises bare Exceptions
        raise InputError(f"tokenizer '{file}' is damaged or of another kind: {_first_line(error)}") from None


def tokenizer_file(folder: str | Path) -> Path | None:
    """The ``tokenizer.json`` of a model folder or beside a GGUF file; None where the latter has none but its own."""
    if not is_gguf(folder):
        return Path(folder) / FILE
    beside = Path(folder).parent / FILE
    return beside if beside.is_file() else None


def has_tokenizer(folder: str | Path) -> bool:
    """Whether a model brings a tokenizer along."""
    file = tokenizer_file(folder)
    return file is None or file.is_file()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
