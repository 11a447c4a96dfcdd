"""The placement study: every way to size trees under three placements."""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from lpspec.errors import InputError
from lpspec.experiments.placement import LASTING, PLACEMENTS, PlacementRow, PlacementStudy, placement_study, switching
from lpspec.report.placement_table import MEANING, placement_document
from lpspec.scenario import Scenario
from lpspec.scenario.names import FIDELITIES
from lpspec.simulation.steps import Steps
from lpspec.speculation.rank_trace import load_trace

CLOSED = Scenario(fidelity="analytic")

MIXTURE = {"model_type": "mixtral", "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2}
MIXTURE |= {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 2048, "num_local_experts": 8}


@cache
def study(model: str = "llama2-7b") -> PlacementStudy:
    return placement_study(CLOSED.replace(model=model, new_tokens=60))


def row(case: str, model: str = "llama2-7b") -> PlacementRow:
    (found,) = (r for r in study(model).rows if r.case == case)
    return found


def test_every_run_generates_the_same_tokens() -> None:
    for found in study().rows:
        assert len(found.runs) == len(PLACEMENTS) == len(MEANING)
        assert len({run.tokens for run in found.runs}) == 1
        assert [run.system.platform.allocator for run in found.runs] == list(PLACEMENTS)


def test_where_everything_fits_copies_are_fastest_and_moving_is_next() -> None:
    """In time, which balanced splits save. Energy may go either way: the NPU's bits cost more than those of PIM.

    Copies serve all sizes, of which none may cost less energy than a smaller one: that may cost 0.4 % of the time, as
    tests/allocation/test_constant_trees.py holds.
    """
    for found in study().rows:
        stays, moves, free = (run.decode_ns for run in found.runs)
        assert free <= moves * 1.004
        assert moves <= stays * (1 + 1e-12)


def test_the_pruner_asks_for_nothing_that_static_lacks() -> None:
    for found in study().rows[:3]:
        assert found.case == "sized by the pruner (DTP)"
        assert len({run.decode_ns for run in found.runs}) == 1


def test_the_longer_sizes_last_the_nearer_moving_comes_to_copies() -> None:
    rows = [row(f"4 or 16 tokens, {turns} turn{'s' * (turns > 1)} each") for turns in LASTING]
    shares = [found.runs[1].migration_ns / found.runs[1].decode_ns for found in rows]
    assert shares == sorted(shares, reverse=True)
    assert shares[-1] < 0.01
    assert rows[0].runs[1].migrations > rows[-1].runs[1].migrations > 1


def test_sizes_that_change_right_after_each_move_cost_more_than_never_moving() -> None:
    """What no rule without foresight can avoid: it pays for each move and the gain does not come."""
    rows = {found.case: found.runs for found in placement_study(CLOSED.replace(new_tokens=24)).rows}
    stays, moves, free = (run.decode_ns for run in rows["4 or 16 tokens, 1 turn each"])
    assert free < stays < moves < 1.25 * stays


def test_13b_has_little_room_for_copies_so_moving_does_as_well() -> None:
    _, moves, free = row("16 tokens", "llama2-13b").runs
    assert moves.decode_ns == pytest.approx(free.decode_ns, rel=1e-3)


def test_switching_takes_turns_from_either_run() -> None:
    def steps(size: int, roots: list[int]) -> Steps:
        count = len(roots)
        committed, heads = np.arange(count) + 10 * size, np.full(count, size // 4)
        return Steps(np.array(roots), np.full(count, size), committed, np.zeros(count, np.int64), heads, committed % 3)

    small, large = steps(4, [0, 1, 2, 0, 3, 0, 0, 5]), steps(16, [0, 3, 0, 0, 0, 2, 4])
    found = switching(small, large, turns=1)
    assert found.l_spec.tolist() == [4, 4, 4, 16, 4, 16, 16, 16]
    assert found.heads.tolist() == [1, 1, 1, 4, 1, 4, 4, 4]
    assert found.position.tolist() == [0, 1, 2, 0, 0, 0, 2, 4]
    assert found.committed.tolist() == [40, 41, 42, 162, 45, 164, 165, 166]
    assert switching(small, large, turns=2).position.tolist() == [0, 1, 2, 0, 3, 0, 0, 2, 4]


def test_the_document_has_every_run() -> None:
    document = placement_document(study())
    assert [len(found["runs"]) for found in document["rows"]] == [3] * len(study().rows)
    assert Scenario.from_dict(document["provenance"]["scenario"]) == CLOSED.replace(new_tokens=60)
    dynamic = document["rows"][-1]["runs"][1]
    assert dynamic["placement"] == "dynamic"
    assert dynamic["migrations"] > 0
    assert dynamic["energy_by_component_mj"]["migration"] > 0


@pytest.mark.slow
def test_commands_say_the_same_of_every_placement() -> None:
    """Gains by commands are the analytic ones within 12 %: static placement leaves the largest trees to the NPU
    alone, whose reads by commands are faster than the bus efficiency that the analytic level assumes.
    """
    closed, timed = (placement_study(CLOSED.replace(new_tokens=8, fidelity=name)) for name in FIDELITIES)
    for by_form, by_commands in zip(closed.rows, timed.rows, strict=True):
        stays, moves, free = (run.decode_ns for run in by_commands.runs)
        assert {run.fidelity for run in by_commands.runs} == {"command"}
        expected = [run.decode_ns for run in by_form.runs]
        assert free <= moves * 1.002
        assert moves / free == pytest.approx(expected[1] / expected[2], rel=0.05)
        assert stays / free == pytest.approx(expected[0] / expected[2], rel=0.12)


def test_what_cannot_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not fit"):
        placement_study(Scenario(model="vicuna-33b"))
    load_trace("vicuna-7b").with_heads(2).save(tmp_path / "short.npz")
    with pytest.raises(InputError, match="too few draft heads for mc_sim_7b_63"):
        placement_study(Scenario(trace=str(tmp_path / "short.npz")))


def test_measured_experts_are_taken(tmp_path: Path) -> None:
    """Those of a text that always goes to the same two of eight experts read fewer of them for every tree."""
    (tmp_path / "config.json").write_text(json.dumps(MIXTURE))
    (tmp_path / "routing.jsonl").write_text("\n".join([json.dumps({"experts": [[0, 1]] * 2})] * 64))
    asked = CLOSED.replace(model=str(tmp_path / "config.json"), new_tokens=4)
    alike, measured = (placement_study(s) for s in (asked, asked.replace(routing=str(tmp_path / "routing.jsonl"))))
    for before, after in zip(alike.rows, measured.rows, strict=True):
        assert all(b.decode_ns > a.decode_ns for b, a in zip(before.runs, after.runs, strict=True))
