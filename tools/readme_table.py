"""Write the README's main table and figure anew: what ``lpspec reproduce`` finds, at command level."""

import sys
from pathlib import Path

from lpspec.experiments.bench import PAPER
from lpspec.experiments.reproduce import reproduce
from lpspec.report.figures import figure_bytes
from lpspec.report.reproduce_figure import reproduction_figure
from lpspec.report.reproduce_markdown import HEADER, markdown_table

README = Path(__file__).parents[1] / "README.md"
FIGURE = README.parent / "docs/reproduce.png"


def with_table(text: str, table: str) -> str:
    """A README's text with its main table replaced: the lines from its head to the first that is no row.

    Args:
        text: The README.
        table: The table, lines that end in a line feed.

    Raises:
        ValueError: The text has no such table.
    """
    lines = text.splitlines(keepends=True)
    head = next((i for i, line in enumerate(lines) if line.startswith(f"| {HEADER[0]} |")), None)
    if head is None:
        raise ValueError(f"no table that starts with '| {HEADER[0]} |'")
    end = next(i for i in range(head, len(lines)) if not lines[i].startswith("|"))
    return "".join([*lines[:head], table, *lines[end:]])


if __name__ == "__main__":
    found = reproduce(PAPER)
    table = markdown_table(found)
    README.write_text(with_table(README.read_text("utf-8"), table), "utf-8")
    FIGURE.write_bytes(figure_bytes(reproduction_figure(found), ".png"))
    sys.stdout.write(table)
