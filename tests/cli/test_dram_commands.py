"""``lpspec dram run`` and ``check``: what they print and write, and what every command of the memory refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import Said, assert_refused, document

from lpspec.dram.engine.phases import run_phase
from lpspec.machine.loading import die_names

Lpspec = Callable[..., Said]
HEADER = "ck,command,rank,bank_group,bank,row,column"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def request(at: int, op: str = "read", bank_group: int = 0, row: int = 0, column: int = 0, rank: int = 0) -> str:
    fields = {"at": at, "op": op, "rank": rank, "bank_group": bank_group, "bank": 0, "row": row, "column": column}
    return json.dumps(fields) + "\n"


def save(*lines: str, name: str = "requests.jsonl") -> str:
    Path(name).write_text("".join(lines), encoding="utf-8")
    return name


def scattered(n: int, ranks: int = 1) -> str:
    """Reads and writes all over the banks."""
    rng = np.random.default_rng(1)
    at = np.cumsum(rng.integers(0, 6, n)).tolist()
    groups, rows, columns = rng.integers(0, 4, n), rng.integers(0, 4, n), rng.integers(0, 64, n) * 16
    ops = rng.choice(["read", "write"], n).tolist()
    return save(
        *(
            request(at[i], ops[i], int(groups[i]), int(rows[i]), int(columns[i]), int(rng.integers(ranks)))
            for i in range(n)
        )
    )


@pytest.mark.parametrize("refresh", ["all-bank", "per-bank"])
def test_a_request_in_two_weeks_is_served_at_once(lpspec: Lpspec, folder: Path, refresh: str) -> None:
    name = save(request(3), request(1 << 50))
    found = document(lpspec("dram", "run", name, "--refresh", refresh, "--json", "-"))
    assert found["end_ck"] - (1 << 50) < 3125
    kind, each = ("REFAB", 1) if refresh == "all-bank" else ("REFPB", 8)
    assert found["command_counts"][kind] == pytest.approx(each * (1 << 50) / 3125, abs=10)
    assert "wrote" not in lpspec("dram", "run", name, "--refresh", refresh).out
    assert_refused(
        lpspec("dram", "run", name, "--refresh", refresh, "--commands", "out.csv"), "refreshes", "CK 11258999"
    )
    assert [path.name for path in folder.iterdir()] == [name]


def test_a_check_counts_what_two_weeks_owe_in_one_step(lpspec: Lpspec, folder: Path) -> None:
    name = save(HEADER + "\n", "7,REFAB,0,,,,\n", f"{1 << 50},REFAB,0,,,,\n", name="commands.csv")
    said = lpspec("dram", "check", name, "--refresh", "all-bank", "--json", "-")
    found = json.loads(said.out)
    assert said.code == 1
    assert found["counts"] == {"retention": 1, "refresh_debt": 1}


def test_a_short_list_command_by_command(lpspec: Lpspec, folder: Path) -> None:
    """By hand, LPDDR5-6400: a second row waits for nRAS 34, nRPpb 15 and nRCD 15, hits for nCCD_L 4."""
    name = save(request(0, row=5), request(0, row=6), request(0, row=5, column=16))
    said = lpspec("dram", "run", name, "--refresh", "none", "--commands", "out.csv", "--json", "-")
    assert (folder / "out.csv").read_text("utf-8").splitlines() == [
        HEADER,
        *("0,ACT1,0,0,0,5,", "1,ACT2,0,0,0,5,", "8,CAS,0,,,,", "16,RD,0,0,0,5,0", "20,RDA,0,0,0,5,16"),
        *("50,ACT1,0,0,0,6,", "51,ACT2,0,0,0,6,", "58,CAS,0,,,,", "66,RD,0,0,0,6,0"),
    ]
    found = document(said)
    assert found["total_ck"] == 66 + 17 + 2
    assert found["avg_gb_per_s"] == pytest.approx(3 * 32 / (85 * 1.25))
    assert found["command_counts"] == {"ACT1": 2, "ACT2": 2, "CAS": 2, "RD": 2, "RDA": 1}
    assert (found["row_hits"], found["row_misses"], found["row_conflicts"]) == (1, 1, 1)
    assert found["latency_ck"] == {"mean": (35 + 85 + 39) / 3, "p50": 39, "p99": pytest.approx(84.08), "max": 85}
    row_pj, burst_pj = 2048 * 8 * 0.11, 256 * (0.44 + 3.04)
    assert found["energy_by_event_pj"]["activate_bits"] == pytest.approx(2 * row_pj)
    assert found["energy_pj"]["array"] + found["energy_pj"]["io"] == pytest.approx(2 * row_pj + 3 * burst_pj)
    assert "wrote" not in said.out


def test_wck_always_on_needs_no_cas(lpspec: Lpspec, folder: Path) -> None:
    said = lpspec("dram", "run", save(request(0)), "--refresh", "none", "--wck", "always-on", "--json", "-")
    assert document(said)["command_counts"] == {"ACT1": 1, "ACT2": 1, "RD": 1}


def test_presets_and_profiles_reach_the_run(lpspec: Lpspec, folder: Path) -> None:
    """LPDDR5X-9600: RD 1 + nRCD 22, data until 23 + RL 26 + 2."""
    name = save(request(0))
    fast = document(lpspec("dram", "run", name, "--die", "lpddr5x-9600", "--refresh", "none", "--json", "-"))
    assert fast["total_ck"] == 51
    priced = document(lpspec("dram", "run", name, "--energy-profile", "specpim", "--json", "-"))
    assert priced["energy_pj"]["io"] == pytest.approx(256 * 4.65)


@pytest.mark.parametrize("refresh", ["none", "all-bank", "per-bank"])
@pytest.mark.parametrize("ranks", [1, 3])
def test_whatever_run_writes_check_finds_legal(lpspec: Lpspec, folder: Path, refresh: str, ranks: int) -> None:
    policies = ["--refresh", refresh, "--ranks", str(ranks)]
    said = lpspec("dram", "run", scattered(5000, ranks), *policies, "--commands", "new/out.csv")
    assert said.code == 0, said.err
    assert said.out.splitlines()[-1] == "wrote new/out.csv"
    checked = lpspec("dram", "check", "new/out.csv", *policies, "--json", "-")
    found = document(checked)
    assert (found["legal"], found["counts"], found["violations"]) == (True, {}, [])
    assert found["commands"] == len((folder / "new" / "out.csv").read_text("utf-8").splitlines()) - 1
    assert "no rule broken" in lpspec("dram", "check", "new/out.csv", *policies).out
    other = lpspec("dram", "check", "new/out.csv", *policies, "--die", "lpddr5x-9600")
    assert (other.code, other.err) == (1, "")


def test_longer_bursts_and_rows_go_through_run_and_check(lpspec: Lpspec, folder: Path) -> None:
    """A burst of BL48 is 64 B; rows of 4 KiB have 2,048 columns."""
    die = ("--die", "lpddr6-10667-16gb", "--set", "memory.mode.burst=BL48")
    save(*(f"0x{64 * i:x} READ {i}\n" for i in range(400)), name="lines.trace")
    found = document(lpspec("dram", "run", "lines.trace", *die, "--commands", "out.csv", "--json", "-"))
    bits = found["energy_by_event_pj"]["column_bits"] / 0.44
    assert (found["command_counts"]["RD"], found["trace"]["access_bytes"], bits) == (400, 64, pytest.approx(400 * 512))
    assert document(lpspec("dram", "check", "out.csv", *die, "--json", "-"))["legal"]
    assert_refused(lpspec("dram", "run", save(request(0, column=16)), *die), "column is 16", "0 to 992 in steps of 32")
    assert_refused(lpspec("dram", "check", "out.csv", *die, "--pim-ranks", "0"), "32 (BL48) where there are no PIM")
    wide = ("--set", "memory.organisation.row_bytes=4096", "--json", "-")
    document(lpspec("dram", "run", save(request(0, column=2032)), *wide, "--commands", "wide.csv"))
    assert document(lpspec("dram", "check", "wide.csv", *wide))["legal"]


def test_a_machine_says_die_ranks_controller_channels_and_mapping(lpspec: Lpspec, folder: Path) -> None:
    """Of what it does not say, and of what is given besides, options decide; both ways give one stream of commands."""
    name = save(*(f"0x{8192 * i:x} READ {9 * i}\n" for i in range(600)), name="a.trace")
    changes = ("memory.controller.page=closed", "memory.controller.address_mapping=ro-ra-ch-ba-co-bg-ch1")
    machine = ("--platform", "mobile-npu", *(word for change in changes for word in ("--set", change)))
    by_hand = ("--ranks", "4", "--page", "closed", "--channels", "4", "--address-mapping", "ro-ra-ch-ba-co-bg-ch1")
    for options, name_of in ((machine, "machine.csv"), (by_hand, "hand.csv")):
        found = document(lpspec("dram", "run", name, *options, "--commands", name_of, "--json", "-"))
        assert (found["ranks"], found["page"], found["trace"]["channels"]) == (4, "closed", 4)
    assert Path("machine.csv").read_text("utf-8") == Path("hand.csv").read_text("utf-8")
    two = document(lpspec("dram", "run", name, *machine, "--ranks", "2", "--page", "open", "--json", "-"))
    assert (two["ranks"], two["page"], two["trace"]["address_mapping"]) == (2, "open", "ro-ra-ch-ba-co-bg-ch1")
    assert document(lpspec("dram", "run", name, "--platform", "lp-spec", "--json", "-"))["ranks"] == 1
    assert_refused(lpspec("dram", "run", name, *machine, "--die", "lpddr5x-8533"), "name the die twice")
    put_off = ("--set", "memory.controller.postpone=3", "--refresh", "none")
    assert_refused(lpspec("dram", "run", name, *machine, *put_off), "nothing to put off")


def test_run_prints_the_numbers_that_it_writes(lpspec: Lpspec, folder: Path) -> None:
    said = lpspec("dram", "run", scattered(2000), "--json", "out.json")
    found = json.loads((folder / "out.json").read_text("utf-8"))
    assert f"{found['total_ck']:,}" in said.out
    for name, count in found["command_counts"].items():
        assert any(line.split()[:2] == [name, f"{count:,}"] for line in said.out.splitlines())
    assert "refresh all-bank, WCK on-demand" in said.out
    assert said.out.splitlines()[-1] == "wrote out.json"


def test_an_illegal_stream_is_told_command_by_command(lpspec: Lpspec, folder: Path) -> None:
    save(HEADER + "\n", "0,ACT1,0,0,0,5,\n1,ACT2,0,0,0,5,\n8,CAS,0,,,,\n15,RD,0,0,0,5,0\n", name="bad.csv")
    said = lpspec("dram", "check", "bad.csv")
    assert (said.code, said.err) == (1, "")
    assert "illegal: 1 violations in 4 commands" in said.out
    assert "command 3 (line 5) at CK 15 breaks nRCD against command 1 at CK 1: CK 16 at the earliest" in said.out
    found = json.loads(lpspec("dram", "check", "bad.csv", "--json", "-").out)
    assert (found["legal"], found["commands"], found["counts"]) == (False, 4, {"nRCD": 1})
    places = {"line": 5, "ck": 15, "earlier_line": 3, "earlier_ck": 1, "required_ck": 16}
    assert found["violations"][0].items() >= places.items()


def test_the_channel_that_is_checked_can_be_told(lpspec: Lpspec, folder: Path) -> None:
    save(HEADER + "\n", "0,PIM_ENTER,3,,,,\n80,PIM_ACT,2,,0,9,\n", name="pim.csv")
    assert lpspec("dram", "check", "pim.csv", "--ranks", "2").code == 1  # no rank of it can enter PIM mode
    assert lpspec("dram", "check", "pim.csv", "--ranks", "2", "--pim-ranks", "0,1").code == 0
    save(HEADER + "\n", "0,ACT1,0,0,0,5,\n1,ACT2,0,0,0,5,\n4,ACT1,0,1,0,5,\n9,ACT2,0,1,0,5,\n", name="acts.csv")
    assert lpspec("dram", "check", "acts.csv").code == 0
    save(HEADER + "\n", "0,ACT1,0,0,0,5,\n8,ACT2,0,0,0,5,\n9,ACT1,0,1,0,5,\n10,ACT2,0,1,0,5,\n", name="late.csv")
    assert lpspec("dram", "check", "late.csv").code == 1  # ACT-2s 2 CK apart
    assert lpspec("dram", "check", "late.csv", "--activation", "ACT1").code == 0
    macs = "90,PIM_IN,3,,,,0\n123,PIM_MAC,1,0,0,,0\n124,PIM_MAC,2,0,0,,0\n"  # two ranks compute, from set 0
    save(HEADER + "\n", "0,PIM_ENTER,3,,,,\n80,PIM_ACT,3,,0,9,\n", macs, name="macs.csv")
    both = ("dram", "check", "macs.csv", "--ranks", "2", "--pim-ranks", "0,1", "--wck", "always-on")
    assert lpspec(*both).code == 0
    assert "concurrent_ranks" in lpspec(*both, "--concurrent-ranks", "1").out
    late = lpspec(*both, "--tokens", "2")  # of a second token, whose 64 inputs follow the first one's, none was sent
    assert (late.code, "input_ready" in late.out) == (1, True)
    second = macs.replace("90,PIM_IN,3,,,,0\n", "90,PIM_IN,3,,,,0\n94,PIM_IN,3,,,,2\n").replace("123", "127")
    save(HEADER + "\n", "0,PIM_ENTER,3,,,,\n80,PIM_ACT,3,,0,9,\n", second.replace("124", "128"), name="macs.csv")
    assert lpspec(*both, "--tokens", "2").code == 0
    assert "input_ready" in lpspec(*both, "--tokens", "3").out


BAD_REQUESTS = [
    ("{\n", "line 2: not JSON"),
    ("[]\n", "line 2: no object"),
    (request(0).replace("bank_group", "bankgroup"), "line 2: unknown key 'bankgroup': did you mean 'bank_group'?"),
    (request(0).replace(', "row": 0', ""), "line 2: row missing"),
    (request(0).replace('"row": 0', '"row": "0"'), "line 2: row must be a whole number"),
    (request(0, op="reed"), "line 2: unknown op 'reed': did you mean 'read'?"),
    (request(0, rank=1), "line 2: rank is 1: allowed is 0 to 0"),
    (request(0, row=32768), "line 2: row is 32768"),
    (request(0, column=17), "line 2: column is 17"),
    (request(-1), "line 2: at is -1"),
    (request(1) + request(0), "line 3: at is 0, before the 1 of the request above it"),
]


@pytest.mark.parametrize(("bad", "hint"), BAD_REQUESTS, ids=[hint for _, hint in BAD_REQUESTS])
def test_a_malformed_request_is_one_line_and_writes_nothing(lpspec: Lpspec, folder: Path, bad: str, hint: str) -> None:
    name = save(request(0), bad)
    assert_refused(lpspec("dram", "run", name, "--commands", "new/c.csv", "--json", "out.json"), name, hint)
    assert [path.name for path in folder.iterdir()] == [name]


BAD = [
    ("dram run good --set pim.alus=2", "--set pim.alus changes nothing of reads and writes"),
    ("dram run good --platform lp-spec --set npu.clock=2GHz", "--set npu.clock changes nothing of reads"),
    ("dram rn", "did you mean 'run'"),
    ("dram run", "REQUESTS"),
    ("dram run gone.jsonl", "gone.jsonl: can't be read: No such file"),
    ("dram run .", "Is a directory"),
    ("dram run empty", "empty: no requests"),
    ("dram run empty stray", "unexpected argument 'stray'"),
    ("dram run good --refresh allbank", "did you mean 'all-bank'"),
    ("dram run good --wck on", "known are always-on, on-demand"),
    ("dram run good --ranks 9", "ranks is 9: allowed is 1 to 8"),
    ("dram run good --ranks 0", "ranks is 0: allowed is 1 to 8"),
    ("dram run good --ranks 1.5", "no whole number"),
    ("dram run good --die lpddr5-640", "did you mean"),
    ("dram run good --set memory.organisation.bank_groups=2", "memory.organisation.bank_groups is 2: commands are"),
    ("dram check good --set memory.organisation.banks_per_group=8", "banks_per_group is 8: commands are written for 4"),
    ("dram run good --set memory.timing.nRCDD=2", "did you mean 'memory.timing.nRCD'"),
    ("dram run good --die gone.toml", "gone.toml"),
    ("dram run good --energy-profile atacc", "did you mean 'attacc'"),
    ("dram run good --commands .", "is a folder"),
    ("dram run good --commands=-", "--commands needs a file name"),
    ("dram run good --commands a.csv --json a.csv", "a.csv"),
    ("dram check gone.csv", "gone.csv"),
    ("dram check good", "line 1: the header must be"),
    ("dram check one.csv", "one.csv: line 2"),
    ("dram check one.csv --pim-ranks 0,x", "--pim-ranks 0,x must be ranks"),
    ("dram check one.csv --pim-ranks 1", "PIM ranks must be among 0..0"),
    ("dram check one.csv --ranks 9", "ranks must be 1..8"),
    ("dram check one.csv --concurrent-ranks 0", "must be at least 1"),
    ("dram check one.csv --tokens 0", "tokens of a MAC must be 1..4, is 0"),
    ("dram check one.csv --tokens 5", "tokens of a MAC must be 1..4, is 5"),
    ("dram check one.csv --activation ACT3", "known are ACT1, ACT2"),
    ("dram gemm --m 1 --k 64", "--n"),
    ("dram gemm --m 0 --k 64 --n 64", "m is 0: allowed is 1 to"),
    ("dram gemm --m 65537 --k 64 --n 64", "m is 65537: allowed is 1 to 65536"),
    ("dram gemm --m 1 --k 64 --n -5", "n is -5"),
    ("dram gemm --m 1 --k 999999999 --n 999999999", "rows"),
    ("dram gemm --m 1 --k 64 --n 64 --platform rtx3090", "'rtx3090' has no PIM ranks"),
    ("dram gemm --m 1 --k 64 --n 64 --platform lp-spc", "did you mean 'lp-spec'"),
    ("dram gemm --m 1 --k 64 --n 64 --die lp5x-pm", "did you mean 'lp5x-pim'"),
    ("dram gemm --m 1 --k 64 --n 64 --trace .", "is a folder"),
]


@pytest.mark.parametrize(("argv", "hint"), BAD, ids=[argv for argv, _ in BAD])
def test_bad_input_is_one_line(lpspec: Lpspec, folder: Path, argv: str, hint: str) -> None:
    save(request(0), name="good")
    save(name="empty")
    save(HEADER + "\n0,ACT9,0,0,0,5,\n", name="one.csv")
    before = sorted(folder.iterdir())
    outputs = ["--json", "out.json"] if "--json" not in argv and argv not in ("dram rn", "dram run") else []
    assert_refused(lpspec(*argv.split(), *outputs), hint)
    assert sorted(folder.iterdir()) == before


def test_help_names_every_die(lpspec: Lpspec) -> None:
    text = "".join(lpspec("dram", "run", "--help").out.split())
    for name in die_names():
        assert name in text


@pytest.mark.parametrize(
    "argv", ["run requests.jsonl --commands new/out.csv --json j", "gemm --m 4 --k 64 --n 64 --trace new/t --json j"]
)
def test_an_interrupt_leaves_no_file(lpspec: Lpspec, folder: Path, monkeypatch: pytest.MonkeyPatch, argv: str) -> None:
    def interrupt(*given: Any) -> int:
        run_phase(*given)  # some commands are written by then
        raise KeyboardInterrupt

    scattered(100)
    monkeypatch.setattr("lpspec.dram.engine.phases.run_phase", interrupt)
    said = lpspec("dram", *argv.split())
    assert (said.code, said.out, said.err) == (130, "", "lpspec: interrupted\n")
    assert [path.name for path in folder.iterdir()] == ["requests.jsonl"]
