"""``lpspec compare`` with requests that arrive one by one, and with batches."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Said

Lpspec = Callable[..., Said]
QUICK = ("compare", "--systems", "npu,lp-spec", "--new-tokens", "6", "--fidelity", "analytic")


def test_tables_figure_and_json_of_requests_from_a_file(lpspec: Lpspec, tmp_path: Path) -> None:
    rows = [{"arrival_s": i / 4, "prompt_tokens": 50 + i, "new_tokens": 2 + i % 3} for i in range(9)]
    (tmp_path / "r.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = (*QUICK[:3], "--fidelity", "analytic", "--requests", str(tmp_path / "r.jsonl"), "--batch", "4")
    said = lpspec(*asked, "--figure", str(tmp_path / "f.pdf"), "--json", str(tmp_path / "r.json"))
    assert said.code == 0, said.err
    assert "9 requests, up to 4 in a pass" in said.out
    assert "9 of r.jsonl" in said.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["f.pdf", "r.json", "r.jsonl"]
    found = json.loads((tmp_path / "r.json").read_text("utf-8"))
    for run in found["systems"]:
        assert run["tokens"] == sum(row["new_tokens"] for row in rows)
        assert run["requests"] == 9
        for name in ("queueing_ms", "first_token_ms", "between_tokens_ms"):
            waits = run[name]
            assert 0 <= waits["p50"] <= waits["p90"] <= waits["p99"]
            assert waits["mean"] <= waits["p99"]
    again = lpspec("compare", "--scenario", str(tmp_path / "r.json"), "--json", "-")
    assert json.loads(again.out) == found


def test_a_system_that_drafts_for_some_while_it_verifies_others_says_how_many_are_there(lpspec: Lpspec) -> None:
    """Twice as many as a pass takes, which neither table nor JSON said."""
    pair = ("--model", "llama3-8b", "--drafter", "draft-model:llama3.2-1b", "--new-tokens", "20")
    asked = ("compare", "--systems", "lp-spec,cosine", *pair, "--requests", "poisson:100/s:12", "--batch", "2")
    phone, cosine = json.loads(lpspec(*asked, "--fidelity", "analytic", "--json", "-").out)["systems"]
    assert (phone["batch"], phone["requests_at_once"]) == (2, 2)
    assert (cosine["batch"], cosine["requests_at_once"]) == (2, 4)
    shown = lpspec(*asked, "--fidelity", "analytic").out
    said = [line for line in shown.splitlines() if line.startswith("order")]
    assert [line.split(", ")[0] for line in said] == [
        "order   cosine drafts beside verification: up to 4 requests are there at once"
    ]
    assert "cosine, ahasd" in " ".join(lpspec("compare", "--help").out.split())


def test_the_same_twice_is_the_same(lpspec: Lpspec) -> None:
    asked = (*QUICK, "--requests", "poisson:5/s:20:3", "--batch", "4", "--json", "-")
    assert lpspec(*asked) == lpspec(*asked)


def test_a_batch_alone_serves_all_turns_at_once(lpspec: Lpspec) -> None:
    found = json.loads(lpspec(*QUICK, "--batch", "8", "--json", "-").out)
    assert found["workload"]["served"] == "160 turns of trace 'vicuna-7b', all there at once"
    assert all(run["idle_share"] == 0 and run["mean_batch"] > 4 for run in found["systems"])


def test_both_energy_bases_stand_beside_each_other(lpspec: Lpspec) -> None:
    """By hand: a GPU's board power; a phone's memory and MACs and 3.3 W for the rest of its SoC."""
    asked = ("compare", "--systems", "lp-spec,a100", *QUICK[3:], "--batch", "4")
    phone, gpu = json.loads(lpspec(*asked, "--json", "-").out)["systems"]
    for run in (phone, gpu):
        assert run["tokens_per_j_memory_and_macs"] == run["tokens_per_j"]
        assert run["tokens_per_j_board"] == pytest.approx(run["tokens_per_s"] / run["power_board_w"])
        assert run["edp_board_s_mj"] == pytest.approx(1e3 / run["tokens_per_j_board"] / run["tokens_per_s"])
    assert phone["power_board_w"] == pytest.approx(phone["power_memory_and_macs_w"] + 3.3)
    assert gpu["power_board_w"] == pytest.approx(400)
    shown = lpspec(*asked).out
    (of_gpu,) = (line.split() for line in shown.splitlines() if line.split()[:1] == ["a100"] and "400.0" in line)
    assert of_gpu == ["a100", f"{gpu['tokens_per_j_board']:.4g}", "400.0"]
    on_boards = lpspec(*asked, "--basis", "board").out
    assert "mem+MAC" in on_boards


def test_options_without_effect_are_said(lpspec: Lpspec, tmp_path: Path) -> None:
    (tmp_path / "r.csv").write_text("arrival_s,prompt_tokens,new_tokens\n0,20,3\n")
    said = lpspec(*QUICK, "--requests", str(tmp_path / "r.csv"), "--batch", "4", "--prompt-tokens", "7")
    assert "--prompt-tokens has no effect: every request says its own" in said.err + said.out
    assert "--new-tokens has no effect: every request says its own" in said.err + said.out
    assert "--batch 4 is never full: there are 1 requests" in said.err + said.out


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (("--batch", "0"), "workload.batch: must be at least 1, not 0"),
        (("--batch", "65"), "workload.batch: must be at most 64, not 65"),
        (("--batch", "2", "--timeline", "out/t.json.gz"), "--timeline shows a step of one request"),
        (("--requests", "poisson:0/s:4"), "must be poisson:RATE/s:COUNT"),
        (("--requests", "nowhere.jsonl"), "requests file 'nowhere.jsonl' cannot be read"),
        (("--requests", "poisson:1/s:4", "--prompt-tokens", "4096"), "reads at most 4096 tokens"),
        (
            ("--batch", "2", "--systems", "lp-spec", "--set", "allocator=dynamic"),
            "requests and batches take static or replicated",
        ),
    ],
)
def test_wrong_input_is_one_line(lpspec: Lpspec, argv: tuple[str, ...], said: str) -> None:
    options = QUICK[:1] + QUICK[3:] if "--systems" in argv else QUICK
    refused = lpspec(*options, *argv)
    assert refused.code == 2
    assert refused.out == ""
    (line,) = refused.err.splitlines()
    assert said in line
    assert len(line) <= 200


def test_other_commands_take_one_request_at_a_time(lpspec: Lpspec, tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text("[workload]\nbatch = 4\nnew_tokens = 4\n")
    for argv in (("placement",), ("traffic",)):
        refused = lpspec(*argv, "--scenario", str(tmp_path / "s.toml"))
        assert refused.code == 2
        assert len(refused.err.splitlines()) == 1, refused.err
    assert lpspec("clocks", "--batch", "4").code == 2
