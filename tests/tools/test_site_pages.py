"""Pages that are made from code: notebooks are run cell by cell, references name everything."""

import re
import sys
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
from command_line import Said

import lpspec as package
from lpspec.cli.overview import COMMANDS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
NOTEBOOK = """\
# %% [markdown]
# # Title
# Text with `code`
#
# and a second paragraph.

# %%
kept = 20


def twice(x):
    return 2 * x


# %%
print("first")
twice(kept + 1)

# %%
from matplotlib.figure import Figure

figure = Figure()
figure.subplots().set_ylabel("height [m]")
figure
"""


@pytest.fixture(scope="module")
def tools() -> Iterator[tuple[Any, Any]]:
    folder = str(ROOT / "tools")
    sys.path.insert(0, folder)
    import notebook_page
    import site_pages

    yield notebook_page, site_pages
    sys.path.remove(folder)


def test_a_page_has_text_code_what_was_printed_and_figures(tools: Any, tmp_path: Path) -> None:
    file = tmp_path / "made.py"
    file.write_text(NOTEBOOK)
    assert tools[0].page(file, tmp_path) == (
        "# Title\nText with `code`\n\nand a second paragraph.\n\n"
        "```python\nkept = 20\n\n\ndef twice(x):\n    return 2 * x\n```\n\n"
        '```python\nprint("first")\ntwice(kept + 1)\n```\n\n'
        "```text\nfirst\n42\n```\n\n"
        "```python\nfrom matplotlib.figure import Figure\n\nfigure = Figure()\n"
        'figure.subplots().set_ylabel("height [m]")\nfigure\n```\n\n'
        "![height  m ](made-3.svg)\n"
    )
    assert "<svg" in (tmp_path / "made-3.svg").read_text("utf-8")


def test_a_fault_is_said_with_its_line_in_the_file(tools: Any, tmp_path: Path) -> None:
    file = tmp_path / "made.py"
    file.write_text(NOTEBOOK.replace("kept + 1", "lost + 1"))
    with pytest.raises(NameError, match="'lost'") as caught:
        tools[0].page(file, tmp_path)
    assert caught.traceback[-1].lineno + 1 == NOTEBOOK[: NOTEBOOK.index("kept + 1")].count("\n") + 1


@pytest.mark.parametrize("text", ["", "import os\n", "import os\n# %%\nos\n"])
def test_what_stands_before_the_first_cell_is_refused(tools: Any, text: str) -> None:
    with pytest.raises(ValueError, match="begins with"):
        list(tools[0].cells(text))


def test_every_command_and_option_has_its_place(tools: Any, lpspec: Callable[..., Said]) -> None:
    reference = tools[1].command_reference()
    assert re.findall(r"^## lpspec (\w+)$", reference, re.M) == list(COMMANDS)
    for command, section in zip(COMMANDS, re.split(r"^## ", reference, flags=re.M)[1:], strict=True):
        said = lpspec(command, "--help").out
        for sub in re.findall(r"^│ (\w+) ", said, re.M) if f"lpspec {command} COMMAND" in said else ():
            assert f"\n### lpspec {command} {sub}\n" in section
        if f"lpspec {command} COMMAND" not in said:
            shown = re.findall(r"^│ [* ]*(?:[A-Z-]+ )?(--[\w-]+)", said, re.M)
            options = re.findall(r"^\* `(?:[A-Z-]+, )?(--[\w-]+)", section, re.M)
            assert len(shown) + len(options) > 0 or command in ("doctor", "completion")
            assert {option for option in shown if not option.startswith("--no-")} == set(options), command


def test_every_public_name_has_its_place(tools: Any) -> None:
    named = re.findall(r"^\.\. auto(?:class|function):: lpspec\.(\w+)$", tools[1].api_reference(), re.M)
    assert sorted(named) == sorted(package.__all__)


def test_the_site_has_every_page() -> None:
    index = (DOCS / "index.md").read_text("utf-8")
    listed = [line for part in index.split("```{toctree}")[1:] for line in part.partition("```")[0].split()]
    pages = {page.stem for page in DOCS.glob("*.md")} - {"index"}
    assert {page for page in pages if not any(fnmatch(page, name) for name in listed)} == set()


def test_the_front_page_of_the_repository_has_every_page() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert {page.name for page in DOCS.glob("*.md") if f"(docs/{page.name})" not in readme} <= {"index.md"}
