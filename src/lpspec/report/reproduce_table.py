"""The reproduction as tables, and its findings in words."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from rich.table import Table
from rich.text import Text

from lpspec.experiments.assumption_sets import FITTED_BUS_EFFICIENCY, PLAIN, AssumptionSet
from lpspec.experiments.bench import PAPER, AssumptionSetResult
from lpspec.experiments.level import FAIR_BASES
from lpspec.experiments.published import HIGHEST_RATIO, LOWEST_RATIO, PUBLISHED, READ
from lpspec.experiments.reproduce import SUFFIXES, LSpecPoint, Reproduction, Row
from lpspec.report.scheduler_table import REGION_NOTE, l_spec_lines, region_table, variants_table
from lpspec.report.wording import (
    OUT_OF_RANGE,
    SHORT_NAMES,
    Command,
    carried,
    digits,
    in_range,
    named,
    new_table,
    plus_minus,
    ratio_text,
    trace_line,
)

BEST_SHOWN = 8
PUBLISHED_VALUE = {published.id: published.value for published in PUBLISHED}


def reproduction_blocks(reproduction: Reproduction) -> Iterator[Any]:
    """The rows on each basis, the chosen assumption set and others, and what else the paper's numbers hang on."""
    bases = _basis_letters(reproduction)
    yield _rows_table(reproduction, bases)
    yield from (f"{letter}  {basis}" for basis, letter in bases.items())
    yield f"trees for {reproduction.chosen.assumption_set.objective} on this basis, which is part of the assumption set"
    yield f"{OUT_OF_RANGE}  outside {LOWEST_RATIO} to {HIGHEST_RATIO} of the published number"
    yield from _whys(reproduction.rows)
    yield ""
    yield _fair_table(reproduction)
    yield "± is half of the interval that holds 95 of 100 samples of the trace's turns (bootstrap, seed fixed)"
    yield from l_spec_lines(reproduction.level)
    yield ""
    yield from _assumption_set_lines(reproduction)
    yield _assumption_sets_table(reproduction)
    yield variants_table(reproduction.variants)
    yield region_table(reproduction.region)
    yield REGION_NOTE
    yield scan_line(reproduction.l_spec_scan)
    yield bases_line(reproduction)
    origin = reproduction.provenance
    yield f"costs: {_costs(reproduction)}; trace {trace_line(origin)}"


def _costs(reproduction: Reproduction) -> str:
    if not reproduction.command_levels:
        return "analytic, no command-level timing"
    return (
        "command level for NPU and PIM systems; analytic for GPUs, for choosing the assumption set "
        "and where a table says so"
    )


def _command_lines(reproduction: Reproduction) -> Iterator[str]:
    """What assumption sets give at command level."""
    for level in reproduction.command_levels:
        found = level.simulated
        name, ratio = level.worst
        yield (
            f"  at command level, {_short(level.assumption_set)}: worst quantity {name} {ratio:.2f}, LP-Spec "
            f"{digits(found['lp_spec_tokens_per_s'], 3)} token/s and {digits(found['lp_spec_tokens_per_j'], 3)} "
            f"token/J, NPU {digits(found['npu_tokens_per_s'], 3)} token/s"
        )


def _basis_letters(reproduction: Reproduction) -> dict[str, str]:
    bases = dict.fromkeys(row.basis for row in reproduction.rows if row.on == "published")
    return {basis: chr(ord("a") + i) for i, basis in enumerate(bases)}


def _rows_table(reproduction: Reproduction, bases: dict[str, str]) -> Table:
    simulated = "=>command|=>ratio|=>analytic|=>ratio" if reproduction.command_levels else "=>simulated|=>ratio"
    title = "LP-Spec, published and simulated: Llama2-7B, decode steps only"
    table = new_table(title, f"quantity|=>published|{simulated}")
    table.add_column("on", justify="center")
    for row in reproduction.rows:
        if row.on == "published":
            table.add_row(*_cells(row, bases[row.basis]))
    return table


def _cells(row: Row, letter: str) -> tuple[str | Text, ...]:
    name, sign = named(row.published)
    half_width = row.interval.half_width
    closed = carried(row.simulated, half_width) if row.command else plus_minus(row.simulated, half_width)
    return (
        name,
        f"{row.published.value:g}{sign}",
        *_command_cells(row),
        closed,
        ratio_text(row.ratio),
        letter,
    )


def _command_cells(row: Row) -> tuple[str | Text, ...]:
    if row.command is None or row.command_interval is None:
        return ()
    return plus_minus(row.command, row.command_interval.half_width), ratio_text(row.command / row.published.value)


def _fair_table(reproduction: Reproduction) -> Table:
    level = "at command level" if reproduction.command_levels else "analytically"
    table = new_table(
        f"the same on fair bases, {level}: INT8, speculation, and trees for the quantity on every system",
        "=quantity|=>published|=>memory and MACs|=>board or SoC power|=trees for",
    )
    by_id = {row.id: row for row in reproduction.rows}
    for row in reproduction.rows:
        if row.on == "published":
            twins = [by_id[row.id + SUFFIXES[basis]] for basis in FAIR_BASES]
            cells = [plus_minus(value, near.half_width) for value, near in (twin.best for twin in twins)]
            name, sign = named(row.published)
            table.add_row(name, f"{row.published.value:g}{sign}", *cells, twins[0].objective)
    return table


def _whys(rows: Iterable[Row]) -> Iterator[str]:
    """What explains the ratios that lie outside the range, each reason once."""
    by_reason: dict[str, list[str]] = {}
    for row in rows:
        if row.why == row.command_why:
            found = {row.why: ""}
        else:
            found = {row.command_why: " at command level", row.why: "" if row.command is None else " analytically"}
        for reason, level in found.items():
            by_reason.setdefault(reason, []).append(f"{row.id}{level}")
    yield from (f"{', '.join(ids)}: {reason}" for reason, ids in by_reason.items() if reason)


def assumption_set_words(assumption_set: AssumptionSet) -> str:
    """An assumption set in words."""
    ranks = "1 PIM rank" if assumption_set.concurrent_ranks == 1 else f"{assumption_set.concurrent_ranks} PIM ranks"
    root = "the root counts in L_spec" if assumption_set.root_counts else "the root does not count in L_spec"
    fitted = " (fitted to the NPU's token/s)" if assumption_set.bus_efficiency == FITTED_BUS_EFFICIENCY else ""
    return (
        f"{ranks} at once, one MAC per {assumption_set.mac_interval_ns:g} ns, "
        f"bus efficiency {assumption_set.bus_efficiency:g}{fitted}, trees for {assumption_set.objective}, {root}"
    )


def compare_command(assumption_set: AssumptionSet) -> str:
    """The ``lpspec compare`` that runs under an assumption set."""
    changes = " ".join(
        f'--set {key}="{value}"' if " " in value else f"--set {key}={value}"
        for key, value in assumption_set.changes.items()
    )
    root = "" if assumption_set.root_counts else " --no-root-counts"
    return (
        f"lpspec compare --basis published --heads all --objective {assumption_set.objective} "
        f"--prompt-tokens {PAPER.workload.prompt_tokens} --new-tokens {PAPER.workload.new_tokens} {changes}{root}"
    )


def _assumption_set_lines(reproduction: Reproduction) -> Iterator[str]:
    chosen = reproduction.chosen
    plain = next(result for result in reproduction.assumption_sets if result.assumption_set == PLAIN)
    count = len(reproduction.assumption_sets)
    yield (
        f"chosen assumption set (fitted: of {count} the smallest worst error "
        f"over the {len(READ)} quantities without GPUs): "
        f"{assumption_set_words(chosen.assumption_set)}"
    )
    yield (
        f"  worst quantity {_worst(chosen)}; plain assumption set of Table II ({_short(PLAIN)}): {_worst(plain)}, "
        f"LP-Spec {digits(plain.simulated['lp_spec_tokens_per_s'], 3)} token/s and "
        f"{digits(plain.simulated['lp_spec_tokens_per_j'], 3)} token/J"
    )
    yield from _command_lines(reproduction)
    yield "  to compare under it:"
    level = "" if reproduction.provenance["fidelity"] == "command" else " --fidelity analytic"
    yield Command(f"  {compare_command(chosen.assumption_set)}{level}")


def _short(assumption_set: AssumptionSet) -> str:
    return (
        f"{assumption_set.concurrent_ranks} ranks, {assumption_set.mac_interval_ns:g} ns, "
        f"bus {assumption_set.bus_efficiency:g}, {assumption_set.objective}"
    )


def _worst(result: AssumptionSetResult) -> str:
    name, ratio = result.worst
    return f"{name} {ratio:.2f}"


def _assumption_sets_table(reproduction: Reproduction) -> Table:
    shown = [
        result
        for i, result in enumerate(reproduction.assumption_sets)
        if i < BEST_SHOWN or result.assumption_set == PLAIN
    ]
    table = new_table(
        f"best {BEST_SHOWN} of {len(reproduction.assumption_sets)} assumption sets, and the plain one (--json has all)",
        "=>ranks|=>MAC ns|=>bus|=objective|=root|=>token/s|=>token/J|=>worst|which is",
    )
    for result in shown:
        table.add_row(*_assumption_set_cells(result))
    return table


def _assumption_set_cells(result: AssumptionSetResult) -> tuple[str, ...]:
    assumption_set, simulated = result.assumption_set, result.simulated
    worst_id, worst_ratio = result.worst
    return (
        str(assumption_set.concurrent_ranks),
        f"{assumption_set.mac_interval_ns:g}",
        f"{assumption_set.bus_efficiency:g}",
        assumption_set.objective,
        "yes" if assumption_set.root_counts else "no",
        digits(simulated["lp_spec_tokens_per_s"], 3),
        digits(simulated["lp_spec_tokens_per_j"], 3),
        f"{worst_ratio:.2f}",
        SHORT_NAMES.get(worst_id, worst_id),
    )


SCANNED: tuple[tuple[str, str, str, Callable[[LSpecPoint], float]], ...] = (
    ("throughput", "lp_spec_tokens_per_s", "token/s", lambda point: point.tokens_per_s),
    ("energy", "lp_spec_tokens_per_j", "token/J", lambda point: point.tokens_per_j),
    ("EDP", "lp_spec_edp_s_mj", "s·mJ", lambda point: point.edp_s_mj),
)


def scan_line(scan: tuple[LSpecPoint, ...]) -> str:
    """Which fixed L_spec comes nearest to each published number under the plain assumption set, and to all at once."""
    drafted = [point for point in scan if point.l_spec > 1]
    parts = []
    for name, key, unit, value in SCANNED:
        near = min(drafted, key=lambda point: _factor(value(point), PUBLISHED_VALUE[key]))
        parts.append(f"{name} {near.l_spec} ({digits(value(near), 3)} {unit})")
    best = min(drafted, key=_scan_factor)
    fits = in_range(_scan_factor(best))
    verdict = "fits all three" if fits else f"comes nearest to all three, off by {_scan_factor(best):.2f}x"
    root_only = "".join(
        f"; without drafts (L_spec 1) {point.tokens_per_s:.1f} token/s, {point.tokens_per_j:.1f} token/J, "
        f"{point.edp_s_mj:.3f} s·mJ"
        for point in scan
        if point.l_spec == 1
    )
    return (
        f"(a) one fixed L_spec on the plain assumption set: nearest for {', '.join(parts)}; "
        f"{'' if fits else 'no single one fits; '}{best.l_spec} {verdict}{root_only}"
    )


def _factor(simulated: float, published: float) -> float:
    return max(simulated / published, published / simulated)


def _scan_factor(point: LSpecPoint) -> float:
    return max(_factor(value(point), PUBLISHED_VALUE[key]) for _, key, _, value in SCANNED)


def bases_line(reproduction: Reproduction) -> str:
    """What the mixed bases of the published ratios hide."""

    def gains(rival: str) -> str:
        parts, board = (by_id[f"edp_vs_{rival}{SUFFIXES[basis]}"].best[0] for basis in FAIR_BASES)
        return f"{parts:.2g}x and {board:.2g}x"

    by_id = {row.id: row for row in reproduction.rows}
    return (
        "(b) the published ratios mix bases: the RTX 3090's 173.6 s·mJ fits FP16 at board power, AttAcc's 5.36 FP16 "
        "with memory and MACs, LP-Spec is INT8 with speculation; on the fair bases, by memory and MACs and by board or "
        f"SoC power, its EDP gains are {gains('attacc')} over AttAcc and {gains('rtx3090')} over the RTX 3090"
    )
