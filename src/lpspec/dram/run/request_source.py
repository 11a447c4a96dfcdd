"""Requests from a file, whatever its form: recognised by its first line or named, and never read as another."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from lpspec.arrays import IntArray
from lpspec.dram.run.address_mapping import DEFAULT_MAPPING, address_mapping
from lpspec.dram.run.request_file import pieces_of, read_requests
from lpspec.dram.run.trace_file import TraceForm, TraceReader
from lpspec.dram.run.trace_lines import ADDRESS_VECTOR, DRAMSIM3, FORMS, form_of, tokens_of
from lpspec.errors import InputError, shown
from lpspec.machine.die import DieSpec

JSON = "json"
MOST_CHANNELS = 64
MOST_ACCESS_BYTES = 4096

_BY_ADDRESS = tuple(form for form in FORMS if form != ADDRESS_VECTOR)
_USED_BY = {
    "address_mapping": _BY_ADDRESS,
    "access_bytes": _BY_ADDRESS,
    "channels": tuple(FORMS),
    "channel": tuple(FORMS),
    "interval_ck": tuple(form for form in FORMS if form != DRAMSIM3),
}
"""Forms of whose files an option says something."""


@dataclass(frozen=True)
class Reading:
    """What is said of a file of requests; None where nothing is.

    Attributes:
        format: ``json``, one of ``FORMS``, or ``auto``: what the first line looks like.
        address_mapping: What addresses mean.
        channels: Channels that addresses go to.
        channel: The one that is simulated.
        access_bytes: Bytes of an access.
        interval_ck: CK from one access to the next, for a trace without times.
    """

    format: str | None = None
    address_mapping: str | None = None
    channels: int | None = None
    channel: int | None = None
    access_bytes: int | None = None
    interval_ck: int | None = None


class Lying(NamedTuple):
    """What addresses mean on a machine, where nothing else is said of them: mapping and channels."""

    address_mapping: str = DEFAULT_MAPPING
    channels: int = 1


class Source(NamedTuple):
    """Requests piece by piece, and what reads them if it is a trace of another simulator's form."""

    pieces: Iterator[IntArray]
    trace: TraceReader | None


def requests_from(path: Path, device: DieSpec, ranks: int, said: Reading, lying: Lying | None = None) -> Source:
    """Find out what form a file has, and begin to read it.

    Args:
        path: The file; it is opened once, so that a pipe can be read, too.
        device: The die of every rank.
        ranks: Ranks of the channel.
        said: How to read it.
        lying: What addresses mean if nothing is said of that.

    Raises:
        InputError: The file can't be read or has no form, or something is said of it that has no effect or cannot be.
    """
    pieces = pieces_of(path)
    form, is_named = said.format or "auto", True
    if form == "auto":
        form, pieces = _recognised(pieces, path)
        is_named = False
    _refuse_without_effect(form, said)
    if form == JSON:
        return Source(read_requests(path, device, ranks, pieces), None)
    reader = TraceReader(path, device, ranks, _trace_form((form, is_named), device, ranks, said, lying or Lying()))
    return Source(reader.requests(pieces), reader)


def _recognised(pieces: Iterator[bytes], path: Path) -> tuple[str, Iterator[bytes]]:
    """The form of the first line that is neither blank nor comment, and the file from its start."""
    read = []
    for piece in pieces:
        read.append(piece)
        for number, line in enumerate(piece.split(b"\n"), 1):
            tokens = tokens_of(line)
            if not tokens:
                continue
            form = form_of(tokens)
            if form is None and not _is_json(tokens):
                raise InputError(f"{path}: line {number}: {_no_form(tokens)}")
            return form or JSON, chain(read, pieces)
    return JSON, iter(())  # whose reader says that there are none


def _is_json(tokens: list[str]) -> bool:
    """Whether a line may be meant as JSON: what is wrong with it is best said by who reads JSON."""
    return tokens[0][0] in '{["' or (len(tokens) == 1 and not tokens[0][0].isalpha())


def _no_form(tokens: list[str]) -> str:
    what = f"'{shown(' '.join(tokens), 40)}'"
    if len(tokens) in (2, 3) and all(token.isdecimal() for token in tokens):
        return f"{what} is of an instruction trace, which needs a processor in front: allowed are {_examples()}"
    return f"{what} is of no form: allowed are JSON objects and {_examples()}"


def _examples() -> str:
    return ", ".join(f"'{example}'" for example in FORMS.values())


def _refuse_without_effect(form: str, said: Reading) -> None:
    """Refuse what is said of a file of whose form it says nothing."""
    for name, value in asdict(said).items():
        if value is not None and form not in (used := _USED_BY.get(name, (form,))):
            option = f"--{name.replace('_', '-')}"
            raise InputError(f"{option} says nothing of a file of the form {form}: it is for {', '.join(used)}")


def _trace_form(named: tuple[str, bool], device: DieSpec, ranks: int, said: Reading, lying: Lying) -> TraceForm:
    """Everything that a trace does not say itself.

    Raises:
        InputError: A value that cannot be.
    """
    (form, is_named), burst = named, device.organisation.burst_bytes.n
    channels = lying.channels if said.channels is None else _within("--channels", said.channels, 1, MOST_CHANNELS)
    channel = 0 if said.channel is None else _within("--channel", said.channel, 0, channels - 1)
    bytes_ = burst if said.access_bytes is None else _within("--access-bytes", said.access_bytes, 1, MOST_ACCESS_BYTES)
    if bytes_ % burst or bytes_ & (bytes_ - 1):
        raise InputError(f"--access-bytes is {bytes_}: allowed are {burst} (a burst), {2 * burst}, {4 * burst} and on")
    interval = 0 if said.interval_ck is None else _within("--interval-ck", said.interval_ck, 0, 1 << 20)
    text = said.address_mapping or lying.address_mapping
    mapping = None if form == ADDRESS_VECTOR else address_mapping(text, device, ranks, channels)
    return TraceForm(form, is_named, mapping, channels, channel, bytes_, interval)


def _within(name: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise InputError(f"{name} is {value}: allowed is {low} to {high}")
    return value
