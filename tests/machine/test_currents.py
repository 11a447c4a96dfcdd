"""What supply currents come to, and how a description with wrong ones is refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lpspec.errors import InputError
from lpspec.machine.currents import Currents
from lpspec.machine.loading import load_platform, load_profile

BASE = 'extends = "micron-y52p"\n'


def written(folder: Path, text: str) -> str:
    file = folder / "mine.toml"
    file.write_text(BASE + text, "utf-8")
    return str(file)


def constant(value: str) -> dict[str, str]:
    return {"value": value, "source": "a test"}


def one_rail(**ma: float) -> Currents:
    """A die with one supply of 1 V and round conditions: 10 Gb/s, rows of 1 KiB, open for 30 ns and closed in 10 ns."""
    return Currents.model_validate(
        {
            "data_rate": constant("1000 Mbps"),
            "data_pins": constant("10"),
            "row_bytes": constant("1024"),
            "tRAS": constant("30 ns"),
            "tRP": constant("10 ns"),
            "in_bank": constant("25 %"),
            "VDD2H": {"voltage": constant("1 V")} | {name: constant(f"{i} mA") for name, i in ma.items()},
        }
    )


@given(
    still=st.integers(0, 100),
    open_row=st.integers(0, 100),
    row=st.integers(0, 100),
    read=st.integers(0, 900),
    write=st.integers(0, 900),
    refresh=st.integers(0, 500),
)
def test_what_flows_beyond_standby_is_what_is_charged(
    still: int, open_row: int, row: int, read: int, write: int, refresh: int
) -> None:
    """Power drawn while something is done over and over is standby and what each costs, done so often."""
    write = max(write, read)  # in_bank of a read burst is no more than a write burst
    found = one_rail(
        IDD2N=still,
        IDD3N=still + open_row,
        IDD0=still + open_row + row,
        IDD4R=still + open_row + read,
        IDD4W=still + open_row + write,
        IDD5=still + refresh,
    )
    over_a_cycle_pj = found.activate_nj() * 1e3 + 30 * (still + open_row) + 10 * still
    assert over_a_cycle_pj == pytest.approx(40 * (still + open_row + row))
    assert found.burst_pj_per_bit("IDD4R") * 10 + still + open_row == pytest.approx(still + open_row + read)
    constants = dict(found.constants())
    assert float(constants["refresh_power"]["value"].split()[0]) == pytest.approx(refresh)
    assert float(constants["column"]["value"].split()[0]) * 10 == pytest.approx(read / 4)


def test_a_current_that_is_changed_moves_what_follows_from_it(tmp_path: Path) -> None:
    mine = load_profile(written(tmp_path, '[currents.VDD2H]\nIDD4W = { value = "385 mA", source = "a test" }\n'))
    base = load_profile("micron-y52p")
    assert mine.write_io_pj_per_bit - base.write_io_pj_per_bit == pytest.approx(120 * 1.05 / 120)
    assert (mine.io, mine.idle_power, mine.refresh_power) == (base.io, base.idle_power, base.refresh_power)


def test_what_a_description_says_itself_stands_for_what_its_currents_give(tmp_path: Path) -> None:
    mine = load_profile(written(tmp_path, 'io = { value = "10 pJ/b", source = "a test" }\n'))
    base = load_profile("micron-y52p")
    assert (mine.io.pj_per_bit, mine.column) == (10, base.column)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('IDD4W = { value = "30 mA", source = "a test" }', "currents.VDD2H: IDD4W (30 mA) is below IDD3N (40 mA)"),
        ('IDD5 = { value = "30 mA", source = "a test" }', "currents.VDD2H: IDD5 (30 mA) is below IDD2N (32.5 mA)"),
        (
            'IDD4R = { value = "3 V", source = "a test" }',
            "currents.VDD2H.IDD4R: '3 V' has the wrong unit",
        ),
        ('IDD4X = { value = "3 mA", source = "a test" }', "currents.VDD2H.IDD4X: is not a known key"),
        ('voltage = { value = "105 V", source = "a test" }', "currents.VDD2H.voltage: 105 V is out of range"),
    ],
)
def test_currents_that_cannot_be_are_named_and_nothing_else(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_profile(written(tmp_path, f"[currents.VDD2H]\n{text}\n"))
    line = str(caught.value)
    assert said in line
    assert len(line) <= 200
    assert "activate" not in line


def test_a_bank_that_takes_more_than_a_write_burst_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="in_bank: the way up to the bank edge costs more than a whole write burst"):
        load_profile(written(tmp_path, '[currents]\nin_bank = { value = "60 %", source = "a test" }\n'))


def test_a_machines_own_memory_may_be_given_by_currents(tmp_path: Path) -> None:
    """Everything of the memory is then the machine's: no standby of the profile is left beside it."""
    own = load_profile("micron-y52p").currents
    assert own is not None
    lines = ['extends = "mobile-npu"', 'name = "own"', "[memory_energy.currents]"]
    lines += [f'{key} = {{ value = "{getattr(own, key).text()}", source = "a test" }}' for key in ("data_rate", "tRP")]
    lines += [f'{key} = {{ value = "{getattr(own, key).text()}", source = "a test" }}' for key in ("tRAS", "row_bytes")]
    lines += ['data_pins = { value = 16, source = "a test" }', 'in_bank = { value = "10 %", source = "a test" }']
    lines += ["[memory_energy.currents.VDD2H]", 'voltage = { value = "1 V", source = "a test" }']
    lines += [f'{key} = {{ value = "{ma} mA", source = "a test" }}' for key, ma in (("IDD3N", 20), ("IDD4R", 140))]
    lines += [f'{key} = {{ value = "{ma} mA", source = "a test" }}' for key, ma in (("IDD2N", 10), ("IDD4W", 140))]
    file = tmp_path / "own.toml"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    priced = load_platform(str(file)).priced_by(load_profile("micron-y52p"))
    assert priced.column.pj_per_bit + priced.io.pj_per_bit == pytest.approx(1.0)  # 120 mW over 120 Gb/s
    assert priced.idle_power is not None
    assert priced.idle_power.watts == pytest.approx(0.010)
    assert priced.refresh_power is not None
    assert priced.refresh_power.watts == 0
    assert priced.mac_int8.value == 0.35
