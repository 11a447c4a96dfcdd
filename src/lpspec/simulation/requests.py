"""Requests that arrive one by one: read from a file, drawn at random, or every turn of a trace at once."""

import csv
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lpspec.arrays import FloatArray, IntArray
from lpspec.errors import InputError, listed, shown
from lpspec.scenario import Workload
from lpspec.scenario.checking import DRAWN, LARGEST
from lpspec.speculation.rank_trace import RankTrace, load_trace
from lpspec.text_files import each_key_once, is_number_text, split_lines, text_of

NOBODY_KNOWS = 2 * LARGEST
"""Tokens after which a request ends for certain, where nobody knows."""

LATEST_S = 1e8
MOST_REQUESTS = 1_000_000
KEYS = ("arrival_s", "prompt_tokens", "new_tokens", "turn", "trace")
POISSON = re.compile(DRAWN + r"([0-9.eE+-]+)/s:([0-9]{1,9})(?::([0-9]{1,9}))?")


@dataclass(frozen=True)
class Requests:
    """Requests in the order of their arrival, those that arrive together in the order in which they were given.

    Attributes:
        arrival_ns: float64 [requests].
        prompt_tokens: int64 [requests].
        new_tokens: int64 [requests], tokens that each generates.
        limit: int64 [requests], tokens after which it ends for certain; ``NOBODY_KNOWS`` where it ends by itself.
        turn: int64 [requests], of its trace, whose acceptance it has; it reads on in the next one where that ends.
        trace: int64 [requests], index of its trace.
        traces: What these are.
        said_as: How a table calls them.
        own_prompts: Whether every request says how long its prompt is.
        own_new_tokens: Whether every request says how many tokens it generates.
    """

    arrival_ns: FloatArray
    prompt_tokens: IntArray
    new_tokens: IntArray
    limit: IntArray
    turn: IntArray
    trace: IntArray
    traces: tuple[RankTrace, ...]
    said_as: str
    own_prompts: bool = False
    own_new_tokens: bool = False

    def __len__(self) -> int:
        """How many."""
        return len(self.arrival_ns)

    @property
    def content_hash(self) -> str:
        """SHA-256, in hexadecimal, of everything that decides a run."""
        digest = hashlib.sha256("".join(trace.content_hash for trace in self.traces).encode())
        for column in (self.arrival_ns, self.prompt_tokens, self.new_tokens, self.limit, self.turn, self.trace):
            digest.update(column.tobytes())
        return digest.hexdigest()

    def drawn(self, which: IntArray) -> "Requests":
        """As many arrivals at the same times, each of the request that ``which``, int64 [requests], has for it."""
        columns = ("prompt_tokens", "new_tokens", "limit", "turn", "trace")
        return replace(self, **{column: getattr(self, column)[which] for column in columns})

    @property
    def last_context(self) -> int:
        """The longest context that any of them reaches, tokens."""
        return int((self.prompt_tokens + self.new_tokens).max())


def is_served(workload: Workload) -> bool:
    """Whether a workload is more than every turn of the trace, one after the other."""
    return workload.requests is not None or workload.batch > 1


def refuse_served(workload: Workload) -> None:
    """Say that something takes one request at a time, rather than ignore that several are meant.

    Raises:
        InputError: The workload has requests, or a batch.
    """
    if is_served(workload):
        raise InputError("workload: lpspec compare alone serves requests and batches: this takes one request at a time")


def load_requests(workload: Workload, trace: RankTrace) -> Requests:
    """The requests of a workload.

    Args:
        workload: Says which, and what is not said of each.
        trace: Whose acceptance they have where they name no other.

    Raises:
        InputError: The file cannot be read, or something in it cannot be.
    """
    text = workload.requests
    if text is None:
        rows: list[Mapping[str, Any]] = [{"arrival_s": 0.0} for _ in range(trace.turns)]
        return _made(rows, workload, trace, f"{trace.turns} turns of trace '{trace.name}', all there at once")
    if text.startswith(DRAWN):
        return _drawn(text, workload, trace)
    path = Path(text)
    content = text_of(path, f"requests file '{text}'")
    if path.suffix not in (".jsonl", ".csv"):
        raise InputError(f"requests '{shown(text, 60)}': allowed are a .jsonl or .csv file, or poisson:2.5/s:1000")
    read = _json_rows if path.suffix == ".jsonl" else _csv_rows
    rows = [_checked(row, where) for row, where in read(content, f"requests file '{text}'")]
    if not rows:
        raise InputError(f"requests file '{text}' has no request")
    return _made(rows, workload, trace, f"{len(rows)} of {path.name}")


def _drawn(text: str, workload: Workload, trace: RankTrace) -> Requests:
    """Arrivals at random, so many per second in the mean."""
    found = POISSON.fullmatch(text)
    rate, count, seed = (found[1], int(found[2]), int(found[3] or 0)) if found else ("", 0, 0)
    try:
        per_s = float(rate)
    except ValueError:
        per_s = 0.0
    if not (1e-6 <= per_s <= 1e6 and 1 <= count <= MOST_REQUESTS):
        raise InputError(
            f"requests '{shown(text, 40)}': must be poisson:RATE/s:COUNT or with :SEED behind, a rate of 1e-6 to 1e6 "
            f"and 1 to {MOST_REQUESTS} requests"
        )
    arrival_s = np.cumsum(np.random.default_rng(seed).exponential(1 / per_s, count))
    rows: list[Mapping[str, Any]] = [{"arrival_s": s} for s in arrival_s.tolist()]
    return _made(rows, workload, trace, f"{count} at random, {per_s:g} per second in the mean, seed {seed}")


def _json_rows(content: str, where: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    for number, line in enumerate(split_lines(content), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=each_key_once)
        except (json.JSONDecodeError, RecursionError):
            row = None
        except ValueError as error:
            raise InputError(f"{where}, line {number}: {error}") from None
        if not isinstance(row, dict):
            raise InputError(f'{where}, line {number}: must be a JSON object such as {{"arrival_s": 0.5}}')
        yield row, f"{where}, line {number}"


def _csv_rows(content: str, where: str) -> Iterator[tuple[Mapping[str, Any], str]]:
    reader = csv.DictReader(io.StringIO(content), strict=True)
    try:
        head = [name.strip() for name in reader.fieldnames or ()]
        if twice := next((name for name in head if head.count(name) > 1), None):
            raise InputError(f"{where}: column '{shown(twice, 30)}' stands twice in its first line")
        for row in reader:
            here = f"{where}, line {reader.line_num}"
            if None in row or None in row.values():
                raise InputError(f"{here}: must have as many fields as its first line")
            yield {key.strip(): _number(text.strip()) for key, text in row.items() if text.strip()}, here
    except csv.Error as error:
        raise InputError(f"{where}, line {reader.line_num}: is no CSV: {error}") from None


def _number(text: str) -> Any:
    """A number where it is one; Python's own spellings, such as 1_000, are none."""
    for kind in (int, float) if is_number_text(text) else ():
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _checked(row: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """A request whose values can be."""
    for key in row:
        if key not in KEYS:
            raise InputError(f"{where}: unknown key '{shown(str(key), 40)}': known are {listed(KEYS, 100)}")
    arrival = row.get("arrival_s")
    if not isinstance(arrival, int | float) or isinstance(arrival, bool) or not 0 <= arrival <= LATEST_S:
        raise InputError(f"{where}: arrival_s must be 0 to {LATEST_S:g} seconds, not {_said(arrival)}")
    for key, least in (("prompt_tokens", 1), ("new_tokens", 1), ("turn", 0)):
        value = row.get(key, least)
        if type(value) is not int or not least <= value <= LARGEST:
            raise InputError(f"{where}: {key} must be a whole number from {least} to {LARGEST}, not {_said(value)}")
    if not isinstance(row.get("trace", ""), str):
        raise InputError(f"{where}: trace must be the name of a trace or a file, not {_said(row['trace'])}")
    return row


def _said(value: Any) -> str:
    return shown(repr(value), 30)


def _made(rows: list[Mapping[str, Any]], workload: Workload, trace: RankTrace, said_as: str) -> Requests:
    """Requests with what is not said of them, sorted by arrival."""
    traces, which = _traces(rows, trace)
    order = np.argsort([row["arrival_s"] for row in rows], kind="stable").tolist()
    turns, new_tokens, limits = [], [], []
    for place, row in enumerate(rows):
        mine = traces[which[place]]
        turn = row.get("turn", place % mine.turns)
        if turn >= mine.turns:
            raise InputError(
                f"request {place + 1}: turn {turn} is not in trace '{mine.name}': it has 0 to {mine.turns - 1}"
            )
        length = int(mine.turn_lengths[turn])
        most = length if workload.new_tokens is None else min(length, workload.new_tokens)
        turns.append(turn)
        new_tokens.append(row.get("new_tokens", most))
        limits.append(row.get("new_tokens", workload.new_tokens or NOBODY_KNOWS))

    def column(values: list[Any], kind: type = np.int64) -> Any:
        return np.array(values, kind)[order]

    return Requests(
        arrival_ns=column([row["arrival_s"] * 1e9 for row in rows], np.float64),
        prompt_tokens=column([row.get("prompt_tokens", workload.prompt_tokens) for row in rows]),
        new_tokens=column(new_tokens),
        limit=column(limits),
        turn=column(turns),
        trace=column(which),
        traces=traces,
        said_as=said_as,
        own_prompts=all("prompt_tokens" in row for row in rows),
        own_new_tokens=all("new_tokens" in row for row in rows),
    )


def _traces(rows: list[Mapping[str, Any]], trace: RankTrace) -> tuple[tuple[RankTrace, ...], list[int]]:
    """Every trace that a request names, and which each has."""
    names: list[str | None] = list(dict.fromkeys(row.get("trace") for row in rows))
    load: Callable[[str | None], RankTrace] = lambda name: trace if name is None else load_trace(name)  # noqa: E731
    return tuple(map(load, names)), [names.index(row.get("trace")) for row in rows]
