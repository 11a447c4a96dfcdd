"""Addresses and places: each burst has one address, fields stand where the mapping says, wrong mappings are refused."""

from math import prod

import numpy as np
import pytest
from engine_help import DIE
from hypothesis import given
from hypothesis import strategies as st

from lpspec.dram.run.address_mapping import DEFAULT_MAPPING, address_mapping
from lpspec.errors import InputError

SIZES = {"bg": 4, "ba": 4, "ro": 32768, "co": 64}


def address_of(mapping: str, place: dict[str, int], sizes: dict[str, int]) -> int:
    """The inverse, written the other way round: digits from the highest field down."""
    address = 0
    left = dict(place)
    spans = dict(sizes)
    for token in mapping.split("-"):
        field, bits = token[:2], token[2:]
        lower = prod(
            1 << int(t[2:]) for t in mapping.split("-")[mapping.split("-").index(token) + 1 :] if t[:2] == field
        )
        span = 1 << int(bits) if bits else spans[field] // lower
        address = address * span + left[field] // lower
        left[field] %= lower
    return address * 32


@st.composite
def mapped(draw: st.DrawFn) -> tuple[str, dict[str, int], dict[str, int]]:
    """A mapping, the columns split or not; sizes; a place."""
    sizes = {"ch": draw(st.sampled_from([1, 2, 4])), "ra": draw(st.integers(1, 8)), **SIZES}
    tokens = draw(st.permutations(["ch", "ra", "bg", "ba", "ro", "co"]))
    if draw(st.booleans()):
        at = tokens.index("co")
        tokens.insert(draw(st.integers(at + 1, len(tokens))), f"co{draw(st.integers(1, 5))}")
    if draw(st.booleans()):
        at = tokens.index("ro")
        tokens.insert(draw(st.integers(at + 1, len(tokens))), f"ro{draw(st.integers(1, 14))}")
    place = {field: draw(st.integers(0, size - 1)) for field, size in sizes.items()}
    return "-".join(tokens), sizes, place


@given(mapped(), st.integers(0, 31))
def test_the_inverse_of_any_mapping_gives_the_place_back(
    drawn: tuple[str, dict[str, int], dict[str, int]], byte: int
) -> None:
    text, sizes, place = drawn
    mapping = address_mapping(text, DIE, sizes["ra"], sizes["ch"])
    address = address_of(text, place, sizes)
    assert address < mapping.capacity_bytes == 32 * prod(sizes.values())
    found = mapping.places(np.array([address + byte]))
    bank = (place["ra"] * 4 + place["bg"]) * 4 + place["ba"]
    assert [int(each[0]) for each in found] == [place["ch"], bank, place["ro"], 16 * place["co"]]


def test_the_default_by_hand() -> None:
    """Burst 0b1_00_01 of a channel: column 1, bank group 1; four channels take the two lowest bits before that."""
    one = address_mapping(DEFAULT_MAPPING, DIE, 1, 1).places(np.array([32 * 0b101]))
    assert [int(each[0]) for each in one] == [0, 4, 0, 16]
    four = address_mapping(DEFAULT_MAPPING, DIE, 1, 4).places(np.array([32 * 0b10110]))
    assert [int(each[0]) for each in four] == [2, 4, 0, 16]


@pytest.mark.parametrize("text", ["ro-ch-ra-ba-bg-co", "rochrababgco"])
def test_hyphens_may_be_left_out(text: str) -> None:
    parts = address_mapping(text, DIE, 2, 2).parts
    assert parts == (("co", 64), ("bg", 4), ("ba", 4), ("ra", 2), ("ch", 2), ("ro", 32768))


def test_fields_of_a_single_value_may_be_left_out() -> None:
    assert address_mapping("ro-ba-co-bg", DIE, 1, 1).capacity_bytes == 1 << 30


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("ro-ba-co-bg", "ra missing"),
        ("ro-ra-ba-co-bg-ba", "ba comes again"),
        ("roch-rababg-co", "'rababg' is no field"),
        ("ro-ra-ba-bg-co2", "co missing, or not all"),
        ("ro-ra-ba-bg-co-co7", "co7 takes more than the 64 values"),
        ("ro-ra-ba-bg-co-co6", "co comes again"),
        ("ro-ra3-ba-bg-co", "ra3 takes more"),
        ("row-ra-ba-bg-co", "'row' is no field"),
        ("", "'' is no field"),
        ("ro-ra-ba-bg-co0", "'co0' is no field"),
        ("ro_ra", "such as ro-ra-ba-co-bg-ch"),
    ],
)
def test_what_is_no_mapping_is_refused(text: str, hint: str) -> None:
    with pytest.raises(InputError) as error:
        address_mapping(text, DIE, 4, 1)
    assert hint in str(error.value)
    assert "\n" not in str(error.value)
