"""``lpspec validate``: the ladder from counted bits to published tables."""

from lpspec.cli.compiled import announce_compiling
from lpspec.cli.console import progress
from lpspec.cli.deliver import deliver
from lpspec.cli.options import JsonFile
from lpspec.cli.outputs import plan_outputs

A_RUNG_FAILED = 1


def validate(*, json: JsonFile = None) -> int:
    """Compare every level of the model with the one below it, and with what is published; exit code 1 if one fails.

    Takes half a minute. The last rung decodes a small model and is left out without lpspec[models].

    Parameters
    ----------
    json
        Write the result as JSON to this file, with the numbers behind every rung; - prints it instead of the table.
    """
    outputs = plan_outputs(json)
    announce_compiling()
    from lpspec.experiments.validate import climb
    from lpspec.report.validate_table import ladder_blocks, ladder_document

    with progress("validating") as line:

        def advance(name: str) -> None:
            if line is not None:
                line.update(f"validating: {name}")

        rungs = list(climb(advance))
    deliver(outputs, ladder_document(rungs), ladder_blocks(rungs))
    return A_RUNG_FAILED if any(rung.passed is False for rung in rungs) else 0
