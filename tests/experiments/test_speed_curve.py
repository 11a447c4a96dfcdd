"""The curve of real speed: every variant writes the same text, and what is predicted is what its steps cost."""

import numpy as np
import pytest

from lpspec.decoding.machine_prices import MachinePrices
from lpspec.errors import InputError
from lpspec.experiments.decoder import load_decoder
from lpspec.experiments.speed_curve import DTP, NONE, CurveWork, SpeedCurve, measure_curve
from lpspec.report.figures import figure_bytes
from lpspec.report.machine_table import machine_blocks
from lpspec.report.speed_figure import speed_figure

MACHINE: dict[str, str | int] = {
    "processor": "some processor",
    "backend": "compiled",
    "threads": 1,
    "dtype": "float32",
    "torch": "2",
}
PRICES = MachinePrices("demo", "medusa", (16,), (1, 4, 64), np.array([[2e6, 2.3e6, 9e6]]), 1e6, 3, MACHINE)


@pytest.fixture(scope="module")
def curve() -> SpeedCurve:
    decoder = load_decoder("demo", "medusa")
    return measure_curve(decoder, PRICES, work=CurveWork((2, 4), ("Q: Tom has 3 pens.",), 25, 2))


def test_every_variant_is_there_and_speculation_takes_fewer_steps(curve: SpeedCurve) -> None:
    assert [point.tree for point in curve.points] == [NONE, "2", "4", DTP]
    assert [point.l_spec for point in curve.points[:3]] == [1, 2, 4]
    assert curve.of(NONE).tokens_per_pass == 1 < curve.of("4").tokens_per_pass


def test_predictions_are_the_prices_of_the_steps(curve: SpeedCurve) -> None:
    assert curve.of(NONE).predicted == pytest.approx(1e9 / 2e6)  # no drafter to wait for
    assert curve.of("2").predicted == pytest.approx(curve.of("2").tokens_per_pass / 3.1e-3)
    assert curve.of("4").predicted == pytest.approx(curve.of("4").tokens_per_pass / 3.3e-3)
    assert all(point.measured > 0 for point in curve.points)


def test_the_pruner_takes_what_is_nearly_free(curve: SpeedCurve) -> None:
    assert curve.of(DTP).l_spec >= 4


def test_texts_that_end_at_once_have_no_speed() -> None:
    decoder = load_decoder("demo", "medusa")
    config = decoder.model.config
    decoder.model.config = config.model_copy(update={"end_tokens": tuple(range(config.spec.vocab_size))})
    with pytest.raises(InputError, match="'demo' ends every text with its first token"):
        measure_curve(decoder, PRICES, work=CurveWork((2,), ("Q: Tom",), 8, 1))


def test_table_and_figure_show_every_variant(curve: SpeedCurve) -> None:
    tables = [block for block in machine_blocks(PRICES, curve) if not isinstance(block, str)]
    assert [table.row_count for table in tables] == [1, 4]
    assert figure_bytes(speed_figure(curve), ".pdf").startswith(b"%PDF-")
