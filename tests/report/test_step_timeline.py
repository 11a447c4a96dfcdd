"""A step's timeline, read back: no resource twice at a time, flows that join slices, counters that add up."""

import gzip
import json
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any

import pytest

from lpspec.errors import InputError
from lpspec.experiments.compare import Comparison, compare
from lpspec.experiments.step_timeline import StepTimeline, representative_step
from lpspec.experiments.systems import KNOWN_SYSTEMS
from lpspec.report.step_timeline import TRACKS, timeline_bytes
from lpspec.scenario.scenario import DEFAULT

Event = dict[str, Any]


@pytest.fixture(scope="module")
def compared() -> Comparison:
    return compare(DEFAULT.replace(model="tinyllama", systems=["lp-spec", "rtx3090"], new_tokens=40, tree="5"))


@pytest.fixture(scope="module")
def step(compared: Comparison) -> StepTimeline:
    return representative_step(compared.runs[0], compared.scenario.workload)


@pytest.fixture(scope="module")
def events(step: StepTimeline) -> list[Event]:
    found: list[Event] = json.loads(gzip.decompress(timeline_bytes(step)))["traceEvents"]
    return found


def slices(events: list[Event]) -> dict[tuple[int, int], list[Event]]:
    def track(event: Event) -> tuple[int, int]:
        return event["pid"], event["tid"]

    drawn = sorted((event for event in events if event["ph"] == "X"), key=lambda e: (track(e), e["ts"]))
    return {where: list(of_track) for where, of_track in groupby(drawn, key=track)}


def test_the_step_shown_is_the_commonest_kind(compared: Comparison, step: StepTimeline) -> None:
    steps = compared.runs[0].steps
    assert step.l_spec == 5
    committed = steps.committed.tolist()
    assert step.committed == max(set(committed), key=committed.count)
    assert step.context - compared.scenario.workload.prompt_tokens in steps.position


def test_every_track_has_a_name_and_no_overlap(events: list[Event]) -> None:
    named = {(e["pid"], e["tid"]) for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
    by_track = slices(events)
    assert set(by_track) <= named
    assert set(TRACKS.values()) - {TRACKS["NPU matrix units"]} <= set(by_track)
    for drawn in by_track.values():
        for before, after in pairwise(drawn):
            assert round(1e3 * (before["ts"] + before["dur"])) <= round(1e3 * after["ts"]) + 1  # whole ns


def test_flows_join_slices_of_two_devices(events: list[Event]) -> None:
    ends: dict[int, dict[str, Event]] = {}
    for event in events:
        if event["ph"] in "sf":
            ends.setdefault(event["id"], {})[event["ph"]] = event
    assert ends
    by_track = slices(events)
    for flow in ends.values():
        assert set(flow) == {"s", "f"}
        assert flow["s"]["ts"] <= flow["f"]["ts"]
        assert flow["s"]["pid"] != flow["f"]["pid"]
        for event in flow.values():
            drawn = by_track[event["pid"], event["tid"]]
            assert any(e["ts"] <= event["ts"] <= e["ts"] + e["dur"] for e in drawn)


def test_counters_hold_the_energy_and_the_bytes_of_the_step(events: list[Event], step: StepTimeline) -> None:
    counted: dict[str, list[tuple[float, float]]] = {}
    for event in events:
        if event["ph"] == "C":
            counted.setdefault(event["name"], []).append((event["ts"], event["args"][event["name"]]))
    assert counted["L_spec"] == [(0.0, 5), (round(step.phases[-1].end_ns) / 1e3, 0.0)]

    def area(name: str) -> float:
        return sum(value * (after - at) * 1e3 for (at, value), (after, _) in pairwise(counted[name]))

    assert area("power W") * 1e3 == pytest.approx(sum(step.energy_pj), rel=0.01)
    moved = sum(sum(done.bursts) for done in step.phases) * 32 * step.channels
    assert area("data buses GB/s") == pytest.approx(moved, rel=0.01)
    assert max(value for _, value in counted["data buses GB/s"]) <= 51.2


def test_a_timeline_needs_a_system_with_commands(compared: Comparison) -> None:
    with pytest.raises(InputError, match="no command level"):
        representative_step(compared.runs[1], compared.scenario.workload)


OWN = """
extends = "lp-spec"
name = "own"
[memory]
channels = { value = 2, source = "mine" }
"""


@pytest.mark.slow
def test_every_system_with_a_command_level_has_one_and_others_say_so(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(OWN)
    names = [name for name in KNOWN_SYSTEMS if name != "ahasd"]  # which needs a network that drafts
    names.append(str(tmp_path / "own.toml"))
    compared = compare(DEFAULT.replace(model="tinyllama", systems=names, new_tokens=2))
    assert compared.runs[-1].fidelity == "command"
    for run in compared.runs:
        if run.fidelity != "command":
            with pytest.raises(InputError, match="has no command level"):
                representative_step(run, compared.scenario.workload)
            continue
        step = representative_step(run, compared.scenario.workload)
        assert step.system == run.system.name
        lasts_ns = max(done.end_ns for done in step.phases)
        mean_ns = (run.decode_ns - run.migration_ns) / len(run.steps.committed)
        assert 0.5 < lasts_ns / mean_ns < 2, run.system.name
