"""The figure of energy profiles holds the numbers of its table."""

import pytest
from matplotlib.patches import Rectangle

from lpspec.experiments.energy_profiles import side_by_side
from lpspec.machine.loading import load_profile
from lpspec.report.profile_figure import profiles_figure
from lpspec.report.wording import digits

FOUND = side_by_side(load_profile("attacc"))
FIGURE = profiles_figure(FOUND)


def test_every_value_is_written_in_the_figure() -> None:
    streams, waits, macs = ([text.get_text() for text in axes.texts] for axes in FIGURE.axes)
    assert streams == [
        f"{digits(pj, 3)} {way}"
        for p in FOUND.prices
        for pj, way in ((p.read_stream_pj_per_bit, "read"), (p.write_stream_pj_per_bit, "write"))
    ]
    assert waits == ["47.3", "36.8", "13.0", "4.09"]
    assert len(macs) == 2 * sum(bool(p.machine) for p in FOUND.prices)


def test_parts_of_a_bar_add_up_to_what_is_written() -> None:
    ends: dict[float, float] = {}
    for bar in FIGURE.axes[0].patches:
        assert isinstance(bar, Rectangle)
        row = round(bar.get_y(), 6)
        ends[row] = max(ends.get(row, 0.0), bar.get_x() + bar.get_width())
    written = [pj for p in FOUND.prices for pj in (p.read_stream_pj_per_bit, p.write_stream_pj_per_bit)]
    assert [end for _, end in sorted(ends.items())] == pytest.approx(written)


def test_axes_say_their_units() -> None:
    labels = [axes.get_xlabel() for axes in FIGURE.axes]
    assert labels == ["energy of a stream (pJ/bit)", "a die of micron-y52p (mW)", "a MAC (pJ)"]
