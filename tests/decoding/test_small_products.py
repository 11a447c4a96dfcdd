"""Products of few rows by compiled blocks: those of torch, row by row the same bits, and only where they suit."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from lpspec.decoding.compiled.backend import FEW, LIGHT, CompiledBackend
from lpspec.decoding.compiled.block_product import LANES, add_product, as_read, widens_quickly
from lpspec.decoding.linear import FloatLinear

COMPILED = CompiledBackend()


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


@pytest.mark.parametrize("rows", range(1, 14))
@pytest.mark.parametrize(("inputs", "outputs"), [(8, 1), (16, 5), (64, 33), (256, 100)])
def test_the_product_is_added_to_what_is_there(rows: int, inputs: int, outputs: int) -> None:
    x, weight, onto = drawn(rows, inputs), drawn(outputs, inputs), drawn(rows, outputs)
    out = onto.numpy().copy()
    add_product(x.numpy(), weight.numpy(), out)
    wanted = onto.double() + x.double() @ weight.double().T
    torch.testing.assert_close(torch.from_numpy(out).double(), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("rows", [2, 3, 4, 5, 7, 16])
def test_a_row_comes_out_the_same_whatever_rows_are_beside_it(rows: int) -> None:
    x, weight = drawn(rows, 64).numpy(), drawn(37, 64).numpy()
    together, alone = np.zeros((rows, 37), np.float32), np.zeros((rows, 37), np.float32)
    add_product(x, weight, together)
    for row in range(rows):
        add_product(x[row : row + 1], weight, alone[row : row + 1])
    assert np.array_equal(together, alone)


def test_a_weight_is_narrowed_only_where_nothing_is_lost() -> None:
    exact = drawn(9, 16).half().float().numpy()
    narrow = as_read(exact)
    assert narrow.dtype == (np.uint16 if widens_quickly() else np.float32)
    x, wide_out, narrow_out = drawn(3, 16).numpy(), np.zeros((3, 9), np.float32), np.zeros((3, 9), np.float32)
    add_product(x, exact, wide_out)
    add_product(x, narrow, narrow_out)
    assert np.array_equal(wide_out, narrow_out)
    for lost in (1 + 2**-20, 1e6, 1e-9):  # too fine, too large, too small
        assert as_read(np.full((1, 8), lost, np.float32)).dtype == np.float32


def test_infinity_and_nan_pass_through() -> None:
    x = torch.ones(2, LANES)
    x[0, 0], x[1, 0] = float("inf"), float("nan")
    weight = torch.ones(2, LANES)
    weight[1, 0] = -1.0
    with torch.inference_mode():
        found = FloatLinear(weight, backend=COMPILED)(x)
    assert found[0].tolist() == [float("inf"), -float("inf")]
    assert found[1].isnan().all()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("together", [False, True])
def test_a_layer_adds_bias_and_what_it_comes_on_top_of(bias: bool, together: bool) -> None:
    x = drawn(3, 8) if together else drawn(3, 16)[:, :8]
    layer, onto = FloatLinear(drawn(8, 8), drawn(8) if bias else None, COMPILED), drawn(3, 8, seed=1)
    before = onto.clone()
    with torch.inference_mode():
        found = layer(x, onto)
    torch.testing.assert_close(found, before + functional.linear(x, layer.weight, layer.bias))
    torch.testing.assert_close(onto, before)


@pytest.fixture
def loops(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of every product that the loops do."""
    rows: list[int] = []

    def counted(x: np.ndarray, weight: np.ndarray, out: np.ndarray, threads: int) -> None:
        rows.append(len(x))
        add_product(x, weight, out, threads)

    monkeypatch.setattr("lpspec.decoding.compiled.backend.add_product", counted)
    return rows


def test_only_what_suits_is_taken(loops: list[int]) -> None:
    weight = torch.randn(96, 48)
    for other in (weight.half(), torch.randn(48, 96).T, torch.randn(96, 50)):
        multiply = COMPILED.product(other, None)
        x = drawn(3, other.shape[1]).to(other.dtype)
        assert torch.equal(multiply(x, None), functional.linear(x, other))
    assert loops == []
    COMPILED.product(weight, None)(drawn(3, 48), None)
    assert loops == [3]


def test_few_rows_are_taken_however_large_the_weight_is(loops: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lpspec.decoding.compiled.backend.SMALL", 50 * 16 * 8)
    multiply = COMPILED.product(drawn(16, 8), None)
    wider = COMPILED.product(drawn(17, 8), None)
    multiply(drawn(50, 8), None)
    wider(drawn(FEW, 8), None)
    assert loops == [50, FEW]
    multiply(drawn(51, 8), None)
    wider(drawn(50, 8), None)
    assert loops == [50, FEW]


def test_rows_may_lie_in_several_dimensions(loops: list[int]) -> None:
    x, weight, onto = drawn(2, 3, 16), drawn(5, 16), drawn(2, 3, 5)
    found = COMPILED.product(weight, None)(x, onto)
    torch.testing.assert_close(found, onto + functional.linear(x, weight))
    assert loops == [6]


def test_a_large_weight_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.zeros(LIGHT // 8 + 1, 8)
    read: list[np.ndarray] = []
    monkeypatch.setattr("lpspec.decoding.compiled.backend.add_product", lambda x, weight, *rest: read.append(weight))
    COMPILED.product(weight, None)(torch.ones(1, 8), None)
    assert np.shares_memory(read[0], weight.numpy())


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("threads", [2, 3])
def test_threads_share_the_outputs(rows: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lpspec.decoding.compiled.block_product.PART", 1)
    x, weight = drawn(rows, 16).numpy(), drawn(23, 16).numpy()
    alone, shared = np.ones((rows, 23), np.float32), np.ones((rows, 23), np.float32)
    add_product(x, weight, alone)
    add_product(x, weight, shared, threads)
    assert np.array_equal(alone, shared)


def test_bfloat16_is_summed_in_float32_and_rounded_once(loops: list[int]) -> None:
    x, weight, onto = drawn(5, 64).bfloat16(), drawn(9, 64).bfloat16(), drawn(5, 9).bfloat16()
    with torch.inference_mode():
        found = FloatLinear(weight, backend=COMPILED)(x, onto)
    assert loops == [5]
    assert found.dtype == torch.bfloat16
    exact = onto.double() + x.double() @ weight.double().T
    torch.testing.assert_close(found.double(), exact, atol=1e-4, rtol=2**-8)
