"""``lpspec validate``: a line per rung, its figure, and an exit code that says whether all hold."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from command_line import Said

from lpspec import decoding
from lpspec.errors import InputError
from lpspec.experiments import validate, validate_memory, validate_published, validate_random
from lpspec.experiments.peer_row import PeerRow
from lpspec.experiments.published import PUBLISHED
from lpspec.experiments.validate import climb
from lpspec.experiments.validate_rung import Rung


def test_quick_rungs_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    quick = ("identities", "commands against the checker", "PIM products against integers", "reads against the bus")
    monkeypatch.setattr(validate, "RUNGS", {name: validate.RUNGS[name] for name in quick})
    named: list[str] = []
    rungs = list(climb(named.append))
    assert named == [rung.name for rung in rungs] == list(quick)
    assert all(rung.passed for rung in rungs), [rung.figure for rung in rungs]


@pytest.mark.slow
def test_the_whole_ladder_holds(lpspec: Callable[..., Said]) -> None:
    said = lpspec("validate", "--json", "-")
    document = json.loads(said.out)
    assert said.code == 0
    assert document["passed"]
    assert [rung["name"] for rung in document["rungs"]] == list(validate.RUNGS)
    assert all(rung["figure"] for rung in document["rungs"])


def test_random_machines_alone(monkeypatch: pytest.MonkeyPatch, lpspec: Callable[..., Said]) -> None:
    monkeypatch.setattr(validate_random, "RULES_PER_MACHINE", {"analytic": 1, "command": 0})
    document = json.loads(lpspec("validate", "--random", "2", "--seed", "7", "--json", "-").out)
    (rung,) = document["rungs"]
    assert rung["values"]["machines"] == rung["values"]["analytic"] == 2
    monkeypatch.setattr(validate_random, "broken", lambda *args: "time +7.00%")
    said = lpspec("validate", "--random", "1", "--seed", "8")
    assert said.code == 1
    assert "\nseed 8, analytic, " in said.out


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--random", "0"), "--random 0 is not possible: allowed is 1 to"),
        (("--seed", "3"), "--seed is the seed of random machines"),
        (("--random", "1", "--seed", "-1"), "--seed -1 is not possible"),
    ],
)
def test_what_cannot_be_drawn_is_refused(lpspec: Callable[..., Said], options: tuple[str, ...], named: str) -> None:
    said = lpspec("validate", *options)
    assert said.code == 2
    assert named in said.err


@pytest.mark.parametrize(("passed", "code", "verdict"), [(True, 0, "pass"), (False, 1, "FAIL"), (None, 0, "skipped")])
def test_a_rung_that_fails_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, lpspec: Callable[..., Said], passed: bool | None, code: int, verdict: str
) -> None:
    monkeypatch.setattr(
        validate, "RUNGS", {"one": lambda name, advance: Rung(name, "3 of 4", passed, {"off": 0.25}, ("this one",))}
    )
    said = lpspec("validate")
    assert said.code == code
    assert verdict in said.out
    assert "3 of 4" in said.out
    assert "\nthis one\n" in said.out
    document = json.loads(lpspec("validate", "--json", "-").out)
    assert document["passed"] == (passed is not False)
    (rung,) = document["rungs"]
    assert rung == {"name": "one", "figure": "3 of 4", "passed": passed, "values": {"off": 0.25}, "lines": ["this one"]}


def test_a_wrong_number_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = tuple(replace(p, value=9.0) if p.id == "energy_vs_npu" else p for p in PUBLISHED)
    monkeypatch.setattr(validate_published, "PUBLISHED", changed)
    assert not validate_published.identities("identities", print).passed
    monkeypatch.setattr(validate_memory, "count_wrong", lambda *args: 1)
    assert not validate_memory.functional("products", print).passed


def test_a_neighbour_without_agreement_or_reason_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    row = PeerRow("near", "Other", "time", (1.0, 1.0), (1.01, 1.01), "ms", "analytic")
    far = replace(row, id="far", simulated=(2.0, 2.0), note="counts half")
    unexplained = replace(far, id="unexplained", note="")
    for rows, passed, lines in (
        ([row], True, ()),
        ([row, far], True, ("far: 2.00 of the published; counts half",)),
        ([row, unexplained], False, ("unexplained: 2.00 of the published; no reason is known",)),
    ):
        monkeypatch.setattr(validate_published, "peer_rows", lambda rows=rows: rows)
        rung = validate_published.figures_of_others("others", print)
        assert (rung.passed, rung.lines) == (passed, lines)
        assert set(rung.values) == {row.id for row in rows}


def test_without_torch_the_decoder_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise InputError("real models need torch")

    monkeypatch.setattr(validate, "need_models_extra", missing)
    rung = validate.replay_against_decoder("replay", print)
    assert (rung.passed, rung.figure) == (None, "skipped: needs lpspec[models]")
    assert decoding.need_models_extra is not missing


def test_live_decoding_and_replay_agree() -> None:
    pytest.importorskip("torch")
    rung = validate.replay_against_decoder("replay", print)
    assert rung.passed
    assert rung.values["steps"] > 20
