"""W8A8: the integer multiplication is numpy's, and a stored INT8 model computes what its parts say."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.torch import save_file
from tiny_llama import tiny_config
from torch import Tensor

from lpspec.decoding.backend import Backend
from lpspec.decoding.backends import choose_backend
from lpspec.decoding.checkpoint import Checkpoint, open_checkpoint
from lpspec.decoding.generate import Generation
from lpspec.decoding.llama_weights import random_weights
from lpspec.decoding.quantized import QuantizedLinear, quantize_rows, quantized
from lpspec.decoding.torch_backend import TORCH, _gpu_int_product
from lpspec.decoding.transformer import Transformer, load_transformer
from lpspec.errors import InputError
from lpspec.scenario.names import BACKENDS

CONFIG = """{"model_type": "llama", "num_hidden_layers": 2, "hidden_size": 32, "intermediate_size": 48,
 "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 64, "max_position_embeddings": 256}"""


def numpys(x: Tensor, weight: Tensor) -> NDArray[np.int64]:
    return x.numpy().astype(np.int64) @ weight.numpy().astype(np.int64).T


def drawn_int8(rows: int, inputs: int, seed: int, extremes: bool = False) -> Tensor:
    """Uniform over INT8, -128 included; or of its three largest alone, whose sums go farthest."""
    random = np.random.default_rng(seed)
    shape = rows, inputs
    values = random.choice([-128, -127, 127], shape) if extremes else random.integers(-128, 128, shape)
    return torch.from_numpy(values.astype(np.int8))


@pytest.fixture
def no_torch_product(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's integer multiplication is right on some CPUs only, so that no test of its results could tell."""

    def refuse(*_: Tensor) -> None:
        raise AssertionError("torch's integer multiplication is not exact on CPUs")

    monkeypatch.setattr(torch, "_int_mm", refuse)


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    return choose_backend(request.param, torch.float32, "cpu")


@pytest.mark.usefixtures("no_torch_product")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.integers(1, 40),
    inputs=st.integers(1, 300),
    outputs=st.integers(1, 40),
    seed=st.integers(0, 99),
    extremes=st.booleans(),
)
def test_the_integer_multiplication_is_numpys(
    rows: int, inputs: int, outputs: int, seed: int, extremes: bool, backend: Backend
) -> None:
    x, weight = drawn_int8(rows, inputs, seed, extremes), drawn_int8(outputs, inputs, seed + 1, extremes)
    assert np.array_equal(backend.int_product(x, weight).numpy(), numpys(x, weight))


@pytest.mark.usefixtures("no_torch_product")
@pytest.mark.parametrize("inputs", [4095, 4096, 11008, 14337])
@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 6, 7, 17, 64])
def test_the_sizes_of_real_layers_are_exact_and_threads_share_them(
    rows: int, inputs: int, monkeypatch: pytest.MonkeyPatch, backend: Backend
) -> None:
    monkeypatch.setattr("lpspec.decoding.compiled.block_product.PART", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    x, weight = drawn_int8(rows, inputs, seed=rows), drawn_int8(23, inputs, seed=0)
    assert np.array_equal(backend.int_product(x, weight).numpy(), numpys(x, weight))


@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_sums_are_exact(sign: int, backend: Backend) -> None:
    """Pairs of products overflow 16 bits, and sums 24 bits."""
    x, weight = torch.full((3, 14336), -128, dtype=torch.int8), torch.full((5, 14336), 64 * sign, dtype=torch.int8)
    assert (backend.int_product(x, weight) == -128 * 64 * sign * 14336).all()
    x, weight = torch.full((3, 14336), 127, dtype=torch.int8), torch.full((5, 14336), 127 * sign, dtype=torch.int8)
    assert (backend.int_product(x, weight) == sign * 127 * 127 * 14336).all()


@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(1, 1, 1), (16, 24, 8), (17, 25, 9), (40, 64, 40)])
def test_a_gpu_gets_the_shapes_that_it_takes(
    rows: int, inputs: int, outputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_a_gpu(x: Tensor, weight: Tensor) -> Tensor:
        assert x.shape[0] > 16
        assert x.shape[1] % 8 == weight.shape[1] % 8 == 0
        return (x.long() @ weight.long()).int()

    monkeypatch.setattr(torch, "_int_mm", as_a_gpu)
    x, weight = drawn_int8(rows, inputs, seed=1), drawn_int8(outputs, inputs, seed=2)
    assert np.array_equal(_gpu_int_product(x, weight).numpy(), numpys(x, weight))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize(("rows", "inputs", "outputs"), [(1, 300, 5), (16, 4096, 64), (40, 14337, 33)])
def test_a_gpu_multiplies_exactly(rows: int, inputs: int, outputs: int) -> None:
    x, weight = drawn_int8(rows, inputs, seed=1), drawn_int8(outputs, inputs, seed=2)
    assert np.array_equal(TORCH.int_product(x.cuda(), weight.cuda()).cpu().numpy(), numpys(x, weight))


def test_a_row_is_rounded_to_half_a_step_at_most() -> None:
    x = torch.randn(20, 100) * torch.logspace(-5, 5, 20)[:, None]
    rounded, scale = quantize_rows(x)
    assert rounded.abs().amax(1).eq(127).all()
    assert ((rounded * scale[:, None] - x).abs() <= 0.5001 * scale[:, None]).all()
    assert quantize_rows(torch.zeros(1, 4))[0].eq(0).all()


def test_a_layer_is_its_formula() -> None:
    weight, bias, x = torch.randn(24, 48), torch.randn(24), torch.randn(2, 5, 48)
    layer = QuantizedLinear(*quantize_rows(weight), bias)
    w_scale, x_scale = weight.abs().amax(1) / 127, x.abs().amax(-1, keepdim=True) / 127
    sums = torch.round(x / x_scale).double() @ torch.round(weight / w_scale[:, None]).double().T
    torch.testing.assert_close(layer(x), (sums * x_scale * w_scale + bias).float(), atol=1e-4, rtol=1e-4)


def save_float(folder: Path) -> None:
    folder.mkdir()
    (folder / "config.json").write_text(CONFIG)
    save_file(dict(random_weights(tiny_config(), seed=4, scale=0.3).tensors), folder / "model.safetensors")


def test_a_stored_int8_model_is_the_one_quantized_on_loading(tmp_path: Path) -> None:
    save_float(tmp_path / "float")
    stored = dict(quantized(open_checkpoint(tmp_path / "float")).tensors)
    (tmp_path / "int8").mkdir()
    (tmp_path / "int8" / "config.json").write_text(CONFIG)
    save_file(stored, tmp_path / "int8" / "model.safetensors")
    name = "model.layers.1.mlp.down_proj.weight"
    assert stored[name].dtype == torch.int8
    assert stored[f"{name}_scale"].shape == (32,)
    assert stored["model.norm.weight"].dtype == torch.float32
    tokens = torch.arange(30)
    once, twice = load_transformer(tmp_path / "int8"), load_transformer(tmp_path / "float", int8=True)
    assert torch.equal(once.forward(tokens).hidden, twice.forward(tokens).hidden)


@pytest.mark.parametrize("tied", [False, True])
def test_an_int8_model_is_near_the_float_one_and_decodes(tied: bool) -> None:
    config = tiny_config(tied_embeddings=tied)
    weights, tokens = random_weights(config, seed=5, scale=0.3), torch.arange(40)
    exact, rounded = Transformer(config, weights), Transformer(config, quantized(weights))
    assert isinstance(rounded.head, QuantizedLinear)
    with torch.inference_mode():
        a, b = (model.logits(model.forward(tokens).hidden) for model in (exact, rounded))
    assert float((a - b).norm() / a.norm()) < 0.1
    run = Generation(rounded, [1, 2, 3], 10)
    list(run)
    assert len(run.tokens) == 10


def test_scales_without_int8_are_one_clear_line() -> None:
    weights = dict(quantized(random_weights(tiny_config(), seed=6)).tensors)
    weights["lm_head.weight"] = weights["lm_head.weight"].float()
    with pytest.raises(InputError, match="'lm_head' has a weight_scale, but its weight is not int8"):
        Transformer(tiny_config(), Checkpoint(weights, "checkpoint"))
