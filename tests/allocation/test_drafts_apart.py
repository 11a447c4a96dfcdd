"""A network on GPUs of its own: each operator costs what its device asks, and a pass waits for what comes and goes."""

import pytest

from lpspec.allocation.drafts_apart import DraftsApart
from lpspec.allocation.single import SingleDevice
from lpspec.errors import InputError
from lpspec.llm.draft_work import drafted, level_operators
from lpspec.llm.loading import load_model
from lpspec.llm.operators import verify_operators
from lpspec.machine.loading import load_platform
from lpspec.simulation.step_order import ANY, busy_ns

PLATFORM = load_platform("cosine")
PLAIN = load_model("llama3-8b")
MODEL = drafted(PLAIN, "draft-model:llama3.2-1b")
MADE = DraftsApart(PLATFORM, MODEL, 8, 256)


def test_a_pass_of_the_model_is_the_verifiers_and_waits_for_drafts() -> None:
    operators = verify_operators(MODEL, 4, 200)
    alone = SingleDevice(PLATFORM, MODEL, 8, 256).decode_cost(operators)
    found = MADE.decode_cost(operators)
    assert found.latency_ns == pytest.approx(float(alone.latency_ns) + 2 * 0.5e6)
    assert found.activity == alone.activity
    assert not MADE.drafts(operators)


def test_a_pass_of_the_network_is_the_drafters_and_each_of_them_does_it() -> None:
    """Two RTX 3090, one after the other nothing, beside each other twice the work."""
    operators = level_operators(MODEL, 1, 200, 1)
    one = SingleDevice(load_platform("rtx3090"), MODEL, 8, 256).decode_cost(operators)
    found = MADE.decode_cost(operators)
    assert found.latency_ns == pytest.approx(float(one.latency_ns))
    assert found.activity == one.activity * 2.0
    assert MADE.drafts(operators)
    assert {share[0] for op in operators for part in MADE.divided(op) for share in part.shares} == {MADE.drafters}


def test_a_head_that_is_shared_with_the_model_is_computed_where_the_network_is() -> None:
    model = drafted(PLAIN, "mtp")
    made = DraftsApart(PLATFORM, model, 8, 256)
    operators = level_operators(model, 1, 200, 1)
    assert "lm_head" in [op.name for op in operators]
    one = SingleDevice(load_platform("rtx3090"), model, 8, 256).decode_cost(operators)
    assert made.decode_cost(operators).latency_ns == pytest.approx(float(one.latency_ns))
    busy = busy_ns(made, operators, 1)
    assert not busy[:ANY].any()
    assert float(busy[ANY, 0]) > 0


def test_heads_of_the_model_run_on_the_verifier_and_nothing_waits() -> None:
    made = DraftsApart(PLATFORM, PLAIN, 8, 256)
    operators = verify_operators(PLAIN, 4, 200)
    alone = SingleDevice(PLATFORM, PLAIN, 8, 256)
    assert made.decode_cost(operators).latency_ns == alone.decode_cost(operators).latency_ns
    assert made.prefill_cost(operators).latency_ns == alone.prefill_cost(operators).latency_ns


def test_without_drafters_or_room_for_the_network_it_is_refused() -> None:
    with pytest.raises(InputError, match=r"allocator drafts-apart needs \[drafters\]"):
        DraftsApart(load_platform("a100"), MODEL, 8, 256)
    small = load_platform("cosine", {"drafters.gpu.memory": "1 GiB"})
    with pytest.raises(InputError, match="drafter does not fit a GPU of 1 GiB of cosine"):
        DraftsApart(small, MODEL, 8, 256)
