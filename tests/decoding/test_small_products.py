"""Products of few rows by a compiled loop: those of torch, for every number of rows, and only where they suit."""

import pytest
import torch
from torch.nn import functional

from lpspec.decoding.linear import SMALL, FloatLinear, is_small, small_product


@pytest.mark.parametrize("rows", range(1, 14))
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (7, 5), (64, 33), (256, 100)])
def test_the_product_is_that_of_torch(rows: int, inputs: int, outputs: int) -> None:
    generator = torch.Generator().manual_seed(rows * inputs)
    x = torch.randn(rows, inputs, generator=generator)
    weight = torch.randn(outputs, inputs, generator=generator)
    torch.testing.assert_close(small_product(x, weight), functional.linear(x, weight), atol=1e-4, rtol=1e-4)


def test_rows_that_do_not_lie_together_are_multiplied_too() -> None:
    x, weight = torch.randn(6, 20)[:, :10], torch.randn(4, 10)
    torch.testing.assert_close(small_product(x, weight), functional.linear(x, weight))


def test_infinity_and_nan_pass_through() -> None:
    x = torch.tensor([[float("inf"), 1.0], [float("nan"), 1.0]])
    found = small_product(x, torch.tensor([[1.0, 2.0], [-1.0, 0.0]]))
    assert found[0].tolist() == [float("inf"), -float("inf")]
    assert found[1].isnan().all()


def test_a_layer_adds_what_it_comes_on_top_of() -> None:
    x, weight, onto = torch.randn(3, 8), torch.randn(8, 8), torch.randn(3, 8)
    before = onto.clone()
    with torch.inference_mode():
        found = FloatLinear(weight)(x, onto)
    torch.testing.assert_close(found, before + x @ weight.T)
    torch.testing.assert_close(onto, before)


def test_only_what_suits_is_taken() -> None:
    weight = torch.randn(100, 50)
    assert not is_small(torch.randn(2, 50), weight)  # gradients are wanted
    with torch.inference_mode():
        assert is_small(torch.randn(2, 50), weight)
        assert not is_small(torch.randn(SMALL // weight.numel() + 1, 50), weight)
        assert not is_small(torch.randn(1, 2, 50), weight)
        assert not is_small(torch.randn(2, 50).bfloat16(), weight.bfloat16())
        assert not is_small(torch.randn(2, 100), weight.T)
