"""One product: counts by hand, energies that are counts times the profile's constants, and what is refused."""

import json
from pathlib import Path

import pytest
from command_line import run_command

import lpspec
from lpspec.errors import InputError
from lpspec.explore.store import Store
from lpspec.explore.study_file import parse_study
from lpspec.explore.sweep import sweep
from lpspec.explore.workers import ThisProcess
from lpspec.machine.energy_profile import EVENTS
from lpspec.machine.loading import load_platform, load_profile


def test_counts_are_those_made_by_hand() -> None:
    product = lpspec.price(m=4, k=4096, n=3072, system="lp-spec")
    npu, pim = product.devices
    weights_bits = 4096 * 3072 * 8
    assert (npu.device, pim.device) == ("npu", "pim")
    assert npu.counts["io_bits"] == npu.counts["column_bits"] == weights_bits
    assert npu.counts["macs_int8"] == pim.counts["pim_macs_int8"] == product.macs == 4 * 4096 * 3072
    assert pim.counts["column_bits"] == weights_bits  # 4 tokens are one pass of N_ALU = 4, and 3,072 outputs one tile
    assert "io_bits" not in pim.counts
    assert product.operand_bytes == {"inputs": 4 * 4096, "weights": 4096 * 3072, "outputs": 4 * 3072}


def test_energies_are_counts_times_constants() -> None:
    product = lpspec.price(m=16, system="npu", energy_profile="specpim")
    profile = load_platform("mobile-npu").priced_by(load_profile("specpim"))
    (npu,) = product.devices
    for event, count in npu.counts.items():
        assert npu.energy_pj[event] == pytest.approx(count * profile.pj_of(EVENTS[event].constant))
    assert npu.total_pj == pytest.approx(sum(npu.energy_pj.values()))


def test_a_device_that_cannot_says_why_and_none_is_refused() -> None:
    product = lpspec.price(weights=16)
    assert [cost.device for cost in product.devices] == ["npu"]
    assert [name for name, _ in product.left_out] == ["pim"]
    assert "w8a8" in product.left_out[0][1]
    for options, why in (
        ({"m": 0}, "at least 1"),
        ({"system": "nowhere"}, "unknown system"),
        ({"changes": {"pim.alu": "2"}}, "unknown constant"),
        ({"m": 10**9, "k": 10**9, "n": 10**9}, "larger than any"),
        ({"size": 3}, "no known key"),
    ):
        with pytest.raises(InputError, match=why):
            lpspec.price(**options)


def test_the_command_writes_what_the_api_gives(tmp_path: Path) -> None:
    said = run_command(["price", "--m", "2", "--n", "64", "--json", "-"])
    product = lpspec.price(m=2, n=64)
    assert json.loads(said.out) == product.to_dict()
    assert {row["device"] for row in product.to_rows()} == {"npu", "pim"}
    assert run_command(["price", "--figure", str(tmp_path / "f.svg")]).code == 0
    assert b"<svg" in (tmp_path / "f.svg").read_bytes()


def test_points_of_a_store_are_rows(tmp_path: Path) -> None:
    study = parse_study(
        {
            "scenario": {"model": "tinyllama", "fidelity": "analytic", "workload": {"new_tokens": 2}},
            "axes": {"pim.alus": [2, 4]},
        }
    )
    with Store(tmp_path, create=True) as store:
        sweep(study, store, ThisProcess())
    found = lpspec.results(tmp_path, where="pim.alus = 4")
    (row,) = found.to_rows()
    assert row["tokens_per_s"] == found.to_dict()["points"][0]["metrics"]["tokens_per_s"]
    assert [each["pim.alus"] for each in lpspec.results(tmp_path, sort="pim.alus:desc").rows] == [4, 2]
    assert found.plot().axes


def test_changes_without_effect_are_said() -> None:
    """By hand: four tokens on eight ALUs take the pass that they take on four; a controller has commands alone."""
    changes = {"pim.alus": "8", "pim.mac_interval": "10 ns", "memory.controller.page": "closed"}
    of_none = "--set {} has no effect on this product, priced analytically"
    assert set(lpspec.price(m=4, changes=changes).notes) == {
        of_none.format(key) for key in ("pim.alus", "memory.controller.page")
    }
    assert set(lpspec.price(m=5, changes=changes).notes) == {of_none.format("memory.controller.page")}
    said = run_command(["price", "--m", "4", "--set", "draft_cache=scratchpad"])
    assert said.err == f"lpspec: note: {of_none.format('draft_cache')}\n"
