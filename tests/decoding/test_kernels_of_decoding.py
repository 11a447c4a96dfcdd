"""The compiled loops of the CPU compute what torch does."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from lpspec.decoding.kernels import move_rows, norm_rows
from lpspec.decoding.kv_cache import KvCache


@settings(deadline=None)
@given(rows=st.integers(1, 9), width=st.integers(1, 70), seed=st.integers(0, 999))
def test_the_norm_is_torchs(rows: int, width: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, weight = torch.randn(rows, width, generator=generator) * 5, torch.randn(width, generator=generator)
    out = torch.empty_like(x)
    norm_rows(x.numpy(), weight.numpy(), 1e-3, out.numpy())
    torch.testing.assert_close(out, functional.rms_norm(x, (width,), weight, 1e-3), atol=2e-6, rtol=2e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@settings(deadline=None)
@given(kept=st.sets(st.integers(1, 11), max_size=6), length=st.integers(0, 4))
def test_compaction_keeps_these_rows_in_order(dtype: torch.dtype, kept: set[int], length: int) -> None:
    cache = KvCache(2, 3, 16, 4, dtype)
    before = torch.randn(cache.data.shape).to(dtype)
    cache.data.copy_(before)
    cache.length, keep = length, [0, *sorted(kept)]
    cache.compact(keep)
    assert cache.length == length + len(keep)
    assert torch.equal(cache.data[:, :, :, :length], before[:, :, :, :length])
    assert torch.equal(cache.data[:, :, :, length : cache.length], before[:, :, :, [length + k for k in keep]])


def test_rows_move_in_place() -> None:
    data = np.arange(6.0, dtype=np.float32).reshape(1, 6, 1)
    move_rows(data, 1, np.array([0, 2, 3]))
    assert data.ravel().tolist() == [0, 1, 3, 4, 4, 5]
