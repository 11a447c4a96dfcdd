"""Requests from files, drawn at random, and from the turns of a trace; wrong ones are said in one line."""

from pathlib import Path

import numpy as np
import pytest

from lpspec.errors import InputError
from lpspec.scenario import Scenario, Workload
from lpspec.simulation.requests import NOBODY_KNOWS, Requests, load_requests
from lpspec.speculation.rank_trace import load_trace

TRACE = load_trace("vicuna-7b")


def requests_of(folder: Path, text: str, name: str = "r.jsonl", **options: int) -> Requests:
    (folder / name).write_text(text)
    return load_requests(Workload(requests=str(folder / name), **options), TRACE)


def refusal(folder: Path, text: str, name: str = "r.jsonl") -> str:
    with pytest.raises(InputError) as refused:
        requests_of(folder, text, name)
    line = str(refused.value)
    assert "\n" not in line
    assert len(line) <= 200
    return line


def test_json_lines_are_sorted_by_arrival_and_filled_up(tmp_path: Path) -> None:
    text = (
        '{"arrival_s": 2, "prompt_tokens": 7, "new_tokens": 3}\n\n{"arrival_s": 0.5, "turn": 4}\n{"arrival_s": 2.0}\n'
    )
    found = requests_of(tmp_path, text, prompt_tokens=50, new_tokens=9)
    assert found.arrival_ns.tolist() == [0.5e9, 2e9, 2e9]
    assert found.prompt_tokens.tolist() == [50, 7, 50]
    assert found.new_tokens.tolist() == [9, 3, 9]
    assert found.limit.tolist() == [9, 3, 9]
    assert found.turn.tolist() == [4, 0, 2]


def test_csv_says_the_same_as_json(tmp_path: Path) -> None:
    csv = requests_of(tmp_path, "arrival_s, prompt_tokens,new_tokens\n1.5,9,4\n0,,\n", "r.csv")
    json = requests_of(tmp_path, '{"arrival_s": 1.5, "prompt_tokens": 9, "new_tokens": 4}\n{"arrival_s": 0}')
    assert csv.content_hash == json.content_hash


def test_without_a_limit_nobody_knows_when_a_turn_ends() -> None:
    found = load_requests(Workload(batch=2), TRACE)
    assert found.new_tokens.tolist() == TRACE.turn_lengths.tolist()
    assert set(found.limit.tolist()) == {NOBODY_KNOWS}
    assert not found.arrival_ns.any()


def test_arrivals_at_random_have_their_rate_and_repeat_by_seed() -> None:
    first, again, other = (
        load_requests(Workload(requests=text), TRACE)
        for text in ("poisson:2.5/s:4000", "poisson:2.5/s:4000:0", "poisson:2.5/s:4000:1")
    )
    assert first.content_hash == again.content_hash != other.content_hash
    gaps_s = np.diff(first.arrival_ns) / 1e9
    assert abs(gaps_s.mean() - 0.4) < 4 * 0.4 / np.sqrt(len(gaps_s))  # four standard errors
    assert abs((gaps_s > 0.4).mean() - np.exp(-1)) < 4 * 0.5 / np.sqrt(len(gaps_s))


def test_a_request_may_have_a_trace_of_its_own(tmp_path: Path) -> None:
    found = requests_of(tmp_path, '{"arrival_s": 0}\n{"arrival_s": 0, "trace": "vicuna-33b", "turn": 3}\n')
    assert [trace.name for trace in found.traces] == ["vicuna-7b", "vicuna-33b"]
    assert found.trace.tolist() == [0, 1]
    assert found.new_tokens[1] == load_trace("vicuna-33b").turn_lengths[3]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"arrival_s": -1}', "line 1: arrival_s must be 0 to 1e+08 seconds, not -1"),
        ('{"arrival_s": 0}\n{"prompt_tokens": 3}', "line 2: arrival_s must be"),
        ('{"arrival_s": true}', "not True"),
        ('{"arrival_s": 0, "arrival_s": 3}', "line 1: key 'arrival_s' is given twice"),
        ('{"arrival_s": NaN}', "not nan"),
        ('{"arrival_s": 0, "new_tokens": 0}', "line 1: new_tokens must be a whole number from 1"),
        ('{"arrival_s": 0, "prompt_tokens": 0}', "prompt_tokens must be a whole number from 1"),
        ('{"arrival_s": 0, "prompt_tokens": 2.5}', "not 2.5"),
        ('{"arrival_s": 0, "turn": 160}', "turn 160 is not in trace 'vicuna-7b': it has 0 to 159"),
        ('{"arrival_s": 0, "turn": -1}', "turn must be a whole number from 0"),
        ('{"arrival_s": 0, "trace": 3}', "trace must be the name"),
        ('{"arrival_s": 0, "trace": "vicuna-8b"}', "unknown trace 'vicuna-8b'"),
        ('{"arrival_s": 0, "prompt": 3}', "unknown key 'prompt'"),
        ("[1]", "line 1: must be a JSON object"),
        ("{", "line 1: must be a JSON object"),
        ("\n", "has no request"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("arrival_s,prompt_tokens,prompt_tokens\n0,7,9\n", "column 'prompt_tokens' stands twice"),
        (
            "arrival_s,new_tokens\n0,many\n",
            "line 2: new_tokens must be a whole number from 1 to 1000000000, not 'many'",
        ),
        ("arrival_s,new_tokens\n0,1_2\n", "line 2: new_tokens must be a whole number from 1 to 1000000000, not '1_2'"),
        ("arrival_s,new_tokens\n0_5,12\n", "line 2: arrival_s must be 0 to 1e+08 seconds, not '0_5'"),
        ("arrival_s,new_tokens\n0,\uff11\n", "line 2: new_tokens must be"),
        ("arrival_s,new_tokens\n0\n", "line 2: must have as many fields as its first line"),
        ("arrival_s,new_tokens\n0,1,2\n", "line 2: must have as many fields as its first line"),
        ("arrival,new_tokens\n0,1\n", "unknown key 'arrival'"),
        ("", "has no request"),
    ],
)
def test_wrong_csv_is_said_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(tmp_path, text, "r.csv")


@pytest.mark.parametrize(
    "text", ["poisson:2", "poisson:0/s:3", "poisson:-1/s:3", "poisson:2/s:0", "poisson:1e9/s:4", "poisson:1/s:9999999"]
)
def test_arrivals_that_cannot_be_drawn(text: str) -> None:
    with pytest.raises(InputError, match="must be poisson:RATE/s:COUNT"):
        load_requests(Workload(requests=text), TRACE)


@pytest.mark.parametrize("name", ["missing.jsonl", "requests.txt", "requests"])
def test_files_that_are_none(tmp_path: Path, name: str) -> None:
    (tmp_path / "requests.txt").write_text("0")
    with pytest.raises(InputError):
        load_requests(Workload(requests=str(tmp_path / name)), TRACE)


@pytest.mark.parametrize("batch", [0, 65, -3])
def test_batches_from_1_to_64(batch: int) -> None:
    with pytest.raises(InputError, match=r"workload.batch: must be at (least 1|most 64)"):
        Scenario().replace(batch=batch)


def test_a_scenario_file_says_where_its_requests_are(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text('[workload]\nrequests = "mine.jsonl"\nbatch = 4\n')
    assert Scenario.load(tmp_path / "s.toml").workload == Workload(requests=str(tmp_path / "mine.jsonl"), batch=4)
    (tmp_path / "s.toml").write_text('[workload]\nrequests = "poisson:2/s:10"\n')
    assert Scenario.load(tmp_path / "s.toml").workload.requests == "poisson:2/s:10"
