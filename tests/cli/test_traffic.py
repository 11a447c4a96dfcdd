"""``lpspec traffic``: what a CPU beside decoding costs both, as table, JSON and figure; what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import Said, assert_refused

from lpspec.errors import InputError
from lpspec.experiments.traffic import Policy

Lpspec = Callable[..., Said]
QUICK = ("traffic", "--model", "tinyllama", "--new-tokens", "20")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    from command_line import run_command

    folder = tmp_path_factory.mktemp("traffic")
    policies = ("--fairness", "pim-first,npu-first", "--gb-per-s", "2,10", "--pattern", "random")
    said = run_command([*QUICK, *policies, "--json", str(folder / "t.json"), "--figure", str(folder / "t")])
    assert said.code == 0, said.err
    assert sorted(path.name for path in folder.iterdir()) == ["t.json", "t.pdf", "t.png"]
    document: dict[str, Any] = json.loads((folder / "t.json").read_text("utf-8"))
    return {"document": document, "out": said.out}


def test_a_row_for_each_policy_and_rate(found: dict[str, Any]) -> None:
    rows = found["document"]["rows"]
    assert [(row["fairness"], row["gb_per_s"]) for row in rows] == [
        ("pim-first", 2),
        ("pim-first", 10),
        ("npu-first", 2),
        ("npu-first", 10),
    ]
    for row in rows:
        assert f"{row['gb_per_s']:g} GB/s random" in found["out"]


def test_decoding_slows_down_as_its_step_does(found: dict[str, Any]) -> None:
    document = found["document"]
    for row in document["rows"]:
        assert row["tokens_per_s"] == pytest.approx(document["tokens_per_s"] / row["slowdown"])
    of = {(row["fairness"], row["gb_per_s"]): row for row in document["rows"]}
    for fairness in ("pim-first", "npu-first"):
        assert of[fairness, 2]["slowdown"] < of[fairness, 10]["slowdown"]
    assert of["pim-first", 10]["slowdown"] < of["npu-first", 10]["slowdown"]


def test_the_cpu_gets_what_it_asks_for_and_waits_longer_beside_decoding(found: dict[str, Any]) -> None:
    for row in found["document"]["rows"]:
        assert row["cpu_gb_per_s"] == pytest.approx(row["gb_per_s"], rel=0.05)
        beside, alone = row["cpu_read_wait_ns"], row["cpu_read_wait_alone_ns"]
        assert beside["mean"] > alone["mean"] > 40
        assert beside["p99"] > alone["p99"]


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        ("--gb-per-s 0", "--gb-per-s 0: allowed are numbers from 0.1 to 1000"),
        ("--gb-per-s 1,fast", "--gb-per-s fast: allowed"),
        ("--gb-per-s 1,,2", "empty name"),
        ("--gb-per-s 1,52", "traffic is 52 GB/s: allowed is what the data pins carry, 51.2 GB/s"),
        ("--gb-per-s 50", "50 GB/s of stream lines under pim-first slow a step down more than 8 times"),
        ("--pattern zigzag", "unknown pattern 'zigzag': known are random, stream"),
        ("--write-share 1.5", "write share is 1.5: allowed is 0 to 1"),
        ("--fairness fair", "unknown fairness 'fair'"),
        ("--quantum 8", "--quantum says nothing without --fairness round-robin"),
        ("--pim-wait-ck 8", "--pim-wait-ck says nothing without --fairness npu-first"),
        ("--fairness round-robin --quantum 0", "quantum is 0: allowed is 1"),
        ("--systems lp-spec,npu", "traffic is put beside one system"),
        ("--systems attacc", "no command level"),
        ("--systems npu --fairness npu-first", "npu has no PIM ranks that others could yield to"),
    ],
)
def test_what_cannot_be_is_refused(
    lpspec: Lpspec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: str, hint: str
) -> None:
    monkeypatch.chdir(tmp_path)
    said = lpspec(*QUICK, *argv.split(), "--json", "out.json")
    assert_refused(said, hint)
    assert list(tmp_path.iterdir()) == []


def test_an_analytic_scenario_is_refused(lpspec: Lpspec, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('systems = ["lp-spec"]\nfidelity = "analytic"\n', "utf-8")
    said = lpspec("traffic", "--scenario", str(tmp_path / "s.toml"))
    assert (said.code, said.err.count("\n")) == (2, 1)
    assert "the analytic level knows no arrival times" in said.err


@pytest.mark.parametrize("wrong", [{"fairness": "pim"}, {"quantum": 0}, {"pim_wait_ck": -1}])
def test_a_policy_that_no_controller_takes_is_refused_before_anything_runs(wrong: dict[str, Any]) -> None:
    """It was after the whole decoding without a CPU."""
    with pytest.raises(InputError, match=r"known are npu-first|allowed is"):
        Policy(**wrong)


def test_what_is_named_twice_is_run_once_and_what_has_no_effect_is_said(lpspec: Lpspec) -> None:
    twice = ("--gb-per-s", "2,2.0", "--pattern", "random,random", "--fairness", "pim-first,pim-first")
    said = lpspec("traffic", "--model", "tinyllama", "--new-tokens", "9000", *twice, "--json", "-")
    document = json.loads(said.out)
    assert len(document["rows"]) == 1
    assert document["provenance"]["command"][:2] == ["lpspec", "traffic"]  # rates and policies are in no scenario
    assert document["notes"] == ["--new-tokens 9000 has no effect: the longest turn of trace 'vicuna-7b' has 917"]


def test_why_the_longest_waits_fall_is_said_where_they_do(found: dict[str, Any], lpspec: Lpspec) -> None:
    assert "99 %" in found["out"].splitlines()[2]
    of = {(row["fairness"], row["gb_per_s"]): row["cpu_read_wait_ns"]["p99"] for row in found["document"]["rows"]}
    fall = any(of[policy, 10] < of[policy, 2] for policy in ("pim-first", "npu-first"))
    assert ("age_cap" in found["out"]) == fall
    alone = lpspec("traffic", "--model", "tinyllama", "--new-tokens", "9", "--gb-per-s", "2", "--pattern", "random")
    assert "age_cap" not in alone.out
