"""The reproduction as a JSON document."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from lpspec.experiments.assumption_sets import AssumptionSet
from lpspec.experiments.bench import AssumptionSetResult
from lpspec.experiments.intervals import PERCENT, RESAMPLES, SEED
from lpspec.experiments.level import Level
from lpspec.experiments.region import Place
from lpspec.experiments.reproduce import Reproduction, Row, Variant
from lpspec.report.documents import run_document
from lpspec.simulation.run import Run


def reproduction_document(reproduction: Reproduction) -> dict[str, Any]:
    """What ``lpspec reproduce --json`` writes."""
    closed = reproduction.closed
    return {
        "rows": [_row(row) for row in reproduction.rows],
        "intervals": {"percent": PERCENT, "resamples": RESAMPLES, "seed": SEED, "over": "turns of the trace"},
        "assumption_set": assumption_set_document(reproduction.chosen.assumption_set)
        | worst_document(reproduction.chosen),
        "assumption_sets": [_assumption_set_result(result) for result in reproduction.assumption_sets],
        "variants": [_variant(variant) for variant in reproduction.variants],
        "region": [_place(place) for place in reproduction.region],
        "l_spec_scan": [asdict(point) for point in reproduction.l_spec_scan],
        "systems": _systems(closed),
        "fair_systems": _fair(closed),
        "command_levels": [_command_level(level) for level in reproduction.command_levels],
        "provenance": reproduction.provenance,
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "id": row.id,
        "quantity": row.published.quantity,
        "published": row.published.value,
        "simulated": row.simulated,
        "low": row.interval.low,
        "high": row.interval.high,
        "ratio": row.ratio,
        "unit": row.published.unit,
        "on": row.on,
        "basis": row.basis,
        "objective": row.objective,
        "source": row.published.source,
        "equal_basis": row.on == "equal",
        "why": row.why,
        "command": row.command,
        "command_low": None if row.command_interval is None else row.command_interval.low,
        "command_high": None if row.command_interval is None else row.command_interval.high,
        "command_ratio": row.command_ratio,
        "command_why": row.command_why,
    }


def assumption_set_document(assumption_set: AssumptionSet) -> dict[str, Any]:
    """An assumption set by its parameters, and as the changes that ``lpspec compare --set`` takes."""
    return asdict(assumption_set) | {"changes": assumption_set.changes}


def worst_document(result: AssumptionSetResult | Level) -> dict[str, Any]:
    """The quantity that is furthest off, and by how much."""
    worst_id, worst_ratio = result.worst
    return {"worst_id": worst_id, "worst_ratio": worst_ratio}


def _assumption_set_result(result: AssumptionSetResult) -> dict[str, Any]:
    found = {"simulated": result.simulated, "mean_l_spec": result.mean_l_spec}
    return assumption_set_document(result.assumption_set) | found | worst_document(result)


def _variant(variant: Variant) -> dict[str, Any]:
    found = {"closed": run_document(variant.closed), "command": variant.command and run_document(variant.command)}
    return {"learning": variant.rule, "heads": variant.heads} | found


def _place(place: Place) -> dict[str, Any]:
    sizes = None if place.l_spec is None else {str(size): count for size, count in place.l_spec.items()}
    return asdict(place) | {"l_spec": sizes}


def _command_level(level: Level) -> dict[str, Any]:
    """An assumption set at command level: every published quantity on every basis, and the runs behind them."""
    return (
        assumption_set_document(level.assumption_set)
        | {"simulated": level.simulated}
        | {f"{basis}_basis": level.on(basis) for basis in level.fair}
        | worst_document(level)
        | {"intervals": {name: [one.low, one.high] for name, one in level.intervals("published").items()}}
        | {"systems": _systems(level)}
        | {"fair_systems": _fair(level)}
    )


def _systems(level: Level) -> list[dict[str, Any]]:
    """Runs on the published basis, then on the equal one with trees for the energy-delay product."""
    published = [run_document(run) | {"basis": "published"} for run in level.published.values()]
    equal = [run_document(run) | {"basis": "equal"} for run in level.fair["equal"]["edp"].values()]
    objectives = [level.assumption_set.objective] * len(published) + ["edp"] * len(equal)
    return [run | {"objective": what} for run, what in zip([*published, *equal], objectives, strict=True)]


def _fair(level: Level) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Runs on the fair bases, by basis and by what the pruners served."""

    def documents(runs: Mapping[str, Run]) -> list[dict[str, Any]]:
        return [run_document(run) for run in runs.values()]

    return {
        basis: {objective: documents(runs) for objective, runs in by_objective.items()}
        for basis, by_objective in level.fair.items()
    }
