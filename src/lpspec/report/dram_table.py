"""Runs, checks and products of the memory as people read them."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from lpspec.dram.check.checker import CheckReport
from lpspec.dram.pim.moves import PackageMove
from lpspec.dram.pim.package import PackageGemm
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.latencies import Waits
from lpspec.dram.run.request_stream import StreamRun
from lpspec.dram.run.trace_file import TraceReader
from lpspec.dram.run.trace_lines import DRAMSIM3
from lpspec.machine.die import DieSpec
from lpspec.machine.energy_profile import EVENTS, Activity, EnergyProfile
from lpspec.report.dram_documents import waits_since_arrival
from lpspec.report.wording import digits, new_table

MOST_SHOWN = 20
"""Violations shown one by one."""

Rows = list[tuple[str, str, str]]


def run_blocks(
    done: StreamRun, device: DieSpec, controller: Controller, profile: EnergyProfile, trace: TraceReader | None
) -> Iterator[Any]:
    """A run of requests: totals, commands, energy, and what stands behind them.

    Args:
        done: The run.
        device: The die of every rank.
        controller: Policies.
        profile: Energy constants.
        trace: What read the requests, if they were another simulator's.
    """
    run = done.run
    ns, requests = run.total_ck * device.ck_ns, run.requests
    yield _facts(
        f"{requests:,} requests on one channel of {device.name}",
        [
            ("time", f"{run.total_ck:,}", f"CK from the first command to the end of the last data: {digits(ns)} ns"),
            ("bandwidth", digits(run.avg_gb_per_s), f"GB/s of {digits(device.peak_gb_per_s)}"),
            ("row hits", f"{run.row_hits:,}", f"{run.row_hits / requests:.1%} of requests" if requests else "-"),
            ("row misses", f"{run.row_misses:,}", "bank was closed"),
            ("row conflicts", f"{run.row_conflicts:,}", "another row was open"),
            ("latency", *_waited(waits_since_arrival(done, trace))),
        ],
    )
    yield _counts(run.command_counts, run.total_ck)
    yield _energy(run.activity, profile, ns)
    yield f"channel  {_ranks(controller.ranks)}, refresh {controller.refresh}, WCK {controller.wck}"
    yield f"energy   profile {profile.name} ({profile.technology})"
    if trace:
        yield f"trace    {'; '.join(_read(trace))}"


def _read(trace: TraceReader) -> Iterator[str]:
    """How a trace was read, and what of it was not used."""
    form, found = trace.form, trace.found
    yield f"{form.form}, {form.mapping.text}" if form.mapping else form.form
    if form.mapping:
        yield f"{found.lines:,} accesses of {form.access_bytes} B"
    else:
        yield f"{found.lines:,} accesses of a burst"
    if form.form == DRAMSIM3:
        yield "its cycles are taken as CK"
    else:
        yield f"an access each {form.interval_ck} CK" if trace.has_times else "no times: all there at CK 0"
    if form.channels > 1:
        yield f"channel {form.channel} of {form.channels}, {found.elsewhere:,} accesses to others left out"
    if found.inside:
        yield f"{found.inside:,} that begin inside an access are taken from its start"


def _waited(latency: Waits) -> tuple[str, str]:
    """The mean, and how it spreads."""
    if latency["mean"] is None:
        return "-", "when requests came is not known"
    mean, half, most, longest = ("-" if ck is None else digits(ck) for ck in latency.values())
    return mean, f"CK on average; half within {half}, 99 % within {most}, all {longest}"


def check_blocks(report: CheckReport) -> Iterator[Any]:
    """A check: the verdict, how often each rule was broken, and the first violations."""
    if report.legal:
        yield f"legal: {report.commands:,} commands up to CK {report.end_ck:,}, no rule broken"
        return
    yield f"illegal: {sum(report.counts.values()):,} violations in {report.commands:,} commands"
    table = new_table(None, "=rule|>violations")
    for rule, count in sorted(report.counts.items(), key=lambda pair: -pair[1]):
        table.add_row(rule, f"{count:,}")
    yield table
    yield from map(str, report.violations[:MOST_SHOWN])
    left = sum(report.counts.values()) - MOST_SHOWN
    if left > 0:
        yield f"and {left:,} more"


def gemm_blocks(gemm: PackageGemm, profile: EnergyProfile, wrong: int | None) -> Iterator[Any]:
    """A product: totals, commands, energy, and what stands behind them."""
    die, channel, package = gemm.device, gemm.package.channel, gemm.package
    peak = die.mpus * die.organisation.burst_bytes.n / (die.mac_ck * die.ck_ns)
    peak *= channel.concurrent * package.channels
    yield _facts(
        f"{gemm.m} tokens x {gemm.k} x {gemm.n} on {package.name}, {package.channels} channels of {die.name}",
        [
            ("time", f"{gemm.total_ck:,}", f"CK until the last channel is done: {digits(gemm.total_ns)} ns"),
            ("in the array", digits(gemm.array_gb_per_s), f"GB/s from banks into MPUs, of {digits(peak)}"),
            ("MAC utilisation", f"{gemm.mac_utilisation:.1%}", "of what all MPUs that may compute could multiply"),
            ("DQ", f"{gemm.dq_share:.1%}", "of the time of the data buses"),
            ("CA", f"{gemm.ca_share:.1%}", "of the slots of the command buses"),
        ],
    )
    yield _counts(gemm.command_counts, gemm.total_ck * package.channels)
    yield _energy(gemm.activity, profile, gemm.total_ns)
    yield f"channel  {_ranks(channel.ranks)}, {len(channel.pim_ranks)} with PIM, {channel.concurrent} at once"
    yield f"MPU      {die.pim.banks_per_mpu.n} banks, {die.pim.alus.n} ALUs, a MAC each {die.mac_ck} CK"
    yield f"energy   profile {profile.name} ({profile.technology})"
    if wrong is not None:
        results = f"{gemm.m * gemm.n:,} results"
        yield f"data     {results} equal the integer product" if not wrong else f"data     {wrong:,} of {results} WRONG"


def move_blocks(move: PackageMove, profile: EnergyProfile) -> Iterator[Any]:
    """A migration: time, bytes, commands of one channel, energy of all."""
    run, channel = move.run, move.package.channel
    way = "from the DRAM rank to the PIM ranks" if move.to_pim else "from the PIM ranks to the DRAM rank"
    twice = 2 * move.moved_bytes / (channel.device.peak_gb_per_s * move.package.channels)
    yield _facts(
        f"{move.k} x {move.n} weights {way} of {move.package.name}, {move.package.channels} channels",
        [
            ("time", f"{run.end_ck:,}", f"CK until the last burst is written: {digits(move.total_ns)} ns"),
            ("moved", f"{move.moved_bytes:,}", f"bytes, {digits(move.moved_bytes / move.total_ns)} GB/s"),
            ("data buses", f"{twice / move.total_ns:.1%}", "of the time: each burst is read, then written"),
        ],
    )
    yield _counts(run.command_counts, run.end_ck)
    yield _energy(move.activity, profile, move.total_ns)
    yield f"channel  {_ranks(channel.ranks)}, {len(channel.pim_ranks)} with PIM; its commands are counted above"
    yield f"energy   profile {profile.name} ({profile.technology}), all channels"


def _ranks(ranks: int) -> str:
    return f"{ranks} rank{'s' * (ranks > 1)}"


def _facts(title: str, rows: Rows) -> Table:
    table = new_table(title, "=|=>|")
    table.show_header = False
    for row in rows:
        table.add_row(*row)
    return table


def _counts(counts: Mapping[str, int], slots: int) -> Table:
    table = new_table(None, "=command|>count|>of CA slots")
    for name, count in counts.items():
        table.add_row(name, f"{count:,}", f"{count / slots:.2%}")
    return table


def _energy(activity: Activity, profile: EnergyProfile, ns: float) -> Table:
    """Every event that occurred, with its component."""
    by_event = {name: float(pj) for name, pj in activity.by_event_pj(profile).items()}
    total = sum(by_event.values())
    table = new_table(None, "=energy|of|>nJ|>share")
    for name, pj in by_event.items():
        share = f"{pj / total:.1%}" if total else ""
        table.add_row(EVENTS[name].component, EVENTS[name].text, digits(pj / 1e3), share)
    table.add_row("all", "", digits(total / 1e3), f"{digits(total / ns)} mW" if ns else "")
    return table
