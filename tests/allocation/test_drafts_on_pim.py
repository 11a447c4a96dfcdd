"""Drafts on PIM, all else on the NPU: each operator costs what its device asks, and what cannot run is refused."""

import pytest

from lpspec.allocation.drafts_on_pim import DraftsOnPim
from lpspec.allocation.single import SingleDevice
from lpspec.devices.pim import LpddrPim
from lpspec.errors import InputError
from lpspec.llm.draft_work import drafted, level_operators
from lpspec.llm.loading import load_model
from lpspec.llm.operators import Gemm, verify_operators
from lpspec.machine.loading import load_platform

PLATFORM = load_platform("ahasd")
MODEL = drafted(load_model("llama3-8b"), "draft-model:llama3.2-1b")
MADE = DraftsOnPim(PLATFORM, MODEL, 8, 256)


def test_a_pass_of_the_model_is_the_npus() -> None:
    operators = verify_operators(MODEL, 4, 200)
    alone = SingleDevice(load_platform("mobile-npu"), MODEL, 8, 256)
    assert MADE.decode_cost(operators).latency_ns == pytest.approx(float(alone.decode_cost(operators).latency_ns))
    assert {share[0] for op in operators for one in MADE.divided(op) for share in one.shares} == {MADE.device}


def test_products_of_the_drafter_are_read_in_the_pim_ranks() -> None:
    """1.24e9 weights over 614 GB/s of all ranks, so many times faster than over the bus."""
    operators = level_operators(MODEL, 1, 200, 1)
    products = [op for op in operators if isinstance(op, Gemm)]
    pim = LpddrPim.of(PLATFORM)
    expected = sum(float(pim.price(op).latency_ns) for op in products)
    assert float(MADE.decode_cost(tuple(products)).latency_ns) == pytest.approx(expected)
    assert 1.2e9 / 614.4 < expected < 1.5 * 1.24e9 / 614.4
    assert {share[0] for op in products for one in MADE.divided(op) for share in one.shares} == {MADE.pim}
    assert {share[0] for op in products for one in MADE.divided(op, prompt=True) for share in one.shares} == {
        MADE.device
    }


@pytest.mark.parametrize(
    ("platform", "model", "said"),
    [
        ("ahasd", load_model("llama3-8b"), "has none: allowed are drafters such as eagle3"),
        ("mobile-npu", MODEL, r"needs \[npu\], \[memory\] and \[pim\]"),
    ],
)
def test_without_pim_or_without_a_network_it_is_refused(platform: str, model: object, said: str) -> None:
    with pytest.raises(InputError, match=said):
        DraftsOnPim(load_platform(platform), model, 8, 256)  # type: ignore[arg-type]
