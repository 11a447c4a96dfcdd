"""What others measured, read from their tables and logs: the figures come back, and every bad line is named."""

import time
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpspec.errors import InputError
from lpspec.speculation.chains import chain_statistics
from lpspec.speculation.finding_logs import read_log, read_saved
from lpspec.speculation.finding_tables import read_csv, read_jsonl
from lpspec.speculation.findings import Finding, Lists, Origin, StepLengths, Survival
from lpspec.speculation.rank_trace import beyond_turn, verify_passes
from lpspec.speculation.token_tree import TokenTree

ORIGIN = Origin("found", "a test", "some model", "eagle3", 0.6)
requests = st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=12), min_size=1, max_size=4)

VLLM = (
    "(APIServer pid=1) INFO 09-04 11:01:16 [metrics.py:125] SpecDecoding metrics: Mean acceptance length: {mean}, "
    "Accepted throughput: 6.46 tokens/s, Drafted throughput: 7.77 tokens/s, Accepted: {accepted} tokens, Drafted: "
    "{drafted} tokens, Per-position acceptance rate: {rates}, Avg Draft acceptance rate: 83.1%"
)
METRICS = """\
# HELP vllm:spec_decode_num_drafts_total Number of spec decoding drafts.
# TYPE vllm:spec_decode_num_drafts_total counter
vllm:spec_decode_num_drafts_total{engine="0",model_name="m"} 60.0
vllm:spec_decode_num_drafts_total{engine="1",model_name="m"} 40.0
vllm:spec_decode_num_draft_tokens_total{engine="0",model_name="m"} 120.0
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="0",model_name="m",position="0"} 50.0
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="0",model_name="m",position="1"} 20.0
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="1",model_name="m",position="0"} 20.0
vllm:spec_decode_num_accepted_tokens_per_pos_total{engine="1",model_name="m",position="1"} 10.0
vllm:spec_decode_num_accepted_tokens_per_pos_created{engine="1",model_name="m",position="1"} 1.7e9
"""
BENCH = """\
============ Serving Benchmark Result ============
Successful requests:                     80
---------------Speculative Decoding---------------
Acceptance rate (%):                     33.29
Acceptance length:                       1.67
Drafts:                                  {drafts:<10}
Draft tokens:                            600
Accepted tokens:                         200
Per-position acceptance (%):
  Position 0:                            {first:<10.2f}
  Position 1:                            {second:<10.2f}
==================================================
"""
SGLANG = (
    "[2025-03-24 02:56:41 TP0] Decode batch. #running-req: {running}, #token: 7352, token usage: 0.01, accept len: "
    "{length}, gen throughput (token/s): 39.33, #queue-req: 68, "
)
LLAMA_CPP = (
    "0.06.896.015 I slot print_timing: id  1 | task 0 | draft acceptance = 0.64479 (  {accepted} accepted /  "
    " {drafted} generated), mean acceptance length =  2.92, acceptance rate per position = ({rates})"
)


def survival(finding: Finding) -> list[float]:
    assert isinstance(finding, Survival)
    shares: list[float] = finding.survival.tolist()
    return shares


@given(requests)
def test_measured_passes_are_taken_again(passes: list[list[int]]) -> None:
    """The chain of as many drafts decodes every request in the very passes that were measured."""
    lines = ["request,accepted", *(f"r{i},{value}" for i, values in enumerate(passes) for value in values)]
    finding = read_csv("\n".join(lines), "t.csv", 4)
    trace = finding.trace(ORIGIN)
    chain = TokenTree.from_paths([(0,) * level for level in range(1, 5)])
    assert verify_passes(trace, chain).tolist() == [len(values) for values in passes]
    assert trace.turn_lengths.tolist() == [sum(values) + len(values) for values in passes]
    assert (trace.kind, trace.model, trace.drafter, trace.temperature) == ("measured", "some model", "eagle3", 0.6)
    assert not (trace.ranks[beyond_turn(trace.turn_lengths, 4)] != -1).any()


def test_passes_may_be_written_in_four_ways() -> None:
    texts: list[tuple[Callable[..., Finding], str]] = [
        (read_csv, "request,accepted\na,2\nb,0\na,1\n"),
        (read_csv, "Tokens, request\r\n3, a\r\n1, b\r\n2, a\r\n"),
        (read_jsonl, '{"request": "a", "accepted": [2, 1]}\n\n{"request": "b", "accepted": 0}\n'),
        (read_jsonl, '{"tokens": 3, "request": "a"}\n{"tokens": 1, "request": "b"}\n{"tokens": 2, "request": "a"}'),
    ]
    for read, text in texts:
        finding = read(text, "t")
        assert isinstance(finding, StepLengths)
        assert (finding.labels, finding.drafts) == (("a", "b"), 2)
        assert [passes.tolist() for passes in finding.accepted] == [[2, 1], [0]]


def test_rates_by_position_are_survival_or_its_steps() -> None:
    assert survival(read_csv("position,rate\n0,0.8\n1,0.4\n2,10%\n", "t")) == pytest.approx([0.8, 0.4, 0.1])
    assert survival(read_csv("position,conditional\n1,0.8\n2,0.5\n3,0.25\n", "t")) == pytest.approx([0.8, 0.4, 0.1])
    trace = read_csv("position,rate\n0,0.8\n1,0.4\n2,0.1\n", "t").trace(ORIGIN)
    assert chain_statistics(trace).survival == pytest.approx((0.8, 0.4, 0.1), abs=0.002)
    assert "fitted" in trace.description
    assert trace.kind == "synthetic"


def test_heads_with_lists_are_drawn_rank_by_rank() -> None:
    cumulative = read_csv("model,head,top1,top2,top3\nm,1,0.5,0.7,0.8\nm,2,0.3,0.3,0.4\n", "t")
    ranked = read_csv("head,rank1,rank2,rank3\n1,0.5,0.2,0.1\n2,0.3,0,0.1\n", "t")
    for finding in (cumulative, ranked):
        assert isinstance(finding, Lists)
        assert finding.probability == pytest.approx(np.array([[0.5, 0.2, 0.1], [0.3, 0, 0.1]]))
        trace = finding.trace(ORIGIN)
        for head, shares in enumerate(finding.probability):
            ranks = trace.ranks[trace.within_turn[:, head], head]
            assert [(ranks == k).mean() for k in range(3)] == pytest.approx(shares, abs=0.01)


def test_medusas_own_table_is_read() -> None:
    """Its columns: top1_cum_prob, ..., then rank1_prob, ... of the same."""
    head = "model,head,token_offset,top1_cum_prob,top2_cum_prob,rank1_prob,rank2_prob,run_state"
    finding = read_csv(f"{head}\nm,1,2,0.56,0.67,0.56,0.11,x\n", "t")
    assert isinstance(finding, Lists)
    assert finding.probability.tolist() == [[0.56, 0.11]]


def test_vllm_intervals_are_weighed_by_their_drafts() -> None:
    lines = [
        "INFO Engine 000: Avg prompt throughput: 1.1 tokens/s",
        VLLM.format(mean=2.3, accepted=13, drafted=20, rates="0.800, 0.500"),
        VLLM.format(mean=1.6, accepted=18, drafted=60, rates="0.400, 0.200"),
    ]
    assert survival(read_log("\n".join(lines), "t")) == pytest.approx([0.5, 0.275])


def test_a_metrics_page_of_vllm_is_summed_over_engines() -> None:
    assert survival(read_log(METRICS, "t")) == pytest.approx([0.7, 0.3])


def test_what_vllm_bench_serve_prints_is_weighed_by_its_drafts() -> None:
    assert survival(read_log(BENCH.format(drafts=300, first=60.24, second=33.78), "t")) == pytest.approx(
        [0.6024, 0.3378]
    )
    runs = BENCH.format(drafts=100, first=80, second=50) + BENCH.format(drafts=300, first=40, second=20)
    assert survival(read_log(runs, "t")) == pytest.approx([0.5, 0.275])


def test_what_vllm_bench_serve_saves_is_read() -> None:
    run = '{{"duration": 7.5, "spec_decode_num_drafts": {}, "spec_decode_per_position_acceptance_rates": {}}}'
    one = run.format(300, [0.6024, 0.3378])
    assert survival(read_saved(one, "t")) == pytest.approx([0.6024, 0.3378])
    assert survival(read_saved(one.replace(",", ",\n"), "t")) == pytest.approx([0.6024, 0.3378])  # as jq prints it
    appended = run.format(100, [0.8, 0.5]) + "\n" + run.format(300, [0.4, 0.2]) + "\n"
    assert survival(read_saved(appended, "t")) == pytest.approx([0.5, 0.275])


def test_sglang_says_mean_lengths_and_is_told_the_depth() -> None:
    lines = [SGLANG.format(running=1, length=1.0), SGLANG.format(running=3, length=2.0)]
    shares = survival(read_log("\n".join(lines), "t", 2))
    assert 1 + sum(shares) == pytest.approx(1.75)
    assert shares == pytest.approx([0.5, 0.25])


def test_llama_cpp_prints_one_line_per_request() -> None:
    lines = [
        LLAMA_CPP.format(accepted=13, drafted=20, rates="0.800, 0.500"),
        LLAMA_CPP.format(accepted=18, drafted=60, rates="0.400, 0.200"),
    ]
    assert survival(read_log("\n".join(lines), "t")) == pytest.approx([0.5, 0.275])


def test_requests_go_by_another_name_and_notes_are_passed_over() -> None:
    by_id = read_csv("request_id,accepted,time_ms\na,2,7.5\nb,0,8\na,1,9\n", "t")
    assert isinstance(by_id, StepLengths)
    assert (by_id.labels, [list(each) for each in by_id.accepted]) == (("a", "b"), [[2, 1], [0]])
    assert read_jsonl('{"request_id": "a", "accepted": 2, "note": "cut"}\n', "t").labels == ("a",)  # type: ignore[attr-defined]


def test_logs_in_colours_and_intervals_without_a_draft_are_read() -> None:
    """vLLM's early releases print nan where nothing was drafted; terminals and collectors keep colours."""
    idle = VLLM.format(mean="nan", accepted=0, drafted=0, rates="nan, nan")
    busy = VLLM.format(mean=2, accepted=2, drafted=4, rates="0.500, 0.250").replace(
        ", Avg Draft acceptance rate: 83.1%", ""
    )
    text = f"{idle}\r\n\x1b[36m{busy}\x1b[0m\r\n"
    assert survival(read_log(text, "t")) == pytest.approx([0.5, 0.25])


BAD_TABLES = [
    (read_csv, "", "first line must be request,accepted"),
    (read_csv, "a,b\n1,2\n", "first line must be request,accepted"),
    (read_csv, "accepted\n2\nx\n", "t, line 3: accepted is 'x'"),
    (read_csv, "accepted\n2\n-1\n", "t, line 3: accepted is '-1'"),
    (read_csv, "accepted,request\n2\n", "t, line 2: has 1 cells"),
    (read_csv, "accepted,tokens\n2,3\n", "must have either"),
    (read_csv, "accepted\n64\n", "t, line 2: a pass of 64 accepted drafts; allowed are 0 to 63"),
    (read_csv, "tokens\n1\n0\n", "t, line 3: a pass of -1 accepted drafts"),
    (read_csv, 'accepted\n"2\n', "t, line 2"),
    (read_csv, "position,rate\n0,0.5\n1,1.5\n", "t, line 3: rate is '1.5'"),
    (read_csv, "position,rate\n0,0.5\n1,nan\n", "t, line 3: rate is 'nan'"),
    (read_csv, "position,rate\n0,0.7_5\n", "t, line 2: rate is '0.7_5'"),
    (read_csv, "position,rate\n0,0.5\n1,0.6\n", "rises from 0.5 to 0.6 at position 2"),
    (read_csv, "position,rate\n0,0.5\n2,0.4\n", "positions must be"),
    (read_csv, "position,rate\n3,0.5\n", "positions must be"),
    (read_csv, "head,top1,top2\n1,0.5,0.4\n", "t, line 2: top1, top2, ... never fall"),
    (read_csv, "head,rank1,rank2\n1,0.9,0.4\n", "t, line 2: rank1, rank2, ... add up to 1 at most"),
    (read_csv, "head,top1,top3\n1,0.5,0.6\n", "none left out"),
    (read_csv, "head,top1\n1,0.5\n1,0.6\n", "heads must be"),
    (read_jsonl, "", "holds no pass"),
    (read_jsonl, '{"accepted": 1}\n{"accepted": }\n', "t, line 2: is no JSON"),
    (read_jsonl, "[1]\n", "t, line 1: is no JSON object"),
    (read_jsonl, '{"accepted": 1}\n{"tokens": 1}\n', "t, line 2: has no 'accepted'"),
    (read_jsonl, '{"accepted": [1, true]}\n', "t, line 1: accepted is True"),
    (read_jsonl, '{"accepted": []}\n', "holds no pass"),
    (read_csv, "accepted,count\n0,100\n1,50\n", "t, line 2: 'count' holds numbers"),
    (read_csv, "request,accepted,drafted\na,2,4\n", "t, line 2: 'drafted' holds numbers"),
    (read_csv, "position,rate,passes_seen\n0,0.5,7\n1,0.1,9\n", "'passes_seen' holds numbers"),
    (read_csv, "accepted,accepted\n2,1\n", "column 'accepted' stands twice"),
    (read_csv, "request,request_id,accepted\na,b,1\n", "keep one of them"),
    (read_jsonl, '{"accepted": 2, "accepted": 3}\n', "t, line 1: is no JSON: key 'accepted' is given twice"),
    (read_jsonl, '{"accepted": 2, "drafted": 5}\n', "t, line 1: 'drafted' holds numbers"),
    (read_jsonl, '{"accepted": [2, 1], "drafts": [5, 2]}\n', "t, line 1: 'drafts' holds numbers"),
    (read_log, METRICS.replace('engine="1",model_name="m"', 'engine="1",model_name="n"'), "2 models (m, n)"),
    (
        read_log,
        "a\nSpeculative metrics: Draft acceptance rate: 0.642, System efficiency: 0.598, ...",
        "t, line 2: one rate for all drafts, as older vLLM",
    ),
    (
        read_log,
        "SpecDecoding metrics: Draft acceptance rate: 64.2%, Accepted: 214 tokens",
        "t, line 1: one rate for all drafts, as older vLLM",
    ),
    (
        read_log,
        "draft acceptance rate = 0.57576 (  171 accepted /   297 generated)",
        "t, line 1: one rate for all drafts, as older vLLM",
    ),
    (read_log, BENCH.format(drafts="x", first=6, second=3), "t, line 6: drafts is 'x'"),
    (read_log, BENCH.format(drafts=3, first=160, second=3), "t, line 10: rate is '160.00%'"),
    (
        read_log,
        BENCH.format(drafts=3, first=6, second=3).replace("Position 1", "Position 2"),
        "t, line 11: positions of",
    ),
    (read_log, BENCH.format(drafts=3, first=6, second=9), "rises from 0.06 to 0.09"),
    (read_log, BENCH[: BENCH.index("Per-position")].format(drafts=3), "t, line 5: one rate for all drafts"),
    (read_saved, '{"duration": 7.5}', "t, run 1: has no rates"),
    (read_saved, '{"spec_decode_num_drafts": 3, "spec_decode_per_position_acceptance_rates": [0.5, 7]}', "rate is '7'"),
    (read_saved, '{"spec_decode_num_drafts": 3, "spec_decode_per_position_acceptance_rates": [0.5, "x"]}', "is 'x'"),
    (
        read_saved,
        '{"spec_decode_num_drafts": [], "spec_decode_per_position_acceptance_rates": [0.5]}',
        "drafts is '[]'",
    ),
    (read_saved, '{"spec_decode_num_drafts": 3, "spec_decode_per_position_acceptance_rates": []}', "has no rates"),
    (read_saved, "[1]", "t: is no JSON object"),
    (read_saved, "", "t: is no JSON"),
    (read_saved, '{"a": 1}\n{\n', "t, line 2: is no JSON"),
    (read_log, "nothing here\n", "no line of vLLM"),
    (read_log, SGLANG.format(running=1, length=2.0), "by --depth"),
    (read_log, VLLM.format(mean=2, accepted=1, drafted=2, rates="0.5, 1.2"), "t, line 1: rate is '1.2'"),
    (read_log, VLLM.format(mean=2, accepted=1, drafted="x", rates="0.5"), "t, line 1: drafted tokens is 'x'"),
    (read_log, VLLM.format(mean=1, accepted=0, drafted=0, rates="0.0"), "nothing was drafted"),
    (
        read_log,
        VLLM.format(mean=2, accepted=1, drafted=2, rates="0.5")
        + "\n"
        + VLLM.format(mean=2, accepted=1, drafted=2, rates="0.5, 0.1"),
        "t, line 2: has 2 positions, but 1",
    ),
    (read_log, METRICS + METRICS, "t, line 13: says again"),
    (read_log, METRICS.replace('position="0"', 'position="2"'), "positions 0, 1, 2"),
    (read_log, METRICS + SGLANG.format(running=1, length=2.0), "keep one kind"),
]


@pytest.mark.parametrize(("read", "text", "hint"), BAD_TABLES)
def test_a_bad_line_is_named_in_one_line(read: Callable[..., Finding], text: str, hint: str) -> None:
    with pytest.raises(InputError) as refused:
        read(text, "t")
    assert hint in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_depth_that_says_nothing_is_refused() -> None:
    bench = BENCH.format(drafts=3, first=6, second=3)
    for read, text in (
        (read_csv, "position,rate\n0,0.5\n"),
        (read_log, METRICS),
        (read_log, bench),
        (read_saved, "{}"),
    ):
        with pytest.raises(InputError, match="--depth is given too"):
            read(text, "t", 3)
    with pytest.raises(InputError, match="no line of vLLM"):  # no speculation in the log, rather than too much said
        read_log(SGLANG.format(running=1, length=1.0).replace("accept len: 1.0, ", ""), "t", 3)
    with pytest.raises(InputError, match="a pass of 3 accepted drafts; allowed are 0 to 2"):
        read_csv("accepted\n3\n", "t", 2)
    with pytest.raises(InputError, match="with 1 drafts it is 1 to 2"):
        read_log(SGLANG.format(running=1, length=2.5), "t", 1)


LONG = 60_000
LONG_LINES = [
    "Decode batch. #running-req: " + "x" * LONG,
    "Decode batch #running-req: x " * (LONG // 29),
    "SpecDecoding metrics: Drafted: 3 tokens " * (LONG // 40),
    "draft acceptance = / 3 generated) " * (LONG // 33),
    "Spec" * (LONG // 4),
    "vllm:spec_decode_num_accepted_tokens_per_pos{" + 'position="0"' * (LONG // 12),
    "vllm:spec_decode_num_accepted_tokens_per_pos{" + 'position="0"' * (LONG // 12) + "}",
    " " * LONG + "Drafts: ",
    "Position 0: " * (LONG // 12),
]


@pytest.mark.parametrize("line", LONG_LINES, ids=range(len(LONG_LINES)))
def test_a_long_line_takes_no_time(line: str) -> None:
    """Some took half a minute, each thing that a form looks for being tried at every place."""
    begin = time.process_time()
    with pytest.raises(InputError, match="no line of"):
        read_log(line, "server.log", 4)
    assert time.process_time() - begin < 0.5


def test_a_position_of_many_digits_is_refused() -> None:
    name = "vllm:spec_decode_num"
    with pytest.raises(InputError, match="of positions 0, 1, 2"):
        read_log(f'{name}_drafts 1\n{name}_accepted_tokens_per_pos{{position="{"1" * 5000}"}} 1', "metrics")
