"""Clocks for every demand, as a table and as JSON."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from lpspec.experiments.clocks import ClocksStudy, Demand, PointRun
from lpspec.machine.operating_points import Clocks
from lpspec.report.wording import digits, energy_counts, new_table, trace_line


def clocks_blocks(study: ClocksStudy) -> Iterator[Any]:
    """A row for each demand, then what the energy rests on."""
    table = new_table(
        f"{study.system.name}: the clocks that take the least energy",
        "=>demanded\ntoken/s|=>data rate\nMb/s|=>NPU\nGHz|=>core, pins,\nNPU V|=>able\ntoken/s",
    )
    by_commands = any(demand.confirmed is not None for demand in study.demands)
    commands = ("commands:\ntoken/s", "mJ/token") if by_commands else ()
    for header in ("mJ/token", "of it\nwaiting", "range", "at full\nclocks", "saved", *commands):
        table.add_column(header, justify="right", no_wrap=True)
    for demand in study.demands:
        cells = list(_row(demand, study.first_token_ms))
        table.add_row(*cells[: len(table.columns)])
    yield table
    yield from _lines(study)


def _row(demand: Demand, first_token_ms: float | None) -> Iterator[str]:
    wanted, chosen, own = demand.tokens_per_s, demand.chosen, demand.nominal
    yield f"{wanted:g}"
    if chosen is None:
        asked = "fast" if first_token_ms is None else "fast and prompt"
        yield from (f"none is {asked} enough", *[""] * 10)
        return
    clocks = chosen.clocks
    yield f"{clocks.data_rate_mbps:,.0f}"
    yield f"{clocks.npu_ghz:g}"
    yield f"{clocks.core_volts:g}, {clocks.io_volts:g}, {clocks.npu_volts:g}"
    yield digits(chosen.run.tokens_per_s)
    yield digits(chosen.mj_at(wanted))
    yield digits(chosen.mj_at(wanted) - chosen.run.mj_per_token, 3)
    least, most = demand.range_mj
    yield f"{digits(least, 3)} to {digits(most, 3)}"
    yield digits(own.mj_at(wanted)) if own.reaches(wanted) else "too slow"
    yield f"{demand.saved:.1%}"
    if demand.confirmed is None:
        yield from ("", "")
        return
    yield digits(demand.confirmed.run.tokens_per_s)
    yield digits(demand.confirmed.mj_at(wanted))


def _lines(study: ClocksStudy) -> Iterator[str]:
    nominal, first = study.demands[0].nominal, study.first_token_ms
    points, assumed = study.operating_points, study.operating_points.assumed
    full = f"{nominal.clocks.data_rate_mbps:,.0f} Mb/s and {nominal.clocks.npu_ghz:g} GHz"
    late = "" if first is None else f", of which the first token must come within {first:g} ms"
    yield f"clocks   {len(study.points)} pairs of '{points.name}' up to {full}{late}"
    yield (
        f"energy   {energy_counts(study.system.platform)}, profile {study.system.profile.name}, with waiting: dies in "
        f"{_waits_in(study)}, the NPU off"
    )
    yield (
        f"assumed  {assumed.clocked_standby.value:.0%} of standby goes with the data rate, "
        f"{assumed.io_charge.value:.0%} of a bit's charge on the pins with their voltage, "
        f"{assumed.waiting_soc.value:.0%} of the rest of a SoC stays on; range: all saved to none"
    )
    yield f"trace    {trace_line(study.provenance)}"
    for demand in study.demands:
        for clocks in demand.too_slow:
            yield (
                f"{demand.tokens_per_s:g} token/s: {_pair(clocks)} would be cheaper: fast enough analytically, "
                "too slow at command level"
            )


def _pair(clocks: Clocks) -> str:
    return f"{clocks.data_rate_mbps:,.0f} Mb/s with {clocks.npu_ghz:g} GHz"


def _waits_in(study: ClocksStudy) -> str:
    memory = study.system.platform.memory
    assert memory is not None
    return memory.idle_dies


def clocks_document(study: ClocksStudy) -> dict[str, Any]:
    """The study as JSON."""
    return {
        "system": study.system.name,
        "energy_profile": study.system.profile.name,
        "operating_points": study.operating_points.model_dump(mode="json"),
        "first_token_ms": study.first_token_ms,
        "demands": [_demand_document(demand) for demand in study.demands],
        "points": [_point_document(point) for point in study.points],
        "notes": list(study.notes),
        "provenance": study.provenance,
    }


def _demand_document(demand: Demand) -> dict[str, Any]:
    wanted, chosen, confirmed = demand.tokens_per_s, demand.chosen, demand.confirmed
    own = demand.nominal
    return {
        "tokens_per_s": wanted,
        "chosen": None if chosen is None else _point_document(chosen, wanted),
        "least_mj_per_token": None if chosen is None else demand.range_mj[0],
        "most_mj_per_token": None if chosen is None else demand.range_mj[1],
        "full_clocks_mj_per_token": own.mj_at(wanted) if own.reaches(wanted) else None,
        "saved": demand.saved,
        "by_commands": None if confirmed is None else _point_document(confirmed, wanted),
        "too_slow_by_commands": [asdict(clocks) for clocks in demand.too_slow],
    }


def _point_document(point: PointRun, wanted: float | None = None) -> dict[str, Any]:
    found = {
        **asdict(point.clocks),
        "able_tokens_per_s": point.run.tokens_per_s,
        "busy_mj_per_token": point.run.mj_per_token,
        "waiting_w": point.waiting_w,
        "time_to_first_token_ms": point.run.time_to_first_token_ms,
    }
    return found if wanted is None else found | {"mj_per_token": point.mj_at(wanted)}
