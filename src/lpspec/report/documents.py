"""Results as JSON documents: plain numbers, units in the names, no NaN."""

import json
from collections.abc import Sequence
from typing import Any

from lpspec.experiments.command_level import CommandLevel
from lpspec.experiments.compare import Comparison
from lpspec.experiments.readings import Reading
from lpspec.experiments.reproduce import LSpecPoint, ReadingResult, Reproduction, Row
from lpspec.report.wording import energy_counts
from lpspec.simulation.energy_basis import Efficiency
from lpspec.simulation.run import Run


def json_text(document: dict[str, Any]) -> str:
    """One JSON object, indented, with a line end.

    Raises:
        ValueError: A number is not finite.
    """
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def comparison_document(comparison: Comparison) -> dict[str, Any]:
    """What ``lpspec compare --json`` writes. Energies are per generated token unless they say otherwise."""
    return {
        "systems": [run_document(run) for run in comparison.runs],
        "left_out": [{"system": name, "why": why} for name, why in comparison.left_out],
        "model": comparison.model.name,
        "trace": comparison.trace.name,
        "tree": comparison.tree,
        "objective": comparison.policy.objective,
        "basis": comparison.basis,
        "workload": {
            "prompt_tokens": comparison.workload.prompt_tokens,
            "new_tokens": comparison.workload.new_tokens,
            "turns": comparison.trace.turns,
        },
        "notes": list(comparison.notes),
        "provenance": comparison.provenance,
    }


def run_document(run: Run) -> dict[str, Any]:
    """One system's totals; ``prefill_energy_mj`` is that of a whole prompt."""
    return {
        "system": run.system.name,
        "platform": run.system.platform.name,
        "fidelity": run.fidelity,
        "weight_bits": run.system.model.weight_bits,
        "weight_bytes": run.system.model.weight_bytes,
        "speculates": run.system.speculates,
        "tokens_per_s": run.tokens_per_s,
        "tokens_per_j": run.tokens_per_j,
        "edp_s_mj": run.edp_s_mj,
        "average_power_w": run.average_power_w,
        "time_to_first_token_ms": run.time_to_first_token_ms,
        "mean_acceptance_length": run.mean_acceptance_length,
        "mean_l_spec": run.mean_l_spec,
        "mean_heads": run.mean_heads,
        "tokens": run.tokens,
        "steps": len(run.steps.committed),
        "migrations": run.migrations,
        "migration_ms": run.migration_ns / 1e6,
        "mj_per_token": run.mj_per_token,
        "prefill_energy_mj": run.prefill_mj,
        "energy_by_component_mj": run.energy_by_component_mj,
        "energy_counts": energy_counts(run.system.platform),
        **_efficiency("memory_and_macs", run.memory_and_macs),
        **_efficiency("board", run.board),
        "l_spec_histogram": {str(size): count for size, count in run.l_spec_histogram.items()},
    }


def _efficiency(counted: str, efficiency: Efficiency | None) -> dict[str, Any]:
    """Energy figures on one basis, whichever the run's own is; null where a platform does not say."""
    return {
        f"tokens_per_j_{counted}": None if efficiency is None else efficiency.tokens_per_j,
        f"edp_{counted}_s_mj": None if efficiency is None else efficiency.edp_s_mj,
        f"power_{counted}_w": None if efficiency is None else efficiency.power_w,
    }


def reproduction_document(reproduction: Reproduction) -> dict[str, Any]:
    """What ``lpspec reproduce --json`` writes."""
    return {
        "rows": [_row(row) for row in reproduction.rows],
        "reading": reading_document(reproduction.chosen.reading) | _worst(reproduction.chosen),
        "readings": [_reading_result(result) for result in reproduction.readings],
        "l_spec_scan": [_scan_point(point) for point in reproduction.l_spec_scan],
        "systems": _runs(reproduction.runs),
        "command_levels": [_command_level(level) for level in reproduction.command_levels],
        "provenance": reproduction.provenance,
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "id": row.id,
        "quantity": row.published.quantity,
        "published": row.published.value,
        "simulated": row.simulated,
        "ratio": row.ratio,
        "unit": row.published.unit,
        "basis": row.basis,
        "source": row.published.source,
        "equal_basis": row.equal_basis,
        "why": row.why,
        "command": row.command,
        "command_ratio": row.command_ratio,
        "command_why": row.command_why,
    }


def reading_document(reading: Reading) -> dict[str, Any]:
    """A reading by its parameters, and as the changes that ``lpspec compare --set`` takes."""
    return {
        "concurrent_ranks": reading.concurrent_ranks,
        "mac_interval_ns": reading.mac_interval_ns,
        "bus_efficiency": reading.bus_efficiency,
        "objective": reading.objective,
        "root_counts": reading.root_counts,
        "changes": reading.changes,
    }


def _worst(result: ReadingResult) -> dict[str, Any]:
    worst_id, worst_ratio = result.worst
    return {"worst_id": worst_id, "worst_ratio": worst_ratio}


def _reading_result(result: ReadingResult) -> dict[str, Any]:
    found = {"simulated": result.simulated, "mean_l_spec": result.mean_l_spec}
    return reading_document(result.reading) | found | _worst(result)


def _scan_point(point: LSpecPoint) -> dict[str, Any]:
    return {
        "l_spec": point.l_spec,
        "tokens_per_s": point.tokens_per_s,
        "tokens_per_j": point.tokens_per_j,
        "edp_s_mj": point.edp_s_mj,
    }


def _command_level(level: CommandLevel) -> dict[str, Any]:
    """A reading by commands: every published quantity on both bases, and the runs behind them."""
    worst_id, worst_ratio = level.worst
    return reading_document(level.reading) | {
        "simulated": level.simulated,
        "equal_basis": level.equal,
        "worst_id": worst_id,
        "worst_ratio": worst_ratio,
        "systems": _runs(level.runs),
    }


def _runs(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The runs of a reading: the first half on the published basis, the second on the equal one."""
    half = len(runs) // 2
    return [run_document(run) | {"basis": "published" if i < half else "equal"} for i, run in enumerate(runs)]
