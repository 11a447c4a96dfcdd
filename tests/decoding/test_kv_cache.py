"""Compaction of the cache: the accepted path moves behind the text, and nothing else does."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lpspec.decoding.kv_cache import KvCache


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
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
