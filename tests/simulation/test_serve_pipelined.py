"""Twice as many requests as a pass takes: some are drafted for while others are verified, wherever that pays."""

from functools import partial
from typing import Any

import numpy as np
import pytest
from test_serve import served

from lpspec.llm.draft_work import level_operators
from lpspec.llm.operators import Attention, Elementwise, Operator, verify_operators
from lpspec.scenario.names import FIDELITIES, Fidelity
from lpspec.simulation.served_run import ServedRun
from lpspec.simulation.step_cost import allocator_of

PAIR: dict[str, Any] = {"model": "llama3-8b", "drafter": "draft-model:llama3.2-1b", "acceptance": "0.8", "tree": "2"}


def order(system: str, step_order: str, batch: int = 4, fidelity: Fidelity = "analytic", **options: Any) -> ServedRun:
    return served(system, batch, fidelity, changes={"step_order": step_order}, **{**PAIR, **options})


class ByHand:
    """Times of verification and drafting of one request's step on AHASD's policy, operator by operator."""

    def __init__(self, run: ServedRun) -> None:
        self.run, self.model = run, run.system.model
        self.allocator = allocator_of(run.system, 152)

    def times(self, operators: tuple[Operator, ...]) -> np.ndarray[Any, Any]:
        """All of them; the drafter's products in PIM, what else is on the NPU's arrays, and on its lanes."""
        found = np.zeros(4)
        for op in operators:
            ns = float(self.allocator.decode_cost((op,)).latency_ns)
            on_pim = op.name.startswith("draft_model_") and not isinstance(op, Attention)
            found[[0, 3 if isinstance(op, Elementwise) else 1 if on_pim else 2]] += ns
        return found

    def passes(self, number: int) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        """Verification and drafting of a pass."""
        steps, mine = self.run.steps, self.run.steps.verify_pass == number
        rows = [(128 + int(at), int(n)) for at, n in zip(steps.position[mine], steps.committed[mine], strict=True)]
        level = partial(level_operators, self.model, fills=True)
        verify = self.together(partial(verify_operators, self.model), [(2, at) for at, _ in rows])
        reads = [(n, at) for at, n in rows]
        draft = self.together(lambda n, at: level(n, at, 1), reads, lambda n, at: level(n, at, len(rows)))
        return verify, draft

    def together(self, of: Any, rows: list[tuple[int, int]], shared: Any = None) -> np.ndarray[Any, Any]:
        tokens = sum(n for n, _ in rows)
        own = [tuple(op for op in of(n, at) if self.is_own(op)) for n, at in rows]
        all_ops = tuple(op for op in (shared or of)(tokens, 0) if not self.is_own(op))
        return self.times(all_ops) + sum(map(self.times, own))

    @staticmethod
    def is_own(op: Operator) -> bool:
        return isinstance(op, Attention) or "softmax" in op.name


def test_a_pass_takes_as_long_as_the_busiest_of_what_both_need() -> None:
    """Chains of one draft on AHASD's policy, by hand; a pass over those that were in the last one waits for drafts."""
    run = order("ahasd", "pipelined", 3, requests="poisson:100/s:12", objective="throughput")
    by_hand, before, group = ByHand(run), np.zeros(4), set[int]()
    overlapped = 0
    for number in range(run.passes - 1):
        requests = set(run.steps.request[run.steps.verify_pass == number].tolist())
        verify, draft = by_hand.passes(number)
        if requests & group or not group:
            expected = verify[0] + before[0]
        else:
            expected = max(verify[0], before[0], (verify + before)[1:].max())
            overlapped += 1
        taken = run.pass_end_ns[number] - run.pass_begin_ns[number]
        assert taken == pytest.approx(expected, rel=0.02)  # standby of dies, keys in whole blocks
        before, group = draft, requests
    assert overlapped > run.passes / 2


@pytest.mark.parametrize("batch", [2, 4, 5])
def test_drafting_beside_is_never_slower(batch: int) -> None:
    plain, ahead = (order("ahasd", how, batch, objective="throughput") for how in ("sequential", "pipelined"))
    assert np.array_equal(np.bincount(ahead.steps.request, ahead.steps.committed), ahead.requests.new_tokens)
    assert ahead.decode_ns <= plain.decode_ns * (1 + 1e-9)
    saved = plain.decode_ns - ahead.decode_ns
    by_hand = ByHand(plain)
    drafting = sum(by_hand.passes(number)[1][0] for number in range(0, plain.passes, 20)) * 20
    assert saved <= drafting * 1.1


@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_a_machine_that_shares_everything_loses_nothing(fidelity: Fidelity) -> None:
    """By commands, within what the analytic level, which chooses, is off."""
    options = {"requests": "poisson:100/s:6"}
    plain, ahead = (order("lp-spec", how, 4, fidelity, **options) for how in ("sequential", "pipelined"))
    assert ahead.counted.edp_s_mj <= plain.counted.edp_s_mj * (1 + (1e-9 if fidelity == "analytic" else 0.01))
