"""The console: one progress line on standard error, one table on standard output, the paths written."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 124
"""Columns of a table that is written to a file or a pipe."""


def stdout_console() -> "Console":
    """A console as wide as the terminal; a fixed width and no wrapped text where there is none."""
    from rich.console import Console

    asked = os.environ.get("COLUMNS", "")
    is_asked = asked.isascii() and asked.isdecimal() and int(asked) > 0
    fixed = int(asked) if is_asked else None if sys.stdout.isatty() else PIPE_WIDTH
    return Console(width=fixed, highlight=False, markup=False, emoji=False)  # a source may say "[P]"


def show(blocks: Iterable[Any]) -> None:
    """Print tables and lines one after the other."""
    from lpspec.report.wording import Command

    console = stdout_console()
    for block in blocks:
        unbroken = isinstance(block, Command) or (isinstance(block, str) and not console.is_terminal)
        console.print(block, soft_wrap=unbroken)


def say_written(paths: Iterable[Path]) -> None:
    """Name the files written, one a line."""
    for path in paths:
        print(f"wrote {path}")


def say_notes(notes: Iterable[str]) -> None:
    """Say what had no effect on standard error, one note a line."""
    for note in notes:
        print(f"lpspec: note: {note}", file=sys.stderr, flush=True)


@contextmanager
def progress(what: str) -> Iterator[Callable[[str], None]]:
    """A line that moves and says what is being done; nothing where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield lambda now: None
        return
    from rich.console import Console

    with Console(stderr=True).status(what) as line:
        yield lambda now: line.update(f"{what}: {now}")


@contextmanager
def counted(what: str, shown: bool = True) -> Iterator[Callable[[float], None]]:
    """A bar that its user moves, from 0 to 1, while the work lasts; nothing where standard error is no terminal."""
    if not (shown and sys.stderr.isatty()):
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(what, total=1.0)
        yield lambda done: bars.update(bar, completed=done)


EACH_LINE_S = 60.0
"""Where standard error is no terminal, a line of progress comes this often."""


@contextmanager
def paced(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar with rate and time left, moved from 0 to ``total``; a line a minute where standard error is no terminal."""
    if sys.stderr.isatty():
        with _bar(what, total) as move:
            yield move
        return
    start_s = last_s = time.monotonic()

    def say(done: int) -> None:
        nonlocal last_s
        now_s = time.monotonic()
        if now_s - last_s >= EACH_LINE_S:
            last_s = now_s
            left_s = (now_s - start_s) / max(done, 1) * (total - done)
            print(f"lpspec: {what}: {done} of {total}, {left_s / 60:.0f} min left", file=sys.stderr, flush=True)

    yield say


@contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    rate = TextColumn("{task.fields[rate]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), rate, TimeRemainingColumn())
    start_s = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task(what, total=total, rate="")

        def move(done: int) -> None:
            per_s = done / max(time.monotonic() - start_s, 1e-9)
            bars.update(bar, completed=done, rate=f"{per_s:.3g}/s")

        yield move
