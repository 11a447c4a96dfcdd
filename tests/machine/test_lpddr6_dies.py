"""LPDDR6 dies against the public tables of JESD209-6 (lpddr_newer.md), copied here by hand, and arithmetic on them."""

import math
from pathlib import Path

import pytest

from lpspec.errors import InputError
from lpspec.machine.die import DieSpec
from lpspec.machine.loading import load_die, load_platform

DIE = "lpddr6-10667-16gb"

# Data rate: RL of sets 0, 1 and 2; WL of sets A and B; nRTP of BL24 and BL48; gap of one group for BL24 and BL48; nACU.
TABLE = {
    6400: ((34, 37, 41), (18, 32), (8, 14), (6, 12), 36),
    7500: ((40, 44, 48), (20, 38), (11, 23), (8, 20), 42),
    8533: ((46, 50, 54), (22, 44), (11, 23), (8, 20), 47),
    9600: ((52, 56, 62), (24, 50), (13, 25), (10, 22), 53),
    10667: ((56, 62, 68), (26, 54), (14, 26), (10, 22), 59),
}
RATE_8533 = '{ value = "8533 Mbps", source = "a test" }'
SLOWER_RL = {3200: (17, 19, 21), 4267: (23, 25, 28), 5500: (30, 32, 35)}
TCK_PS = {6400: 625, 7500: 533.3333, 8533: 468.75, 9600: 416.6667, 10667: 375}


def die_of(**changes: str) -> DieSpec:
    return load_die(DIE, {f"memory.{key.replace('__', '.')}": value for key, value in changes.items()})


def plain(**changes: str) -> DieSpec:
    """The same without compute."""
    given = {f"memory.{key.replace('__', '.')}": value for key, value in changes.items()}
    return load_platform("mobile-npu", {"memory.die": DIE, **given}).die


@pytest.mark.parametrize("mbps", TABLE)
@pytest.mark.parametrize(
    ("efficiency", "dbi", "rl_set"), [("off", "off", 0), ("on", "off", 1), ("off", "on", 1), ("on", "on", 2)]
)
def test_latencies_follow_rate_and_mode(mbps: int, efficiency: str, dbi: str, rl_set: int) -> None:
    rl, wl, rtp, gap, _ = TABLE[mbps]
    for k, write_set in enumerate("AB"):
        timing = die_of(
            data_rate=f"{mbps} Mbps", mode__efficiency=efficiency, mode__read_dbi=dbi, mode__write_set=write_set
        ).timing.counts()
        expected = (rl[rl_set], wl[k], rtp[0], gap[0], 6, 6 if mbps == 6400 else 12)
        assert tuple(timing[name] for name in ("nCL", "nCWL", "nRTP", "nCCD_L", "nBL_min", "nBL_max")) == expected


@pytest.mark.parametrize("mbps", SLOWER_RL)
def test_slower_latencies(mbps: int) -> None:
    assert die_of(data_rate=f"{mbps} Mbps").timing.nCL.n == SLOWER_RL[mbps][0]
    assert die_of(data_rate=f"{mbps} Mbps", mode__read_dbi="on").timing.nCL.n == SLOWER_RL[mbps][1]


@pytest.mark.parametrize("mbps", TABLE)
def test_bl48_is_two_bl24(mbps: int) -> None:
    """64 B and 64 bits of metadata; above 6400 a gap of BL24 between its segments, so the pins move it in 2/3 of 18."""
    die = plain(data_rate=f"{mbps} Mbps", mode__burst="BL48")
    timing = die.timing.counts()
    assert (die.organisation.burst_bytes.n, die.organisation.burst_bits, die.burst_ck) == (64, 576, 12)
    assert (timing["nRTP"], timing["nCCD_L"]) == (TABLE[mbps][2][1], TABLE[mbps][3][1])
    assert (timing["nBL_min"], timing["nBL_max"]) == ((12, 12) if mbps == 6400 else (18, 24))
    assert die.peak_gb_per_s == pytest.approx(plain(data_rate=f"{mbps} Mbps").peak_gb_per_s)


def test_a_file_of_a_die_takes_what_its_burst_changes_from_the_tables(tmp_path: Path) -> None:
    """As if it were set; a second file behind it, of another rate, too, and what a file says itself stays."""
    long, fast = tmp_path / "long.toml", tmp_path / "fast.toml"
    long.write_text(f'extends = "{DIE}"\nname = "long"\nsummary = "with BL48"\n[mode]\nburst = "BL48"\n')
    own = '[timing]\nnRTP = { value = "40 CK", source = "a test" }\n'
    fast.write_text(f'extends = "long.toml"\nname = "fast"\nsummary = "at 8533"\ndata_rate = {RATE_8533}\n{own}')
    as_set = die_of(mode__burst="BL48")
    assert load_die(str(long)).timing.counts() == as_set.timing.counts()
    assert load_die(str(long)).organisation == as_set.organisation
    faster = die_of(mode__burst="BL48", data_rate="8533 Mbps", timing__nRTP="40").timing.counts()
    assert load_die(str(fast)).timing.counts() == faster
    on_platform = load_platform("mobile-npu", {"memory.die": str(long)})
    assert on_platform.die.timing.counts() == as_set.timing.counts()
    assert load_die(str(long), {"memory.mode.burst": "BL24"}).timing.counts() == die_of().timing.counts()


@pytest.mark.parametrize("mbps", TABLE)
def test_precharge_holds_the_update_of_the_activation_counter(mbps: int) -> None:
    """nACU = ceil(22 ns), then 18 ns for a bank and 21 ns for all; nRC = nRAS (20 ns) + nRPab."""
    timing, ps = die_of(data_rate=f"{mbps} Mbps").timing.counts(), TCK_PS[mbps]
    acu = TABLE[mbps][4]
    assert acu == math.ceil(22_000 / ps)
    assert timing["nRPpb"] == acu + math.ceil(round(18_000 / ps, 4))
    assert timing["nRPab"] == acu + math.ceil(round(21_000 / ps, 4))
    assert timing["nRC"] == math.ceil(round(20_000 / ps, 4)) + timing["nRPab"]


def test_at_10667_by_hand() -> None:
    """lpddr_newer.md: tCK 375 ps, nRCDr 48, nRCDw 22, nWTP 32, nPPD 4, nRRD 10, nFAW 40, nWTR 17 and 32."""
    die = die_of()
    assert die.ck_ns == pytest.approx(0.375, rel=1e-12)
    timing = die.timing.counts()
    names = ("nRCD", "nRCDw", "nWR", "nPPD", "nRRD", "nFAW", "nWTR_S", "nWTR_L", "nRFCab", "nREFI")
    assert [timing[name] for name in names] == [48, 22, 32, 4, 10, 40, 17, 32, 1014, 10416]
    efficient = die_of(mode__efficiency="on").timing.counts()
    assert [efficient[name] for name in ("nWR", "nWTR_S", "nWTR_L")] == [38, 22, 38]  # 14, 8.25 and 14 ns


def test_no_time_to_a_read_or_precharge_after_a_write_is_below_six_ck() -> None:
    timing = die_of(data_rate="3200 Mbps").timing  # tCK 1.25 ns: 6.25 ns were 5
    assert (timing.nWTR_S.n, timing.nWTR_L.n, timing.nWR.n) == (6, 10, 10)


@pytest.mark.parametrize(("rows", "ns"), [(16384, 210), (32768, 280), (65536, 380)])
def test_refresh_goes_by_the_density_of_two_sub_channels(rows: int, ns: int) -> None:
    """Dies of 4, 8 and 16 Gb behind a sub-channel: 8, 16 and 32 Gb."""
    assert die_of(organisation__rows=str(rows)).timing.nRFCab.n == math.ceil(round(ns / 0.375, 6))


def test_peak_is_eight_ninths_of_the_pins() -> None:
    """Of a package of x96: 113.8, 136.5 and 153.6 GB/s at 10667, 12800 and 14400 Mbps."""
    for mbps, package in ((10667, 113.8), (12800, 136.5), (14400, 153.6)):
        rate = f"{mbps} Mbps"
        platform = load_platform("mobile-npu", {"memory.die": DIE, "memory.data_rate": rate, "memory.channels": "8"})
        assert platform.memory is not None
        peak = platform.memory.peak_gb_per_s
        assert peak == pytest.approx(package, abs=0.06)
        assert peak == pytest.approx(8 * platform.die.peak_gb_per_s, rel=1e-12)
    assert peak == pytest.approx(96 / 8 * 14.4 * 8 / 9, rel=1e-12)


def test_latencies_that_nobody_has_set_say_so() -> None:
    """Above 10,667 Mbps: RL 21 ns, in whole commands of 2 CK, and the public gap of one group, 12 CK."""
    timing = die_of(data_rate="12800 Mbps").timing
    assert (timing.nCL.n, timing.nCCD_L.n) == (68, 12)  # 67.2 CK of 0.3125 ns
    assert timing.nCL.source.startswith("assumed")
    assert "assumed" not in timing.nCCD_L.source


def test_what_is_set_by_hand_is_not_taken_from_the_tables() -> None:
    timing = die_of(data_rate="8533 Mbps", timing__nCL="40", timing__nRTP="12").timing
    assert (timing.nCL.n, timing.nRTP.n, timing.nCWL.n) == (40, 12, 22)


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("memory.data_rate", "2750 Mbps", "latencies above 2750 to 14400 Mbps"),
        ("memory.data_rate", "15000 Mbps", "latencies above 2750 to 14400 Mbps"),
        ("memory.mode.burst", "BL16", "mode.burst: Input should be 'BL24' or 'BL48'"),
        ("memory.timing.nCCD_S", "5", "nCCD_S (5) must be at least nBL_min (6): one data bus"),
        ("memory.timing.nODTLon", "33", "nODTLon (33) must be at most nCWL + nWCK2DQO + 1 (32)"),
        ("memory.timing.nAAD", "1", "nAAD (1) must be at least 2 CK, which a command takes"),
        ("memory.standard", "LPDDR5", "go with standard LPDDR6, all or none"),
        ("memory.organisation.data_pins", "16", "must be what data_pins (16) move in nBL_min (6 CK)"),
    ],
)
def test_what_cannot_be_is_one_line(key: str, value: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_die(DIE, {key: value})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_lpddr5_die_has_no_mode(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('extends = "lpddr5-6400-8gb"\nstandard = "LPDDR6"\n')
    with pytest.raises(InputError, match=r"go with standard LPDDR6, all or none"):
        load_die(str(file))
    with pytest.raises(InputError, match=r"'memory.mode.burst': did you mean"):
        load_die("lpddr5-6400-8gb", {"memory.mode.burst": "BL48"})


@pytest.mark.parametrize(("mbps", "exact"), [(8533, 25600 / 3), (10667, 32000 / 3), (4267, 12800 / 3), (9600, 9600)])
def test_rates_that_the_standard_rounds_are_thirds(mbps: int, exact: float) -> None:
    assert die_of(data_rate=f"{mbps} Mbps").ck_ns == pytest.approx(4e3 / exact, rel=1e-12)


def test_lpddr5x_10667_by_hand() -> None:
    """tCK 0.75 ns and 21.3 GB/s; 8 Gb refreshes 210 / 120 / 90 ns and 16 Gb 280 / 140 / 90 (Micron Y52P, table 6)."""
    die = load_die("lpddr5x-10667")
    assert die.ck_ns == pytest.approx(0.75, rel=1e-12)
    assert die.peak_gb_per_s == pytest.approx(21.33, abs=0.01)
    refresh = ("nRFCab", "nRFCpb", "nPBR2PBR", "nPBR2ACT")
    assert [die.timing.counts()[name] for name in refresh] == [374, 187, 120, 10]
    half = load_die("lpddr5x-10667", {"memory.organisation.rows": "32768"}).timing.counts()
    assert [half[name] for name in refresh] == [280, 160, 120, 10]


@pytest.mark.parametrize("name", ["lpddr5x-7500", "lpddr5x-8533", "lpddr5x-9600", "lpddr5x-10667"])
def test_what_nobody_publishes_above_6400_is_assumed(name: str) -> None:
    timing = load_die(name).timing
    assumed = {key for key in timing.counts() if getattr(timing, key).source.startswith("assumed")}
    counts = {"nBL_max", "nCCD_L", "nAAD", "nPPD", "nRTRS", "nWCKPST", "nWCKIDLE"}
    assert assumed == {"nCL", "nCWL", "nWR"} | counts
