"""Blocks of the documentation's pages: what is to be run, and the files that a page has its reader write."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
PAGES = tuple(sorted(page.name for page in DOCS.glob("*.md")))
NAMED = re.compile(r"(?:# |<!-- )(?P<name>[\w.-]+\.(?:toml|py|jsonl?|csv|log))(?: -->)?")
FILES = ("toml", "json", "csv")
SHOWN = ("text", "{toctree}", "{eval-rst}", "diff")
"""Blocks that nobody runs: letters, lists of pages, and the changes that tests/machine/test_energy.py makes."""
PROGRAMS = ("lpspec", "make", "pip", "python", "printf", "mkdir", "cd")


@dataclass(frozen=True)
class Block:
    """A block of a page.

    Attributes:
        page: The page's file name.
        line: Its first line's number, from 1.
        kind: ``shell``, or the language after the fence.
        text: Its lines.
        name: The file that the reader keeps it as: the comment of its first line, or the one before a block of JSON.
    """

    page: str
    line: int
    kind: str
    text: str
    name: str | None

    def __str__(self) -> str:
        """Where it is."""
        return f"{self.page}:{self.line}"


@dataclass(frozen=True)
class Command:
    """A line for a shell.

    Attributes:
        block: Where it stands.
        text: The line.
        output: Lines that the page shows of what it prints.
    """

    block: Block
    text: str
    output: tuple[str, ...]

    @property
    def words(self) -> list[str]:
        """The line as a shell splits it, without its comment; operators are words of their own."""
        lexer = shlex.shlex(self.text, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        return list(lexer)

    @property
    def is_plain(self) -> bool:
        """Whether it is one call of lpspec."""
        return self.words[0] == "lpspec" and not set(self.words) & {"|", "&&", ">", ";"}

    def __str__(self) -> str:
        """The line as the list of those that are not run has it: without its comment."""
        return re.sub(r"\s+# .*", "", self.text)


def blocks(page: str) -> Iterator[Block]:
    """Every block of a page, fenced or indented."""
    lines = (DOCS / page).read_text("utf-8").splitlines()
    at = 0
    while at < len(lines):
        end = at + 1
        if (fence := re.match(r"```+", lines[at])) is not None:
            while not lines[end].startswith(fence[0]):
                end += 1
            yield _block(page, at + 1, lines[at].removeprefix(fence[0]).strip(), lines[at + 1 : end], lines[at - 1])
            end += 1
        elif _begins(lines, at):
            while end < len(lines) and lines[end].startswith("    "):
                end += 1
            yield _block(page, at + 1, "", [line[4:] for line in lines[at:end]], "")
        at = end


def _begins(lines: list[str], at: int) -> bool:
    """Whether an indented block begins here: behind an empty line or a heading."""
    return lines[at].startswith("    ") and (not lines[at - 1].strip() or lines[at - 1].startswith("#"))


def _block(page: str, line: int, kind: str, lines: list[str], before: str) -> Block:
    name = NAMED.fullmatch(lines[0]) or NAMED.fullmatch(before)
    return Block(page, line, kind or "shell", "\n".join(lines) + "\n", name["name"] if name else None)


def commands(block: Block) -> Iterator[Command]:
    """Lines of a block for a shell, with what they print: where some begin with ``$ ``, all others are printed."""
    lines = block.text.splitlines()
    if not lines[0].startswith("$ "):
        yield from (Command(block, line, ()) for line in lines)
        return
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        yield Command(block, lines[start].removeprefix("$ "), tuple(lines[start + 1 : end]))
