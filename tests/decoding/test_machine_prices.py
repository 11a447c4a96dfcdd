"""A machine's price list: monotone, interpolated, read back as written, and measured with the engine itself."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lpspec.decoding import calibrate as calibration
from lpspec.decoding.drafter import NoDrafter
from lpspec.decoding.machine_prices import MachinePrices, load_prices, monotone
from lpspec.decoding.model_files import demo_folder
from lpspec.decoding.transformer import load_transformer
from lpspec.errors import InputError

ROWS = arrays(np.float64, (2, 6), elements=st.floats(0.5, 1e6))


def prices(verify_ns: list[list[float]], overhead_ns: float = 10.0) -> MachinePrices:
    contexts = (100, 200, 400)[: len(verify_ns)]
    return MachinePrices("m", "medusa", contexts, (1, 2, 4), np.array(verify_ns), overhead_ns, 3, {"dtype": "float32"})


@given(rows=ROWS)
def test_monotone_rows_never_fall_and_keep_their_mean(rows: np.ndarray[Any, Any]) -> None:
    smooth = monotone(rows)
    assert (np.diff(smooth, axis=1) >= -1e-9 * rows.max()).all()
    np.testing.assert_allclose(smooth.mean(axis=1), rows.mean(axis=1))


@given(rows=ROWS, other=ROWS)
def test_no_other_monotone_row_is_nearer(rows: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> None:
    ours = ((monotone(rows) - rows) ** 2).sum(axis=1)
    theirs = ((np.sort(other, axis=1) - rows) ** 2).sum(axis=1)
    assert (ours <= theirs * (1 + 1e-9) + 1e-6).all()


def test_sizes_and_contexts_between_are_interpolated() -> None:
    table = prices([[100.0, 120.0, 160.0], [200.0, 220.0, 260.0]])
    np.testing.assert_allclose(table(100), [110.0, 130.0, 150.0, 170.0])
    np.testing.assert_allclose(table(150), [160.0, 180.0, 200.0, 220.0])
    np.testing.assert_allclose(table(1), table(100))
    np.testing.assert_allclose(table(5000), table(200))


def test_a_noisy_cell_is_pooled_with_its_neighbour() -> None:
    table = prices([[100.0, 300.0, 200.0]], overhead_ns=0.0)
    np.testing.assert_allclose(table(7), [100.0, 250.0, 250.0, 250.0])


def test_what_is_written_is_read(tmp_path: Path) -> None:
    table = prices([[100.0, 120.0, 160.0], [200.0, 220.0, 260.0]])
    (tmp_path / "prices.json").write_text(json.dumps(table.document()))
    again = load_prices(tmp_path / "prices.json")
    assert again.document() == table.document()
    np.testing.assert_array_equal(again(133), table(133))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "other"}, "format"),
        ({"version": 2}, "version"),
        ({"sizes": [2, 3, 4]}, "sizes must begin with 1"),
        ({"sizes": [1, 4, 2]}, "sizes must ascend"),
        ({"contexts": [100, 100]}, "contexts must ascend"),
        ({"contexts": [100]}, "one row for each context"),
        ({"verify_ns": [[1.0, 2.0], [1.0, 2.0]]}, "one time for each"),
        ({"verify_ns": [[1.0, 2.0, -3.0], [1.0, 2.0, 3.0]]}, "verify_ns"),
        ({"more": 1}, "unknown key 'more'"),
    ],
)
def test_an_unsound_file_is_one_line(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    document = prices([[100.0, 120.0, 160.0], [200.0, 220.0, 260.0]]).document() | change
    (tmp_path / "prices.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=said) as error:
        load_prices(tmp_path / "prices.json")
    assert "\n" not in str(error.value)


def test_calibration_times_the_passes_that_decoding_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_transformer(demo_folder())
    seen: set[tuple[int, int]] = set()
    forward = model.forward

    def watch(tokens: Any, positions: Any = None, mask: Any = None, cache: Any = None, taps: Any = ()) -> Any:
        if mask is None:  # the text that the drafter starts from is read
            return forward(tokens, positions, mask, cache, taps)
        seen.add((cache.length, len(tokens)))
        assert mask.shape == (len(tokens), len(tokens))
        assert positions.tolist() == [cache.length, *[cache.length + 1] * (len(tokens) - 1)]
        return forward(tokens, positions, mask, cache, taps)

    monkeypatch.setattr(model, "forward", watch)
    monkeypatch.setattr(calibration, "_overhead_ns", lambda *_: 5.0)
    found = calibration.calibrate(model, NoDrafter(), "none", "float32", longest=128, budget_s=0.01)
    assert found.contexts == (16, 128)
    assert seen == {(context, size) for context in found.contexts for size in calibration.SIZES}
    assert found.rounds == calibration.LEAST_ROUNDS
    assert found(16)[63] > found(16)[0] > 0  # 64 tokens take longer than one


def test_a_short_text_is_timed_at_the_shortest_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "SIZES", (1, 2))
    found = calibration.calibrate(
        load_transformer(demo_folder()), NoDrafter(), "none", "float32", longest=9, budget_s=0.01
    )
    assert found.contexts == (16,)
    assert found(3)[0] > 0


def test_a_model_too_short_to_time_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_transformer(demo_folder())
    monkeypatch.setattr(model, "config", model.config.with_shape(max_context=70))
    with pytest.raises(InputError, match="too few to be timed"):
        calibration.calibrate(model, NoDrafter(), "none", "float32", longest=128)


def test_a_price_list_that_is_not_there_is_to_be_made(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        load_prices(tmp_path / "none.json")
    assert str(error.value).endswith("No such file or directory; make one with lpspec calibrate --json FILE")
