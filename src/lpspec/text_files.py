"""How every text file is read: UTF-8 with or without a byte order mark, and lines that end at line feeds only.

``str.splitlines`` also splits at U+2028, form feeds and other letters that JSON and CSV allow inside a text.
"""

import errno
import json
import os
from pathlib import Path
from typing import Any

from lpspec.errors import InputError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""What some editors put before a text in UTF-8; it says nothing, and is passed over."""


def is_there(path: str | Path) -> bool:
    """Whether a path names something; false, and no error, where it is none, such as one too long for any system."""
    return os.path.exists(path)  # noqa: PTH110 - Path.exists raises


def is_file(path: str | Path) -> bool:
    """Whether a path names a file; false, and no error, where it is no path."""
    return os.path.isfile(path)  # noqa: PTH113 - likewise


def is_folder(path: str | Path) -> bool:
    """Whether a path names a folder; false, and no error, where it is no path."""
    return os.path.isdir(path)  # noqa: PTH112 - likewise


def read_text(path: Path) -> str:
    """The text of a file, its line ends as they are.

    Raises:
        OSError: It cannot be read.
        UnicodeDecodeError: It is no text in UTF-8.
    """
    return read_bytes(path).decode("utf-8-sig")


def text_of(path: str | Path, where: str) -> str:
    """The text of a file, or why there is none in a line that begins with ``where``.

    Raises:
        InputError: It cannot be read, or is no text in UTF-8.
    """
    try:
        return read_text(Path(path))
    except OSError as error:
        raise InputError(f"{where} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{where} is no text in UTF-8") from None


def read_bytes(path: Path) -> bytes:
    """The bytes of a file.

    Raises:
        OSError: It cannot be read, is a device, which may have no end, or is no path at all.
    """
    if path.is_char_device():
        raise OSError(errno.EINVAL, "it is a device, not a file", str(path))
    try:
        return path.read_bytes()
    except ValueError:  # no path has a null in it
        raise OSError(errno.EINVAL, "it is no path", str(path)) from None


def split_lines(text: str) -> list[str]:
    """Lines without their ends, which are a line feed or a carriage return and a line feed."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines]


def is_number_text(text: str) -> bool:
    """Whether a number in a file may be spelt so: in ASCII, and without the underscores that Python takes."""
    return text.isascii() and "_" not in text


def each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, for ``json.loads``, which would keep the last of a key's values and drop the others.

    Raises:
        ValueError: A key is given twice.
    """
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key '{key[:30]}' is given twice")
        found[key] = value
    return found


def read_json_object(file: Path, where: str, instead: str = "") -> dict[str, object]:
    """Read a file that holds one JSON object.

    Args:
        file: The file.
        where: Begins what is said of any fault.
        instead: What else could be given, said where the file cannot be read.

    Raises:
        InputError: The file cannot be read, is not JSON, or holds something else.
    """
    try:
        content = json.loads(read_text(file))
    except OSError as error:
        raise InputError(f"cannot read {where}: {error.strerror}{instead and f'; {instead}'}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{where} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise InputError(f"{where} must hold a JSON object, not a {type(content).__name__}")
    return content
