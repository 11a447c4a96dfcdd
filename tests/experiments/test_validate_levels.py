"""Rungs between the two levels: they see a larger tree that is cheaper, and name what differs."""

from dataclasses import replace

import numpy as np
import pytest

from lpspec.experiments import validate_levels
from lpspec.experiments.validate_levels import CONTEXTS, Step, cheaper_closed, contexts_of, has_room
from lpspec.simulation.step_cost import StepCosts, step_costs
from lpspec.simulation.workload import System


def system(model: str = "llama3.2-1b") -> System:
    return validate_levels._system(model, "attacc")


def test_contexts_are_as_long_as_a_model_reads() -> None:
    assert contexts_of("llama3.2-1b") == list(CONTEXTS)
    assert contexts_of("llama2-7b") == [140, 4096 - 64]
    assert has_room(system(), 32768)
    assert not has_room(system("vicuna-33b"), 140)


def test_a_larger_tree_that_is_cheaper_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    assert list(cheaper_closed(system(), 140)) == []

    def cheaper_at_six(of: System, first: int, contexts: int) -> StepCosts:
        costs = step_costs(of, first, contexts)
        latency_ns = costs.latency_ns.copy()
        latency_ns[:, 5] *= 0.5
        return replace(costs, latency_ns=latency_ns)

    monkeypatch.setattr(validate_levels, "step_costs", cheaper_at_six)
    (line,) = cheaper_closed(system(), 140)
    assert line.endswith("from L_spec 5 to 6")
    assert "llama3.2-1b, context 140, attacc, analytic: time -4" in line


def test_what_differs_is_named_by_its_part() -> None:
    """Attention by commands made a tenth of the step longer: it is named, and so is the energy that grew."""
    step = validate_levels._step("llama3.2-1b", 4, 140, "attacc")
    assert list(validate_levels._lines(step)) == []
    closed, commands = step.runs
    parts = commands.decode_pj.copy()
    parts[0] += 0.2 * parts.sum()
    longer = replace(commands, decode_ns=commands.decode_ns * 1.2, decode_pj=parts)
    time, energy = validate_levels._lines(Step("llama3.2-1b", 4, 140, "attacc", (closed, longer)))
    assert time.startswith("llama3.2-1b, L_spec 4, context 140, attacc: time +")
    assert "energy +" in energy
    assert ": array +" in energy
    named = validate_levels._longer_ns(closed.system, 4, 140)
    assert set(named) >= {"qkv", "attention", "gate_up", "lm_head"}
    assert not np.isclose(named["attention"], 0)
