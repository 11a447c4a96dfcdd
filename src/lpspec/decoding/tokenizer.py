"""Text to token ids and back, by a model's ``tokenizer.json``, its ``tokenizer.model``, or its GGUF file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE

from lpspec.decoding.gguf_tokenizer import gguf_tokenizer
from lpspec.decoding.model_files import is_gguf
from lpspec.decoding.sentence_pieces import read_piece_model
from lpspec.decoding.special_tokens import read_tokenizer_config, said_as
from lpspec.decoding.text_stream import TextStream, strips_ends
from lpspec.errors import InputError, shown
from lpspec.text_files import read_text

FILE, PIECES = "tokenizer.json", "tokenizer.model"

_MATCHED = ("special", "lstrip", "rstrip", "normalized", "single_word")


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

    def encode(self, text: str, whole: bool = False) -> list[int]:
        """The ids of a text.

        Args:
            text: The text.
            whole: It holds every token already, such as a chat; else the model's wanted ones are put at its start.

        Raises:
            InputError: The text is no valid Unicode, or holds what the tokenizer has no token for.
        """
        try:
            ids: list[int] = self._tokenizer.encode(text, add_special_tokens=not whole).ids
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
    """Read the ``tokenizer.json`` of a model folder or beside a GGUF file, or its ``tokenizer.model``, or the file's.

    Raises:
        InputError: There is none, or it is damaged.
    """
    file = tokenizer_file(folder)
    if file is None:
        return TextTokenizer(gguf_tokenizer(folder))
    if not file.is_file() and (pieces := file.with_name(PIECES)).is_file():
        tokenizer = read_piece_model(pieces, _starts(file.parent))
        add_tokens(tokenizer, file.parent)
        return TextTokenizer(tokenizer)
    try:
        tokenizer = Tokenizer.from_str(read_text(file))
    except OSError as error:
        raise InputError(f"tokenizer '{file}' cannot be read: {error.strerror}; a model folder needs one") from None
    except Exception as error:  # the library raises bare Exceptions
        raise InputError(f"tokenizer '{file}' is damaged or of another kind: {_first_line(error)}") from None
    if strips_ends(tokenizer):
        raise InputError(f"tokenizer '{file}' has a decoder Strip with stop above 0, at which its library breaks")
    add_tokens(tokenizer, file.parent)
    return TextTokenizer(tokenizer)


def _starts(folder: Path) -> bool:
    """Whether texts begin with a token for that, as the library's tokenizers of this kind do unless they are told."""
    said = read_tokenizer_config(folder).get("add_bos_token", True)
    if said is not None and not isinstance(said, bool):
        raise InputError(f"{said_as(folder)}: add_bos_token must be true or false")
    return said is not False


def add_tokens(tokenizer: Tokenizer, folder: Path) -> None:
    """Add the tokens of ``tokenizer_config.json`` or older files that ``tokenizer.json`` lacks, as transformers does.

    Raises:
        InputError: A file is damaged, or gives a token an id that it cannot have.
    """
    where, said = said_as(folder), read_tokenizer_config(folder).get("added_tokens_decoder") or {}
    if not isinstance(said, dict) or not all(_is_token(index, token) for index, token in said.items()):
        raise InputError(f"{where}: added_tokens_decoder must hold tokens, each with its content, by their ids")
    added = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    for index, token in sorted((int(index), token) for index, token in said.items()):
        if token["content"] in added:
            found = tokenizer.token_to_id(token["content"])
        else:
            how = {key: bool(token[key]) for key in _MATCHED if key in token}
            tokenizer.add_tokens([AddedToken(token["content"], **how)])
            found = tokenizer.token_to_id(token["content"])
        if found != index:
            name = shown(token["content"], 30)
            raise InputError(f"{where}: added token '{name}' has id {index}, but by {FILE} it would have {found}")


def _is_token(index: str, token: object) -> bool:
    return index.isascii() and index.isdigit() and isinstance(token, dict) and isinstance(token.get("content"), str)


def tokenizer_file(folder: str | Path) -> Path | None:
    """The ``tokenizer.json`` of a model folder or beside a GGUF file; None where the latter has none but its own."""
    if not is_gguf(folder):
        return Path(folder) / FILE
    beside = Path(folder).parent / FILE
    return beside if beside.is_file() else None


def has_tokenizer(folder: str | Path) -> bool:
    """Whether a model brings a tokenizer along."""
    file = tokenizer_file(folder)
    return file is None or file.is_file() or file.with_name(PIECES).is_file()


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
