"""Acceptance from wherever it comes: a stored trace, one number, or what others measured, as one kind of trace."""

from collections.abc import Callable
from pathlib import Path

from lpspec.decoding.draft_trace import load_draft_trace
from lpspec.errors import InputError
from lpspec.scenario.measurement import Measurement
from lpspec.speculation.finding_logs import read_log, read_saved
from lpspec.speculation.finding_tables import read_csv, read_jsonl
from lpspec.speculation.findings import Finding, Origin
from lpspec.speculation.geometric import geometric_trace
from lpspec.speculation.rank_trace import RankTrace, load_trace, trace_names
from lpspec.text_files import is_file, read_text

TABLES: dict[str, Callable[[str, str, int | None], Finding]] = {
    ".csv": read_csv,
    ".jsonl": read_jsonl,
    ".json": read_saved,
}
"""Readers of tables by the end of the file's name; every other text is a log."""

LOGS = (".log", ".txt")
"""Ends of names that are files whether they are there or not; a log may have any other name, too."""


def acceptance_trace(source: str, measurement: Measurement, name: str) -> RankTrace:
    """The trace of a source.

    Args:
        source: Name or .npz file of a trace, a number such as ``3.24@7`` or ``0.72``, or a file of measurements.
        measurement: What such a file does not say of itself.
        name: Of the trace that is drawn from it.

    Raises:
        InputError: It cannot be used, or an option has no meaning for it.
    """
    path = Path(source)
    is_named = "/" in source or path.suffix in (*TABLES, *LOGS)
    if source in trace_names() or path.suffix == ".npz" or not (is_named or is_file(path)):
        return _told(source, measurement)
    finding = TABLES.get(path.suffix, read_log)(_text(path), source, measurement.depth)
    said = f"measured by others, file {path.name}"
    return finding.trace(Origin(name, said, measurement.model, measurement.drafter, measurement.temperature))


def _told(source: str, measurement: Measurement) -> RankTrace:
    """A source that says itself what it is."""
    trace = _stored(source)
    measurement.only((), f"'{source}' says itself what it is: it")
    return trace


def _stored(source: str) -> RankTrace:
    if source[:1].isdigit() or source[:1] == ".":
        return geometric_trace(source)
    try:
        return load_trace(source)
    except InputError as error:
        try:
            drafts = load_draft_trace(source)
        except InputError:
            raise error from None
    return drafts.ranks_of_truth()


def _text(path: Path) -> str:
    try:
        return read_text(path)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"'{path}' is no text in UTF-8, and no trace (.npz)") from None
