"""Traces of other simulators, read piece by piece: an access a line, by address, and every malformed line named."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lpspec.arrays import IntArray
from lpspec.dram.run.address_mapping import AddressMapping
from lpspec.dram.run.request_file import LATEST_CK
from lpspec.dram.run.trace_lines import (
    CK,
    DECIMAL_OR_0X,
    DRAMSIM3,
    FIELDS,
    FIRST,
    FORMS,
    HEX,
    LINE,
    VECTOR,
    WITH_0X,
    WRITE,
    access_of,
    scan,
)
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec


@dataclass(frozen=True)
class TraceForm:
    """How a trace is read, as far as the trace does not say it.

    Attributes:
        form: One of ``FORMS``.
        is_named: Whether the user named it; hexadecimal numbers of a DRAMsim3 trace need no ``0x`` then.
        mapping: What addresses mean; None for a form that has none.
        channels: How many there are.
        channel: The one that is simulated; what goes to others is left out.
        access_bytes: Bytes of an access, a multiple of a burst's.
        interval_ck: CK from one access to the next, where the trace has no times.
    """

    form: str
    is_named: bool
    mapping: AddressMapping | None
    channels: int
    channel: int
    access_bytes: int
    interval_ck: int


@dataclass
class TraceRead:
    """What was read of a trace, and what of it was not used.

    Attributes:
        lines: Accesses.
        elsewhere: Of these, those to other channels, which are left out.
        inside: Of these, those whose address is inside an access or a burst; all of it is accessed.
    """

    lines: int = 0
    elsewhere: int = 0
    inside: int = 0


class TraceReader:
    """Reads one trace, knowing what came before.

    Attributes:
        found: What was read so far.
    """

    def __init__(self, path: Path, device: DieSpec, ranks: int, form: TraceForm) -> None:
        """Remember what to read."""
        self.form = form
        self.found = TraceRead()
        self._path = path
        self._line = 1
        self._last_ck = 0
        self._written = (HEX if form.is_named else WITH_0X) if form.form == DRAMSIM3 else DECIMAL_OR_0X
        die = device.organisation
        self._burst_bytes = die.burst_bytes.n
        self._banks = die.bank_groups.n, die.banks_per_group.n
        self._sizes = (form.channels, ranks, *self._banks, die.rows.n, die.columns * die.burst_beats)
        self._beats = die.burst_beats

    @property
    def has_times(self) -> bool:
        """Whether it is known when each access comes."""
        return self.form.form == DRAMSIM3 or self.form.interval_ck > 0

    def requests(self, pieces: Iterable[bytes]) -> Iterator[IntArray]:
        """Requests of the channel, piece by piece.

        Args:
            pieces: Whole lines of the file, in order.

        Yields:
            int64 [requests, 5], as ``run_requests`` takes them: CK, 0 read or 1 write, bank of the channel, row,
            column.

        Raises:
            InputError: There is no access, or a line is malformed; it is named, the first being 1.
        """
        for piece in pieces:
            yield self._requests(piece)
        if not self.found.lines:
            raise InputError(f"{self._path}: no accesses: a line holds one, such as {FORMS[self.form.form]}")

    def _requests(self, piece: bytes) -> IntArray:
        """The requests of whole lines, every range checked."""
        text = np.frombuffer(piece + b"\n" * (not piece.endswith(b"\n")), np.uint8)
        table = np.zeros((piece.count(b"\n") + 2, FIELDS), np.int64)
        table[0, LINE] = self._line
        at, row = 0, 0
        while at < len(text):
            at, row = scan(text, at, row, self.form.form, self._written, table)
            if at < len(text):
                at, row = self._read_slowly(piece, at, row, table)
        self._line = int(table[row, LINE])
        return self._placed(table[:row])

    def _read_slowly(self, piece: bytes, at: int, row: int, table: IntArray) -> tuple[int, int]:
        """Read the line at a byte with Python; where the next begins, and the row that is next."""
        line = int(table[row, LINE])
        end = piece.find(b"\n", at)
        end = len(piece) if end < 0 else end
        try:
            values = access_of(piece[at:end], self.form.form, self._written)
        except InputError as error:
            self._placed(table[:row])  # whatever is wrong above comes first
            raise self._wrong(line, str(error)) from error
        if values is not None:
            table[row, : len(values)] = values
            row += 1
        table[row, LINE] = line + 1
        return end + 1, row

    def _placed(self, table: IntArray) -> IntArray:
        """Requests of the channel as the engine takes them, from accesses."""
        n = len(table)
        if self.form.form == DRAMSIM3:
            self._check_times(table)
        else:
            table[:, CK] = (self.found.lines + np.arange(n)) * self.form.interval_ck
        self.found.lines += n
        if self.form.mapping is None:
            return self._of_vectors(table)
        return self._of_addresses(table, self.form.mapping)

    def _of_addresses(self, table: IntArray, mapping: AddressMapping) -> IntArray:
        """Bursts of the accesses, those of the channel."""
        most, each = mapping.capacity_bytes, self.form.access_bytes
        if (high := np.flatnonzero(table[:, FIRST] >= most)).size:
            row = table[high[0]]
            raise self._wrong(
                int(row[LINE]),
                f"address {int(row[FIRST]):#x} is beyond the memory: allowed is 0 to {most - 1:#x} with "
                f"--channels {self.form.channels} and --ranks {self._sizes[1]}",
            )
        inside = table[:, FIRST] % each
        self.found.inside += int(np.count_nonzero(inside))
        bursts = each // self._burst_bytes
        table = np.repeat(table, bursts, axis=0)
        first = table[:, FIRST] - np.repeat(inside, bursts)
        places = mapping.places(first + np.arange(len(table)) % bursts * self._burst_bytes)
        mine = places.channel == self.form.channel
        self.found.elsewhere += int(np.count_nonzero(~mine)) // bursts
        rows = [table[:, CK], table[:, WRITE], places.bank, places.row, places.column]
        return np.ascontiguousarray(np.stack(rows, 1)[mine])

    def _of_vectors(self, table: IntArray) -> IntArray:
        """The burst that each vector names, those of the channel."""
        vector = table[:, FIRST:LINE]
        if (bad := np.argwhere(vector >= np.array(self._sizes))).size:
            row, place = bad[0]
            raise self._wrong(
                int(table[row, LINE]),
                f"{VECTOR[place]} is {vector[row, place]}: allowed is 0 to {self._sizes[place] - 1}",
            )
        inside = vector[:, 5] % self._beats
        self.found.inside += int(np.count_nonzero(inside))
        bank = (vector[:, 1] * self._banks[0] + vector[:, 2]) * self._banks[1] + vector[:, 3]
        mine = vector[:, 0] == self.form.channel
        self.found.elsewhere += int(np.count_nonzero(~mine))
        rows = [table[:, CK], table[:, WRITE], bank, vector[:, 4], vector[:, 5] - inside]
        return np.ascontiguousarray(np.stack(rows, 1)[mine])

    def _check_times(self, table: IntArray) -> None:
        """Refuse a cycle that is too late, or before the one above."""
        bad = table[:, CK] > LATEST_CK
        bad |= np.diff(table[:, CK], prepend=self._last_ck) < 0
        if (wrong := np.flatnonzero(bad)).size:
            row, above = table[wrong[0]], int(table[wrong[0] - 1, CK]) if wrong[0] else self._last_ck
            raise self._wrong(
                int(row[LINE]), f"cycle is {row[CK]}: allowed is {above}, that of the access above it, to {LATEST_CK}"
            )
        if len(table):
            self._last_ck = int(table[-1, CK])

    def _wrong(self, line: int, what: str) -> InputError:
        return InputError(f"{self._path}: line {line}: {what}")
