"""A step as a timeline for Perfetto: gzipped Chrome trace JSON with a track per resource, flows and counters."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

from lpspec.experiments.step_timeline import StepTimeline

NPU, CHANNEL, HOST = 1, 2, 3  # processes
TRACKS = {
    "NPU matrix units": (NPU, 1),
    "NPU vector units": (NPU, 2),
    "PIM ranks": (CHANNEL, 1),
    "NPU reads": (CHANNEL, 2),
    "KV writes": (CHANNEL, 3),
    "host CPU": (HOST, 1),
}
PHASES = (0, 1)
Event = dict[str, Any]


def timeline_bytes(step: StepTimeline) -> bytes:
    """The whole file; times are ns from the start of the step, written in us with three digits."""
    title = f"{step.system}: one step, L_spec {step.l_spec}, context {step.context}, {step.committed} committed"
    events = [*_names(title, step.channels), *_slices(step), *_flows(step), *_counters(step)]
    document = {"displayTimeUnit": "ns", "otherData": {"title": title}, "traceEvents": events}
    return gzip.compress(json.dumps(document, separators=(",", ":"), allow_nan=False).encode(), 6, mtime=0)


def _names(title: str, channels: int) -> Iterator[Event]:
    processes = {0: title, NPU: "NPU", CHANNEL: f"memory channel 0 (of {channels}, which work alike)", HOST: "host"}
    for process, name in processes.items():
        yield {"ph": "M", "name": "process_name", "pid": process, "args": {"name": name}}
    for name, (process, thread) in {"operators": PHASES, **TRACKS}.items():
        yield {"ph": "M", "name": "thread_name", "pid": process, "tid": thread, "args": {"name": name}}


def _slices(step: StepTimeline) -> Iterator[Event]:
    for number, (done, energy_pj) in enumerate(zip(step.phases, step.energy_pj, strict=True)):
        about = {"number": number, "energy_nj": energy_pj / 1e3, "pim_columns": done.phase.pim_columns}
        yield _slice(PHASES, done.phase.name, done.begin_ns, done.end_ns) | {"args": about}
        for interval in done.intervals:
            yield _slice(TRACKS[interval.resource], interval.name, interval.begin_ns, interval.end_ns)


def _slice(track: tuple[int, int], name: str, begin_ns: float, end_ns: float) -> Event:
    begin, end = round(begin_ns), round(end_ns)
    times = {"ts": begin / 1e3, "dur": max(end - begin, 1) / 1e3}
    return {"ph": "X", "pid": track[0], "tid": track[1], "name": name, **times}


def _flows(step: StepTimeline) -> Iterator[Event]:
    """What passes from one device to another between phases: activations out, sums and results back."""
    number = 0
    for before, after in zip(step.phases, step.phases[1:], strict=False):
        for source in before.intervals:
            for target in after.intervals:
                if TRACKS[source.resource][0] == TRACKS[target.resource][0] or source.resource == "host CPU":
                    continue
                for kind, end, at_ns in (("s", source, source.begin_ns), ("f", target, target.begin_ns)):
                    process, thread = TRACKS[end.resource]
                    place = {"pid": process, "tid": thread, "ts": round(at_ns) / 1e3}
                    yield {"ph": kind, "bp": "e", "name": "activations", "cat": "flow", "id": number, **place}
                number += 1


def _counters(step: StepTimeline) -> Iterator[Event]:
    """Means over each phase: bandwidth of all channels' buses, power of package and NPU; and L_spec."""
    yield _counter("L_spec", 0.0, step.l_spec)
    for done, energy_pj in zip(step.phases, step.energy_pj, strict=True):
        lasts_ns = done.end_ns - done.begin_ns
        if lasts_ns > 0:
            moved_bytes = sum(done.bursts) * step.burst_bytes * step.channels
            yield _counter("data buses GB/s", done.begin_ns, moved_bytes / lasts_ns)
            yield _counter("power W", done.begin_ns, energy_pj / lasts_ns / 1e3)
    end_ns = step.phases[-1].end_ns
    for name in ("L_spec", "data buses GB/s", "power W"):
        yield _counter(name, end_ns, 0.0)


def _counter(name: str, at_ns: float, value: float) -> Event:
    return {"ph": "C", "pid": 0, "name": name, "ts": round(at_ns) / 1e3, "args": {name: round(value, 6)}}
