"""Sustained against peak, as a table and as JSON."""

from collections.abc import Iterator
from dataclasses import asdict
from math import isfinite
from typing import Any

from lpspec.experiments.sustained import Endurance, Pace, SustainedStudy
from lpspec.report.wording import digits, new_table, trace_line

SESSIONS_S = (600.0, 1800.0)
"""Lengths of sessions that a cold phone begins, s."""


def sustained_blocks(study: SustainedStudy) -> Iterator[Any]:
    """A row for each machine, then what the limits rest on."""
    thermal = study.thermal
    limit = thermal.sustained_power.watts
    table = new_table(f"Cold at its best, then warm at {limit:g} W: {study.scenario.model}", "=system")
    columns = ("peak\ntoken/s", "SoC W", "for\nminutes", "warm\ntoken/s", "range", "of peak", "Mb/s", "NPU\nGHz")
    for header in (*columns, "PIM\nranks", "SoC W", "busy", *(f"mean of\n{s / 60:g} min" for s in SESSIONS_S)):
        table.add_column(header, justify="right", no_wrap=True)
    for machine in study.machines:
        table.add_row(machine.system.name, *_cells(machine, limit))
    yield table
    yield (
        f"limits    {limit:g} W of SoC and memory for ever ({thermal.least_power.watts:g} to "
        f"{thermal.most_power.watts:g}), {thermal.package_power.watts:g} W of memory and MACs at all, warm after "
        f"{thermal.time_constant.seconds:g} s; all assumed, see --json"
    )
    yield f"energy    profile {study.machines[0].system.profile.name}; rests between tokens where busy is below 100 %"
    yield f"trace     {trace_line(study.provenance)}"
    for machine in study.machines:
        if machine.confirmed is not None:
            peak, warm = (
                f"{digits(pace.tokens_per_s_under(watts))} token/s, {digits(pace.soc_w, 3)} W"
                for pace, watts in zip(machine.confirmed, (float("inf"), limit), strict=True)
            )
            yield f"commands  {machine.system.name}: {peak}; warm {warm}"


def _cells(machine: Endurance, limit: float) -> Iterator[str]:
    peak, warm = machine.peak, machine.warm
    sustained = warm.tokens_per_s_under(limit)
    yield digits(peak.run.tokens_per_s)
    yield digits(peak.soc_w, 3)
    yield f"{machine.cold_s / 60:.1f}" if isfinite(machine.cold_s) else "ever"
    yield digits(sustained)
    least, most = machine.range_tokens_per_s
    yield f"{digits(least, 3)} to {digits(most, 3)}"
    yield f"{sustained / peak.run.tokens_per_s:.0%}"
    yield f"{warm.clocks.data_rate_mbps:,.0f}"
    yield f"{warm.clocks.npu_ghz:g}"
    yield str(warm.ranks or "-")
    yield digits(warm.soc_w, 3)
    yield f"{warm.busy_share(limit):.0%}"
    for seconds in SESSIONS_S:
        yield digits(machine.mean_tokens_per_s(seconds, limit))


def sustained_document(study: SustainedStudy) -> dict[str, Any]:
    """The study as JSON."""
    return {
        "model": study.scenario.model,
        "thermal": study.thermal.model_dump(mode="json"),
        "systems": [_machine_document(machine, study) for machine in study.machines],
        "notes": list(study.notes),
        "provenance": study.provenance,
    }


def _machine_document(machine: Endurance, study: SustainedStudy) -> dict[str, Any]:
    limit = study.thermal.sustained_power.watts
    least, most = machine.range_tokens_per_s
    commands = machine.confirmed
    return {
        "system": machine.system.name,
        "peak": _pace_document(machine.peak, float("inf")),
        "cold_s": machine.cold_s if isfinite(machine.cold_s) else None,
        "sustained": _pace_document(machine.warm, limit),
        "sustained_tokens_per_s": machine.warm.tokens_per_s_under(limit),
        "sustained_least_tokens_per_s": least,
        "sustained_most_tokens_per_s": most,
        "sessions": [{"seconds": s, "tokens_per_s": machine.mean_tokens_per_s(s, limit)} for s in SESSIONS_S],
        "peak_by_commands": commands and _pace_document(commands[0], float("inf")),
        "sustained_by_commands": commands and _pace_document(commands[1], limit),
        "paces": [_pace_document(pace, limit) for pace in machine.paces],
    }


def _pace_document(pace: Pace, watts: float) -> dict[str, Any]:
    return {
        **asdict(pace.clocks),
        "pim_ranks": pace.ranks,
        "tokens_per_s": pace.tokens_per_s_under(watts),
        "busy_share": pace.busy_share(watts),
        "busy_tokens_per_s": pace.run.tokens_per_s,
        "soc_w": pace.soc_w,
        "package_w": pace.package_w,
        "waiting_w": pace.waiting_w,
    }
