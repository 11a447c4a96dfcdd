"""The reproduction study as tables and as a JSON document."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.table import Table

from lpspec.experiments.published import HIGHEST_RATIO, LOWEST_RATIO, PUBLISHED
from lpspec.experiments.study import Outcome, Sensitivity, Study
from lpspec.report.documents import run_document
from lpspec.report.reproduce_document import assumption_set_document, worst_document
from lpspec.report.reproduce_table import assumption_set_words
from lpspec.report.wording import SHORT_NAMES, digits, new_table, trace_line

COSTS = {
    "analytic": "the last four, too, with a bus efficiency of 0.85 (analytic)",
    "command": "the last four by command level",
}
SHOWN_LENGTHS = (1, 2, 4, 5, 8, 12, 16)


def study_blocks(study: Study) -> Iterator[Any]:
    """The best joint assumption set, what each choice does, and the paper's other experiments."""
    yield f"best of {study.joint} joint assumption sets (fitted: the smallest worst error):"
    yield f"  {assumption_words(study.best)}"
    yield _residuals_table(study)
    yield _unmatched_line(study)
    yield ""
    yield _sensitivity_table(study)
    yield (
        "spread: largest over smallest value that the choice alone gives, "
        "all others as in the best joint assumption set"
    )
    yield _lengths_table(study)
    yield _parts_table(study)
    yield _ranks_table(study)
    yield _contexts_table(study)
    origin = study.provenance
    yield f"the last four under Table II as printed; trace {trace_line(origin)}"
    yield f"costs: assumption sets analytically; {COSTS[origin['fidelity']]}"


def assumption_words(outcome: Outcome) -> str:
    """A joint assumption set in words."""
    assumption = outcome.assumption
    trees = "" if assumption.size is None else f", L_spec {assumption.size} throughout"
    assumption_set = assumption_set_words(assumption.assumption_set)
    return f"{assumption_set}{trees}, energy profile {assumption.profile}, acceptance {assumption.trace}"


def _residuals_table(study: Study) -> Table:
    table = new_table("simulated over published under it", "quantity|>published|>simulated|>ratio")
    for published in PUBLISHED:
        simulated = study.best.result.simulated[published.id]
        ratio = study.residuals[published.id]
        table.add_row(published.quantity, f"{published.value:g}", digits(simulated), f"{ratio:.2f}")
    return table


def _unmatched_line(study: Study) -> str:
    if not study.unmatched:
        name, ratio = study.best.result.worst
        return f"every quantity lies in {LOWEST_RATIO} to {HIGHEST_RATIO}; furthest off is {name} at {ratio:.2f}"
    missed = ", ".join(f"{name} ({ratio:.2f})" for name, ratio in study.unmatched.items())
    return f"no assumption set brings every quantity into {LOWEST_RATIO} to {HIGHEST_RATIO}; this one misses {missed}"


def _sensitivity_table(study: Study) -> Table:
    table = new_table(
        "each choice varied alone",
        "=choice|=value|>token/s|>token/J|>worst|>spread token/s|>spread token/J|which is worst",
    )
    for sensitivity in study.sensitivities:
        for i, value in enumerate(sensitivity.values):
            table.add_row(*_sensitivity_cells(sensitivity, i), end_section=value == sensitivity.values[-1])
    return table


def _sensitivity_cells(sensitivity: Sensitivity, i: int) -> tuple[str, ...]:
    result, value = sensitivity.outcomes[i].result, sensitivity.values[i]
    name, ratio = result.worst
    keys = ("lp_spec_tokens_per_s", "lp_spec_tokens_per_j")
    return (
        "" if i else sensitivity.parameter,
        f"{value} *" if value == sensitivity.chosen else value,
        *(digits(result.simulated[key]) for key in keys),
        f"{ratio:.2f}",
        *("" if i else f"{sensitivity.spread(key):.2f}" for key in keys),
        SHORT_NAMES.get(name, name),
    )


def _lengths_table(study: Study) -> Table:
    systems = list(dict.fromkeys(point.system for point in study.lengths))
    table = new_table("a verify pass: latency ms / energy mJ", ">L_spec", *(f">{name}" for name in systems))
    found = {(point.system, point.l_spec): point for point in study.lengths}
    for length in SHOWN_LENGTHS:
        cells = [found[name, length] for name in systems]
        table.add_row(str(length), *(f"{digits(p.latency_ms, 3)} / {digits(p.energy_mj, 3)}" for p in cells))
    return table


def _parts_table(study: Study) -> Table:
    table = new_table(
        f"LP-Spec without each of its parts, trees for {study.objective}",
        "system|>token/s|>token/J|>EDP s·mJ|>L_spec|why",
    )
    for part in study.reduced:
        run = part.run
        numbers = (digits(run.tokens_per_s), digits(run.tokens_per_j), digits(run.edp_s_mj), f"{run.mean_l_spec:.2f}")
        table.add_row(part.name, *numbers, part.effect)
    return table


def _ranks_table(study: Study) -> Table:
    table = new_table("PIM ranks and DRAM ranks of the four", ">PIM|>DRAM|>token/s|>token/J|>L_spec")
    for point in study.ranks:
        run = point.run
        numbers = (digits(run.tokens_per_s), digits(run.tokens_per_j), f"{run.mean_l_spec:.2f}")
        table.add_row(str(point.pim_ranks), str(point.dram_ranks), *numbers)
    return table


def _contexts_table(study: Study) -> Table:
    systems = list(dict.fromkeys(point.run.system.name for point in study.contexts))
    table = new_table("by length of the context: token/s / token/J", ">context", *(f">{name}" for name in systems))
    found = {(point.run.system.name, point.context): point.run for point in study.contexts}
    for context in dict.fromkeys(point.context for point in study.contexts):
        runs = [found[name, context] for name in systems]
        table.add_row(str(context), *(f"{digits(r.tokens_per_s, 3)} / {digits(r.tokens_per_j, 3)}" for r in runs))
    return table


def study_document(study: Study) -> dict[str, Any]:
    """What ``lpspec reproduce --study --json`` writes."""
    return {
        "best": _outcome(study.best),
        "joint_assumption_sets": study.joint,
        "residuals": study.residuals,
        "unmatched": study.unmatched,
        "sensitivities": [_sensitivity(sensitivity) for sensitivity in study.sensitivities],
        "l_spec": [asdict(point) for point in study.lengths],
        "objective": study.objective,
        "parts": [{"name": p.name, "effect": p.effect} | run_document(p.run) for p in study.reduced],
        "ranks": [{"pim_ranks": p.pim_ranks, "dram_ranks": p.dram_ranks} | run_document(p.run) for p in study.ranks],
        "contexts": [{"context": p.context} | run_document(p.run) for p in study.contexts],
        "provenance": study.provenance,
    }


def _outcome(outcome: Outcome) -> dict[str, Any]:
    assumption, result = outcome.assumption, outcome.result
    asked = {"energy_profile": assumption.profile, "trace": assumption.trace, "l_spec": assumption.size}
    found = {"simulated": result.simulated, "mean_l_spec": result.mean_l_spec}
    return assumption_set_document(assumption.assumption_set) | asked | found | worst_document(result)


def _sensitivity(sensitivity: Sensitivity) -> dict[str, Any]:
    outcomes = zip(sensitivity.values, sensitivity.outcomes, strict=True)
    return {
        "parameter": sensitivity.parameter,
        "chosen": sensitivity.chosen,
        "values": [{"value": value} | _outcome(outcome) for value, outcome in outcomes],
        "spread": {published.id: sensitivity.spread(published.id) for published in PUBLISHED},
    }
