"""LP-Spec+ against LP-Spec: the same machine, ratios by hand, intervals of paired turns, and never worse."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lpspec
from lpspec.errors import InputError
from lpspec.experiments.beyond import ALL, EXTRAS, LONG, NO_HARDWARE, PIECES, SOONEST, WITH, WITHOUT, Case, cases
from lpspec.experiments.beyond_grid import CONTEXTS, GridCase, grid
from lpspec.experiments.intervals import ROUNDING, Interval, sampled
from lpspec.explore.beyond import SAMPLES, Beyond, beyond, run_side
from lpspec.explore.points import Point
from lpspec.explore.store import Outcome
from lpspec.explore.workers import ThisProcess
from lpspec.machine.loading import load_platform

ONE = Case("drafts by EAGLE-3", "llama3.1-8b", "eagle3", "llama3.1-8b-eagle3", is_taken_apart=True)


class Formula:
    """Workers that know every side without a simulation: two turns, of which LP-Spec+ halves the first one's energy."""

    def __init__(self, drawn: str | None = "turns") -> None:
        self.computed: list[str] = []
        self.drawn = drawn

    def outcomes(self, points: Iterable[Point]) -> Iterator[tuple[Point, Outcome]]:
        for point in points:
            self.computed.append(point.key)
            if point.scenario.heads == "all" and point.scenario.changes:
                yield point, Outcome(None, None, "this one cannot run", 0.0)
                continue
            is_plus = point.scenario.systems == ("lp-spec-plus",)
            turns = np.array([[10, 1e9, 4e12 / (2 if is_plus else 1)], [30, 2e9, 1e12]])
            tokens, ns, pj = turns.sum(axis=0)
            metrics: dict[str, Any] = dict.fromkeys(("mean_l_spec", "mean_acceptance_length"), 1.0)
            metrics |= {"tokens_per_s": tokens / ns * 1e9, "tokens_per_j": tokens / pj * 1e12}
            metrics |= {"edp_s_mj": ns / 1e9 / tokens * pj / 1e9 / tokens}
            if self.drawn is not None:
                metrics[self.drawn] = turns.tolist()
            yield point, Outcome(metrics, "command", None, 0.0)

    def close(self) -> None:
        """Nothing was started."""


def policies(table: dict[str, Any]) -> dict[str, Any]:
    """Names and numbers of a platform, without sources."""
    kept = {key: policies(value) if isinstance(value, dict) else value for key, value in table.items()}
    return {key: value for key, value in kept.items() if key != "source"}


def test_lp_spec_plus_is_lp_spec_with_every_piece_and_no_other_hardware() -> None:
    changes: dict[str, str] = {}
    for piece in PIECES:
        changes |= piece.changes
    named = {"name": "", "summary": ""}
    plus, changed = (load_platform(*of).model_copy(update=named) for of in (("lp-spec-plus",), ("lp-spec", changes)))
    assert policies(plus.model_dump()) == policies(changed.model_dump())
    base = load_platform("lp-spec")
    for part in ("memory", "pim", "npu"):  # policies apart, which are names, the hardware is the same
        mine, theirs = (getattr(platform, part).model_dump() for platform in (plus, base))
        assert mine == {**theirs, **{key: mine[key] for key, value in theirs.items() if isinstance(value, str)}}
        assert changed.model_dump()[part].keys() == mine.keys()
    for piece in PIECES:
        assert piece.hardware.startswith(NO_HARDWARE), piece.name  # what needs more would stand in rows of its own


def test_the_baseline_is_the_papers_scheduler() -> None:
    scenario = ONE.scenario((), "command")
    assert (scenario.systems, scenario.heads, scenario.drafter) == (("lp-spec",), "all", "medusa")
    assert scenario.trace == "vicuna-7b"
    assert not scenario.changes
    assert load_platform("lp-spec").allocator == "replicated"  # both sides finish together
    together = ONE.scenario(ONE.pieces, "command")
    assert (together.systems, together.drafter) == (("lp-spec-plus",), "eagle3")
    assert together.trace == "llama3.1-8b-eagle3"


def test_every_piece_stands_alone_and_is_left_out_once() -> None:
    found = ONE.variants()
    names = [piece.name for piece in PIECES]
    with_extras = [WITH + piece.name for piece in EXTRAS]
    assert list(found) == [ALL, *names, *(WITHOUT + name for name in names), *with_extras]
    assert [piece.name for piece in found[ALL]] == names
    for name in names:
        assert [piece.name for piece in found[name]] == [name]
        assert [piece.name for piece in found[WITHOUT + name]] == [other for other in names if other != name]
    for name in (piece.name for piece in EXTRAS):
        assert [piece.name for piece in found[WITH + name]] == [*names, name]
    medusa = Case("drafts by Medusa", "llama2-7b")
    assert "better-drafts" not in [piece.name for piece in medusa.pieces]
    assert list(medusa.variants()) == [ALL]
    assert list(replace(medusa, context=LONG).variants()) == [ALL, *with_extras]
    in_batches = replace(medusa, batch=4).variants()
    assert list(in_batches) == [ALL, SOONEST]
    assert [piece for piece in medusa.pieces if piece not in in_batches[SOONEST]] == [PIECES[1]]
    assert PIECES[1].changes == {"allocator": "least-edp"}


def test_what_needs_more_stands_in_rows_of_its_own_and_says_so() -> None:
    for extra in EXTRAS:
        assert not extra.hardware.startswith(NO_HARDWARE)
        scenario = ONE.scenario((*ONE.pieces, extra), "command")
        assert (scenario.systems, scenario.drafter) == (("lp-spec-plus",), "eagle3")
        assert (scenario.changes, scenario.kv) == (extra.changes, extra.kv_bits)


def test_the_comparison_has_what_it_is_asked_for() -> None:
    every = cases()
    assert len(set(every)) == len(every)
    have = {(c.model, c.drafter, c.trace, c.context, c.batch, c.profile) for c in every}
    for model in ("llama2-7b", "llama3-8b", "llama3.2-1b"):
        for batch in (1, 4, 16):
            assert (model, "medusa", "vicuna-7b", 128, batch, "attacc") in have
        assert (model, "medusa", "vicuna-7b-spec-bench", 128, 1, "attacc") in have
        for profile in ("specpim", "micron-y52p"):
            assert (model, "medusa", "vicuna-7b", 128, 1, profile) in have
    for model in ("llama3.1-8b", "qwen3-8b"):
        for batch in (1, 4, 16):
            assert (model, "eagle3", f"{model}-eagle3", 128, batch, "attacc") in have
        assert (model, "medusa", "vicuna-7b", 32768, 1, "attacc") in have


def test_the_grid_has_what_it_is_asked_for() -> None:
    every = grid()
    assert len(set(every)) == len(every) == 180
    for has, number in (("model", 5), ("profile", 3), ("batch", 3)):
        assert len({getattr(case, has) for case in every}) == number
    assert {len({case.context for case in every if case.model == model}) for model in CONTEXTS} == {4}
    names = [piece.name for piece in PIECES if not piece.drafts]
    assert all(list(case.variants()) == [ALL, SOONEST, *names] for case in every)


def run(folder: Path, by: Formula, case: Case = ONE) -> Beyond:
    return beyond([case], by, folder=str(folder / "store"))


def test_ratios_and_intervals_are_those_of_a_loop(tmp_path: Path) -> None:
    (row,) = run(tmp_path, Formula(), replace(ONE, drafter="medusa", trace="vicuna-7b", is_taken_apart=False)).rows
    assert row.edp_ratio == pytest.approx((2 + 1) / (4 + 1))
    assert row.tokens_per_s_ratio == pytest.approx(1)
    draws = np.random.default_rng(8227).multinomial(2, [0.5, 0.5], 2000)
    ratios = [(2 * first + second) / (4 * first + second) for first, second in draws.tolist()]
    assert row.samples is not None
    edp, tokens_per_s = row.samples
    assert (edp.low, edp.high) == pytest.approx(tuple(np.percentile(ratios, [2.5, 97.5])))
    assert (edp.mean, edp.most) == pytest.approx((np.mean(ratios), max(ratios)))
    assert (edp.above, edp.count) == (0, 2000)
    # the same turns were drawn for both: what does not differ has no interval
    assert (tokens_per_s.low, tokens_per_s.high) == pytest.approx((1, 1))


def test_turns_of_two_traces_are_drawn_apart(tmp_path: Path) -> None:
    result = run(tmp_path, Formula())
    by_piece = {row.piece: row for row in (*result.rows, *result.parts)}
    for piece, is_paired in (("better-drafts", False), ("heads-by-depth", True), (ALL, False)):
        samples = by_piece[piece].samples
        assert samples is not None
        assert (samples[1].half_width < 1e-12) == is_paired, piece


def test_what_has_run_is_not_run_again_and_what_cannot_is_said(tmp_path: Path) -> None:
    first, second = Formula(), Formula()
    result = run(tmp_path, first)
    assert len(set(first.computed)) == len(first.computed) == len(ONE.variants()) + 1
    assert run(tmp_path, second) == result
    assert not second.computed
    refused = {piece for _, piece, why in result.refused if why == "this one cannot run"}
    assert refused
    assert refused.isdisjoint(row.piece for row in (*result.rows, *result.parts))
    assert len(refused) + len(result.rows) + len(result.parts) == len(ONE.variants())


@pytest.mark.parametrize("batch", [1, 2])
def test_a_store_of_something_else_is_refused(tmp_path: Path, batch: int) -> None:
    with pytest.raises(InputError, match="holds points of a sweep: give this study a folder of its own"):
        run(tmp_path, Formula(drawn=None), replace(ONE, batch=batch))


def test_what_was_served_anew_is_compared_sample_by_sample(tmp_path: Path) -> None:
    """By hand: the first sample halves its energy, the second does not; both take as long. Neither is above 1."""
    case = replace(ONE, drafter="medusa", trace="vicuna-7b", is_taken_apart=False, batch=4)
    (row,) = run(tmp_path, Formula(drawn="samples"), case).rows
    assert row.samples is not None
    edp, tokens_per_s = row.samples
    deviation = np.std([0.5, 1.0], ddof=1)
    assert (edp.low, edp.high) == pytest.approx((0.75 - 1.96 * deviation, 0.75 + 1.96 * deviation))
    assert (edp.mean, edp.most, edp.above, edp.count) == pytest.approx((0.75, 1.0, 0, 2))
    assert (tokens_per_s.low, tokens_per_s.high) == pytest.approx((1, 1))


def test_samples_above_one_are_counted() -> None:
    found = sampled(np.array([0.9, 1.0, 1.0 + 1e-12, 1.02, 1.1]), Interval(0.8, 1.2))
    assert (found.low, found.high) == (0.8, 1.2)
    assert (found.above, found.count, found.most) == (2, 5, 1.1)
    assert found.mean == pytest.approx(1.004)


def test_a_side_is_what_compare_makes_of_it() -> None:
    scenario = replace(ONE, model="llama3.2-1b").scenario(ONE.pieces, "analytic", 4)
    found = run_side(scenario.to_dict())
    (compared,) = lpspec.compare(scenario).runs
    assert found.metrics is not None
    assert found.metrics["edp_s_mj"] == compared.edp_s_mj
    tokens, ns, pj = np.sum(found.metrics["turns"], axis=0)
    assert tokens / ns * 1e9 == pytest.approx(compared.tokens_per_s, rel=1e-12)
    assert tokens / pj * 1e12 == pytest.approx(compared.tokens_per_j, rel=1e-12)
    served = run_side(scenario.replace(drafter="medusa", trace="vicuna-7b", batch=4).to_dict())
    assert served.metrics is not None
    assert "turns" not in served.metrics
    assert np.shape(served.metrics["samples"]) == (SAMPLES, 3)
    refused = run_side(scenario.replace(model="llama2-7b", prompt_tokens=9000).to_dict())
    assert refused.metrics is None
    assert "4096" in (refused.error or "")


@pytest.mark.parametrize("profile", ["attacc", "micron-y52p"])
@pytest.mark.parametrize(
    ("model", "context", "batch"),
    [("llama2-7b", 128, 1), ("llama3-8b", 2000, 4), ("llama3.2-1b", 128, 16), ("llama3.2-1b", 8000, 1)],
)
def test_no_piece_is_worse_than_lp_spec(model: str, context: int, batch: int, profile: str) -> None:
    case = Case("sample", model, context=context, batch=batch, profile=profile, is_taken_apart=True)
    result = beyond([case], ThisProcess(run_side), "analytic", new_tokens=16)
    assert not result.refused
    for row in (*result.rows, *result.parts):
        assert row.edp_ratio <= ROUNDING, row.piece


@pytest.mark.parametrize("context", [512, 2000])
def test_heads_by_depth_are_better_in_the_mean_of_samples_where_drafts_hardly_pay(context: int) -> None:
    """The setting of the one row that is worse than LP-Spec, by the luck of its turns, and one beside it."""
    case = GridCase("sample", "llama2-7b", context=context, batch=16, profile="specpim")
    result = beyond([case], ThisProcess(run_side), "analytic", new_tokens=64)
    (by_depth,) = (row for row in result.parts if row.piece == "heads-by-depth")
    assert by_depth.samples is not None
    edp = by_depth.samples[0]
    assert edp.mean < 1
    assert edp.count == SAMPLES
    assert edp.above < SAMPLES / 2
