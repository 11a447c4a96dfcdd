import math
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from lpspec.machine.clock import CkCount
from lpspec.machine.quantity import (
    Bandwidth,
    Count,
    CountOrZero,
    Current,
    DataRate,
    Duration,
    EnergyPerBit,
    EnergyPerOperation,
    Frequency,
    PositiveDuration,
    Power,
    Quantity,
    Share,
    Size,
    Span,
    Throughput,
    Voltage,
)

# One unit of every spelling in the canonical unit, from the SI prefixes and IEC 80000-13.
ONE: dict[type[Quantity], dict[str, float]] = {
    Count: {"": 1},
    CountOrZero: {"": 1},
    CkCount: {"CK": 1, "": 1},
    Share: {"": 1, "%": 1 / 100},
    Frequency: {"GHz": 1, "MHz": 1 / 1000},
    Duration: {"ps": 1 / 1000, "ns": 1, "us": 1000, "ms": 1000**2},
    PositiveDuration: {"ps": 1 / 1000, "ns": 1, "us": 1000, "ms": 1000**2},
    DataRate: {"Mbps": 1, "Gbps": 1000, "MT/s": 1, "GT/s": 1000},
    Bandwidth: {"GB/s": 1, "TB/s": 1000},
    Throughput: {"TOPS": 1, "TFLOPS": 1, "GOPS": 1 / 1000},
    Size: {"B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "Gb": 1024**3 // 8, "GB": 1000**3},
    Power: {"W": 1, "mW": 1 / 1000},
    Span: {"s": 1, "min": 60},
    Voltage: {"V": 1, "mV": 1 / 1000},
    Current: {"mA": 1, "A": 1000, "uA": 1 / 1000},
    EnergyPerOperation: {"pJ": 1, "fJ": 1 / 1000, "nJ": 1000},
    EnergyPerBit: {"pJ/b": 1, "fJ/b": 1 / 1000},
}
KINDS = sorted(ONE, key=lambda kind: kind.__name__)
WITH_UNIT = [kind for kind in KINDS if "" not in ONE[kind]]
PAIRS = [(kind, unit) for kind in KINDS for unit in ONE[kind]]
MAY_BE_ZERO = {CountOrZero, Duration, Power, Current, EnergyPerOperation, EnergyPerBit}


def of(kind: type[Quantity], written: object) -> Quantity:
    return kind.model_validate({"value": written, "source": "a test"})


def refusal(kind: type[Quantity], given_data: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate(given_data)
    errors = caught.value.errors()
    assert len(errors) == 1
    assert "\n" not in errors[0]["msg"]
    return errors[0]["msg"]


def refused(kind: type[Quantity], written: object) -> str:
    return refusal(kind, {"value": written, "source": "a test"})


def test_every_kind_of_quantity_is_covered() -> None:
    def below(kind: type[Quantity]) -> set[type[Quantity]]:
        return {kind}.union(*(below(child) for child in kind.__subclasses__()))

    assert below(Quantity) - {Quantity} == set(ONE)


@pytest.mark.parametrize(("kind", "unit"), PAIRS)
def test_units_scale_as_their_prefixes_say(kind: type[Quantity], unit: str) -> None:
    number = 100 if kind is Share and unit else 1 if kind is Share else 8
    assert of(kind, f"{number} {unit}").value == pytest.approx(number * ONE[kind][unit], rel=1e-12)
    assert set(kind.SCALES) == set(ONE[kind])


@pytest.mark.parametrize(
    "written", ["8 GiB", "8GiB", "  8   GiB ", "8.0 GiB", "+8 GiB", "8e0 GiB", "0.8e+1GiB", ".8E1 GiB", "8. GiB"]
)
def test_spellings_of_one_number_agree(written: str) -> None:
    quantity = of(Size, written)
    assert isinstance(quantity, Size)
    assert quantity.bytes == 8 * 1024**3


@given(st.sampled_from(PAIRS), st.integers(1, 10**5), st.integers(-3, 3))
def test_text_reads_back_as_the_same_constant(pair: tuple[type[Quantity], str], digits: int, exponent: int) -> None:
    """Six significant digits survive being printed, whatever the unit they came in."""
    kind, unit = pair
    if issubclass(kind, Count | Size):
        exponent = abs(exponent)
    if kind is Share:
        digits, exponent = 1 + digits % 100, -2
    original = of(kind, f"{digits}e{exponent} {unit}")
    again = of(kind, original.text())
    assert math.isclose(again.value, original.value, rel_tol=1e-5)
    assert original.text() == again.text()


@given(st.sampled_from(PAIRS), st.integers(1, 10**6), st.integers(-9, 6))
@example((PositiveDuration, "ms"), 1, -7)  # 0.1 ns, the least that a MAC takes: a product of floats is less
@example((Frequency, "MHz"), 700, 0)  # 0.7 GHz, not 0.7000000000000001
def test_units_round_no_more_than_the_number_must_be(pair: tuple[type[Quantity], str], digits: int, ten: int) -> None:
    """A value at a limit stays there in every unit."""
    kind, unit = pair
    scales = {"%": Fraction(1, 100), "ps": Fraction(1, 1000), "MHz": Fraction(1, 1000), "fJ": Fraction(1, 1000)}
    one = scales.get(unit, Fraction(str(ONE[kind][unit])))
    assert kind.parse_value(f"{digits}e{ten} {unit}") == float(Fraction(f"{digits}e{ten}") * one)


@pytest.mark.parametrize(
    ("kind", "written", "said"),
    [
        (Share, "1.0000001", "1.0000001 is out of range: allowed is above 0, at most 1"),
        (Count, "2.0000001", "2.0000001 must be a whole number"),
        (Size, "2.00000001 B", "2.00000001 B must be a whole number of bytes"),
    ],
)
def test_a_refused_value_is_not_shown_as_one_that_is_allowed(kind: type[Quantity], written: str, said: str) -> None:
    assert said in refused(kind, written)


@pytest.mark.parametrize("kind", WITH_UNIT)
@pytest.mark.parametrize("bare", [4, 4.0, "4", "4.5e1"])
def test_bare_number_where_a_unit_is_due_is_refused(kind: type[Quantity], bare: object) -> None:
    message = refused(kind, bare)
    assert "wrong unit" in message
    for unit in ONE[kind]:
        assert unit in message


@pytest.mark.parametrize(
    ("kind", "written"),
    [
        (Frequency, "1 ns"),
        (Frequency, "1 ghz"),
        (Size, "8 gb"),
        (Size, "8 Gib"),
        (Bandwidth, "51.2 Gb/s"),
        (DataRate, "6400 MHz"),
        (EnergyPerBit, "3.59 pJ"),
        (EnergyPerOperation, "0.32 pJ/b"),
        (Count, "16 cores"),
        (Count, "0x10"),
        (Count, "1_000"),
        (Share, "0,85"),
        (Duration, "1 ns 2"),
    ],
)
def test_wrong_unit_is_refused(kind: type[Quantity], written: str) -> None:
    assert "wrong unit" in refused(kind, written)


@pytest.mark.parametrize("kind", KINDS)
def test_negative_is_refused(kind: type[Quantity]) -> None:
    for unit in ONE[kind]:
        message = refused(kind, f"-1 {unit}")
        assert "out of range" in message
        assert message.endswith(kind.UNIT)


@pytest.mark.parametrize("kind", KINDS)
def test_zero_is_refused_where_it_makes_no_sense(kind: type[Quantity]) -> None:
    unit = next(iter(ONE[kind]))
    if kind in MAY_BE_ZERO:
        assert of(kind, f"0 {unit}").value == 0
    else:
        assert "out of range" in refused(kind, f"0 {unit}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "infinity", math.nan, math.inf, "1e400", 10**400])
def test_what_is_not_finite_is_refused(kind: type[Quantity], number: object) -> None:
    unit = next(iter(ONE[kind]))
    refused(kind, f"{number} {unit}" if isinstance(number, str) else number)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("thing", [True, False, None, [], [1], {}, "", " ", "GHz", "one", "1 GHz\nx", b"1"])
def test_what_is_no_number_is_refused(kind: type[Quantity], thing: object) -> None:
    assert "no number" in refused(kind, thing)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("source", ["", None, 3])
def test_source_is_a_text(kind: type[Quantity], source: object) -> None:
    refusal(kind, {"value": f"1 {next(iter(ONE[kind]))}", "source": source})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("instead", [1, "1 GHz", None, True, ["1 GHz", "a test"]])
def test_value_without_a_source_shows_how_to_write_both(kind: type[Quantity], instead: object) -> None:
    message = refusal(kind, instead)
    assert "value = " in message
    assert "source = " in message


@pytest.mark.parametrize("written", [1.5, "0.25", "2e-3"])
def test_counts_are_whole(written: object) -> None:
    assert "whole" in refused(Count, written)


@pytest.mark.parametrize("written", ["0.5 B", "1.5 B", "0.0001 KiB"])
def test_sizes_are_whole_bytes(written: str) -> None:
    assert "whole number of bytes" in refused(Size, written)


@given(st.integers(1, 10**6))
def test_decimal_gigabytes_lose_no_byte_to_rounding(thousandths: int) -> None:
    quantity = of(Size, f"{thousandths / 1000} GB")
    assert isinstance(quantity, Size)
    assert quantity.bytes == thousandths * 10**6


@pytest.mark.parametrize("written", [1.01, "101 %", "1.5"])
def test_shares_end_at_one(written: object) -> None:
    assert "at most 1" in refused(Share, written)


@given(st.integers(1, 2**45))
def test_sizes_are_printed_to_the_byte(size_bytes: int) -> None:
    quantity = of(Size, f"{size_bytes} B")
    again = of(Size, quantity.text())
    assert isinstance(again, Size)
    assert again.bytes == size_bytes


@pytest.mark.parametrize(
    ("written", "text"), [("8 Gb", "1 GiB"), ("262144 B", "256 KiB"), ("24 GB", "24 GB"), ("2000 B", "2000 B")]
)
def test_sizes_are_printed_short(written: str, text: str) -> None:
    assert of(Size, written).text() == text


def test_constants_are_frozen() -> None:
    quantity = of(Frequency, "1 GHz")
    with pytest.raises(ValidationError, match="frozen"):
        quantity.value = 2.0  # type: ignore[misc]
