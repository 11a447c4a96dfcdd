"""Runs, checks and products of the memory as JSON documents: plain numbers, units in the names."""

from typing import Any

from lpspec.dram.check.checker import CheckReport, Violation
from lpspec.dram.pim.moves import PackageMove
from lpspec.dram.pim.package import PackageGemm, Share
from lpspec.dram.run.controller import Controller
from lpspec.dram.run.latencies import Waits
from lpspec.dram.run.request_stream import StreamRun
from lpspec.dram.run.trace_file import TraceReader
from lpspec.dram.run.trace_lines import DRAMSIM3
from lpspec.machine.die import DieSpec
from lpspec.machine.energy_profile import Activity, EnergyProfile


def run_document(
    done: StreamRun, device: DieSpec, controller: Controller, profile: EnergyProfile, trace: TraceReader | None
) -> dict[str, Any]:
    """What ``lpspec dram run --json`` writes.

    Args:
        done: The run.
        device: The die of every rank.
        controller: Policies.
        profile: Energy constants.
        trace: What read the requests, if they were another simulator's.
    """
    run = done.run
    return {
        "total_ck": run.total_ck,
        "avg_gb_per_s": run.avg_gb_per_s,
        "command_counts": run.command_counts,
        "row_hits": run.row_hits,
        "row_misses": run.row_misses,
        "row_conflicts": run.row_conflicts,
        **_energy(run.activity, profile),
        "requests": run.requests,
        "latency_ck": waits_since_arrival(done, trace),
        "first_ck": run.first_ck,
        "end_ck": run.end_ck,
        "total_ns": run.total_ck * device.ck_ns,
        "peak_gb_per_s": device.peak_gb_per_s,
        "preset": device.name,
        "ranks": controller.ranks,
        "refresh": controller.refresh,
        "wck": controller.wck,
        "page": controller.page,
        "page_timeout_ck": controller.page_timeout,
        "postpone": controller.postpone,
        "drain_high": controller.drain_high,
        "drain_low": controller.drain_low,
        "age_cap_ck": controller.age_cap,
        "patience_ck": controller.patience,
        "energy_profile": profile.name,
        "trace": None if trace is None else _trace(trace),
    }


def waits_since_arrival(done: StreamRun, trace: TraceReader | None) -> Waits:
    """How long requests waited; None for each where a trace does not say when they came."""
    if trace is None or trace.has_times:
        return done.latency_ck
    return dict.fromkeys(done.latency_ck)


def _trace(trace: TraceReader) -> dict[str, Any]:
    """How a trace was read, and what of it was left out."""
    form = trace.form
    return {
        "format": form.form,
        "accesses": trace.found.lines,
        "address_mapping": form.mapping.text if form.mapping else None,
        "channels": form.channels,
        "channel": form.channel,
        "access_bytes": form.access_bytes,
        "interval_ck": form.interval_ck if form.form != DRAMSIM3 else None,
        "left_out_other_channels": trace.found.elsewhere,
        "taken_from_their_start": trace.found.inside,
    }


def check_document(report: CheckReport) -> dict[str, Any]:
    """What ``lpspec dram check --json`` writes; violations in the order of the stream, the first of them."""
    return {
        "legal": report.legal,
        "commands": report.commands,
        "end_ck": report.end_ck,
        "counts": report.counts,
        "violations": [_violation(found) for found in report.violations],
    }


def _violation(found: Violation) -> dict[str, Any]:
    return {
        "rule": found.rule,
        "line": found.command_index + 2,
        "ck": found.ck,
        "earlier_line": None if found.earlier_index is None else found.earlier_index + 2,
        "earlier_ck": found.earlier_ck,
        "required_ck": found.required_ck,
        "text": str(found),
    }


def gemm_document(gemm: PackageGemm, profile: EnergyProfile, wrong: int | None) -> dict[str, Any]:
    """What ``lpspec dram gemm --json`` writes; counts and energy are those of all channels together.

    Args:
        gemm: The product.
        profile: Energy constants.
        wrong: Results of the functional check that are not the integer ones; None if it was not asked for.
    """
    die, channel = gemm.device, gemm.package.channel
    return {
        "total_ck": gemm.total_ck,
        "total_ns": gemm.total_ns,
        "command_counts": gemm.command_counts,
        **_energy(gemm.activity, profile),
        "mac_utilisation": gemm.mac_utilisation,
        "dq_share": gemm.dq_share,
        "ca_share": gemm.ca_share,
        "array_gb_per_s": gemm.array_gb_per_s,
        "verified": None if wrong is None else wrong == 0,
        "m": gemm.m,
        "k": gemm.k,
        "n": gemm.n,
        "platform": gemm.package.name,
        "preset": die.name,
        "channels": gemm.package.channels,
        "ranks": channel.ranks,
        "pim_ranks": list(channel.pim_ranks),
        "concurrent_ranks": channel.concurrent,
        "alus": die.pim.alus.n,
        "banks_per_mpu": die.pim.banks_per_mpu.n,
        "mac_interval_ck": die.mac_ck,
        "energy_profile": profile.name,
        "shares": [_share(share) for share in gemm.shares],
    }


def move_document(move: PackageMove, profile: EnergyProfile) -> dict[str, Any]:
    """What ``lpspec dram move --json`` writes; bytes and energy are those of all channels together."""
    run, channel = move.run, move.package.channel
    return {
        "total_ck": run.end_ck,
        "total_ns": move.total_ns,
        "moved_bytes": move.moved_bytes,
        "moved_gb_per_s": move.moved_bytes / move.total_ns,
        "command_counts": run.command_counts,
        **_energy(move.activity, profile),
        "k": move.k,
        "n": move.n,
        "to": "pim" if move.to_pim else "dram",
        "platform": move.package.name,
        "preset": channel.device.name,
        "channels": move.package.channels,
        "ranks": channel.ranks,
        "pim_ranks": list(channel.pim_ranks),
        "energy_profile": profile.name,
    }


def _energy(activity: Activity, profile: EnergyProfile) -> dict[str, Any]:
    """Energy by component, and by every event that occurred."""
    return {"energy_pj": activity.energy_pj(profile), "energy_by_event_pj": activity.by_event_pj(profile)}


def _share(share: Share) -> dict[str, Any]:
    """What some channels do alike, each of them."""
    return {
        "channels": share.channels,
        "n": share.n,
        "total_ck": share.run.total_ck,
        "command_counts": share.run.command_counts,
    }
