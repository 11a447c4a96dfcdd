"""``lpspec dram gemm`` and ``move``: what they print and write, on PIM ranks and between ranks."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Said, assert_refused, document

Lpspec = Callable[..., Said]
GEMM = ("dram", "gemm", "--m", "4", "--k", "128", "--n", "4096")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_product_on_a_package(lpspec: Lpspec, folder: Path) -> None:
    """4096 outputs are 1024 a channel: a tile of 768, then 256 on one rank, each of 128 k in 2 rows."""
    said = lpspec(*GEMM, "--verify", "--json", "-")
    found = document(said)
    counts = found["command_counts"]
    assert counts["PIM_MAC"] == 4 * 2 * 128
    assert counts["PIM_IN"] == 4 * 2 * 128 * 4 // 32
    assert counts["PIM_OUT"] * 32 == 4 * 4096 * 4
    assert found["verified"] is True
    assert found["mac_utilisation"] == pytest.approx(4 * 128 * 4096 * 4 / (found["total_ck"] * 12 * 8 * 32 * 4))
    assert found["ca_share"] == pytest.approx(sum(counts.values()) / (4 * found["total_ck"]))
    assert found["dq_share"] == pytest.approx((counts["PIM_IN"] + counts["PIM_OUT"]) * 2 / (4 * found["total_ck"]))
    assert found["energy_pj"]["mac"] == pytest.approx(4 * 128 * 4096 * 0.32)
    assert found["energy_pj"]["activation"] == pytest.approx((counts["PIM_IN"] + counts["PIM_OUT"]) * 256 * 3.04)
    assert 0 < found["array_gb_per_s"] < 614.4
    table = lpspec(*GEMM, "--verify").out
    assert f"{found['mac_utilisation']:.1%}" in table
    assert "16,384 results equal the integer product" in table


def test_channels_that_have_more_count_for_more(lpspec: Lpspec, folder: Path) -> None:
    """96 outputs are 3 blocks of 32 on 4 channels: three of them work and the last has nothing to do."""
    found = document(lpspec("dram", "gemm", "--m", "1", "--k", "64", "--n", "96", "--verify", "--json", "-"))
    assert [(share["channels"], share["n"]) for share in found["shares"]] == [(3, 32)]
    assert found["command_counts"]["PIM_MAC"] == 3 * 64
    uneven = document(lpspec("dram", "gemm", "--m", "1", "--k", "64", "--n", "160", "--verify", "--json", "-"))
    assert [(share["channels"], share["n"]) for share in uneven["shares"]] == [(1, 64), (3, 32)]
    assert uneven["total_ck"] == max(share["total_ck"] for share in uneven["shares"])


def test_pim_values_of_the_platform_reach_the_die(lpspec: Lpspec, folder: Path) -> None:
    Path("mine.toml").write_text(
        'extends = "lp-spec"\nname = "mine"\n[pim]\nalus = { value = 2, source = "assumed" }\n'
        'mac_interval = { value = "10 ns", source = "assumed" }\n'
        'concurrent_ranks = { value = 1, source = "assumed" }\n',
        encoding="utf-8",
    )
    found = document(lpspec(*GEMM, "--platform", "mine.toml", "--verify", "--json", "-"))
    assert (found["alus"], found["mac_interval_ck"], found["concurrent_ranks"]) == (2, 8, 1)
    assert found["command_counts"]["PIM_MAC"] == 4 * 2 * 4 * 128  # two passes, four dies one after the other
    assert found["total_ck"] > 2 * 4 * 128 * 8
    other = document(lpspec(*GEMM, "--platform", "mine.toml", "--die", "lpddr5x-9600", "--json", "-"))
    assert (other["alus"], other["mac_interval_ck"], other["preset"]) == (2, 12, "lpddr5x-9600")


def test_a_die_alone_brings_its_own_pim(lpspec: Lpspec, folder: Path) -> None:
    found = document(lpspec(*GEMM, "--die", "lp5x-pim", "--verify", "--json", "-"))
    assert (found["alus"], found["banks_per_mpu"], found["verified"]) == (1, 1, True)


def test_wrong_data_is_told_and_fails(lpspec: Lpspec, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lpspec.dram.pim.verify.count_wrong", lambda *_: 3)
    said = lpspec(*GEMM, "--verify")
    assert said.code == 1
    assert "3 of 16,384 results WRONG" in said.out
    assert json.loads(lpspec(*GEMM, "--verify", "--json", "-").out)["verified"] is False


def test_a_timeline_is_written(lpspec: Lpspec, folder: Path) -> None:
    said = lpspec(*GEMM, "--trace", "trace.json.gz")
    assert said.out.splitlines()[-1] == "wrote trace.json.gz"
    trace = json.loads(gzip.decompress((folder / "trace.json.gz").read_bytes()))
    assert trace["otherData"]["scale"] == "1 ns shown is 1 ps"
    drawn = [event for event in trace["traceEvents"] if event["ph"] == "X"]
    share = document(lpspec(*GEMM, "--json", "-"))["shares"][0]
    assert sum((event["pid"], event["tid"]) == (0, 1) for event in drawn) == sum(share["command_counts"].values())


@pytest.mark.parametrize("to", ["pim", "dram"])
def test_a_migration_is_shown_and_legal(lpspec: Lpspec, folder: Path, to: str) -> None:
    argv = ("dram", "move", "--k", "64", "--n", "3072", "--to", to)
    document = json.loads(lpspec(*argv, "--commands", "move.csv", "--json", "-").out)
    assert (document["moved_bytes"], document["to"]) == (64 * 3072, to)
    assert document["command_counts"]["RD"] == document["command_counts"]["WR"] == 64 * 3072 // 4 // 32
    assert document["total_ns"] > 2 * document["moved_bytes"] / 51.2
    checked = lpspec("dram", "check", "move.csv", "--ranks", "4", "--pim-ranks", "0,1,2", "--refresh", "all-bank")
    assert (checked.code, checked.err) == (0, "")
    assert "bytes" in lpspec(*argv).out


def test_a_migration_that_cannot_be_is_refused(lpspec: Lpspec, folder: Path) -> None:
    assert_refused(lpspec("dram", "move", "--k", "64", "--n", "64", "--to", "npu"), "known are dram, pim")
    assert_refused(lpspec("dram", "move", "--k", "0", "--n", "64", "--commands", "move.csv"), "k is 0")
    assert list(folder.iterdir()) == []


def test_a_result_says_the_command_that_gives_it_again(lpspec: Lpspec) -> None:
    asked = ["dram", "gemm", "--m", "2", "--k", "64", "--n", "128", "--json", "-"]
    first = json.loads(lpspec(*asked).out)
    assert first["provenance"]["command"] == ["lpspec", *asked]
    assert json.loads(lpspec(*first["provenance"]["command"][1:]).out) == first
