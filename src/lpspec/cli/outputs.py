"""Where results go: refused before the work if they cannot be written, and written whole or not at all."""

import contextlib
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from lpspec.cli.signals import undisturbed
from lpspec.errors import InputError, shown

STDOUT = "-"
FIGURE_SUFFIXES = (".pdf", ".png")
"""Of the files of a figure whose path has no suffix."""

ONE_SUFFIX = (".pdf", ".png", ".svg")
"""A figure whose path has one of these is that file alone."""

_OTHER_SUFFIX = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,4}")
"""What looks like the ending of another kind of file; the dot of ``v1.2`` or ``llama3.2-1b`` is part of a name."""


@dataclass(frozen=True)
class Outputs:
    """Files asked for on the command line.

    Attributes:
        json: The file for JSON; None for none.
        json_to_stdout: Whether standard output gets the JSON, and nothing else.
        figures: The files of each figure; empty for none.
        each: How many files a figure has.
    """

    json: Path | None
    json_to_stdout: bool
    figures: tuple[Path, ...]
    each: int = len(FIGURE_SUFFIXES)

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file to be written."""
        return (*([self.json] if self.json else []), *self.figures)


def plan_outputs(json: str | None, figure: str | None = None, parts: Sequence[str] = ()) -> Outputs:
    """Check that everything asked for can be written, before any work is done. Writes nothing.

    Args:
        json: A file, or ``-`` for standard output.
        figure: A file that ends in .pdf, .png or .svg; or a path without: a .pdf and a .png are written.
        parts: What is put behind the name of each figure where there are several.

    Raises:
        InputError: A path is no possible output file.
    """
    to_stdout = json == STDOUT
    json_path = None if json is None or to_stdout else _checked("--json", json)
    own = "" if figure is None else Path(figure).suffix
    suffixes = (own,) if own.lower() in ONE_SUFFIX else FIGURE_SUFFIXES
    figures = () if figure is None else _figure_paths(figure, parts, suffixes)
    outputs = Outputs(json_path, to_stdout, figures, len(suffixes))
    if outputs.json is not None and outputs.json.resolve() in [path.resolve() for path in outputs.figures]:
        raise InputError(f"--json and --figure would both write {outputs.json}")
    return outputs


def _figure_paths(text: str, parts: Sequence[str], suffixes: Sequence[str]) -> tuple[Path, ...]:
    _check_text("--figure", text)
    if len(suffixes) != 1 and _OTHER_SUFFIX.fullmatch(ending := Path(text).suffix):
        raise InputError(
            f"--figure {text} ends in {ending}: allowed are {', '.join(ONE_SUFFIX)}, or no ending for a .pdf and a .png"
        )
    stem = text[: -len(suffixes[0])] if len(suffixes) == 1 else text
    if text.endswith("/") or Path(text).is_dir():
        raise InputError(f"--figure {text} is a folder: give a file name without suffix, such as {Path(text) / 'fig'}")
    names = [f"{stem}-{part}" for part in parts] or [stem]
    paths = tuple(_checked("--figure", name + suffix) for name in names for suffix in suffixes)
    for path in paths:
        if path.exists() and not path.is_file():
            raise InputError(f"--figure {path} is not a regular file")
    return paths


def _check_text(option: str, text: str) -> None:
    if text.startswith("-") or not text.strip() or "\0" in text:
        raise InputError(f"{option} needs a file name, not '{text}'")


def _checked(option: str, text: str) -> Path:
    _check_text(option, text)
    path = Path(text)
    try:
        _check_place(option, path, text)
    except OSError as error:
        raise InputError(f"{option} {text} cannot be written: {error.strerror}") from error
    return path


def _check_place(option: str, path: Path, text: str) -> None:
    if text.endswith("/") or path.is_dir():
        raise InputError(f"{option} {text} is a folder: give a file name")
    if path.exists() and not os.access(path, os.W_OK):
        raise InputError(f"{option} {text} cannot be written: permission denied")
    folder = path.absolute().parent
    if not folder.exists():
        folder = folder.parent
        if not folder.exists():
            raise InputError(f"{option} {text} cannot be written: there is no folder {shown(str(folder))}")
    if not folder.is_dir():
        raise InputError(f"{option} {text} cannot be written: {folder} is not a folder")
    if not path.exists() or path.is_file():
        tempfile.TemporaryFile(dir=folder).close()  # only trying tells; it leaves nothing behind
    limit = os.pathconf(folder, "PC_NAME_MAX") - len(".12345678.tmp.")
    if len(os.fsencode(path.name)) > limit:
        raise InputError(f"{option} {text} cannot be written: file name too long")


def plan_file(option: str, text: str | None, others: Iterable[Path] = ()) -> Path | None:
    """Check that one more file can be written, as ``plan_outputs`` does.

    Args:
        option: The option that names it.
        text: The file; None for none.
        others: Files that are to be written, too.

    Raises:
        InputError: The path is no possible output file, or one of the others.
    """
    path = None if text is None else _checked(option, text)
    if path is not None and path.resolve() in [other.resolve() for other in others]:
        raise InputError(f"{option} {path} is to be written by another option, too")
    return path


class FilesTogether:
    """Files that appear together when the ``with`` block ends well, and not at all when it does not.

    Each is written beside its place and moved there in the end, however long the writing takes; a signal that ends the
    program leaves nothing of them, or all.
    """

    def __init__(self) -> None:
        """Nothing is to be written yet."""
        self._waiting: list[tuple[BinaryIO, Path, Path]] = []
        self._folders: list[Path] = []

    def open(self, path: Path) -> BinaryIO:
        """Start a file; a device or a pipe has no place to move a file to, and gets the bytes as they come.

        Raises:
            InputError: It cannot be written.
        """
        with _blamed(path):
            if path.exists() and not path.is_file():
                self._waiting.append((path.open("wb"), path, path))
            else:
                self._open_aside(path.resolve())  # through a link, so that the link stays
        return self._waiting[-1][0]

    def _open_aside(self, target: Path) -> None:
        with undisturbed():
            self._folders += [folder for folder in target.parents if not folder.exists()]
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
            self._waiting.append((os.fdopen(handle, "wb"), Path(name), target))

    def write(self, path: Path, content: bytes) -> None:
        """Write a whole file.

        Raises:
            InputError: It cannot be written.
        """
        with _blamed(path):
            self.open(path).write(content)

    def stream(self, path: Path, write: Callable[[BinaryIO], None]) -> None:
        """Write a whole file piece by piece.

        Raises:
            InputError: It cannot be written.
        """
        with _blamed(path):
            write(self.open(path))

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *details: object) -> None:
        """Move all files into place, or leave every place as it was.

        Raises:
            InputError: A file cannot be written.
        """
        with undisturbed():
            try:
                if kind is None:
                    self._move()
            finally:
                self._clear()

    def _clear(self) -> None:
        """Remove what has not come to its place."""
        for file, temporary, target in self._waiting:
            with contextlib.suppress(OSError):
                file.close()
            if temporary != target:
                temporary.unlink(missing_ok=True)
        for folder in self._folders:
            with contextlib.suppress(OSError):
                folder.rmdir()  # those with files in them stay

    def _move(self) -> None:
        for file, temporary, target in self._waiting:
            with _blamed(target):
                _finish(file, temporary, target)
        while self._waiting:
            _, temporary, target = self._waiting[0]
            if temporary != target:
                temporary.replace(target)
            self._waiting.pop(0)


@contextlib.contextmanager
def _blamed(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}") from error


def _finish(file: BinaryIO, temporary: Path, target: Path) -> None:
    """Let the bytes reach the disk, with the mode that other files have."""
    file.flush()
    if temporary != target:
        os.fsync(file.fileno())
        temporary.chmod(target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask())
    file.close()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def print_json(text: str) -> None:
    """Write one JSON document to standard output."""
    sys.stdout.write(text)
