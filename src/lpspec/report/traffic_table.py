"""Decoding beside a CPU as people read it, and as JSON."""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from lpspec.experiments.traffic import Policy, SharedDecoding
from lpspec.report.wording import digits, new_table


def traffic_document(found: SharedDecoding) -> dict[str, Any]:
    """What ``lpspec traffic --json`` writes."""
    run, step = found.run, found.step
    return {
        "system": run.system.name,
        "tokens_per_s": run.tokens_per_s,
        "tokens_per_j": run.tokens_per_j,
        "step": {
            "l_spec": step.l_spec,
            "context": step.context,
            "committed": step.committed,
            "latency_ns": found.alone_ns,
        },
        "cpu_ranks": list(found.ranks),
        "rows": [
            {
                **asdict(row.traffic),
                **asdict(row.policy),
                "slowdown": row.slowdown,
                "tokens_per_s": row.tokens_per_s,
                "tokens_per_j": row.tokens_per_j,
                "cpu_gb_per_s": row.cpu_gb_per_s,
                "cpu_read_wait_ns": row.cpu_wait_ns,
                "cpu_read_wait_alone_ns": row.alone_wait_ns,
            }
            for row in found.rows
        ],
        "notes": list(found.notes),
        "provenance": found.provenance,
    }


def traffic_blocks(found: SharedDecoding) -> Iterator[Any]:
    """A row for each kind of traffic, and what stands behind them."""
    run, step = found.run, found.step
    table = new_table(
        f"{run.system.model.name} on {run.system.name} beside a CPU",
        "CPU asks|yields|>CPU gets GB/s|>read ns|>99 %|>alone ns|>99 %|>token/s|>|>token/J|>",
    )
    table.add_row("nothing", "", "", "", "", "", "", digits(run.tokens_per_s), "", digits(run.tokens_per_j), "")
    for row in found.rows:
        waits = [row.cpu_wait_ns["mean"], row.cpu_wait_ns["p99"], row.alone_wait_ns["mean"], row.alone_wait_ns["p99"]]
        table.add_row(
            f"{row.traffic.gb_per_s:g} GB/s {row.traffic.pattern}",
            row.policy.fairness,
            digits(row.cpu_gb_per_s),
            *("-" if ns is None else digits(ns) for ns in waits),
            digits(row.tokens_per_s),
            f"{row.tokens_per_s / run.tokens_per_s - 1:+.1%}",
            digits(row.tokens_per_j),
            f"{row.tokens_per_j / run.tokens_per_j - 1:+.1%}",
        )
    yield table
    alone = f"{digits(found.alone_ns / 1e6)} ms alone under {Policy().fairness}"
    yield (f"step   {step.l_spec} tokens verified after {step.context}, {alone}; the run slows down as it does")
    ranks = ", ".join(map(str, found.ranks))
    yield f"CPU    lines of 64 B on rank {ranks}; reads wait from arrival to the end of their data, writes are posted"
    if _waits_fall(found):
        yield (
            "99 %   few reads wait longest, while the NPU writes new keys and values, to memory.controller.age_cap; "
            "more of them fill the queue, which holds those writes back"
        )
    yield "token/J leaves out what the CPU's lines take on an idle memory"


def _waits_fall(found: SharedDecoding) -> bool:
    """Whether the longest waits beside PIM's decoding become shorter with more traffic."""
    of: dict[tuple[Policy, str], list[tuple[float, float]]] = {}
    for row in found.rows:
        if (p99 := row.cpu_wait_ns["p99"]) is not None:
            of.setdefault((row.policy, row.traffic.pattern), []).append((row.traffic.gb_per_s, p99))
    has_pim = found.run.system.platform.pim is not None
    return has_pim and any(later[1] < one[1] for each in of.values() for one, later in pairwise(sorted(each)))
