"""Requests served, as tables and as a JSON document: throughput and energy, and how long requests waited for what."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from lpspec.experiments.serving import Serving
from lpspec.report.compare_table import (
    add_left_out,
    basis_text,
    board_line,
    costs_and_profiles,
    fitted_lines,
    left_out_lines,
    other_basis,
    own_memory_lines,
)
from lpspec.report.documents import efficiency_figures
from lpspec.report.wording import digits, energy_counts, new_table, trace_line
from lpspec.simulation.draft_cache import KEY_BLOCK
from lpspec.simulation.served_run import ServedRun

COLUMNS = (
    "token/s in all",
    "decoding",
    "token/J",
    "EDP s·mJ",
    "power W",
    "requests per pass",
    "tokens per pass",
    "L_spec",
    "idle",
    "peak GiB",
)
WAITS = ("mean", "p50", "p90", "p99")


def serving_blocks(serving: Serving) -> Iterator[Any]:
    """Three tables, then one line each for what stands behind them."""
    batch = serving.scenario.workload.batch
    title = f"{serving.model.name}: {len(serving.requests)} requests, up to {batch} in a pass"
    served = served_table(title, serving.runs)
    add_left_out(served, serving.left_out)
    yield served
    yield _other_basis_table(serving.runs)
    yield waits_table(serving.runs)
    yield from _lines(serving)


def served_table(title: str, runs: Iterable[ServedRun]) -> Table:
    """Throughput and energy, one row per system."""
    table = new_table(title, "=system", *(f">{name}" for name in COLUMNS), "=level")
    for run in runs:
        counted = run.counted
        table.add_row(
            run.system.name,
            digits(run.served_tokens_per_s),
            digits(counted.tokens_per_s),
            digits(counted.tokens_per_j),
            digits(counted.edp_s_mj),
            digits(counted.power_w),
            f"{run.mean_batch:.2f}",
            f"{run.tokens / run.passes:.2f}",
            f"{run.mean_l_spec:.2f}",
            f"{run.idle_share:.1%}",
            f"{run.peak_bytes / 2**30:.2f}" + ("*" if run.is_short else ""),
            run.fidelity,
            style="bold" if run.system.name == "lp-spec" else None,
        )
    return table


def _other_basis_table(runs: Sequence[ServedRun]) -> Table:
    """Efficiency and power on the energy basis that the first table does not count: with it that would be too wide."""
    columns, others = other_basis(runs)
    table = new_table("passes on the other energy basis", "=system", *(f"=>{name}" for name in columns))
    for run, cells in zip(runs, others, strict=True):
        table.add_row(run.system.name, *cells, style="bold" if run.system.name == "lp-spec" else None)
    return table


def waits_table(runs: Iterable[ServedRun]) -> Table:
    """How long requests waited, ms, one row per system."""
    title = "ms: in the queue, to the first token (from arrival), between tokens"
    table = new_table(
        title, "=system", *(f">{what} {name}" for what in ("queue", "first", "between") for name in WAITS)
    )
    for run in runs:
        found = (run.queueing_ms, run.first_token_ms, run.between_tokens_ms)
        cells = [digits(value) for each in found for value in asdict(each).values()]
        table.add_row(run.system.name, *cells, style="bold" if run.system.name == "lp-spec" else None)
    return table


def _lines(serving: Serving) -> Iterator[str]:
    scenario = serving.scenario
    yield f"costs   {costs_and_profiles(serving.runs, scenario.level)}"
    yield from own_memory_lines(serving.runs)
    yield from fitted_lines(serving.runs)
    yield f"trace   {trace_line(serving.provenance)}"
    yield f"work    {serving.requests.said_as}; a new request is prefilled alone, first come first served"
    yield f"trees   {scenario.tree}; a pass takes those that waited longest, as many as serve {scenario.objective} best"
    yield f"basis   {basis_text(scenario.basis, serving.runs)}; passes only, without waiting for requests"
    yield f"memory  weights, draft heads, activations, caches in blocks of {KEY_BLOCK} tokens"
    for run in serving.runs:
        if run.at_once > run.batch:
            said = f"drafts beside verification: up to {run.at_once} requests are there at once, some drafted for while"
            yield f"order   {run.system.name} {said} others are verified"
    if short := [run.system.name for run in serving.runs if run.is_short]:
        yield f"*       {', '.join(short)}: a full batch of the largest requests does not fit; some wait for room"
    yield from board_line(serving.runs)
    yield from left_out_lines(serving.left_out)


def serving_document(serving: Serving) -> dict[str, Any]:
    """What ``lpspec compare --json`` writes of requests that are served. Energies are per generated token."""
    scenario = serving.scenario
    return {
        "systems": [served_document(run) for run in serving.runs],
        "left_out": [{"system": name, "why": why} for name, why in serving.left_out],
        "model": serving.model.name,
        "trace": serving.provenance["trace"],
        "tree": scenario.tree,
        "objective": scenario.objective,
        "basis": scenario.basis,
        "workload": {**scenario.workload.to_dict(), "served": serving.requests.said_as},
        "notes": list(serving.notes),
        "provenance": serving.provenance,
    }


def served_document(run: ServedRun) -> dict[str, Any]:
    """One system's totals, and its distributions in ms."""
    counted = run.counted
    return {
        "system": run.system.name,
        "platform": run.system.platform.name,
        "fidelity": run.fidelity,
        "error_bound": run.error_bound,
        "requests": len(run.requests),
        "batch": run.batch,
        "requests_at_once": run.at_once,
        "served_tokens_per_s": run.served_tokens_per_s,
        "tokens_per_s": counted.tokens_per_s,
        "tokens_per_j": counted.tokens_per_j,
        "edp_s_mj": counted.edp_s_mj,
        "average_power_w": counted.power_w,
        "mj_per_token": counted.mj_per_token,
        "prefill_energy_mj": run.prefill_mj,
        "energy_by_component_mj": run.energy_by_component_mj,
        "energy_counts": energy_counts(run.system.platform),
        **efficiency_figures("memory_and_macs", run.memory_and_macs),
        **efficiency_figures("board", run.board),
        "tokens": run.tokens,
        "passes": run.passes,
        "mean_batch": run.mean_batch,
        "mean_acceptance_length": run.mean_acceptance_length,
        "mean_l_spec": run.mean_l_spec,
        "makespan_s": run.makespan_ns / 1e9,
        "idle_share": run.idle_share,
        "peak_bytes": run.peak_bytes,
        "waits_for_room": run.is_short,
        "queueing_ms": asdict(run.queueing_ms),
        "first_token_ms": asdict(run.first_token_ms),
        "between_tokens_ms": asdict(run.between_tokens_ms),
    }
