"""The README's main table says what the simulator says."""

import re
from pathlib import Path

import pytest

from lpspec.experiments.published import PUBLISHED
from lpspec.experiments.reproduce import reproduce

README = Path(__file__).parents[1] / "README.md"

ROWS = {
    "LP-Spec over mobile NPU: performance": "speedup_vs_npu",
    "LP-Spec over mobile NPU: energy efficiency": "energy_vs_npu",
    "LP-Spec over mobile NPU: EDP": "edp_vs_npu",
    "LP-Spec over AttAcc: EDP": "edp_vs_attacc",
    "LP-Spec over RTX 3090: EDP": "edp_vs_rtx3090",
    "LP-Spec over GEMV-PIM with speculation: energy efficiency": "energy_vs_pim_spec",
    "LP-Spec: throughput": "lp_spec_tokens_per_s",
    "LP-Spec: energy efficiency": "lp_spec_tokens_per_j",
    "LP-Spec: energy-delay product": "lp_spec_edp_s_mj",
    "mobile NPU: throughput": "npu_tokens_per_s",
    "mobile NPU: energy efficiency": "npu_tokens_per_j",
}


def _table() -> dict[str, list[float]]:
    """The numbers of the main table: published, by commands with ratio, in closed form with ratio, equal basis."""
    lines = [line.strip("| ").split(" | ") for line in README.read_text("utf-8").splitlines() if line.startswith("| ")]
    return {cells[0]: [float(re.sub(r"[^0-9.]", "", c)) for c in cells[1:]] for cells in lines if cells[0] in ROWS}


@pytest.mark.slow
def test_the_main_table_is_what_reproduce_finds() -> None:
    table = _table()
    assert table.keys() == ROWS.keys()
    found = {row.id: row for row in reproduce(fidelity="command").rows}
    values = {p.id: p.value for p in PUBLISHED}
    for name, (published, command, command_ratio, closed, ratio, equal) in table.items():
        row, twin = found[ROWS[name]], found[f"{ROWS[name]}_equal_basis"]
        assert published == values[ROWS[name]]
        assert [command, closed, equal] == pytest.approx([row.command, row.simulated, twin.command], rel=0.0006)
        assert [command_ratio, ratio] == pytest.approx([row.command_ratio, row.ratio], abs=0.0051)
