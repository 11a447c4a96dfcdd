"""The ladder as lines and as a document."""

from collections.abc import Iterator, Sequence
from typing import Any

from lpspec.experiments.validate import Rung
from lpspec.report.wording import new_table

VERDICTS = {True: "pass", False: "FAIL", None: "skipped"}


def ladder_blocks(rungs: Sequence[Rung]) -> Iterator[Any]:
    """One line a rung, then how many hold."""
    table = new_table("what each level rests on")
    table.add_column("rung", no_wrap=True)
    table.add_column("", no_wrap=True)
    table.add_column("found")
    for rung in rungs:
        table.add_row(rung.name, VERDICTS[rung.passed], rung.figure, style="bold red" if rung.passed is False else None)
    yield table
    tried = [rung for rung in rungs if rung.passed is not None]
    yield f"{sum(bool(rung.passed) for rung in tried)} of {len(tried)} rungs hold"


def ladder_document(rungs: Sequence[Rung]) -> dict[str, Any]:
    """What ``lpspec validate --json`` writes."""
    return {
        "passed": all(rung.passed is not False for rung in rungs),
        "rungs": [
            {"name": rung.name, "passed": rung.passed, "figure": rung.figure, "values": rung.values} for rung in rungs
        ],
    }
