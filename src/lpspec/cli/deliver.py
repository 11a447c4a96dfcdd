"""Hand over a result: files whole or not at all, then either its JSON or its table."""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lpspec.cli.asked import with_command
from lpspec.cli.console import say_notes, say_written, show
from lpspec.cli.outputs import FilesTogether, Outputs, print_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def deliver(
    outputs: Outputs,
    document: dict[str, Any],
    blocks: Iterable[Any],
    draw: "Callable[[], Figure | Sequence[Figure]] | None" = None,
    others: Sequence[tuple[Path, Callable[[], bytes]]] = (),
) -> None:
    """Write what was asked for and show the rest.

    Args:
        outputs: Where to.
        document: The result as JSON has it; where it does not say what it was made from, version and command are added.
        blocks: The result as people read it.
        draw: Makes the figure, or one for each part, called only if asked for.
        others: Further files, and who makes their content.

    Raises:
        InputError: A file cannot be written.
    """
    document = document if "provenance" in document else with_command(document)
    with FilesTogether() as files:
        write_json(files, outputs, document)
        if outputs.figures and draw is not None:
            write_figures(files, outputs, draw(), _scenario(document))
        for path, make in others:
            files.write(path, make())
    show_result(outputs, document, blocks, [path for path, _ in others])


def write_figures(
    files: FilesTogether, outputs: Outputs, drawn: "Figure | Sequence[Figure]", scenario: str | None
) -> None:
    """Write a figure, or one for each part, in every form that was asked for; they appear with the other files."""
    from lpspec.report.figures import figure_bytes

    figures = drawn if isinstance(drawn, Sequence) else [drawn]
    each = [figure for figure in figures for _ in range(outputs.each)]
    for path, figure in zip(outputs.figures, each, strict=True):
        files.write(path, figure_bytes(figure, path.suffix.lower(), scenario))


def _scenario(document: dict[str, Any]) -> str | None:
    """What gives a result again, on one line; None where nothing says."""
    found = document.get("provenance", {}).get("scenario")
    return None if found is None else json.dumps(found, ensure_ascii=False)


def write_json(files: FilesTogether, outputs: Outputs, document: dict[str, Any]) -> None:
    """Write the document where a file of it was asked for; it appears with the other files."""
    from lpspec.report.documents import json_text

    if outputs.json is not None:
        files.write(outputs.json, json_text(document).encode())


def show_result(
    outputs: Outputs, document: dict[str, Any], blocks: Iterable[Any], others: Iterable[Path | None]
) -> None:
    """Print the document, or what people read, its notes, and the files written, ``others`` first."""
    from lpspec.report.documents import json_text

    if outputs.json_to_stdout:
        print_json(json_text(document))
        return
    show(blocks)
    say_notes(document.get("notes", ()))
    say_written([*(path for path in others if path is not None), *outputs.paths])
