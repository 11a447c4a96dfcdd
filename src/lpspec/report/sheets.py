"""Data sheets of what can be inspected: every value with its unit, meaning and source, and what follows from them."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel

from lpspec.devices.device import Device, Identity
from lpspec.llm.stored_tensors import Share
from lpspec.machine.area import CONSTANTS, PackageArea
from lpspec.machine.die import DieSpec
from lpspec.machine.energy_profile import EnergyProfile
from lpspec.machine.platform_spec import MemorySpec, PlatformSpec
from lpspec.machine.quantity import Quantity
from lpspec.speculation.rank_trace import RankTrace
from lpspec.speculation.token_tree import TokenTree

TERA, GIGA, GIB = 1e12, 1e9, 2**30


@dataclass(frozen=True, slots=True)
class Fact:
    """A value from a file.

    Attributes:
        key: Its name; for a platform the dotted key that ``--set`` takes.
        value: The number in ``unit``, or a text.
        unit: Unit of the number; empty for counts and texts.
        text: The value as people read it.
        description: What it means.
        source: Where it comes from.
    """

    key: str
    value: float | int | str | bool | None
    unit: str
    text: str
    description: str
    source: str


@dataclass(frozen=True)
class Sheet:
    """Everything to be said of one thing."""

    kind: str
    name: str
    summary: str
    facts: tuple[Fact, ...]
    identities: tuple[Identity, ...]


def sheet_document(sheet: Sheet) -> dict[str, Any]:
    """A sheet as JSON: facts by key, then what follows from them by key."""
    return {
        "name": sheet.name,
        "summary": sheet.summary,
        "values": {fact.key: _without_key(fact) for fact in sheet.facts},
        "identities": {identity.key: _without_key(identity) for identity in sheet.identities},
    }


def _without_key(item: Fact | Identity) -> dict[str, Any]:
    return {name: value for name, value in asdict(item).items() if name != "key"}


def platform_sheet(platform: PlatformSpec, devices: Iterable[Device]) -> Sheet:
    """The sheet of a machine with its devices."""
    identities = (
        *_memory_identities(platform.memory),
        *(identity for device in devices for identity in device.describe()),
        *_area_identities(platform),
        Identity("capacity", platform.capacity_bytes / GIB, "GiB", "memory for weights and KV cache"),
    )
    return Sheet("platform", platform.name, platform.summary, tuple(facts_of(platform)), identities)


def _area_identities(platform: PlatformSpec) -> Iterator[Identity]:
    """Silicon of the package, and what its areas are made of."""
    area = PackageArea.of(platform)
    if area is None:
        return
    made_of = "; ".join(f"{name} {each.mm2:g}" for name, each in CONSTANTS.items())
    yield Identity("package_area", area.total, "mm2", f"silicon of all dies, assumed: {made_of}")
    if area.pim:
        yield Identity("pim_area", area.pim, "mm2", "of it what PIM adds: ALUs, registers and control of all MPUs")


def die_sheet(die: DieSpec) -> Sheet:
    """The sheet of a die, under the keys that ``--set`` takes for a platform with it."""
    clocks = f"period of CK, WCK:CK {die.clocks.wck_per_ck}:1"
    said = (
        ("standard", die.standard, "generation of LPDDR: its clocks and rules"),
        ("data_rate", die.data_rate, "bits per second and pin"),
    )
    mode = () if die.mode is None else tuple(facts_of(die.mode, "memory.mode."))
    memory = (*mode, *facts_of(die.organisation, "memory.organisation."), *facts_of(die.timing, "memory.timing."))
    pim = () if die.pim_side is None else tuple(facts_of(die.pim_side, "pim."))
    identities = (
        Identity("ck", die.ck_ns, "ns", clocks),
        Identity("capacity", die.organisation.die_bytes / GIB, "GiB", "of a die"),
        Identity("peak", die.peak_gb_per_s, "GB/s", "of its data pins"),
        *_mpu_identities(die),
    )
    facts = (*(_fact(f"memory.{key}", value, meaning) for key, value, meaning in said), *memory, *pim)
    return Sheet("die", die.name, die.summary, facts, identities)


def profile_sheet(profile: EnergyProfile) -> Sheet:
    """The sheet of an energy profile."""
    in_bank, off_chip = profile.in_bank_pj_per_bit, profile.off_chip_pj_per_bit
    identities = (
        Identity("in_bank", in_bank, "pJ/b", "a bit of a whole row, to the bank edge"),
        Identity("off_chip", off_chip, "pJ/b", "a bit of a whole row, off the chip"),
        Identity("in_bank_share", in_bank / off_chip, "", "in-bank over off-chip"),
    )
    return Sheet("energy profile", profile.name, profile.summary, tuple(facts_of(profile)), identities)


def stored_sheet(name: str, shares: Sequence[Share], beside: str = "") -> Sheet:
    """The sheet of the weights that a file, or the files of a folder, hold.

    Args:
        name: Its path.
        shares: Its tensors by class and type.
        beside: What else is to be said.
    """
    facts = tuple(_share_fact(name, share) for share in shares if share.elements)
    total = sum(share.size_bytes for share in shares)
    identities = (
        Identity("tensors", sum(share.tensors for share in shares), "", "in all"),
        Identity("tensor_bytes", total, "B", "of all tensors together, without header and padding"),
    )
    summary = f"{total:,} bytes of tensors, by class and type{beside and f'; {beside}'}"
    return Sheet("stored weights", name, summary, facts, identities)


def _share_fact(name: str, share: Share) -> Fact:
    bits = 8 * share.size_bytes / share.elements
    meaning = f"{share.tensors} tensors of {share.elements:,} numbers, {bits:.4g} bits each"
    text = f"{share.size_bytes:,} B"
    return Fact(f"{share.tensor_class}.{share.type_name}", share.size_bytes, "B", text, meaning, name)


def trace_sheet(trace: RankTrace) -> Sheet:
    """The sheet of an acceptance trace: who said what, and how often each head is right."""
    said = {
        "model": (trace.model, "whose text and heads it describes"),
        "kind": (trace.kind, "measured on a model, or drawn to fit published figures"),
        "seed": (trace.seed, "of the generator that drew it"),
        "heads": (trace.heads, "draft heads recorded"),
        "top_k": (trace.top_k, "length of each head's list"),
        "turns": (trace.turns, "turns of text"),
        "positions": (trace.positions, "tokens over all turns"),
        "sha256": (trace.content_hash, "of the arrays and of all that is said about them"),
    }
    facts = tuple(Fact(key, value, "", str(value), text, trace.source) for key, (value, text) in said.items())
    return Sheet("trace", trace.name, trace.description, facts, tuple(_head_accuracies(trace)))


def tree_sheet(name: str, tree: TokenTree) -> Sheet:
    """The sheet of a published token tree."""
    source = "FasterDecoding/Medusa, medusa/model/medusa_choices.py (Apache-2.0)"
    widths = np.bincount(tree.depth).tolist()
    facts = (
        Fact("size", tree.size, "", str(tree.size), "tokens verified in one pass, the root included", source),
        Fact("max_depth", tree.max_depth, "", str(tree.max_depth), "draft heads that it needs", source),
        *(Fact(f"depth_{d}", n, "", str(n), f"nodes {d} below the root", source) for d, n in enumerate(widths) if d),
    )
    return Sheet("tree", name, "static token tree published with Medusa", facts, ())


def facts_of(spec: BaseModel, prefix: str = "") -> Iterator[Fact]:
    """Every constant of a description under its dotted key, those of its sections behind its own."""
    sections = {}
    for name, field in type(spec).model_fields.items():
        value = getattr(spec, name)
        if isinstance(value, BaseModel) and not isinstance(value, Quantity):
            sections[name] = value
        elif value is not None and name not in ("name", "summary"):
            yield _fact(prefix + name, value, field.description or "")
    for name, section in sections.items():
        yield from facts_of(section, f"{prefix}{name}.")


def _fact(key: str, value: Any, meaning: str) -> Fact:
    if isinstance(value, Quantity):
        return Fact(key, value.value, value.UNIT, value.text(), meaning, value.source)
    return Fact(key, value, "", str(value), meaning, "the description's own choice")


def _memory_identities(memory: MemorySpec | None) -> Iterator[Identity]:
    if memory is not None:
        yield Identity("off_chip_peak", memory.peak_gb_per_s, "GB/s", "all channels")
        yield Identity("off_chip_sustained", memory.sustained_gb_per_s, "GB/s", "all channels, at bus efficiency")
        yield Identity("dram_capacity", memory.dram_capacity_bytes / GIB, "GiB", "plain DRAM ranks")
        yield Identity("pim_capacity", memory.pim_capacity_bytes / GIB, "GiB", "PIM ranks")


def _mpu_identities(die: DieSpec) -> Iterator[Identity]:
    """What the compute side of a die amounts to, and its times at command level."""
    if die.pim_side is None:
        return
    yield Identity("pim_die", die.pim_gops, "GOPS", "INT8, one die")
    yield Identity("pim_die_bandwidth", die.pim_gb_per_s, "GB/s", "from the banks of a die into its MPUs")
    yield Identity("mac_interval_ck", die.mac_ck, f"CK of {die.ck_ns:.4g} ns", "at command level")
    yield Identity("mode_switch_ck", die.mode_ck, f"CK of {die.ck_ns:.4g} ns", "at command level, rounded up")


def _head_accuracies(trace: RankTrace) -> Iterator[Identity]:
    """How often the true token is a head's first guess, or on its list, where there is a true token to guess."""
    ends = np.repeat(np.cumsum(trace.turn_lengths, dtype=np.int64), trace.turn_lengths)
    left = ends - np.arange(trace.positions)
    for head in range(trace.heads):
        ranks = trace.ranks[left > head + 1, head]
        if len(ranks):
            yield Identity(f"head_{head + 1}_top1", float((ranks == 0).mean()), "", f"first guess, {head + 1} ahead")
            yield Identity(f"head_{head + 1}_top{trace.top_k}", float((ranks >= 0).mean()), "", "anywhere on its list")
