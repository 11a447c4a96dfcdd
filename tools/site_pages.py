"""Pages of the documentation that are made from code: commands, public names, and notebooks."""

import re
from pathlib import Path

import lpspec
from lpspec.cli.command_line import make_app
from lpspec.cli.overview import COMMANDS
from notebook_page import page

DOCS = Path(__file__).parents[1] / "docs"
NOTEBOOKS = DOCS / "notebooks"
COMMANDS_INTRODUCTION = """\
# Every command and option

Made from the code, as `lpspec COMMAND --help` is. [Commands](../commands.md) has examples and what comes of them.
"""
API_INTRODUCTION = """\
# Every public name

Made from the code: what `import lpspec` gives, as `help(lpspec.compare)` shows it. [Python
API](../api.md) has examples.
"""
RESULTS = (
    "api.Run",
    "api.Comparison",
    "api.Serving",
    "api.Reproduction",
    "api_explore.PricedProduct",
    "api_explore.StudyResults",
)
"""Classes that functions return."""


def api_reference() -> str:
    """A directive for every public name, which Sphinx fills from docstrings."""
    functions: list[str] = []
    classes: list[str] = []
    for name in lpspec.__all__:
        kind = "class" if isinstance(getattr(lpspec, name), type) else "function"
        lines = [f".. auto{kind}:: lpspec.{name}"] + ["   :members:"] * (kind == "class")
        (classes if kind == "class" else functions).append("\n".join(lines))
    results = [f".. autoclass:: lpspec.{name}\n   :members:\n   :inherited-members:" for name in RESULTS]
    parts = [("Functions", functions), ("Descriptions", classes), ("Results", results)]
    sections = [f"## {title}\n\n```{{eval-rst}}\n" + "\n\n".join(found) + "\n```\n" for title, found in parts]
    return "\n".join([API_INTRODUCTION, *sections])


def command_reference() -> str:
    """Every command with its arguments and options, as Markdown."""
    reference: str = make_app().generate_docs(output_format="markdown")
    _, first, sections = reference.partition(f"## lpspec {next(iter(COMMANDS))}\n")
    sections = re.sub(r"\n[ \t]+(?=\S)", " ", first + sections)  # an option is one line
    sections = re.sub(r"`(-[^`]*)`: ", r"`\1`  \n  ", sections)
    sections = sections.replace("```console", "```text")
    return f"{COMMANDS_INTRODUCTION}\n{sections}"


def write_pages(folder: Path) -> None:
    """Write every page that is made from code.

    Args:
        folder: Where they go; it is made if need be.
    """
    notebooks = folder / "notebooks"
    notebooks.mkdir(parents=True, exist_ok=True)
    (folder / "commands.md").write_text(command_reference(), "utf-8")
    (folder / "api.md").write_text(api_reference(), "utf-8")
    for notebook in sorted(NOTEBOOKS.glob("*.py")):
        (notebooks / f"{notebook.stem}.md").write_text(page(notebook, notebooks), "utf-8")
