"""A platform's attention in PIM as a line: fitted to commands, in the units of who takes it, its error said."""

import pytest

from lpspec.experiments.pim_attention import LENGTHS, AttentionLine, attention_line, serving_ini
from lpspec.machine.loading import load_platform, load_profile


@pytest.fixture(scope="module")
def line() -> AttentionLine:
    return attention_line(load_platform("lp-spec"), load_profile("specpim"))


def test_the_line_is_the_least_squares_line_of_the_measured_times(line: AttentionLine) -> None:
    """Normal equations by hand; the residuals of a least-squares line add up to nothing."""
    x, y = line.lengths.astype(float), line.measured_ns * line.channels
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    assert line.slope_ns == pytest.approx(slope)
    assert line.intercept_ns == pytest.approx(y.mean() - slope * x.mean())
    predicted = (line.slope_ns * x + line.intercept_ns) / line.channels
    assert line.errors == pytest.approx(predicted / line.measured_ns - 1)
    assert list(line.lengths) == list(LENGTHS)


def test_the_slope_lies_between_what_macs_alone_take_and_thrice_that(line: AttentionLine) -> None:
    """Keys and values of a position: 8 heads x 128 x 2 B, over 3 ranks of a die with 8 MPUs, 32 B each 5 ns."""
    macs_ns = 8 * 128 * 2 / (3 * 8 * 32) * 5
    assert macs_ns < line.slope_ns < 3 * macs_ns


def test_the_file_is_read_as_the_serving_simulator_reads_it(line: AttentionLine) -> None:
    """Its loader drops comments and sections; bandwidth, capacity and latency are then ours, by hand."""
    found: dict[str, str] = {}
    for written in serving_ini(line).splitlines():
        text = written.split("#", 1)[0].strip()
        if text and not text.startswith("["):
            key, value = (part.strip() for part in text.split("=", 1))
            assert key not in found
            found[key] = value
    number = {key: float(value) for key, value in found.items() if key != "protocol"}
    page = number["columns"] * number["device_width"] / 8
    die_mb = page * number["rows"] / 1024 / 1024 * number["bankgroups"] * number["banks_per_group"]
    assert (die_mb, number["channel_size"]) == (1024, 4 * 1024)
    assert number["bus_width"] / 8 * number["data_rate"] / 1000 == 12.8
    assert number["CL"] * number["tCK"] == 21.25
    assert 0 <= number["idle_power"] < number["peak_power"] < 5000
    assert f'"slope": {line.slope_ns:.4f}, "intercept": {line.intercept_ns:.4f}' in serving_ini(line)
