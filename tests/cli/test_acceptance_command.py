"""``lpspec acceptance``: from a table or a log to a trace that ``lpspec compare`` replays."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Said, assert_refused

from lpspec.decoding.draft_trace import DraftTrace, demo_draft_trace
from lpspec.speculation.rank_trace import load_trace

LOG = (
    "INFO 09-04 11:01:16 [metrics.py:125] SpecDecoding metrics: Mean acceptance length: 2.00, Accepted throughput: "
    "6.46 tokens/s, Drafted throughput: 7.77 tokens/s, Accepted: 100 tokens, Drafted: 200 tokens, Per-position "
    "acceptance rate: 0.700, 0.300, Avg Draft acceptance rate: 50.0%\n"
)
COMPARE = ["compare", "--systems", "npu-spec", "--new-tokens", "8", "--fidelity", "analytic", "--json", "-"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_log_becomes_a_trace_that_is_replayed(lpspec: Callable[..., Said]) -> None:
    Path("server.log").write_text(LOG)
    options = ("--model", "llama3-8b", "--drafter", "eagle3", "--temperature", "0.7")
    said = lpspec("acceptance", "server.log", *options, "--to", "mine.npz")
    assert (said.code, said.err) == (0, "")
    assert [row[:2] for row in said.numbers] == [["1", "0.700"], ["2", "0.300"]]
    assert "wrote mine.npz" in said.out
    assert "temperature 0.7" in said.out
    trace = load_trace("mine.npz")
    assert (trace.name, trace.model, trace.drafter, trace.temperature) == ("mine", "llama3-8b", "eagle3", 0.7)
    assert "server.log" in trace.source
    result = json.loads(lpspec(*COMPARE, "--trace", "mine.npz").out)
    assert result["trace"] == "mine"


def test_statistics_are_written_as_printed(lpspec: Callable[..., Said]) -> None:
    said = lpspec("acceptance", "llama3.1-8b-eagle3-gsm8k")
    document = json.loads(lpspec("acceptance", "llama3.1-8b-eagle3-gsm8k", "--json", "-").out)
    columns = ("survival", "accepted_by_passes", "tokens_per_pass_of_chains")
    for place, cells in enumerate(said.numbers):
        assert [cells[1], cells[3], cells[4]] == [f"{document[column][place]:.3f}" for column in columns]
    assert f"± {document['turn_sd']:.3f} over turns, lag-1 {document['lag_1']:.3f}" in said.out
    assert document["sha256"] == load_trace("llama3.1-8b-eagle3-gsm8k").content_hash


def test_one_number_compares_as_the_trace_that_it_stands_for(lpspec: Callable[..., Said]) -> None:
    assert lpspec("acceptance", "2.4@3", "--to", "t.npz").code == 0
    by_number, by_file = (
        json.loads(lpspec(*COMPARE, *option).out) for option in (("--acceptance", "2.4@3"), ("--trace", "t.npz"))
    )
    assert by_number["systems"] == by_file["systems"]
    assert by_number["provenance"]["trace_sha256"] == by_file["provenance"]["trace_sha256"]
    assert by_number["provenance"]["scenario"]["acceptance"] == "2.4@3"


def test_recorded_trees_become_ranks_that_chains_replay_alike(lpspec: Callable[..., Said]) -> None:
    """A chain of first guesses accepts in the rank trace what the drafter's own trees hold of that chain."""
    drafts = demo_draft_trace()
    drafts.save("trees.npz")
    assert lpspec("acceptance", "trees.npz", "--to", "ranks.npz").code == 0
    trace = load_trace("ranks.npz")
    assert (trace.drafter, trace.kind, trace.positions) == ("eagle", "measured", drafts.positions)
    for position in range(0, trace.positions, 97):
        assert list(trace.ranks[position]) == ranks_by_hand(drafts, position)


def ranks_by_hand(drafts: DraftTrace, position: int) -> list[int]:
    paths = [(), *drafts.tree(position).paths()]
    nodes = drafts.true_path[position].tolist()
    return [paths[node][-1] if node > 0 else -1 for node in nodes]


def test_a_bad_line_is_said_with_its_number_and_nothing_is_written(lpspec: Callable[..., Said], folder: Path) -> None:
    for name, text, hint in (
        ("t.csv", "accepted\n1\nmany\n", "t.csv, line 3: accepted is 'many'"),
        ("t.jsonl", '{"accepted": 1}\n{"accepted": -1}\n', "t.jsonl, line 2: accepted is -1"),
        ("t.log", LOG.replace("0.300", "often"), "t.log, line 1: rate is 'often'"),
        ("empty.log", "", "no line of vLLM"),
    ):
        (folder / name).write_text(text)
        said = lpspec("acceptance", name, "--to", "out.npz")
        assert_refused(said, hint)
    (folder / "binary.log").write_bytes(b"\xff\xfe\x00")
    assert "no text in UTF-8" in lpspec("acceptance", "binary.log").err
    assert not (folder / "out.npz").exists()
