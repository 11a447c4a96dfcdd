"""Counts of operators against lists made by hand: every routing of a few experts, every position that a token sees."""

from itertools import combinations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpspec.llm.formats import WeightFormat
from lpspec.llm.work import Attention, ExpertGemm, Gemm, StateUpdate, by_load


def experts(tokens: int, number: int, top_k: int, layers: int = 1) -> ExpertGemm:
    return ExpertGemm("experts", layers, tokens, 24, 40, number, top_k, WeightFormat(4, 8, 16), 8)


def loads_of_every_routing(tokens: int, number: int, top_k: int) -> list[list[int]]:
    """Tokens that each expert is sent, for every way in which all tokens choose."""
    choices = list(combinations(range(number), top_k))
    return [
        [sum(e in chosen for chosen in routing) for e in range(number)] for routing in product(choices, repeat=tokens)
    ]


@pytest.mark.parametrize(
    ("tokens", "number", "top_k"), [(1, 4, 2), (2, 4, 1), (3, 4, 2), (3, 3, 3), (4, 3, 2), (5, 2, 1)]
)
def test_expected_loads_are_the_mean_over_every_routing(tokens: int, number: int, top_k: int) -> None:
    found = loads_of_every_routing(tokens, number, top_k)
    op = experts(tokens, number, top_k, layers=3)
    for load in range(1, tokens + 2):
        mean = np.mean([loads.count(load) / number for loads in found])
        assert float(op.chance(load)) == pytest.approx(mean, abs=1e-12)
    distinct = np.mean([number - loads.count(0) for loads in found])
    assert op.distinct == pytest.approx(distinct)
    one_expert = 40 * (24 * 4 // 8 + 3 * 2)  # 40 columns of 24 weights with a scale of 2 B for 8 of them
    assert op.weight_bytes == pytest.approx(3 * distinct * one_expert)
    assert op.macs == 3 * tokens * top_k * 24 * 40


@given(tokens=st.integers(1, 300), number=st.integers(1, 256), data=st.data())
def test_every_token_goes_to_its_experts_whatever_the_batch(tokens: int, number: int, data: st.DataObject) -> None:
    op = experts(tokens, number, data.draw(st.integers(1, number)))
    parts = [(part, share) for part, share in by_load(op) if isinstance(part, Gemm)]
    assert sum(int(part.macs) * share for part, share in parts) == pytest.approx(op.macs)
    assert sum(part.weight_bytes * share for part, share in parts) == pytest.approx(op.weight_bytes)


def test_arrays_of_tokens_agree_with_numbers() -> None:
    tokens = np.array([[1, 4, 9]])
    op = ExpertGemm("experts", 2, tokens, 24, 40, 8, 2, WeightFormat(8), 8)
    for load in (1, 3, 9):
        assert op.chance(load)[0].tolist() == [float(experts(n, 8, 2).chance(load)) for n in (1, 4, 9)]
    assert [share.shape for _, share in by_load(op)] == [(1, 3)] * 9


@given(tokens=st.integers(1, 40), context=st.integers(0, 80), window=st.integers(1, 60))
def test_a_window_reads_what_any_of_its_tokens_sees(tokens: int, context: int, window: int) -> None:
    op = Attention("attention", 2, tokens, context, 1, 4, 2, 8, 8, 8, window=window)
    seen = {at for new in range(context, context + tokens) for at in range(max(0, new - window + 1), new + 1)}
    assert op.keys == len(seen)
    assert op.kv_read_bytes == 2 * len(seen) * 2 * 2 * 8
    assert op.kv_write_bytes == 2 * tokens * 2 * 2 * 8


def test_latent_shared_and_wider_caches_count_what_is_stored() -> None:
    """DeepSeek-V3: 512 + 64 numbers a token and layer, which serve 128 heads as keys and as values."""
    latent = Attention("latent", 61, 3, 97, 300, 128, 1, 576, 8, 8, 512, latent=True)
    assert latent.kv_write_bytes == 61 * 3 * 576
    assert latent.kv_read_bytes == 61 * 100 * 576
    assert latent.macs == 61 * 128 * 300 * (576 + 512)
    assert latent.scores_share == 1.0
    shared = Attention("shared", 10, 3, 97, 300, 8, 2, 256, 8, 8, writes=False)
    assert (shared.kv_write_bytes, shared.kv_read_bytes) == (0, 10 * 100 * 2 * 2 * 256)
    indexed = Attention("indexed", 1, 1, 99, 100, 128, 1, 576, 8, 8, 512, latent=True, cached=128)
    assert indexed.kv_read_bytes == 100 * (576 + 128)
    wide = Attention("wide", 1, 2, 8, 20, 4, 2, 192, 8, 8, 128)
    assert (wide.kv_write_bytes, wide.query_bytes, wide.result_bytes) == (2 * 2 * 320, 2 * 4 * 192, 2 * 4 * 128)
    assert wide.scores_share == pytest.approx(192 / 320)


def test_states_and_repeated_layers() -> None:
    state = StateUpdate("state", 36, 5, 1 << 19, 4 << 19)
    assert (state.stored_bytes, state.macs) == (36 << 19, 36 * 5 * 4 << 19)
    looped = Gemm("looped", 12, 1, 64, 32, WeightFormat(8), 8, runs=4)
    assert (looped.copies, looped.weight_bytes) == (3, 12 * 64 * 32)
