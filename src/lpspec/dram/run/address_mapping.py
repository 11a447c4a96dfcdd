"""Which channel, rank, bank, row and column a byte address means: fields in an order, as controllers are described.

An address without its place inside a burst is a number whose digits are the fields, the last one of the mapping lowest.
Every address below the capacity names one burst, and every burst has one address.
"""

import re
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import numpy as np

from lpspec.arrays import IntArray
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec

DEFAULT_MAPPING = "ro-ra-ba-co-bg-ch"
"""Bursts one after the other go to the channels in turn, then to the bank groups, then over the columns of a row."""

NAMED_MAPPINGS = {"RoBaRaCoCh": "ro-ba-bg-ra-co-ch", "ChRaBaRoCo": "ch-ra-bg-ba-ro-co"}
"""Mappings that Ramulator 2.1 (CMU-SAFARI/ramulator2 @c5b1c3a, controller/addr_mapper) has by these names; the first
with its channels interleaved by bursts."""

_PART = re.compile(r"(ch|ra|bg|ba|ro|co)([1-9][0-9]?)?")
_TOGETHER = re.compile(r"(?:(?:ch|ra|bg|ba|ro|co)[0-9]*){2,}")  # as DRAMsim3 has it: rochrababgco


class Places(NamedTuple):
    """Where addresses lie, each int64 [n]: channel, then bank of the channel, row, column in beats."""

    channel: IntArray
    bank: IntArray
    row: IntArray
    column: IntArray


@dataclass(frozen=True)
class AddressMapping:
    """The order of fields in an address, and how large each is.

    Attributes:
        text: As it was given, fields with hyphens between them.
        parts: Field and count of values, the lowest first; a field in several parts has its lower digits in the first.
        burst_bytes: Bytes of a burst, which the lowest digits of an address count.
        burst_beats: Columns of a burst as commands count them.
        banks: Bank groups of a rank, and banks of a group.
    """

    text: str
    parts: tuple[tuple[str, int], ...]
    burst_bytes: int
    burst_beats: int
    banks: tuple[int, int]

    @property
    def capacity_bytes(self) -> int:
        """Bytes of all channels: the first address that names nothing."""
        return self.burst_bytes * prod(size for _, size in self.parts)

    def places(self, addresses: IntArray) -> Places:
        """Where the bursts lie that hold some bytes, int64 [n], each from 0 to below the capacity."""
        left = addresses // self.burst_bytes
        fields = {field: np.zeros(len(addresses), np.int64) for field in ("ch", "ra", "bg", "ba", "ro", "co")}
        steps = dict.fromkeys(fields, 1)
        for field, size in self.parts:
            if size > 1:
                left, digit = np.divmod(left, size)
                fields[field] += digit * steps[field]
                steps[field] *= size
        bank = (fields["ra"] * self.banks[0] + fields["bg"]) * self.banks[1] + fields["ba"]
        return Places(fields["ch"], bank, fields["ro"], fields["co"] * self.burst_beats)


def address_mapping(text: str, device: DieSpec, ranks: int, channels: int) -> AddressMapping:
    """Read a mapping: fields from the highest to the lowest, such as ``ro-ra-ba-co-bg-ch``.

    A field may come in parts, all but the highest with the count of their bits: ``ro-co-bg-co2``. The hyphens may be
    left out. A field of a single value, such as the channel of one channel, may be left out.

    Args:
        text: The mapping, or one of ``NAMED_MAPPINGS``.
        device: The die of every rank.
        ranks: Ranks of a channel.
        channels: Channels.

    Raises:
        InputError: It is no mapping, or a field is missing or given twice.
    """
    die = device.organisation
    sizes = {
        "ch": channels,
        "ra": ranks,
        "bg": die.bank_groups.n,
        "ba": die.banks_per_group.n,
        "ro": die.rows.n,
        "co": die.columns,
    }
    written = NAMED_MAPPINGS.get(text, text)
    if _TOGETHER.fullmatch(written):
        written = "-".join(found.group() for found in _PART.finditer(written))
    parts = []
    left = dict(sizes)
    for token in reversed(written.split("-")):
        found = _PART.fullmatch(token)
        if not found:
            raise _wrong(text, f"'{token[:20]}' is no field")
        field, bits = found.group(1), found.group(2)
        size = left[field] if bits is None else 1 << int(bits)
        if left[field] == 0 or left[field] % size:
            what = "comes again" if left[field] == 0 else f"takes more than the {sizes[field]} values that there are"
            raise _wrong(text, f"{token} {what}")
        left[field] = left[field] // size if bits is not None and size < left[field] else 0
        parts.append((field, size))
    if missing := [field for field, size in left.items() if size > 0 and sizes[field] > 1]:
        raise _wrong(text, f"{' and '.join(missing)} missing, or not all of it there")
    return AddressMapping(
        text, tuple(parts), die.burst_bytes.n, die.burst_beats, (die.bank_groups.n, die.banks_per_group.n)
    )


def _wrong(text: str, what: str) -> InputError:
    return InputError(
        f"--address-mapping {text}: {what}: allowed are ch, ra, bg, ba, ro and co with hyphens between them, the "
        f"highest first, such as {DEFAULT_MAPPING}"
    )
