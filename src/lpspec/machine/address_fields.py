"""The order of fields in an address, as text and as parts: channel, rank, bank group, bank, row and column."""

import re
from collections.abc import Mapping

NAMED_MAPPINGS = {"RoBaRaCoCh": "ro-ba-bg-ra-co-ch", "ChRaBaRoCo": "ch-ra-bg-ba-ro-co"}
"""Mappings that Ramulator 2.1 (CMU-SAFARI/ramulator2 @c5b1c3a, controller/addr_mapper) has by these names; the first
with its channels interleaved by bursts."""

ALLOWED = "allowed are ch, ra, bg, ba, ro, co, the highest first"

_PART = re.compile(r"(ch|ra|bg|ba|ro|co)([1-9][0-9]?)?")
_TOGETHER = re.compile(r"(?:(?:ch|ra|bg|ba|ro|co)[0-9]*){2,}")  # as DRAMsim3 has it: rochrababgco


def address_parts(text: str, sizes: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    """Read a mapping: fields from the highest to the lowest, such as ``ro-ra-ba-co-bg-ch``.

    A field may come in parts, all but the highest with the count of their bits: ``ro-co-bg-co2``. The hyphens may be
    left out. A field of a single value, such as the channel of one channel, may be left out.

    Args:
        text: The mapping, or one of ``NAMED_MAPPINGS``.
        sizes: Values of each field.

    Returns:
        Field and count of values of each part, the lowest first.

    Raises:
        ValueError: It is no mapping, or a field is missing or given twice; without the text.
    """
    written = NAMED_MAPPINGS.get(text, text)
    if _TOGETHER.fullmatch(written):
        written = "-".join(found.group() for found in _PART.finditer(written))
    parts = []
    left = dict(sizes)
    for token in reversed(written.split("-")):
        found = _PART.fullmatch(token)
        if not found:
            raise ValueError(f"'{token[:20]}' is no field")
        field, bits = found.group(1), found.group(2)
        size = left[field] if bits is None else 1 << int(bits)
        if left[field] == 0 or left[field] % size:
            what = "comes again" if left[field] == 0 else f"takes more than the {sizes[field]} values that there are"
            raise ValueError(f"{token} {what}")
        left[field] = left[field] // size if bits is not None and size < left[field] else 0
        parts.append((field, size))
    if missing := [field for field, size in left.items() if size > 0 and sizes[field] > 1]:
        raise ValueError(f"{' and '.join(missing)} missing, or not all of it there")
    return tuple(parts)
