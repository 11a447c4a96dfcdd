"""Measured choices of experts: windows counted by hand, and what passes then read."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpspec.errors import InputError
from lpspec.llm import ModelSpec, load_model, verify_operators
from lpspec.llm.routing import Routing, read_routing
from lpspec.llm.work import ExpertGemm, Gemm, by_load

TINY = {
    "model_type": "mixtral",
    "hidden_size": 64,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_local_experts": 4,
    "num_experts_per_tok": 2,
    "vocab_size": 100,
}
CHOICES = [
    [[0, 1], [2, 3]],
    [[0, 1], [0, 3]],
    [[0, 2], [1, 2]],
    [[3, 1], [2, 3]],
    [[0, 1], [2, 0]],
]


def lines(folder: Path, choices: list[Any] = CHOICES) -> str:
    text = "".join(json.dumps({"experts": token}) + "\n" for token in choices)
    (folder / "routing.jsonl").write_text(text)
    return str(folder / "routing.jsonl")


def rows(folder: Path) -> str:
    text = "expert,token,layer\n" + "".join(
        f"{expert},{10 + token},{layer * 3}\n"
        for token, layers in reversed(list(enumerate(CHOICES)))
        for layer, experts in enumerate(layers)
        for expert in experts
    )
    (folder / "routing.csv").write_text(text)
    return str(folder / "routing.csv")


def tiny(folder: Path, **keys: Any) -> ModelSpec:
    (folder / "config.json").write_text(json.dumps(TINY | keys))
    return load_model(str(folder), routing=lines(folder))


def loads_by_hand(tokens: int) -> list[list[int]]:
    """How many of a window's tokens each expert is sent, for every window and layer."""
    found = []
    for start, layer in product(range(len(CHOICES)), range(2)):
        seen = [CHOICES[(start + step) % len(CHOICES)][layer] for step in range(tokens)]
        found.append([sum(expert in chosen for chosen in seen) for expert in range(4)])
    return found


@pytest.mark.parametrize("tokens", [1, 2, 3, 5, 7, 11])
def test_windows_are_counted_as_by_hand(tokens: int, tmp_path: Path) -> None:
    routing, by_hand = read_routing(lines(tmp_path)), loads_by_hand(tokens)
    for load in range(tokens + 2):
        wanted = np.mean([loads.count(load) / 4 for loads in by_hand])
        assert float(routing.chance(4, tokens, load)) == pytest.approx(wanted, abs=1e-12)
    distinct = np.mean([4 - loads.count(0) for loads in by_hand])
    assert float(routing.distinct(4, tokens)) == pytest.approx(distinct)
    grid = routing.distinct(4, np.array([[tokens], [1]]))
    assert grid.tolist() == [[pytest.approx(distinct)], [2.0]]


def test_rows_and_lines_say_the_same(tmp_path: Path) -> None:
    first, second = read_routing(lines(tmp_path)), read_routing(rows(tmp_path))
    assert np.array_equal(first.ids, second.ids)
    assert first.digest == second.digest
    assert np.array_equal(first.ids, np.array(CHOICES))


def test_a_pass_reads_the_experts_that_its_tokens_chose(tmp_path: Path) -> None:
    model = tiny(tmp_path)
    even = load_model(str(tmp_path))
    expert = 3 * 64 * 32  # a byte a number
    for tokens in (1, 2, 4):
        needed = np.mean([4 - loads.count(0) for loads in loads_by_hand(tokens)])
        others = even.weight_read_bytes(tokens) - round(2 * expert * 4 * (1 - 0.5**tokens))
        assert model.weight_read_bytes(tokens) == others + round(2 * expert * needed)
    assert model.weight_read_bytes(1) == even.weight_read_bytes(1)
    operators = [op for op in verify_operators(model, 3, 10) if isinstance(op, ExpertGemm)]
    read = sum(op.weight_bytes for op in operators)
    assert read == pytest.approx(2 * expert * np.mean([4 - loads.count(0) for loads in loads_by_hand(3)]))


@given(st.data())
def test_loads_add_up_to_what_tokens_chose(data: st.DataObject) -> None:
    experts, top_k = data.draw(st.integers(2, 9)), data.draw(st.integers(1, 2))
    drawn = st.lists(st.permutations(range(experts)).map(lambda order: order[:top_k]), min_size=2, max_size=2)
    choices = np.array(data.draw(st.lists(drawn, min_size=1, max_size=12)), np.uint16)
    routing = Routing(
        source="drawn", tokens=len(choices), layers=2, top_k=top_k, digest="", choices=choices.astype("<u2").tobytes()
    )
    tokens = data.draw(st.integers(1, 30))
    chances = [float(routing.chance(experts, tokens, load)) for load in range(tokens + 1)]
    assert sum(chances) == pytest.approx(1)
    mean = sum(load * chance for load, chance in enumerate(chances))
    assert mean * experts == pytest.approx(tokens * top_k)
    assert top_k - 1e-9 <= float(routing.distinct(experts, tokens)) <= min(experts, tokens * top_k) + 1e-9


def test_a_model_says_what_its_choices_are_where_it_has_some(tmp_path: Path) -> None:
    said = tiny(tmp_path).model_dump(mode="json")
    digest = read_routing(lines(tmp_path)).digest
    found = {"source": str(tmp_path / "routing.jsonl"), "tokens": 5, "layers": 2, "top_k": 2, "digest": digest}
    assert said["routing"] == found
    plain = load_model(str(tmp_path)).model_dump(mode="json")
    assert plain == {key: value for key, value in said.items() if key != "routing"}


def test_products_of_all_loads_are_those_of_the_pass(tmp_path: Path) -> None:
    op = next(op for op in verify_operators(tiny(tmp_path), 3, 10) if isinstance(op, ExpertGemm))
    parts = [(part, float(share)) for part, share in by_load(op) if isinstance(part, Gemm)]
    assert sum(int(part.macs) * share for part, share in parts) == pytest.approx(op.macs)
    assert sum(part.weight_bytes * share for part, share in parts) == pytest.approx(op.weight_bytes)


def refused(folder: Path, said: str, path: str, **keys: Any) -> None:
    (folder / "config.json").write_text(json.dumps(TINY | keys))
    with pytest.raises(InputError) as caught:
        load_model(str(folder / "config.json"), routing=path)
    assert said in str(caught.value)
    assert len(str(caught.value)) <= 200
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"num_hidden_layers": 3}, "has choices of 2 layers"),
        ({"num_local_experts": 3}, "names expert 3"),
        ({"num_experts_per_tok": 1}, "has 2 experts a token"),
    ],
)
def test_choices_of_another_model_are_refused(keys: dict[str, Any], said: str, tmp_path: Path) -> None:
    refused(tmp_path, said, lines(tmp_path), **keys)


def test_a_model_without_experts_takes_none(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no layers with experts"):
        load_model("llama2-7b", routing=lines(tmp_path))


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.jsonl", "", "it holds no tokens"),
        ("a.jsonl", "{", "line 1 is not JSON"),
        ("a.jsonl", '{"experts": [[1]], "experts": [[2]]}', "line 1: key 'experts' is given twice"),
        ("a.jsonl", "[1]", "line 1: needed is"),
        ("a.jsonl", '{"experts": [[0], [1, 2]]}', "line 1: experts must be lists of the same length"),
        ("a.jsonl", '{"experts": [[0, 1]]}\n{"experts": [[0]]}', "line 2: experts are not 1 layers of 2 each"),
        ("a.jsonl", '{"experts": [[0, -1]]}', "line 1: experts must be whole numbers from 0 to 65535"),
        ("a.jsonl", '{"experts": [[1, 1]]}', "line 1: experts names one twice"),
        ("a.csv", "token,layer\n0,0\n", "must name the columns token, layer, expert"),
        ("a.csv", "token,layer,expert\n0,0,x\n", "line 2 is not three whole numbers"),
        ("a.csv", "token,layer,expert\n0,0,1\n0,1,1\n1,0,1\n", "token 1 has not all 2 layers"),
        ("a.csv", "token,layer,expert\n0,0,1\n1,0,1\n1,0,2\n", "tokens are sent to different numbers of experts"),
        ("a.txt", "", "allowed are .jsonl and .csv files"),
    ],
)
def test_a_wrong_file_is_one_line(name: str, text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    refused(tmp_path, said, str(tmp_path / name))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    refused(tmp_path, "cannot be read", str(tmp_path / "none.csv"))


@pytest.mark.parametrize("tokens", [1, 5, 16])
def test_even_choices_come_near_the_model_for_none(tokens: int, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    choices = [[random.choice(8, 2, replace=False).tolist() for _ in range(4)] for _ in range(600)]
    routing = read_routing(lines(tmp_path, choices))
    assert float(routing.distinct(8, tokens)) == pytest.approx(8 * (1 - 0.75**tokens), rel=0.01)
