"""Commands of compiled programs equal the closed forms of the analytic PIM model, and counts derived by hand."""

from math import ceil

import pytest
from engine_help import DIE
from hypothesis import given, settings
from hypothesis import strategies as st
from pim_help import count, die, run

from lpspec.devices.pim import LpddrPim
from lpspec.devices.pim_work import PimWork
from lpspec.dram.pim.cache import KvPlacement, parts_for
from lpspec.dram.pim.products import PimProgram, compile_gemm, compile_scores, compile_values
from lpspec.dram.pim.weights import PimChannel, Split, place_weights, share_of_channel
from lpspec.llm.operators import Attention
from lpspec.machine.loading import load_platform

CHANNELS = 4


def closed_form(concurrent: int, **pim: str) -> LpddrPim:
    given = {"concurrent_ranks": str(concurrent), **pim}
    platform = load_platform("lp-spec", {f"pim.{key}": value for key, value in given.items()})
    assert platform.pim is not None
    assert platform.memory is not None
    return LpddrPim(platform.pim, platform.memory)


@settings(max_examples=40)
@given(
    tokens=st.integers(1, 13),
    segments=st.integers(1, 12),
    blocks=st.integers(1, 60),
    concurrent=st.integers(1, 3),
    k_split=st.booleans(),
)
def test_counts_equal_the_closed_forms(tokens: int, segments: int, blocks: int, concurrent: int, k_split: bool) -> None:
    """Every command of a product, whatever its tokens; k need not fill a row."""
    k, n = 64 * segments - 24, 32 * CHANNELS * blocks
    model = closed_form(concurrent)
    channel = PimChannel(DIE, (0, 1, 2), concurrent, 4)
    split: Split = "left-over" if k_split else "never"
    program = compile_gemm(place_weights(channel, k, share_of_channel(n, CHANNELS, 0)[1], split=split), tokens)
    work = model.gemm(tokens, k, n, k_split=k_split)
    assert_same_counts(program, work)
    done, activity = run(program), model.activity(work)
    macs = done.rank_counts["PIM_MAC"] * DIE.mpus * CHANNELS
    assert macs * 256 == activity.column_bits
    opened_again = done.rank_counts.get("PIM_REFAB", 0)  # a refresh inside a tile costs each rank a row at most
    rows = done.rank_counts["PIM_ACT"] - work.die_rows
    assert 0 <= rows <= opened_again
    assert done.total_ck >= work.macs * DIE.mac_ck


def assert_same_counts(program: PimProgram, work: PimWork) -> None:
    counts = count(program)
    found = (counts["PIM_MAC"], counts["PIM_IN"], counts["PIM_OUT"])
    assert found == (work.macs, work.input_bursts, work.output_bursts)


@settings(max_examples=40)
@given(
    heads=st.integers(1, 9),
    head_dim=st.sampled_from([32, 64, 80, 128]),
    key_blocks=st.integers(1, 40),
    queries=st.integers(1, 10),
    concurrent=st.integers(1, 3),
    value_dim=st.sampled_from([None, 32, 96, 512]),
    reach=st.sampled_from(["die", "mpus"]),
    data=st.data(),
)
def test_counts_of_attention_equal_the_closed_forms(
    heads: int,
    head_dim: int,
    key_blocks: int,
    queries: int,
    concurrent: int,
    value_dim: int | None,
    reach: str,
    data: st.DataObject,
) -> None:
    """As many heads on each channel, of which PIM computes all or the first."""
    keys, some = 32 * key_blocks, data.draw(st.integers(1, heads))
    channel = PimChannel(die(reach=reach), (0, 1, 2), concurrent, 4)
    model = closed_form(concurrent, input_reach=reach)
    kv = KvPlacement(channel, heads, head_dim, keys, parts=parts_for(heads, concurrent), value_dim=value_dim)
    all_heads = CHANNELS * heads
    op = Attention(
        "attention", 1, queries, keys - queries, queries * keys, all_heads, all_heads, head_dim, 8, 8, value_dim
    )
    assert_same_counts(compile_scores(kv, keys, queries, heads=some), model.scores(op, CHANNELS * some))
    assert_same_counts(compile_values(kv, keys, queries, heads=some), model.values(op, CHANNELS * some))


@pytest.mark.parametrize("tokens", [1, 2, 3, 5, 6, 7])
def test_nothing_is_sent_for_tokens_that_are_absent(tokens: int) -> None:
    channel = PimChannel(DIE, (0, 1, 2), 3, 4)
    counts = count(compile_gemm(place_weights(channel, 512, 768), tokens))
    assert counts["PIM_IN"] * 32 == tokens * 512
    assert counts["PIM_OUT"] * 32 == tokens * 768 * 4
    assert counts["PIM_MAC"] == ceil(tokens / 4) * 512


@pytest.mark.parametrize(("alus", "tokens"), [(1, 3), (2, 4), (4, 4)])
@pytest.mark.parametrize("banks", [1, 2])
def test_counts_by_hand(alus: int, tokens: int, banks: int) -> None:
    """One rank, 200 k x 600: units of 256 outputs (512 with one bank per MPU), 4 segments of 64 k."""
    channel = PimChannel(die(alus=alus, banks_per_mpu=banks), (0,))
    counts = count(compile_gemm(place_weights(channel, 200, 600), tokens))
    tiles, passes = ceil(600 / (512 // banks)), tokens // alus
    assert counts == {
        "PIM_ACT": tiles * passes * 4,
        "PIM_PRE": tiles * passes * 4,
        "PIM_MAC": tiles * passes * 200,
        "PIM_IN": tiles * passes * (3 * 2 * alus + alus),
        "PIM_OUT": tokens * 600 * 4 // 32,
    }


def test_split_units_take_a_third_of_the_time_and_three_readbacks() -> None:
    """4096 x 1024: a tile of 768 outputs, then 256 whose 64 segments are split into 22, 21 and 21."""
    channel = PimChannel(DIE, (0, 1, 2), 3, 4)
    whole = count(compile_gemm(place_weights(channel, 4096, 1024, split="never"), 4))
    split = count(compile_gemm(place_weights(channel, 4096, 1024), 4))
    assert (whole["PIM_MAC"], split["PIM_MAC"]) == (2 * 4096, 4096 + 22 * 64)
    assert (whole["PIM_OUT"], split["PIM_OUT"]) == (512, 384 + 3 * 128)
    assert whole["PIM_IN"] == split["PIM_IN"] == 2 * 4096 * 4 // 32


def test_attention_counts_by_hand() -> None:
    """Eight heads of 128 on three ranks, 4 queries over 300 keys: heads in 3 rounds, 2 units of 256 keys each.

    Values: heads 0 to 5 are two on each die, so their 8 token rows take 2 passes; heads 6 and 7 have a die each.
    """
    kv = KvPlacement(PimChannel(DIE, (0, 1, 2), 3, 4), 8, 128, 512)
    scores, values = count(compile_scores(kv, 300, 4)), count(compile_values(kv, 300, 4))
    assert scores["PIM_MAC"] == 3 * 2 * 128
    assert scores["PIM_IN"] == 8 * 2 * 128 * 4 // 32  # each rank has inputs of its own, sent for both units
    assert scores["PIM_OUT"] == 8 * 4 * (256 + 48) * 4 // 32  # 44 keys of the last block in 6 bursts of 8
    assert values["PIM_MAC"] == (2 + 1) * 300
    assert values["PIM_IN"] == 8 * 4 * ceil(300 / 32)
    assert values["PIM_OUT"] == 8 * 4 * 128 * 4 // 32


def test_values_of_heads_with_inputs_of_their_own_by_hand() -> None:
    """As above, but both heads of a die take their 4 token rows at once: one pass each for 6 and for 2 heads."""
    kv = KvPlacement(PimChannel(die(reach="mpus"), (0, 1, 2), 3, 4), 8, 128, 512)
    values = count(compile_values(kv, 300, 4))
    assert values["PIM_MAC"] == 2 * 300
    assert values["PIM_IN"] == 8 * 4 * ceil(300 / 32)  # as many, each for four of eight MPUs
    assert values["PIM_OUT"] == 8 * 4 * 128 * 4 // 32
    assert count(compile_scores(kv, 300, 4))["PIM_MAC"] == 3 * 2 * 128


def test_heads_that_fit_into_the_alus_together_take_one_pass() -> None:
    """Plain decoding, 1 query: two heads' values on a die take two of four ALUs."""
    kv = KvPlacement(PimChannel(DIE, (0, 1, 2), 3, 4), 8, 128, 512)
    assert count(compile_values(kv, 300, 1))["PIM_MAC"] == 2 * 300
    shared = KvPlacement(PimChannel(DIE, (0, 1, 2), 3, 4), 8, 128, 128, 0, 2)
    assert count(compile_scores(shared, 128, 1))["PIM_MAC"] == 2 * 128
    assert count(compile_scores(kv, 128, 1))["PIM_MAC"] == 3 * 128


def test_few_heads_are_dealt_over_the_ranks() -> None:
    """Llama3-8B: 2 of 8 key-value heads on a channel, each serving 4 query heads; 640 keys are ten rows of 64."""
    channel = PimChannel(DIE, (0, 1, 2), 3, 4)
    whole, dealt = KvPlacement(channel, 2, 128, 640), KvPlacement(channel, 2, 128, 640, parts=parts_for(2, 3))
    assert dealt.parts == 3
    assert count(compile_values(whole, 640, 4))["PIM_MAC"] == 640
    assert count(compile_values(dealt, 640, 4))["PIM_MAC"] == 2 * 4 * 64  # two parts on each die, 4 of 10 rows each
    assert count(compile_scores(whole, 640, 4))["PIM_MAC"] == 3 * 128
    assert count(compile_scores(dealt, 640, 4))["PIM_MAC"] == 2 * 128
    assert [parts_for(heads, 3) for heads in (1, 2, 3, 4, 6, 8)] == [3, 3, 1, 3, 1, 1]


@pytest.mark.parametrize(("k", "n"), [(4096, 12288), (4096, 4096), (4096, 22016), (11008, 4096)])
def test_programs_stay_short_whatever_the_matrix(k: int, n: int) -> None:
    """Llama2-7B's products: tiles, passes and rows are loops."""
    channel = PimChannel(DIE, (0, 1, 2), 3, 4)
    program = compile_gemm(place_weights(channel, k, share_of_channel(n, CHANNELS, 0)[1]), 64)
    assert len(program.lines) < 200
