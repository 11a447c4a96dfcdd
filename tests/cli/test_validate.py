"""``lpspec validate``: a line per rung, its figure, and an exit code that says whether all hold."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
from command_line import Said

from lpspec import decoding
from lpspec.errors import InputError
from lpspec.experiments import validate
from lpspec.experiments.published import PUBLISHED
from lpspec.experiments.validate import Rung, climb


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


@pytest.mark.parametrize(("passed", "code", "verdict"), [(True, 0, "pass"), (False, 1, "FAIL"), (None, 0, "skipped")])
def test_a_rung_that_fails_fails_the_command(
    monkeypatch: pytest.MonkeyPatch, lpspec: Callable[..., Said], passed: bool | None, code: int, verdict: str
) -> None:
    monkeypatch.setattr(validate, "RUNGS", {"one": lambda name: Rung(name, "3 of 4", passed, {"off": 0.25})})
    said = lpspec("validate")
    assert said.code == code
    assert verdict in said.out
    assert "3 of 4" in said.out
    document = json.loads(lpspec("validate", "--json", "-").out)
    assert document["passed"] == (passed is not False)
    assert document["rungs"] == [{"name": "one", "passed": passed, "figure": "3 of 4", "values": {"off": 0.25}}]


def test_a_wrong_number_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = tuple(replace(p, value=9.0) if p.id == "energy_vs_npu" else p for p in PUBLISHED)
    monkeypatch.setattr(validate, "PUBLISHED", changed)
    assert not validate.identities("identities").passed
    monkeypatch.setattr(validate, "count_wrong", lambda *args: 1)
    assert not validate.functional("products").passed


def test_without_torch_the_decoder_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise InputError("real models need torch")

    monkeypatch.setattr(validate, "need_models_extra", missing)
    rung = validate.replay_against_decoder("replay")
    assert (rung.passed, rung.figure) == (None, "skipped: needs lpspec[models]")
    assert decoding.need_models_extra is not missing


def test_live_decoding_and_replay_agree() -> None:
    pytest.importorskip("torch")
    rung = validate.replay_against_decoder("replay")
    assert rung.passed
    assert rung.values["steps"] > 20
