"""Run the comparison of LP-Spec+ with LP-Spec: every side once, kept in a store, and rows of their ratios."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from lpspec.arrays import FloatArray
from lpspec.errors import InputError
from lpspec.experiments.beyond import ALL, Case, Piece
from lpspec.experiments.compare import compare
from lpspec.experiments.intervals import (
    SEED,
    Resampling,
    Sampled,
    counted_by_turn,
    counted_of_samples,
    efficiency_of,
    interval,
    interval_of_few,
    sampled,
)
from lpspec.experiments.serving import serve_requests
from lpspec.explore.named_files import point_key
from lpspec.explore.points import Point
from lpspec.explore.results import Results
from lpspec.explore.store import Outcome, Store
from lpspec.explore.sweep import Progress, compute
from lpspec.explore.workers import Workers
from lpspec.scenario import Scenario
from lpspec.scenario.names import Fidelity
from lpspec.simulation.requests import is_served

FIGURES = ("tokens_per_s", "tokens_per_j", "edp_s_mj", "mean_l_spec", "mean_acceptance_length")

SAMPLES = 20
"""Of requests that share passes; every one is served anew."""


@dataclass(frozen=True)
class Row:
    """LP-Spec+, or some of its pieces, against LP-Spec in a case.

    Attributes:
        case: Where.
        piece: All of them, one alone, or one left out.
        pieces: Those that are in it.
        own: Its figures by name.
        baseline: Those of LP-Spec.
        fidelity: What priced it.
        samples: The ratios of EDP and token/s in samples of turns.
        scenario: What repeats it.
    """

    case: Case
    piece: str
    pieces: tuple[Piece, ...]
    own: Mapping[str, float]
    baseline: Mapping[str, float]
    fidelity: str
    samples: tuple[Sampled, Sampled]
    scenario: Mapping[str, Any]

    @property
    def edp_ratio(self) -> float:
        """Energy-delay product of a token over LP-Spec's; below 1 it is better."""
        return self.own["edp_s_mj"] / self.baseline["edp_s_mj"]

    @property
    def tokens_per_s_ratio(self) -> float:
        """Throughput over LP-Spec's; above 1 it is better."""
        return self.own["tokens_per_s"] / self.baseline["tokens_per_s"]


@dataclass(frozen=True)
class Beyond:
    """Everything that ``lpspec study beyond`` reports.

    Attributes:
        rows: LP-Spec+, all pieces together, in every case.
        parts: Each piece alone and left out, in some.
        refused: Cases that cannot run, with the reason.
    """

    rows: tuple[Row, ...]
    parts: tuple[Row, ...]
    refused: tuple[tuple[Case, str, str], ...]


def run_side(values: dict[str, Any]) -> Outcome:
    """Run one side of the comparison, with samples of the requests where they share passes.

    Args:
        values: A scenario of one system as plain data.
    """
    start_s = time.process_time()
    scenario = Scenario.from_dict(values)
    metrics: dict[str, Any]
    try:
        if is_served(scenario.workload):
            (served,) = serve_requests(scenario, SAMPLES).runs
            counted, fidelity = served.counted, served.fidelity
            metrics = {name: getattr(counted, name) for name in FIGURES[:3]}
            metrics |= {name: getattr(served, name) for name in FIGURES[3:]}
            metrics["samples"] = counted_of_samples(served).tolist()
        else:
            (run,) = compare(scenario).runs
            fidelity = run.fidelity
            metrics = {name: getattr(run, name) for name in FIGURES}
            metrics["turns"] = counted_by_turn(run).tolist()
    except InputError as error:
        return Outcome(None, None, str(error), time.process_time() - start_s)
    return Outcome(metrics, fidelity, None, time.process_time() - start_s)


@dataclass(frozen=True)
class _Asked:
    """A row that is wanted, before it has run."""

    case: Case
    piece: str
    pieces: tuple[Piece, ...]
    own: Point
    baseline: Point


def beyond(
    wanted: Sequence[Case],
    by: Workers,
    fidelity: Fidelity = "command",
    new_tokens: int | None = None,
    folder: str | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> Beyond:
    """Compare LP-Spec+ with LP-Spec.

    Args:
        wanted: In which cases.
        by: Who computes, by ``run_side``; ended afterwards.
        fidelity: What prices steps.
        new_tokens: Tokens of each turn at most; None for whole turns.
        folder: Keeps what has run, so that a run that was ended goes on; None for nowhere.
        advance: Told how many scenarios are done.

    Raises:
        InputError: The folder cannot be used, or holds points of something else.
    """
    asked = [row for case in wanted for row in _asked(case, fidelity, new_tokens)]
    points = {point.key: point for row in asked for point in (row.baseline, row.own)}

    def tell(progress: Progress) -> None:
        advance(progress.found + progress.computed)

    with tempfile.TemporaryDirectory() as nowhere:
        where = str(Path(nowhere) / "beyond") if folder is None else folder
        try:
            with Store(where, create=True) as store:
                compute(iter(points.values()), store, by, Progress(len(points)), tell)
        finally:
            by.close()
        results = Results(where)
        try:
            found = results.of_keys(list(points))
        finally:
            results.close()
    return _rows(asked, found, where)


def _asked(case: Case, fidelity: Fidelity, new_tokens: int | None) -> Iterator[_Asked]:
    def point(pieces: tuple[Piece, ...]) -> Point:
        scenario = case.scenario(pieces, fidelity, new_tokens)
        return Point(scenario, {}, point_key(scenario))

    baseline = point(())
    for piece, pieces in case.variants().items():
        yield _Asked(case, piece, pieces, point(pieces), baseline)


def _rows(asked: Sequence[_Asked], found: Mapping[str, Mapping[str, Any]], where: str) -> Beyond:
    rows: list[Row] = []
    refused: list[tuple[Case, str, str]] = []
    for row in asked:
        own, baseline = found[row.own.key], found[row.baseline.key]
        error = own["error"] or baseline["error"]
        if error is not None:
            refused.append((row.case, row.piece, error))
            continue
        drawn = "samples" if row.case.batch > 1 else "turns"
        if any(side["metrics"].get(drawn) is None for side in (own, baseline)):
            raise InputError(f"store '{where}' holds points of a sweep: give this study a folder of its own")
        mine, theirs = ({name: side["metrics"][name] for name in FIGURES} for side in (own, baseline))
        is_paired = row.own.scenario.trace == row.baseline.scenario.trace
        samples = _in_samples(is_paired, drawn == "samples", own["metrics"][drawn], baseline["metrics"][drawn])
        scenario = row.own.scenario.to_dict()
        rows.append(Row(row.case, row.piece, row.pieces, mine, theirs, own["fidelity"], samples, scenario))
    together = tuple(row for row in rows if row.piece == ALL)
    return Beyond(together, tuple(row for row in rows if row.piece != ALL), tuple(refused))


@lru_cache(8)
def _draws(turns: int, seed: int) -> Resampling:
    return Resampling(turns, seed=seed)


def _in_samples(is_paired: bool, is_drawn: bool, own: Any, baseline: Any) -> tuple[Sampled, Sampled]:
    """Both ratios; where both sides have one trace, the same turns are drawn for both, which may have been before.

    Samples of two traces have nothing to do with each other, whichever stand side by side.
    """
    sides: list[FloatArray] = [np.array(drawn, np.float64) for drawn in (own, baseline)]
    seeds = SEED, SEED if is_paired else SEED + 1
    if is_drawn:
        mine, theirs = (efficiency_of(side.T) for side in sides)
    else:
        mine, theirs = (_draws(len(side), seed).of_turns(side) for side, seed in zip(sides, seeds, strict=True))
    of = interval_of_few if is_drawn else interval
    ratios = mine.edp_s_mj / theirs.edp_s_mj, mine.tokens_per_s / theirs.tokens_per_s
    edp, tokens_per_s = (sampled(ratio, of(ratio)) for ratio in ratios)
    return edp, tokens_per_s
