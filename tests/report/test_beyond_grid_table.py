"""The table of the grid: what is worse in the mean over samples, and what only as the trace has its turns."""

from lpspec.experiments.beyond import ALL, PIECES
from lpspec.experiments.beyond_grid import GridCase
from lpspec.experiments.intervals import Sampled
from lpspec.explore.beyond import Beyond, Row
from lpspec.report.beyond_grid_table import grid_blocks

CASE = GridCase("grid", "llama2-7b", context=512, batch=16)


def row(piece: str, edp_ratio: float, edp: Sampled) -> Row:
    """A row whose sides differ in EDP alone, so much with the turns of the trace, and so in samples."""
    own, baseline = ({"edp_s_mj": value, "tokens_per_s": 1.0} for value in (edp_ratio, 1.0))
    return Row(CASE, piece, PIECES[:1], own, baseline, "analytic", (edp, Sampled(1.0, 1.0, 1.0, 1.0, 0, 20)), {})


def lines(alone: Row) -> list[str]:
    """What is said of one piece beside all, which are better in every sample."""
    together = row(ALL, 0.9, Sampled(0.89, 0.91, 0.9, 0.905, 0, 20))
    return [block for block in grid_blocks(Beyond((together,), (alone,), ())) if isinstance(block, str)]


def test_a_row_that_is_worse_in_the_mean_is_named() -> None:
    said = lines(row("k-over-ranks", 0.99, Sampled(0.98, 1.04, 1.01, 1.03, 12, 20)))
    assert "worse in EDP in 12 of 40, in 1 of 2 rows, by 3.000% at most" in said[0]
    assert said[1:] == [
        "worse in EDP  k-over-ranks, llama2-7b, 512 tokens, batch 16, attacc: +1.000% in the mean of 20 samples, "
        "95 in 100 between -2.00% and +4.00%, 12 worse, by 3.000% at most"
    ]


def test_a_row_that_is_worse_with_the_turns_of_the_trace_alone_is_named_too() -> None:
    said = lines(row("heads-by-depth", 1.0002, Sampled(0.998, 1.0, 0.999, 1.0006, 1, 20)))
    assert said[1:] == [
        "worse with the trace's own turns  heads-by-depth, llama2-7b, 512 tokens, batch 16, attacc: +0.020%, -0.100% "
        "in the mean of 20 samples, 95 in 100 between -0.20% and +0.00%, 1 worse, by 0.060% at most"
    ]
    assert lines(row("heads-by-depth", 0.99, Sampled(0.98, 1.0, 0.99, 0.995, 0, 20)))[1:] == []
