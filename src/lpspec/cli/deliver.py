"""Hand over a result: files whole or not at all, then either its JSON or its table."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from lpspec.cli.console import say_written, show
from lpspec.cli.outputs import Outputs, print_json, write_all

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def deliver(
    outputs: Outputs, document: dict[str, Any], blocks: Iterable[Any], draw: "Callable[[], Figure] | None" = None
) -> None:
    """Write what was asked for and show the rest.

    Args:
        outputs: Where to.
        document: The result as JSON has it.
        blocks: The result as people read it.
        draw: Makes the figure, called only if one was asked for.

    Raises:
        InputError: A file cannot be written.
    """
    from lpspec.report.documents import json_text

    contents = [(outputs.json, json_text(document).encode())] if outputs.json else []
    if outputs.figures and draw is not None:
        from lpspec.report.figures import figure_bytes

        figure = draw()
        contents += [(path, figure_bytes(figure, path.suffix)) for path in outputs.figures]
    write_all(contents)
    if outputs.json_to_stdout:
        print_json(json_text(document))
        return
    show(blocks)
    say_written(outputs.paths)
