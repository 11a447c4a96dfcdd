"""Results as JSON documents: plain numbers, units in the names, no NaN."""

import json
from typing import Any

import numpy as np

from lpspec.experiments.compare import Comparison
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
        "tree": comparison.scenario.tree,
        "objective": comparison.scenario.objective,
        "basis": comparison.scenario.basis,
        "workload": {**comparison.scenario.workload.to_dict(), "turns": comparison.trace.turns},
        "notes": list(comparison.notes),
        "provenance": comparison.provenance,
    }


def run_document(run: Run) -> dict[str, Any]:
    """One system's totals; ``prefill_energy_mj`` is that of a whole prompt."""
    return {
        "system": run.system.name,
        "platform": run.system.platform.name,
        "fidelity": run.fidelity,
        "error_bound": run.error_bound,
        "weight_bits": run.system.model.weight_bits,
        "weight_formats": run.system.model.weights_text,
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
        **efficiency_figures("memory_and_macs", run.memory_and_macs),
        **efficiency_figures("board", run.board),
        "l_spec_histogram": {str(size): count for size, count in run.l_spec_histogram.items()},
        "l_spec_over_run": l_spec_over_run(run),
    }


PARTS_OF_RUN = 48
"""Parts of a run whose tree sizes are told apart."""


def l_spec_over_run(run: Run) -> list[float]:
    """Mean tokens verified in a pass, for equal parts of the run's passes in their order."""
    sizes = run.steps.l_spec
    return [float(part.mean()) for part in np.array_split(sizes, min(PARTS_OF_RUN, len(sizes)))]


def efficiency_figures(counted: str, efficiency: Efficiency[float] | None) -> dict[str, Any]:
    """Energy figures on one basis, whichever the run's own is; null where a platform does not say."""
    return {
        f"tokens_per_j_{counted}": None if efficiency is None else efficiency.tokens_per_j,
        f"edp_{counted}_s_mj": None if efficiency is None else efficiency.edp_s_mj,
        f"power_{counted}_w": None if efficiency is None else efficiency.power_w,
    }
