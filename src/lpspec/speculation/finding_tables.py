"""Tables of acceptance that people keep: accepted drafts per pass, rates by position, accuracies by head.

The first line of a CSV file says which it is:

    request,accepted        one pass a line; ``tokens`` counts the root too; ``request`` (or ``request_id``) may be
                            left out
    position,rate           share of passes whose drafts were all accepted up to this position, as vLLM has it
    position,conditional    share of those that were accepted up to the position before
    head,top1,top2,...      how often the true token is among a head's first k guesses; or rank1,rank2,...: the k-th

A line of JSONL is a pass, {"request": "a", "accepted": 2}, or all passes of a request, {"accepted": [2, 0, 3]}.
"""

import csv
import json
import math
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from lpspec.arrays import FloatArray
from lpspec.errors import InputError, shown
from lpspec.speculation.findings import Finding, Lists, StepLengths, Survival
from lpspec.speculation.geometric import MOST_DRAFTS
from lpspec.speculation.rank_trace import MAX_TOP_K
from lpspec.text_files import each_key_once, is_number_text, split_lines

_GUESS = re.compile(r"(top|rank)([0-9]{1,3})(?:_cum)?(?:_prob)?")
_REQUEST = ("request", "request_id")
_NOTES = re.compile(
    r"(.*_)?(step|pass|turn|index|time|timestamp|latency|ms|s|seed|temperature|prompt|text|model|category|task|dataset)"
    r"(_.*)?"
)
"""Columns of numbers that say nothing more of acceptance; other numbers could be counts, or drafts of a pass."""

_HEADERS = "request,accepted; position,rate; position,conditional; or head,top1,top2,..."
ROUNDING = 5e-4
"""How much a share may rise with depth, or a sum exceed 1: rates are published with three digits."""


class _Row(NamedTuple):
    """A line with what its columns hold; ``where`` begins what is said of it."""

    where: str
    cells: dict[str, str]

    def share(self, column: str) -> float:
        return read_share(self.cells[column], f"{self.where}: {column}")

    def count(self, column: str) -> int:
        return _count(self.cells[column], f"{self.where}: {column}")


def read_csv(text: str, where: str, drafts: int | None = None) -> Finding:
    """Read a table with commas.

    Args:
        text: Of the file.
        where: The file, for messages.
        drafts: Drafts of a pass, for a table of passes; None for the most that one accepted.

    Raises:
        InputError: It is no such table, with the line of the fault.
    """
    rows = list(_rows(text, where))
    columns = rows[0].cells if rows else {}
    if "accepted" in columns or "tokens" in columns:
        key = _counted(columns, where)
        of_requests = _request_key(columns, where)
        for row in rows:
            _refuse_numbers(row.cells, (key, of_requests), row.where)
        return steps_of(
            [(row.where, row.cells.get(of_requests, ""), [row.count(key)]) for row in rows], key, where, drafts
        )
    if drafts is not None:
        raise InputError(f"{where}: the table itself says how many drafts there are, and --depth is given too")
    if "position" in columns and ("rate" in columns or "conditional" in columns):
        for row in rows:
            _refuse_numbers(row.cells, ("position", "rate", "conditional"), row.where)
        return _survival(rows, "rate" if "rate" in columns else "conditional", where)
    if "head" in columns:
        return _lists(rows, where)
    raise InputError(f"{where}: no table of acceptance; its first line must be {_HEADERS}")


def _rows(text: str, where: str) -> Iterator[_Row]:
    reader = csv.reader(split_lines(text), strict=True)
    try:
        head = [name.strip().lower() for name in next(reader, [])]
        if twice := next((name for name in head if name and head.count(name) > 1), None):
            raise InputError(f"{where}: column '{shown(twice, 30)}' stands twice in the first line")
        for cells in reader:
            at = f"{where}, line {reader.line_num}"
            if any(cell.strip() for cell in cells):
                if len(cells) != len(head):
                    raise InputError(f"{at}: has {len(cells)} cells, but the first line names {len(head)} columns")
                yield _Row(at, {name: cell.strip() for name, cell in zip(head, cells, strict=True)})
    except csv.Error as error:
        raise InputError(f"{where}, line {reader.line_num}: {error}") from None


def read_jsonl(text: str, where: str, drafts: int | None = None) -> Finding:
    """Read a JSON object per line; arguments and errors are as for ``read_csv``."""
    passes: list[tuple[str, str, list[int]]] = []
    key = ""
    for number, line in enumerate(split_lines(text), 1):
        if not line.strip():
            continue
        at = f"{where}, line {number}"
        found = read_object(line, at)
        key = key or _counted(found, at)
        if key not in found:
            raise InputError(f"{at}: has no '{key}', which lines before it have")
        values = found[key] if isinstance(found[key], list) else [found[key]]
        of_requests = _request_key(found, at)
        _refuse_numbers(found, (key, of_requests), at)
        label = str(found.get(of_requests, "" if values == [found[key]] else number))
        passes.append((at, label, [_count(value, f"{at}: {key}") for value in values]))
    return steps_of(passes, key, where, drafts)


def read_object(line: str, at: str) -> dict[str, Any]:
    """A JSON object; ``at`` begins what is said of a text that is none.

    Raises:
        InputError: It is none.
    """
    try:
        found = json.loads(line, object_pairs_hook=each_key_once)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{at}: is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise InputError(f'{at}: is no JSON object, such as {{"accepted": 2}}')
    return found


def _counted(names: Any, where: str) -> str:
    keys = [key for key in ("accepted", "tokens") if key in names]
    if len(keys) != 1:
        raise InputError(
            f"{where}: must have either 'accepted', drafts of a pass, or 'tokens', which counts the root too"
        )
    return keys[0]


def _request_key(names: Collection[str], where: str) -> str:
    """The column that says which request a pass is of."""
    found = [key for key in _REQUEST if key in names]
    if len(found) > 1:
        raise InputError(f"{where}: has both {' and '.join(found)}: keep one of them")
    return found[0] if found else _REQUEST[0]


def _refuse_numbers(cells: Mapping[str, Any], used: Collection[str], at: str) -> None:
    """Refuse numbers in columns that nobody knows, such as how often a pass was seen, or how many drafts it had."""
    for name, value in cells.items():
        if name in used or value in (None, "", []) or _NOTES.fullmatch(name.lower()):
            continue
        one = value[0] if isinstance(value, list) else value
        if isinstance(one, int | float) or (isinstance(one, str) and re.fullmatch(r"[-+]?[0-9.]+%?", one)):
            raise InputError(
                f"{at}: '{shown(name, 30)}' holds numbers that may count something, and are not known: take it out"
            )


def steps_of(passes: list[tuple[str, str, list[int]]], key: str, where: str, drafts: int | None) -> StepLengths:
    """Passes in their order, as requests.

    Args:
        passes: Of each entry where it stands, its request, and what its passes accepted.
        key: ``accepted``, or ``tokens``, which counts the root too.
        where: The file, for messages.
        drafts: Of each pass; None for the most that one accepted.

    Raises:
        InputError: There is no pass, or one accepted more drafts than are possible.
    """
    if not any(values for _, _, values in passes):
        raise InputError(f"{where}: holds no pass")
    most = MOST_DRAFTS if drafts is None else drafts
    requests: dict[str, list[int]] = {}
    for at, label, values in passes:
        for value in values:
            accepted = value - (key == "tokens")
            if not 0 <= accepted <= most:
                raise InputError(f"{at}: a pass of {accepted} accepted drafts; allowed are 0 to {most}")
            requests.setdefault(label, []).append(accepted)
    longest = max(max(values) for values in requests.values())
    arrays = tuple(np.array(values, np.int64) for values in requests.values())
    return StepLengths(tuple(requests), arrays, max(longest, 1) if drafts is None else drafts)


def _survival(rows: list[_Row], column: str, where: str) -> Survival:
    positions = [row.count("position") for row in rows]
    first = positions[0]
    if first > 1 or positions != list(range(first, first + len(rows))):
        raise InputError(f"{where}: positions must be 0, 1, 2, ... or 1, 2, 3, ..., one a line, not {positions[:8]}")
    shares = np.array([row.share(column) for row in rows])
    return survival_of(np.cumprod(shares) if column == "conditional" else shares, where)


def survival_of(shares: FloatArray, where: str) -> Survival:
    """Shares by depth, which never rise but by rounding.

    Raises:
        InputError: There are no positions, too many, or the rate rises.
    """
    if len(shares) > MOST_DRAFTS:
        raise InputError(f"{where}: {len(shares)} positions; allowed are 1 to {MOST_DRAFTS}")
    rises = np.flatnonzero(np.diff(shares) > ROUNDING)
    if len(rises):
        before, after = shares[rises[0]], shares[rises[0] + 1]
        raise InputError(
            f"{where}: the rate rises from {before:g} to {after:g} at position {rises[0] + 2}: of all passes, as vLLM "
            "counts, it cannot; name the column conditional if it is of those accepted before"
        )
    return Survival(np.minimum.accumulate(shares))


def _lists(rows: list[_Row], where: str) -> Lists:
    found = [_guesses(row) for row in rows]
    heads = [row.count("head") for row in rows]
    first = heads[0]
    if first > 1 or heads != list(range(first, first + len(rows))):
        raise InputError(f"{where}: heads must be 1, 2, 3, ... of one model, one a line, not {heads[:8]}")
    return Lists(np.array(found))


def _guesses(row: _Row) -> list[float]:
    """How often each guess of a head is right."""
    columns = {(form[1], int(form[2])): name for name in row.cells if (form := _GUESS.fullmatch(name))}
    kind = "rank" if ("rank", 1) in columns else "top"
    count = sum(each == kind for each, _ in columns)
    if not 1 <= count <= MAX_TOP_K or any((kind, k) not in columns for k in range(1, count + 1)):
        raise InputError(f"{row.where}: columns of a head must be top1, top2, ... or rank1, rank2, ..., none left out")
    shares = [row.share(columns[kind, k]) for k in range(1, count + 1)]
    ranks = np.diff(shares, prepend=0.0) if kind == "top" else np.array(shares)
    if ranks.min() < -ROUNDING or ranks.sum() > 1 + ROUNDING:
        what = "top1, top2, ... never fall" if kind == "top" else "rank1, rank2, ... add up to 1 at most"
        raise InputError(f"{row.where}: {what}")
    return [float(share) for share in np.maximum(ranks, 0.0)]


def read_share(text: str, at: str) -> float:
    """A share from 0 to 1, or in percent.

    Raises:
        InputError: It is neither.
    """
    try:
        share = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = math.nan
    if not is_number_text(text) or not 0 <= share <= 1:
        raise InputError(f"{at} is '{shown(text, 30)}': allowed are 0 to 1, or 0% to 100%")
    return share


def _count(value: Any, at: str) -> int:
    number = int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,9}", value) else value
    if type(number) is not int or number < 0:
        raise InputError(f"{at} is {shown(repr(value), 30)}: allowed are whole numbers from 0")
    return number
