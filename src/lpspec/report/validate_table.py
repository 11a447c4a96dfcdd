"""The ladder as lines and as a document."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from lpspec.experiments.validate_rung import Rung
from lpspec.report.wording import Command, new_table

VERDICTS = {True: "pass", False: "FAIL", None: "skipped"}


def ladder_blocks(rungs: Sequence[Rung]) -> Iterator[Any]:
    """One line a rung, how many hold, and below what does not, or does for a reason."""
    table = new_table("what each level rests on", "=rung|=|found")
    for rung in rungs:
        table.add_row(rung.name, VERDICTS[rung.passed], rung.figure, style="bold red" if rung.passed is False else None)
    yield table
    tried = [rung for rung in rungs if rung.passed is not None]
    yield f"{sum(bool(rung.passed) for rung in tried)} of {len(tried)} rungs hold"
    for rung in rungs:
        if rung.lines:
            yield ""
            yield f"{rung.name}:"
            yield from map(Command, rung.lines)


def ladder_document(rungs: Sequence[Rung]) -> dict[str, Any]:
    """What ``lpspec validate --json`` writes."""
    return {
        "passed": all(rung.passed is not False for rung in rungs),
        "rungs": [asdict(rung) | {"lines": list(rung.lines)} for rung in rungs],
    }
