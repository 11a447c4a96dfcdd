"""Real decoding of the demo model on this machine: the DTP against every fixed tree and against none, in one run."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from lpspec.experiments.decoder import Decoder, load_decoder
from lpspec.experiments.machine import machine_prices
from lpspec.experiments.speed_curve import DTP, NONE, CurveWork, SpeedCurve, measure_curve


@pytest.fixture(scope="module")
def decoder() -> Decoder:
    return load_decoder("demo", "medusa")


@pytest.mark.benchmark(group="real decoding of the demo model, calibration included")
def test_the_calibrated_pruner_beside_every_fixed_tree(benchmark: BenchmarkFixture, decoder: Decoder) -> None:
    def measure() -> SpeedCurve:
        return measure_curve(decoder, machine_prices(decoder, 256), work=CurveWork(rounds=5))

    curve: SpeedCurve = benchmark.pedantic(measure, rounds=1)  # type: ignore[no-untyped-call]
    none, dtp = curve.of(NONE), curve.of(DTP)
    best = max(curve.fixed, key=lambda point: point.measured)
    benchmark.extra_info.update(
        {
            "none, token/s": round(none.measured),
            f"best fixed tree ({best.tree}), token/s": round(best.measured),
            "DTP, token/s": round(dtp.measured),
            "DTP over none": round(dtp.measured / none.measured, 2),
            "DTP over the best fixed tree": round(dtp.measured / best.measured, 2),
            "8 nodes over none": round(curve.of("8").measured / none.measured, 2),
            "63 nodes over none": round(curve.of("63").measured / none.measured, 2),
            "tokens per pass with 8 nodes": round(curve.of("8").tokens_per_pass, 2),
        }
    )
