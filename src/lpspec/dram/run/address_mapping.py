"""Which channel, rank, bank, row and column a byte address means: fields in an order, as controllers are described.

An address without its place inside a burst is a number whose digits are the fields, the last one of the mapping lowest.
Every address below the capacity names one burst, and every burst has one address.
"""

from dataclasses import dataclass, replace
from math import prod
from typing import NamedTuple

import numpy as np

from lpspec.arrays import IntArray
from lpspec.errors import InputError, shown
from lpspec.machine.address_fields import ALLOWED, address_parts
from lpspec.machine.die import DieSpec

DEFAULT_MAPPING = "ro-ra-ba-co-bg-ch"
"""Bursts one after the other go to the channels in turn, then to the bank groups, then over the columns of a row."""


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

    @property
    def fills_rows(self) -> bool:
        """Whether bursts take turns over bank groups, fill rows of all, then go to other banks, rows and ranks."""
        order = [field for field, size in self.parts if size > 1]
        return order in (["bg", "co", "ba", "ro", "ra"], ["bg", "co", "ba", "ro"])

    def of_blocks(self, bursts: int) -> "AddressMapping":
        """The same with so many bursts side by side in a row where their addresses follow each other.

        Raises:
            InputError: The columns of a row are no whole blocks of them.
        """
        whole = [(i, size) for i, (field, size) in enumerate(self.parts) if field == "co" and size % bursts == 0]
        if not whole:
            raise InputError(
                f"address mapping {shown(self.text, 40)}: no columns of a row for {bursts} bursts together"
            )
        at, size = whole[0]
        rest = (*self.parts[:at], ("co", size // bursts), *self.parts[at + 1 :])
        return replace(self, parts=(("co", bursts), *rest))

    def places(self, addresses: IntArray) -> Places:
        """Where the bursts lie that hold some bytes, int64 [n], each from 0 to below the capacity."""
        left, _ = divided(addresses, self.burst_bytes)
        fields = {field: np.zeros(len(addresses), np.int64) for field in ("ch", "ra", "bg", "ba", "ro", "co")}
        steps = dict.fromkeys(fields, 1)
        for field, size in self.parts:
            if size > 1:
                left, digit = divided(left, size)
                fields[field] = digit if steps[field] == 1 else fields[field] + digit * steps[field]
                steps[field] *= size
        bank = (fields["ra"] * self.banks[0] + fields["bg"]) * self.banks[1] + fields["ba"]
        return Places(fields["ch"], bank, fields["ro"], fields["co"] * self.burst_beats)


def divided(numbers: IntArray, by: int) -> tuple[IntArray, IntArray]:
    """Quotients and rests of what is not negative; powers of two take no division, which is several times slower."""
    if by & (by - 1):
        return np.divmod(numbers, by)
    return numbers >> (by.bit_length() - 1), numbers & (by - 1)


def address_mapping(
    text: str, device: DieSpec, ranks: int, channels: int, where: str = "--address-mapping"
) -> AddressMapping:
    """Read a mapping as ``address_parts`` does.

    Args:
        text: The mapping, or one of ``NAMED_MAPPINGS``.
        device: The die of every rank.
        ranks: Ranks of a channel.
        channels: Channels.
        where: What says it, for messages.

    Raises:
        InputError: It is no mapping, or a field is missing or given twice.
    """
    die = device.organisation
    try:
        parts = address_parts(text, {"ch": channels, "ra": ranks, **die.address_sizes})
    except ValueError as error:
        raise InputError(
            f"{where} {shown(text, 40)}: {error}: {ALLOWED}, with hyphens, such as {DEFAULT_MAPPING}"
        ) from error
    return AddressMapping(text, parts, die.burst_bytes.n, die.burst_beats, (die.bank_groups.n, die.banks_per_group.n))
