"""An energy profile on the page of ``lpspec inspect``: beside all others, as a table, as JSON and as a figure."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import Said, assert_refused

from lpspec.machine.loading import profile_names

Lpspec = Callable[..., Said]


def beside(lpspec: Lpspec, *argv: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(lpspec("inspect", *argv, "--json", "-").out)["energy_profile"]["beside"]
    return found


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_stands_beside_the_others(lpspec: Lpspec, name: str) -> None:
    prices = beside(lpspec, name)["prices"]
    assert next(iter(prices)) == name
    assert set(prices) == set(profile_names())
    y52p = prices["micron-y52p"]
    assert y52p["read_stream_pj_per_bit"] == pytest.approx(4.4, rel=0.03)
    assert y52p["write_stream_pj_per_bit"] == pytest.approx(2.8, rel=0.03)
    assert y52p["refresh_mw"] == pytest.approx(13, rel=0.03)
    assert (y52p["idle_mw"], y52p["power_down_mw"]) == pytest.approx((36.825, 4.095))
    assert prices["attacc"]["read_stream_pj_per_bit"] == pytest.approx(3.59)
    assert prices["attacc"]["idle_mw"] is None


def test_the_table_says_what_the_json_says(lpspec: Lpspec) -> None:
    out = lpspec("inspect", "micron-y52p").out
    rows = {
        line.split("  ")[0].strip(): line.split()[-6:] for line in out.splitlines() if ", pJ" in line or ", mW" in line
    }
    assert rows["stream of reads, pJ/b"] == ["4.36", "3.59", "5.47", "3.59", "4.03", "7.25"]
    assert rows["die in power-down, mW"] == ["4.09", "-", "-", "-", "-", "-"]


def test_the_die_can_be_another(lpspec: Lpspec) -> None:
    small = beside(lpspec, "micron-y52p", "--set", "memory.die=lpddr5-6400-8gb")
    assert (small["die"], small["data_rate_mbps"]) == ("lpddr5-6400-8gb", 6400)
    assert small["prices"]["micron-y52p"]["refresh_nj"] == pytest.approx(0.181125 * 210)
    slow = beside(lpspec, "micron-y52p", "--set", "memory.data_rate=3200 Mbps")
    assert slow["data_rate_mbps"] == 3200
    for key in ("pim.alus=2", "memory.timing.nRCD=16"):
        said = lpspec("inspect", "micron-y52p", "--set", key)
        assert_refused(said, f"--set {key.split('=')[0]} changes nothing of an energy profile")


def test_a_file_stands_beside_the_shipped_ones(lpspec: Lpspec, tmp_path: Path) -> None:
    text = 'extends = "micron-y52p"\nname = "mine"\n[currents.VDD2H]\nIDD4R = { value = "195 mA", source = "a test" }\n'
    (tmp_path / "mine.toml").write_text(text, "utf-8")
    prices = beside(lpspec, str(tmp_path / "mine.toml"))["prices"]
    assert list(prices) == ["mine", *profile_names()]
    assert prices["mine"]["read_stream_pj_per_bit"] < prices["micron-y52p"]["read_stream_pj_per_bit"] - 1.5


def test_the_figure_is_of_a_profile_alone(lpspec: Lpspec, tmp_path: Path) -> None:
    said = lpspec("inspect", "micron-y52p", "--figure", str(tmp_path / "profiles"))
    assert said.code == 0, said.err
    assert {file.name for file in tmp_path.iterdir()} == {"profiles.pdf", "profiles.png"}
    for argv in (["llama2-7b"], ["lp-spec"], ["lpddr5-6400-8gb"], []):
        assert_refused(lpspec("inspect", *argv, "--figure", str(tmp_path / "more")), "an energy profile")
    assert len(list(tmp_path.iterdir())) == 2
