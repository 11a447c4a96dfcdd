"""The README's main table is what the simulator finds, to the digit that its trace carries."""

import runpy
from pathlib import Path

import pytest

from lpspec.experiments.bench import PAPER
from lpspec.experiments.reproduce import reproduce
from lpspec.report.reproduce_markdown import markdown_table

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"


@pytest.mark.slow
def test_the_main_table_is_what_reproduce_finds() -> None:
    """``python tools/readme_table.py`` writes it anew."""
    assert markdown_table(reproduce(PAPER)) in README.read_text("utf-8")


def test_the_tool_replaces_the_table_and_nothing_else() -> None:
    with_table = runpy.run_path(str(ROOT / "tools/readme_table.py"))["with_table"]
    text = README.read_text("utf-8")
    marked = with_table(text, "| a | b |\n")
    before, _, after = marked.partition("| a | b |\n")
    assert text.startswith(before)
    assert text.endswith(after)
    assert before.endswith("\n\n")
    assert after.startswith("\n")
    rows = text[len(before) : len(text) - len(after)].splitlines()
    assert len(rows) == 2 + 13
    with pytest.raises(ValueError, match="no table"):
        with_table("nothing here\n", "| a |\n")
