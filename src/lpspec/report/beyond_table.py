"""LP-Spec+ against LP-Spec, as tables and as JSON."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.text import Text

from lpspec.experiments.beyond import ALL, EXTRAS, LONG, PIECES, SOONEST, SPEC_BENCH, WITH, WITHOUT, Case, Piece
from lpspec.experiments.intervals import Interval, Sampled
from lpspec.explore.beyond import Beyond, Row
from lpspec.report.wording import digits, new_table, plus_minus
from lpspec.scenario.scenario import DEFAULT


def beyond_blocks(result: Beyond) -> Iterator[Any]:
    """A table of every case, one of the pieces in those that are taken apart, and what each piece needs."""
    yield _cases_table(result.rows)
    taken_apart = taken_apart_in(result)
    if taken_apart:
        yield _pieces_table(result, taken_apart)
    if any(row.piece == SOONEST and row.case.batch > 1 for row in result.parts):
        yield _batches_table(result)
    if any(row.piece.startswith(WITH) for row in result.parts):
        yield _extras_table(result)
    for piece in (*PIECES, *EXTRAS):
        yield f"{piece.name}: {piece.effect}" + ("" if piece.is_lossless else "; text is another")
        yield f"  needs besides LP-Spec's hardware: {piece.hardware}"
    for case, name, why in result.refused:
        yield f"left out  {case_label(case)}, {name}: {why}"


def case_label(case: Case) -> str:
    """A case in a few words."""
    parts = [case.model]
    if case.drafter != "medusa":
        parts.append(case.drafter)
    if case.context >= LONG:
        parts.append(f"{case.context / 1024:g}k")
    if case.batch > 1:
        parts.append(f"batch {case.batch}")
    if case.trace == SPEC_BENCH:
        parts.append("Spec-Bench")
    if case.profile != DEFAULT.energy_profile:
        parts.append(case.profile)
    return ", ".join(parts)


def _cases_table(rows: Sequence[Row]) -> Any:
    table = new_table(
        "LP-Spec+ over LP-Spec as published: all heads, columns split so that both sides finish together",
        "=|=>EDP s·mJ|=>over\nLP-Spec's|=>token/s|=>over\nLP-Spec's|=>L_spec|=>LP-Spec's",
    )
    shown = ""
    for row in rows:
        if row.case.shows != shown:
            shown = row.case.shows
            table.add_row(Text(shown, style="bold"))
        table.add_row(
            f"  {case_label(row.case)}",
            digits(row.own["edp_s_mj"]),
            _ratio(row.edp_ratio, row.samples[0]),
            digits(row.own["tokens_per_s"]),
            _ratio(row.tokens_per_s_ratio, row.samples[1]),
            f"{row.own['mean_l_spec']:.2f}",
            f"{row.baseline['mean_l_spec']:.2f}",
        )
    return table


def _ratio(value: float, of: Interval) -> str:
    return digits(value, 3) if of.half_width < 0.0005 else plus_minus(value, of.half_width)


def _pieces_table(result: Beyond, taken_apart: Sequence[Case]) -> Any:
    """EDP ratios of each piece alone and of all others without it."""
    by_name = {(row.case, row.piece): row for row in result.parts}
    table = new_table(
        "EDP over LP-Spec's: each piece alone | all without it",
        "",
        *("=>" + case_label(case).replace(", ", "\n") for case in taken_apart),
    )
    for piece in PIECES:
        cells = [(by_name.get((case, piece.name)), by_name.get((case, WITHOUT + piece.name))) for case in taken_apart]
        if any(alone for alone, _ in cells):
            table.add_row(piece.name, *(f"{_edp(alone)} | {_edp(left)}" for alone, left in cells))
    together = {row.case: row for row in result.rows}
    table.add_row("all together", *(_edp(together.get(case)) for case in taken_apart))
    return table


def taken_apart_in(result: Beyond) -> list[Case]:
    """Cases in which each piece was tried alone."""
    return list(dict.fromkeys(row.case for row in result.parts if row.case.is_taken_apart))


def _extras_table(result: Beyond) -> Any:
    """EDP and token/s of all pieces, and with each extra besides."""
    by_name = {(row.case, row.piece): row for row in (*result.rows, *result.parts)}
    with_extras = list(dict.fromkeys(row.case for row in result.parts if row.piece.startswith(WITH)))
    table = new_table(
        "EDP | token/s over LP-Spec's: all pieces, and with what needs more than its hardware, or lossy",
        "=|=>all",
        *(f"=>with\n{extra.name}" for extra in EXTRAS),
    )
    for case in with_extras:
        rows = [by_name.get((case, name)) for name in (ALL, *(WITH + extra.name for extra in EXTRAS))]
        table.add_row(case_label(case), *(_edp_and_speed(row) for row in rows))
    return table


def _batches_table(result: Beyond) -> Any:
    """EDP and token/s of batches with splits for the least EDP, and with those that end soonest."""
    table = new_table(
        "EDP | token/s over LP-Spec's where requests share passes: splits for the least EDP, or the soonest"
    )
    for header in ("", ALL, SOONEST):
        table.add_column(header, justify="right" if header else "left", no_wrap=True)
    by_name = {(row.case, row.piece): row for row in (*result.rows, *result.parts)}
    for case in dict.fromkeys(row.case for row in result.parts if row.piece == SOONEST and row.case.batch > 1):
        table.add_row(case_label(case), *(_edp_and_speed(by_name.get((case, name))) for name in (ALL, SOONEST)))
    return table


def _edp_and_speed(row: Row | None) -> str:
    return "-" if row is None else f"{row.edp_ratio:.3f} | {row.tokens_per_s_ratio:.3f}"


def _edp(row: Row | None) -> str:
    return "-" if row is None else f"{row.edp_ratio:.3f}"


def beyond_document(result: Beyond) -> dict[str, Any]:
    """The comparison as JSON: ``rows`` are all pieces together, ``parts`` each alone, left out, and extras."""
    return {
        "baseline": "lp-spec with Medusa's heads, all run: columns split so that both sides finish together",
        "pieces": [_piece_document(piece) for piece in PIECES],
        "extras": [_piece_document(piece) for piece in EXTRAS],
        "rows": [_row_document(row) for row in result.rows],
        "parts": [_row_document(row) for row in result.parts],
        "refused": [{**_case_document(case), "piece": name, "why": why} for case, name, why in result.refused],
    }


def _piece_document(piece: Piece) -> dict[str, Any]:
    return asdict(piece) | {"lossless": piece.is_lossless}


def _case_document(case: Case) -> dict[str, Any]:
    return {name: value for name, value in asdict(case).items() if name != "is_taken_apart"}


def _row_document(row: Row) -> dict[str, Any]:
    edp, tokens_per_s = row.samples
    return {
        **_case_document(row.case),
        "piece": row.piece,
        "pieces": [piece.name for piece in row.pieces],
        "edp_ratio": row.edp_ratio,
        **_in_samples("edp_ratio", edp),
        "edp_ratio_most": edp.most,
        "samples": edp.count,
        "samples_worse_in_edp": edp.above,
        "tokens_per_s_ratio": row.tokens_per_s_ratio,
        **_in_samples("tokens_per_s_ratio", tokens_per_s),
        **row.own,
        **{f"baseline_{name}": value for name, value in row.baseline.items()},
        "fidelity": row.fidelity,
        "scenario": dict(row.scenario),
    }


def _in_samples(name: str, of: Sampled) -> dict[str, float]:
    return {f"{name}_low": of.low, f"{name}_high": of.high, f"{name}_mean": of.mean}
