import os
from fractions import Fraction
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lpspec.errors import InputError
from lpspec.machine.loading import constant_keys, load_platform, load_profile, platform_names
from lpspec.machine.platform_spec import PlatformSpec
from lpspec.machine.quantity import Quantity

PROFILE = """
name = "mine"
summary = "a profile for tests"
activate = { value = "0.1 pJ/b", source = "a test" }
column = { value = "0.4 pJ/b", source = "a test" }
io = { value = "3 pJ/b", source = "a test" }
mac_int8 = { value = "300 fJ", source = "a test" }
mac_fp16 = { value = "1 pJ", source = "a test" }
scratchpad = { value = "0.3 pJ/b", source = "a test" }
local_buffer = { value = "160 fJ/b", source = "a test" }
core_register = { value = "0.01 pJ/b", source = "a test" }
pim_register = { value = "0 pJ/b", source = "a test" }
"""


def write(folder: Path, text: str | bytes, name: str = "mine.toml") -> str:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(file)


def one_line(error: InputError) -> str:
    line = str(error)
    assert "\n" not in line
    return line


def refused(name_or_path: str, **changes: str) -> str:
    with pytest.raises(InputError) as caught:
        load_platform(name_or_path, {key.replace("__", "."): value for key, value in changes.items()})
    return one_line(caught.value)


def refused_over(folder: Path, text: str, base: str = "lp-spec") -> str:
    return refused(write(folder, f'extends = "{base}"\n{text}'))


def refused_profile(folder: Path, text: str) -> str:
    with pytest.raises(InputError) as caught:
        load_profile(write(folder, text))
    return one_line(caught.value)


# Finding and reading


def test_unknown_names_list_what_is_known() -> None:
    line = refused("lp-spek")
    assert "unknown platform 'lp-spek': did you mean 'lp-spec'?" in line
    assert all(name in line for name in platform_names()[:5])  # and how many more there are
    with pytest.raises(InputError, match=r"unknown energy profile 'atacc': did you mean 'attacc'\?"):
        load_profile("atacc")
    assert "unknown platform ''" in refused("")


def test_absent_file_and_folder_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refused(str(tmp_path / "absent.toml"))
    assert "Is a directory" in refused(str(tmp_path))
    (tmp_path / "folder.toml").mkdir()
    assert "Is a directory" in refused(str(tmp_path / "folder.toml"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file_is_refused(tmp_path: Path) -> None:
    file = write(tmp_path, "")
    Path(file).chmod(0)
    assert "Permission denied" in refused(file)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"name = '\xe9'", b"\x89PNG\r\n"])
def test_what_is_not_utf8_is_refused(tmp_path: Path, content: bytes) -> None:
    assert "not a text file" in refused(write(tmp_path, content))


@pytest.mark.parametrize(
    "content",
    ["name = ", "name: mine", '{"name": "mine"}', "[npu\n", "a = 1\na = 2", "x = " + "9" * 5000, "x = " + "[" * 5000],
)
def test_what_is_not_toml_is_refused(tmp_path: Path, content: str) -> None:
    assert "is not valid TOML" in refused(write(tmp_path, content))


def test_path_with_a_nul_is_refused() -> None:
    assert "cannot read" in refused("a/\0.toml")


def test_empty_file_lists_what_is_missing(tmp_path: Path) -> None:
    line = refused(write(tmp_path, ""))
    for key in ("name", "summary", "allocator", "static_power"):
        assert f"{key}: Field required" in line


# One file, all its errors


def test_constant_without_source_is_refused(tmp_path: Path) -> None:
    assert load_profile(write(tmp_path, PROFILE)).in_bank_pj_per_bit == pytest.approx(0.5)
    without = PROFILE.replace('io = { value = "3 pJ/b", source = "a test" }', 'io = { value = "3 pJ/b" }')
    assert "io.source: Field required" in refused_profile(tmp_path, without)
    bare = PROFILE.replace('io = { value = "3 pJ/b", source = "a test" }', 'io = "3 pJ/b"')
    assert 'io: write { value = "1 pJ/b", source = "..." }' in refused_profile(tmp_path, bare)


def test_all_errors_of_a_file_come_at_once_with_their_paths(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        """
        extends = "lp-spec"
        static_power = { value = "-1 W", source = "a test" }
        [npu]
        cores = { value = 2.5, source = "a test" }
        clock = { value = 1, source = "a test" }
        colour = "red"
        [memory]
        channels = { value = 4 }
        """,
    )
    with pytest.raises(InputError) as caught:
        load_platform(file)
    first, *faults = str(caught.value).splitlines()
    assert first.endswith(": 5 faults")
    assert max(map(len, faults)) <= 200
    places = ["static_power", "npu.cores", "npu.clock", "npu.colour", "memory.channels.source"]
    assert [fault.partition(": ")[0] for fault in faults] == places


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[npu]\nclock = { value = 1, source = 'a test' }", "npu.clock: 1 has the wrong unit: allowed is GHz, MHz"),
        ("[npu]\ncolour = 'red'", "npu.colour: is not a known key: "),
        ("[memory]\nchannels = { value = 4 }", "memory.channels.source: Field required"),
        ("[memory]\nbus_efficiency = { value = '120 %', source = 'a test' }", "memory.bus_efficiency: 1.2 is out of"),
        ("[pim]\nmac_interval = { value = '0 ns', source = 'a test' }", "pim.mac_interval: 0 ns is out of range"),
        ("[pim]\nlanes = { value = true, source = 'a test' }", "pim.lanes: True is no number"),
        ("[pim]\nalus = 'four'", "pim.alus: write { value = 1, source"),
    ],
)
def test_an_error_says_its_path_and_what_is_allowed(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused_over(tmp_path, text)


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("pim.accumulator_bits", "8", "16 to 64"),
        ("pim.accumulator_bits", "1e9", "16 to 64"),
        ("pim.alus", "1025", "1 to 1024"),
        ("memory.channels", "129", "1 to 128"),
        ("memory.data_rate", "6.4 Mbps", "100 Mbps to 20000 Mbps"),
        ("memory.data_rate", "6400 Gbps", "100 Mbps to 20000 Mbps"),
        ("memory.bus_efficiency", "0.1 %", "0.01 to 1"),
        ("npu.clock", "1000 GHz", "0.01 GHz to 10 GHz"),
        ("npu.scratchpad", "1e6 GiB", "64 B to 16 GiB"),
        ("pim.mac_interval", "1 ms", "0.1 ns to 1000 ns"),
        ("static_power", "1e9 W", "0 W to 10000 W"),
        ("memory.timing.nRFCab", "1048577", "1 CK to 1048576 CK"),
    ],
)
def test_implausible_values_are_refused_with_the_range(key: str, value: str, allowed: str) -> None:
    line = refused("lp-spec", **{key: value})
    assert line.startswith(f"platform 'lp-spec': {key}: ")
    assert line.endswith(f"is out of range: allowed is {allowed}")


def test_a_value_just_past_a_limit_is_not_shown_as_the_limit() -> None:
    assert "data_rate: 20000.001 Mbps is out of range" in refused("lp-spec", memory__data_rate="20000.001 Mbps")
    assert "nRFCab: 1048577 CK is out of range" in refused("lp-spec", memory__timing__nRFCab="1048577")


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e999", "-4", "", "four"])
@pytest.mark.parametrize("key", ["pim.alus", "memory.channels", "memory.bus_efficiency"])
def test_what_is_no_plausible_number_is_refused(key: str, value: str) -> None:
    assert f"{key}" in refused("lp-spec", **{key: value})


@given(
    st.sampled_from(constant_keys("lp-spec")),
    st.one_of(
        st.text(max_size=20),
        st.floats().map(repr),
        st.tuples(st.floats(), st.sampled_from(["", " GHz", " CK", " ns", " B", " %", " Mbps", " W"])).map(
            lambda pair: f"{pair[0]!r}{pair[1]}"
        ),
    ),
)
def test_whatever_is_set_is_taken_or_refused_in_one_line(key: str, text: str) -> None:
    said = ""
    try:
        platform = load_platform("lp-spec", {key: text})
    except InputError as error:
        said = str(error)
    else:
        assert isinstance(platform, PlatformSpec)
        assert platform.capacity_bytes < 2**60
    assert len(said) <= 200
    assert "\n" not in said


# Times in CK


def mac_interval_ns(**changes: str) -> float:
    platform = load_platform("lp-spec", {key.replace("__", "."): value for key, value in changes.items()})
    assert platform.pim is not None
    return platform.pim.mac_interval.ns


@given(st.floats(100, 20_000), st.integers(1, 20))
@example(120.0, 15)  # 1000 ns, the most that is allowed; a product of rounded factors is more
def test_a_time_in_ck_follows_the_data_rate(mbps: float, cycles: int) -> None:
    """CK is an eighth of the data rate (JESD209-5): WCK is four times as fast and moves two bits a cycle."""
    assert mac_interval_ns(memory__data_rate=f"{mbps!r} Mbps") == pytest.approx(4 * 8e3 / mbps)
    changes = {"memory__data_rate": f"{mbps!r} Mbps", "pim__mac_interval": f"{cycles} CK"}
    if 0.1 <= Fraction(cycles * 8000) / Fraction(mbps) <= 1000:
        assert mac_interval_ns(**changes) == pytest.approx(cycles * 8e3 / mbps)


def test_a_time_in_ns_stays_whatever_the_data_rate() -> None:
    assert mac_interval_ns() == 5.0
    assert mac_interval_ns(memory__data_rate="8533 Mbps", pim__mac_interval="5 ns") == 5.0


def test_a_bad_data_rate_is_blamed_alone() -> None:
    for rate in ("6400", "fast", "0 Mbps", "6.4 Mbps"):
        assert "mac_interval" not in refused("lp-spec", memory__data_rate=rate)


def test_ck_is_a_unit_of_pim_alone() -> None:
    assert "npu.clock: '4 CK' has the wrong unit" in refused("lp-spec", npu__clock="4 CK")
    assert "pim.mac_interval: 'CK' is no number" in refused("lp-spec", pim__mac_interval="CK")


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        (
            "memory.organisation.data_pins",
            "64",
            "burst_bytes (32) must be what data_pins (64) move in nBL_min (2 CK): 128",
        ),
        ("memory.dram_ranks", "0", "memory.dram_ranks: 0 is out of range: allowed is above 0"),
    ],
)
@pytest.mark.parametrize("platform", ["mobile-npu", "lp-spec"])
def test_what_no_package_has_is_refused(platform: str, key: str, value: str, allowed: str) -> None:
    """A channel is one x16 die wide; embedding and norms lie on a rank of plain DRAM."""
    with pytest.raises(InputError) as caught:
        load_platform(platform, {key: value})
    assert allowed in str(caught.value)
    assert len(str(caught.value)) <= 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sumary = 'x'", "sumary: is not a known key: did you mean 'summary'?"),
        ("[npu]\nclok = 1", "npu.clok: is not a known key: did you mean 'npu.clock'?"),
        ("[npu]\nClock = 1", "npu.Clock: is not a known key: did you mean 'npu.clock'?"),
        ("[pim]\nALUs = 1", "pim.ALUs: is not a known key: did you mean 'pim.alus'?"),
        ("[memory]\ndram_rank = 1", "memory.dram_rank: is not a known key: did you mean 'memory.dram_ranks'?"),
        (
            '[npu]\nclock = { value = "1 GHz", source = "a test", sourse = "x" }',
            "npu.clock.sourse: is not a known key: did you mean 'npu.clock.source'?",
        ),
    ],
)
def test_unknown_key_names_the_nearest_of_its_section(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in refused_over(tmp_path, text)


def test_unknown_key_without_a_neighbour_lists_its_section(tmp_path: Path) -> None:
    line = refused_over(tmp_path, "[pim]\nzzz = 1")
    assert "pim.zzz: is not a known key: known are pim.banks_per_mpu, pim.lanes, " in line
    assert "npu." not in line
    assert "did you mean" not in line


def test_unknown_key_of_a_profile_names_the_nearest(tmp_path: Path) -> None:
    line = refused_profile(tmp_path, PROFILE + "mac_int4 = 1\n")
    assert "mac_int4: is not a known key: did you mean 'mac_int8'?" in line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("npu = 3", "npu: "),
        ("allocator = 3", "allocator: Input should be a valid string"),
        ("energy_basis = 'wishes'", "energy_basis: "),
        ("[pim]\nbanks_per_mpu = { value = 3, source = 'a test' }", "banks (16) must be a multiple"),
        ("[memory.organisation]\nrow_bytes = { value = 2040, source = 'a test' }", "must be a multiple of burst_bytes"),
        ("[pim]\nlanes = { value = 16, source = 'a test' }", "(32) must equal pim.lanes (16)"),
        ("[pim]\nconcurrent_ranks = { value = 4, source = 'a test' }", "exceeds memory.pim_ranks (3)"),
        ("[memory]\npim_ranks = { value = 0, source = 'a test' }", "[pim] and memory.pim_ranks above 0 go together"),
        ("[hbm_pim]\ninternal_bandwidth = { value = '1 TB/s', source = 'a test' }", "[hbm_pim] needs a [gpu]"),
    ],
)
def test_impossible_machines_are_refused(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in refused_over(tmp_path, text)


def test_board_power_must_be_known_to_be_counted(tmp_path: Path) -> None:
    npu = Path(__file__).parents[2] / "src/lpspec/machine/platforms/mobile-npu.toml"
    lines = [line for line in npu.read_text("utf-8").splitlines() if not line.startswith("rest_of_soc_power")]
    assert not load_platform(write(tmp_path, "\n".join(lines))).knows_board_power
    lines.insert(4, 'energy_basis = "board-power"')
    assert "needs a [gpu] or rest_of_soc_power" in refused(write(tmp_path, "\n".join(lines)))
    gpu = 'extends = "rtx3090"\nrest_of_soc_power = { value = "3 W", source = "a test" }\n'
    assert "a [gpu] has board_power" in refused(write(tmp_path, gpu))


def test_a_platform_is_either_mobile_or_a_gpu(tmp_path: Path) -> None:
    head = 'name = "x"\nsummary = "x"\nallocator = "single"\nstatic_power = { value = "0 W", source = "a test" }\n'
    assert "either [npu] with [memory], or [gpu]" in refused(write(tmp_path, head))
    gpu = Path(write(tmp_path, 'extends = "rtx3090"\n')).read_text("utf-8")
    npu = load_platform("mobile-npu").npu
    assert npu is not None
    constants = [(k, v) for k, v in dict(npu).items() if isinstance(v, Quantity)]
    lines = "".join(f'{k} = {{ value = "{v.text()}", source = "a test" }}\n' for k, v in constants)
    assert "either [npu] with [memory], or [gpu]" in refused(write(tmp_path, f"{gpu}[npu]\n{lines}"))
    assert "[npu] and [memory] go together" in refused(write(tmp_path, f"{head}[npu]\n{lines}"))


# extends


def test_a_file_gives_only_its_differences(tmp_path: Path) -> None:
    text = '[pim]\nmac_interval = { value = "10 ns", source = "PIMScope Table III" }\n'
    file = write(tmp_path, f'extends = "lp-spec"\nname = "slow"\n{text}')
    slow, base = load_platform(file), load_platform("lp-spec")
    assert slow.pim is not None
    assert base.pim is not None
    assert (slow.pim.mac_interval.ns, slow.pim.mac_interval.source) == (10.0, "PIMScope Table III")
    assert slow.pim.model_copy(update={"mac_interval": base.pim.mac_interval}) == base.pim
    assert slow.model_copy(update={"name": "lp-spec", "pim": base.pim}) == base


def test_a_replaced_constant_does_not_inherit_its_source(tmp_path: Path) -> None:
    line = refused_over(tmp_path, '[pim]\nmac_interval = { value = "10 ns" }')
    assert "pim.mac_interval.source: Field required" in line


def test_descriptions_extend_over_several_files(tmp_path: Path) -> None:
    write(tmp_path, 'extends = "lp-spec"\nsummary = "first"\n[pim]\nalus = { value = 2, source = "first" }\n', "a.toml")
    write(tmp_path, 'extends = "./a.toml"\n[memory]\nchannels = { value = 8, source = "second" }\n', "b.toml")
    platform = load_platform(write(tmp_path, 'extends = "../b.toml"\nsummary = "third"\n', "deep/c.toml"))
    assert platform.pim is not None
    assert platform.memory is not None
    assert (platform.pim.alus.n, platform.memory.channels.n, platform.summary) == (2, 8, "third")


def test_paths_are_relative_to_the_file_that_says_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same description wherever the command runs."""
    write(tmp_path, 'extends = "lp-spec"\nsummary = "beside"\n', "folder/base.toml")
    file = write(tmp_path, 'extends = "base.toml"\n', "folder/mine.toml")
    write(tmp_path, 'extends = "lp-spec"\nsummary = "elsewhere"\n', "base.toml")
    monkeypatch.chdir(tmp_path)
    assert load_platform(file).summary == "beside"
    assert load_platform("folder/mine.toml").summary == "beside"
    assert load_platform("base.toml").summary == "elsewhere"


@pytest.mark.parametrize("spelling", ["b.toml", "./b.toml", "../{folder}/b.toml"])
def test_cycles_are_refused(tmp_path: Path, spelling: str) -> None:
    write(tmp_path, 'extends = "a.toml"\n', "b.toml")
    line = refused(write(tmp_path, f'extends = "{spelling.format(folder=tmp_path.name)}"\n', "a.toml"))
    assert "extends itself: " in line
    assert " -> " in line


def test_a_file_that_extends_itself_is_refused(tmp_path: Path) -> None:
    assert "extends itself" in refused(write(tmp_path, 'extends = "mine.toml"\n'))


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("3", "extends must be a name in quotes"),
        ('["lp-spec"]', "extends must be a name in quotes"),
        ('"lp-spek"', "did you mean 'lp-spec'?"),
        ('""', "unknown platform ''"),
        ('"absent.toml"', "No such file"),
        ('"a/\\u0000"', "cannot read"),
    ],
)
def test_bases_that_cannot_be_found_are_refused(tmp_path: Path, base: str, expected: str) -> None:
    assert expected in refused(write(tmp_path, f"extends = {base}\n"))


def test_profiles_extend_profiles(tmp_path: Path) -> None:
    text = 'extends = "attacc"\nio = { value = "15 pJ/b", source = "PIM-AI: 10 to 20 pJ/b" }\n'
    profile, base = load_profile(write(tmp_path, text)), load_profile("attacc")
    assert profile.io.pj_per_bit == 15
    assert profile.model_copy(update={"io": base.io}) == base


# Changes of single values


def test_a_change_says_that_the_user_made_it() -> None:
    platform = load_platform("lp-spec", {"pim.mac_interval": "10 ns", "allocator": "pim-only"})
    assert platform.pim is not None
    assert platform.pim.mac_interval.ns == 10
    assert platform.pim.mac_interval.source == "set by the user to 10 ns"
    assert platform.allocator == "pim-only"


def test_changes_do_not_leak_into_later_loads() -> None:
    before = load_platform("lp-spec")
    load_platform("lp-spec", {"npu.clock": "2 GHz"})
    assert load_platform("lp-spec") == before


def test_changes_of_constants_that_a_base_gave() -> None:
    platform = load_platform("lpddr5-pim", {"npu.clock": "500 MHz", "pim.alus": "2"})
    assert platform.npu is not None
    assert platform.pim is not None
    assert (platform.npu.clock.ghz, platform.pim.alus.n) == (0.5, 2)


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("pim.alu", "did you mean 'pim.alus'?"),
        ("npu.clok", "did you mean 'npu.clock'?"),
        ("pim", "unknown constant"),
        ("", "unknown constant"),
        (".", "unknown constant"),
        ("pim.alus.more", "unknown constant"),
        ("gpu.memory", "unknown constant"),
    ],
)
def test_changes_of_unknown_constants_are_refused(key: str, expected: str) -> None:
    line = refused("lp-spec", **{key: "1"})
    assert expected in line
    assert f"'{key}'" in line


@pytest.mark.parametrize("part", ["value", "source"])
def test_a_change_cannot_keep_the_source_of_what_it_replaces(part: str) -> None:
    """A value set by the user under the name of the paper's table would be a lie."""
    assert "did you mean 'npu.clock'?" in refused("lp-spec", **{f"npu.clock.{part}": "2 GHz"})


def test_bad_changes_name_the_constant() -> None:
    line = refused("lp-spec", npu__clock="2", pim__alus="0", memory__data_rate="fast")
    for path in ("npu.clock", "pim.alus", "memory.data_rate"):
        assert f" {path}: " in line


@pytest.mark.parametrize("name", ["attacc", "rtx3090"])
def test_both_gpus_can_be_charged_at_board_power(name: str) -> None:
    platform: PlatformSpec = load_platform(name, {"energy_basis": "board-power"})
    assert platform.energy_basis == "board-power"


def test_what_a_file_leaves_to_a_default_can_be_changed_too(tmp_path: Path) -> None:
    """The platforms of the package say ``idle_dies``; a file that does not waits in standby until told otherwise."""
    shipped = (files("lpspec.machine") / "platforms" / "mobile-npu.toml").read_text()
    said = "\n".join(line for line in shipped.splitlines() if not line.startswith("idle_dies"))
    file = write(tmp_path, said)
    plain, changed = (load_platform(file, changes) for changes in ({}, {"memory.idle_dies": "power-down"}))
    assert plain.memory is not None
    assert changed.memory is not None
    assert (plain.memory.idle_dies, changed.memory.idle_dies) == ("standby", "power-down")
    assert "memory.controller.page" in constant_keys(file)
