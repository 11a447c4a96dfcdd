"""Where results go: refused before the work if they cannot be written, and written whole or not at all."""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from lpspec.errors import InputError

STDOUT = "-"
FIGURE_SUFFIXES = (".pdf", ".png")


@dataclass(frozen=True)
class Outputs:
    """Files asked for on the command line.

    Attributes:
        json: The file for JSON; None for none.
        json_to_stdout: Whether standard output gets the JSON, and nothing else.
        figures: The files of the figure, one per suffix; empty for none.
    """

    json: Path | None
    json_to_stdout: bool
    figures: tuple[Path, ...]

    @property
    def paths(self) -> tuple[Path, ...]:
        """Every file to be written."""
        return (*([self.json] if self.json else []), *self.figures)


def plan_outputs(json: str | None, figure: str | None = None) -> Outputs:
    """Check that everything asked for can be written, before any work is done. Writes nothing.

    Args:
        json: A file, or ``-`` for standard output.
        figure: A path whose suffix, if it is .pdf or .png, is left out: both are written.

    Raises:
        InputError: A path is no possible output file.
    """
    to_stdout = json == STDOUT
    json_path = None if json is None or to_stdout else _checked("--json", json)
    outputs = Outputs(json_path, to_stdout, () if figure is None else _figure_paths(figure))
    if outputs.json is not None and outputs.json.resolve() in [path.resolve() for path in outputs.figures]:
        raise InputError(f"--json and --figure would both write {outputs.json}")
    return outputs


def _figure_paths(text: str) -> tuple[Path, ...]:
    _check_text("--figure", text)
    stem = text[: -len(Path(text).suffix)] if Path(text).suffix.lower() in FIGURE_SUFFIXES else text
    if text.endswith("/") or Path(text).is_dir():
        raise InputError(f"--figure {text} is a folder: give a file name without suffix, such as {Path(text) / 'fig'}")
    paths = tuple(_checked("--figure", stem + suffix) for suffix in FIGURE_SUFFIXES)
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
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise InputError(f"{option} {text} cannot be written: {folder} is not a folder")
    if not path.exists() or path.is_file():
        tempfile.TemporaryFile(dir=folder).close()  # only trying tells; it leaves nothing behind
    limit = os.pathconf(folder, "PC_NAME_MAX") - len(".12345678.tmp.")
    if len(os.fsencode(path.name)) > limit:
        raise InputError(f"{option} {text} cannot be written: file name too long")


def write_all(contents: Iterable[tuple[Path, bytes]]) -> None:
    """Write every file beside its place first, then move all into place, so that none is left half written.

    Raises:
        InputError: A file cannot be written; then none of them has changed.
    """
    waiting: list[tuple[Path, Path]] = []
    try:
        for path, content in contents:
            try:
                _write_aside(path, content, waiting)
            except OSError as error:
                raise InputError(f"{path} cannot be written: {error.strerror}") from error
        while waiting:
            temporary, target = waiting[0]
            os.replace(temporary, target)  # noqa: PTH105
            waiting.pop(0)
    finally:
        for temporary, _ in waiting:
            with contextlib.suppress(OSError):
                temporary.unlink()


def _write_aside(path: Path, content: bytes, waiting: list[tuple[Path, Path]]) -> None:
    if path.exists() and not path.is_file():  # a device or a pipe has no place to move a file to
        path.write_bytes(content)
        return
    target = path.resolve()  # through a link, so that the link stays
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".tmp")
    waiting.append((Path(name), target))
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(name).chmod(target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask())


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def print_json(text: str) -> None:
    """Write one JSON document to standard output."""
    sys.stdout.write(text)
