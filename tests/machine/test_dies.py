"""Dies: what ships, what a platform takes of it, what --set changes, what another rate or capacity derives."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpspec.errors import InputError
from lpspec.machine.clock import EXACT_MBPS
from lpspec.machine.die import DieSpec
from lpspec.machine.loading import die_names, load_die, load_platform
from lpspec.machine.timing import REFRESH_NS

BASE = "lpddr5-6400-8gb"

# Counts of CK as the shipped files had them when each was written by hand (lpddr5.md and public simulators).
BY_HAND = {
    BASE: "17 9 2 4 15 15 17 34 49 8 28 8 2 2 4 4 16 5 10 2 168 96 3125 72 6 1 16",
    "lpddr5-6400-16gb": "17 9 2 4 15 15 17 34 49 8 28 8 2 2 4 4 16 5 10 2 224 112 3125 72 6 1 16",
    "lpddr5x-7500": "20 11 2 4 17 17 20 40 57 8 32 10 2 2 4 5 19 6 12 2 263 132 3662 85 8 1 16",
    "lpddr5x-8533": "23 12 2 4 20 20 23 45 65 8 37 10 2 2 4 6 22 7 13 2 299 150 4166 96 8 1 16",
    "lpddr5x-9600": "26 14 2 4 22 22 26 51 73 8 41 11 2 2 4 6 24 8 15 2 336 168 4687 108 9 1 16",
    "lpddr5x-10667": "29 15 2 4 24 24 28 56 80 8 46 12 2 2 4 7 27 9 16 2 374 187 5208 120 10 1 16",
    "lp5x-pim": "26 14 2 4 22 22 26 51 73 8 41 11 2 2 4 6 24 8 15 2 336 168 4687 108 9 1 16",
    # lpddr_newer.md; nRC = 54 + 115, REFpb assumed; last nRCDw, tWCK2DQO and ODTLon, which LPDDR5 does not have.
    "lpddr6-10667-16gb": "56 26 6 12 48 107 115 54 169 8 32 14 4 6 10 10 40 17 32 2 1014 507 10416 240 20 3 16 22 5 27",
}

# The times of the 6400 grade in ns, by hand from public simulators and JESD209-5; all other timings are counts.
TIMES_NS = {"nCL": 21.25, "nCWL": 11.25, "nRCD": 18.0, "nRPpb": 18.0, "nRPab": 21.0, "nRAS": 42.0, "nWR": 34.0}
TIMES_NS |= {"nRRD": 5.0, "nFAW": 20.0, "nWTR_S": 6.25, "nWTR_L": 12.0}
TIMES_NS |= {"nRFCab": 210.0, "nRFCpb": 120.0, "nPBR2PBR": 90.0, "nPBR2ACT": 7.5}


def die_of(**changes: str) -> DieSpec:
    return load_platform("lp-spec", {key.replace("__", "."): value for key, value in changes.items()}).die


def refused(**changes: str) -> str:
    with pytest.raises(InputError) as caught:
        die_of(**changes)
    line = str(caught.value)
    assert "\n" not in line
    assert len(line) <= 200
    return line


def different(a: DieSpec, b: DieSpec) -> set[str]:
    return {name for name, ck in a.timing.counts().items() if b.timing.counts()[name] != ck}


# What ships


def test_shipped_dies_count_what_their_files_counted() -> None:
    assert set(die_names()) == set(BY_HAND)
    for name, counts in BY_HAND.items():
        assert list(load_die(name).timing.counts().values()) == [int(n) for n in counts.split()], name


def test_platform_takes_all_of_its_die() -> None:
    """One description: the platform's die is the named file's but for the steps into PIM mode,
    and the GEMV package differs in its ALUs alone."""
    named, used = load_die(BASE), load_platform("lp-spec").die
    assert (used.name, used.data_rate, used.organisation, used.timing) == (
        named.name,
        named.data_rate,
        named.organisation,
        named.timing,
    )
    assert {key for key, value in used.pim if value != getattr(named.pim, key)} == {"mode_steps"}
    gemv = load_platform("lpddr5-pim").die.pim
    assert {key for key, value in gemv if value != getattr(used.pim, key)} == {"alus"}
    assert load_platform("mobile-npu").die.pim_side is None


def test_another_die_is_one_word() -> None:
    die = die_of(memory__die="lp5x-pim")
    assert die.timing == load_die("lp5x-pim").timing
    assert (die.pim.alus.n, die.mpus, die.data_rate.mbps) == (1, 16, 9600)


# --set


def test_every_timing_and_organisation_value_can_be_set() -> None:
    for name, ck in load_die(BASE).timing.counts().items():
        key = f"memory.timing.{name}"
        less = {"nRC": ck + 1, "nRAS": ck - 1, "nRPpb": ck - 1, "nBL_min": ck}.get(name, ck + 3)
        changed = load_platform("lp-spec", {key: str(less)}).die
        assert changed.timing.counts()[name] == less
        assert getattr(changed.timing, name).source == f"set by the user to {less}"
    assert die_of(memory__organisation__rows="1000").organisation.die_bytes == 16 * 1000 * 2048
    assert die_of(memory__organisation__row_bytes="1024").organisation.columns == 32
    assert die_of(memory__organisation__bank_groups="2").organisation.banks == 8
    assert die_of(memory__organisation__banks_per_group="2").mpus == 4


@given(st.floats(0.5, 500), st.sampled_from(["6400", "7500", "8800", "9600"]))
def test_a_time_is_rounded_up_to_whole_ck_and_kept_beside_it(ns: float, mbps: str) -> None:
    timing = die_of(memory__timing__nRCD=f"{ns!r} ns", memory__data_rate=f"{mbps} Mbps").timing.nRCD
    ck_ns = 8e3 / float(mbps)
    assert timing.n >= 1
    assert (timing.n - 1) * ck_ns < ns + 1e-5
    assert timing.n * ck_ns >= ns - 1e-5
    assert timing.text() in (f"{timing.n} CK ({ns!r} ns rounded up)", f"{timing.n} CK ({ns!r} ns)")
    assert ("rounded" in timing.text()) == (abs(timing.n * ck_ns - ns) > 1e-6 * ck_ns)


def test_a_limit_from_above_is_rounded_down() -> None:
    assert die_of(memory__timing__nREFI="3907 ns").timing.nREFI.n == 3125  # 3125.6 CK
    assert die_of(memory__timing__nAAD="9.9 ns").timing.nAAD.n == 7


def test_sums_follow_what_they_are_sums_of() -> None:
    die = die_of(memory__timing__nRAS="40", memory__timing__nRPpb="20")
    assert die.timing.nRC.n == 60
    assert die_of(memory__timing__nRTP="nBL_max + 1 CK + 2 ns").timing.nRTP.n == 4 + 1 + 2


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("memory.timing.nRCDD", "16", "did you mean 'memory.timing.nRCD'?"),
        ("memory.timing.nrcd", "16", "did you mean 'memory.timing.nRCD'?"),
        ("memory.organisation.row", "16", "did you mean 'memory.organisation.rows'?"),
        ("memory.die_capacity", "16 Gb", "known are memory.bus_efficiency, memory.channels"),
        ("memory.timing.nRCD", "16.5", "memory.timing.nRCD: 16.5 must be a whole number"),
        ("memory.timing.nRCD", "18 mm", "is no number of CK"),
        ("memory.timing.nRCD", "0", "memory.timing.nRCD: 0 CK is out of range"),
        ("memory.timing.nRCD", "-3", "memory.timing.nRCD: -3 CK is out of range"),
        ("memory.timing.nRC", "nRC + 1", "memory.timing.nRC: 'nRC + 1' is no number of CK"),
        ("memory.timing.nRC", "nRAS + nNO", "memory.timing.nRC: 'nRAS + nNO' is no number of CK"),
        ("memory.timing.nRC", "48", "nRC (48) must be at least nRAS + nRPpb (49)"),
        ("memory.timing.nRFCab", "3059", "nRFCab + nRPab + nRC (3125) must be less than nREFI (3125)"),
        ("memory.timing.nRFCpb", "4000", "nRFCpb + nRPab + nRC (4066) must be less than nREFI (3125)"),
        ("memory.timing.nRCD", "2930", "an activation + nRCD (3125) must be less than nREFI (3125)"),
        ("memory.timing.nPBR2PBR", "391", "8 * nPBR2PBR (3128) must be at most nREFI (3125)"),
        ("memory.timing.nFAW", "20 us", "nFAW (16000) must be less than nREFI (3125)"),
        ("memory.timing.nREFI", "100", "nRFCab + nRPab + nRC (234) must be less than nREFI (100)"),
        ("memory.timing.nCCD_S", "1", "timing.nCCD_S (1) must be at least nBL_min (2): one data bus"),
        ("memory.timing.nBL_min", "3", "must be what data_pins (16) move in nBL_min (3 CK): 48"),
        ("memory.organisation.rows", "0.5", "memory.organisation.rows: 0.5 must be a whole number"),
        ("memory.organisation.row_bytes", "2040", "row_bytes (2040) must be a multiple of burst_bytes (32)"),
        ("memory.die", "lpddr5x-853", "unknown die 'lpddr5x-853': did you mean 'lpddr5x-8533'?"),
        ("memory.die", "gone.toml", "cannot read die file gone.toml"),
        ("pim.lanes", "16", "organisation.burst_bytes (32) must equal pim.lanes (16)"),
    ],
)
def test_what_cannot_be_is_one_line(key: str, value: str, said: str) -> None:
    assert said in refused(**{key: value})


# Another data rate


@given(st.floats(100, 20_000).filter(lambda mbps: mbps not in EXACT_MBPS))
def test_another_rate_rounds_times_up_and_keeps_counts(mbps: float) -> None:
    die, base, ck_ns = die_of(memory__data_rate=f"{mbps!r} Mbps"), load_die(BASE), 8e3 / mbps
    expected = {name: math.ceil(round(ns / ck_ns, 6)) for name, ns in TIMES_NS.items()}
    expected["nRTP"] = 2 + math.ceil(round(7.5 / ck_ns, 6))
    expected["nRC"] = expected["nRAS"] + expected["nRPpb"]
    expected["nREFI"] = math.floor(round(3906.25 / ck_ns, 6))
    kept = {name: ck for name, ck in base.timing.counts().items() if name not in expected}
    assert set(kept) == {*("nBL_min", "nBL_max", "nAAD", "nPPD", "nCCD_S", "nCCD_L", "nRTRS", "nWCKPST", "nWCKIDLE")}
    assert die.timing.counts() == expected | kept
    assert die.mac_ck == 4
    if mbps != 6400:
        for name in die.timing.counts():
            how = "its count or sum" if name in kept or name == "nRC" else "its time, in whole CK"
            assert getattr(die.timing, name).source.startswith(f"derived from {BASE} at "), name
            assert f": {how}; " in getattr(die.timing, name).source, name


def test_a_derived_8533_differs_from_the_shipped_one_by_its_capacity_alone() -> None:
    """Every timing but refresh is that of the shipped 8533 die, which holds 16 Gb: its refreshes take longer.

    From the 16 Gb die of the 6400 grade nothing differs; RL and WL are 23 and 12 CK, as public simulators have it.
    """
    shipped = load_die("lpddr5x-8533")
    rate = {"memory__data_rate": "8533 Mbps"}
    assert different(die_of(**rate), shipped) == {"nRFCab", "nRFCpb"}
    assert different(die_of(**rate, memory__die="lpddr5-6400-16gb"), shipped) == set()
    assert different(die_of(**rate, memory__organisation__rows="65536"), shipped) == set()
    assert (shipped.timing.nCL.n, shipped.timing.nCWL.n) == (23, 12)


def test_the_named_die_wins_over_a_shipped_one_of_the_rate() -> None:
    die = die_of(memory__data_rate="8533 Mbps")
    assert die.name == f"{BASE} at 8533 Mbps"
    assert die.organisation == load_die(BASE).organisation


def test_what_is_set_by_hand_is_not_derived() -> None:
    timing = die_of(memory__data_rate="7500 Mbps", memory__timing__nRCD="16", memory__timing__nFAW="30 ns").timing
    assert (timing.nRCD.n, timing.nRCD.source) == (16, "set by the user to 16")
    assert (timing.nFAW.n, timing.nFAW.source) == (29, "set by the user to 30 ns")


# Another capacity


@pytest.mark.parametrize(("rows", "gb"), [(8192, 2), (16384, 4), (24576, 8), (49152, 16), (65536, 16), (131072, 32)])
def test_another_density_takes_its_refresh_from_the_table(rows: int, gb: int) -> None:
    """12 Gb refreshes as long as 16 Gb: the next density that the table has."""
    timing = die_of(memory__organisation__rows=str(rows)).timing
    for name, ns in REFRESH_NS[gb].items():
        assert getattr(timing, name).n == math.ceil(ns / 1.25), name
        assert getattr(timing, name).source.startswith("derived: "), name
    assert timing.nREFI.n == 3125


def test_the_table_of_refresh_is_that_of_the_shipped_dies() -> None:
    for name, gb in ((BASE, 8), ("lpddr5-6400-16gb", 16)):
        timing = load_die(name).timing
        assert {key: f"{ns:g} ns" for key, ns in REFRESH_NS[gb].items()} == {
            key: getattr(timing, key).given for key in REFRESH_NS[gb]
        }  # none of them is rounded at 6400 Mbps


def test_refresh_set_by_hand_stays_at_another_density() -> None:
    timing = die_of(memory__organisation__rows="65536", memory__timing__nRFCab="200").timing
    assert (timing.nRFCab.n, timing.nRFCpb.n) == (200, 112)


# Files


def test_a_platforms_die_is_found_from_the_platforms_folder(tmp_path: Path) -> None:
    (tmp_path / "dies").mkdir()
    (tmp_path / "dies" / "slow.toml").write_text(
        'extends = "lpddr5-6400-8gb"\nname = "slow"\n[timing]\nnRCD = { value = "30 ns", source = "a test" }\n'
    )
    file = tmp_path / "mine.toml"
    file.write_text('extends = "lp-spec"\nname = "mine"\n[memory]\ndie = "dies/slow.toml"\n')
    die = load_platform(str(file)).die
    assert (die.name, die.timing.nRCD.n, die.timing.nRPpb.n) == ("slow", 24, 15)


def test_a_platform_file_changes_single_values_of_its_die(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'extends = "lp-spec"\nname = "mine"\n[memory.timing]\nnRCD = { value = "18.5 ns", source = "a test" }\n'
        '[memory.organisation]\nrows = { value = 65536, source = "a test" }\n'
    )
    die = load_platform(str(file)).die
    assert (die.timing.nRCD.text(), die.timing.nRCD.source) == ("15 CK (18.5 ns rounded up)", "a test")
    assert (die.organisation.die_bytes, die.timing.nRFCab.n) == (2 << 30, 224)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[timing]\nnRCDD = { value = 3, source = 'a test' }", "timing.nRCDD: is not a known key: did you mean"),
        ("[timing]\nnRCD = 16", "timing.nRCD: write { value = 16"),
        ("[timing]\nnRCD = { value = 16 }", "timing.nRCD.source: Field required"),
        ("[organisation]\nrows = { value = 0, source = 'a test' }", "organisation.rows: 0 is out of range"),
        ("timing = 3", "timing: "),
        ("organisation = 3", "organisation: "),
        ("data_rate = { value = '6400', source = 'a test' }", "data_rate: '6400' has the wrong unit"),
    ],
)
def test_a_die_that_cannot_be_is_blamed_by_its_own_keys(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f'extends = "lpddr5-6400-8gb"\n{text}\n')
    with pytest.raises(InputError) as caught:
        load_platform("lp-spec", {"memory.die": str(file)})
    assert said in str(caught.value)
    assert str(caught.value).startswith("die '")


@pytest.mark.parametrize("section", ["timing", "organisation", "data_rate", "die"])
def test_a_platform_whose_section_is_no_section_is_blamed(tmp_path: Path, section: str) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(f'extends = "lp-spec"\n[memory]\n{section} = 3\n')
    with pytest.raises(InputError) as caught:
        load_platform(str(file))
    assert f"memory.{section}" in str(caught.value)


def test_a_die_alone_takes_the_same_changes() -> None:
    changes = {"memory.timing.nRCD": "16", "memory.data_rate": "7500 Mbps", "pim.alus": "1", "pim.mode_steps": "2"}
    alone, named = load_die(BASE, changes), load_platform("lp-spec", changes).die
    assert (alone.name, alone.data_rate, alone.organisation, alone.timing, alone.pim) == (
        *(named.name, named.data_rate, named.organisation),
        *(named.timing, named.pim),
    )
    with pytest.raises(InputError, match=r"did you mean 'memory.timing.nRCD'"):
        load_die(BASE, {"memory.timing.nRDCD": "3"})
    with pytest.raises(InputError, match=r"memory.die is the die itself"):
        load_die(BASE, {"memory.die": "lp5x-pim"})
