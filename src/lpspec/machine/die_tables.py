"""Lay a platform's tables over those of the die that it names, and derive what another rate or capacity changes.

Both work on a description as its file has it, before any value is validated.
"""

from collections.abc import Mapping
from typing import Any

from lpspec.machine import lpddr6
from lpspec.machine.clock import is_time
from lpspec.machine.quantity import DataRate
from lpspec.machine.timing import REFRESH_NS

Tables = dict[str, Any]

_GB = 2**27
_OF_DIE = ("standard", "mode", "data_rate", "organisation", "timing")


def as_platform(die: Tables) -> Tables:
    """What a die's file says, under the keys that it has in a platform: [memory] and [pim]."""
    return {
        "memory": {"die": die.get("name", ""), **{key: die[key] for key in _OF_DIE if key in die}},
        **({"pim": die["pim"]} if "pim" in die else {}),
    }


def as_die(platform: Tables, summary: str) -> Tables:
    """The way back."""
    memory, pim = platform["memory"], platform.get("pim")
    said = {"name": memory["die"], "summary": summary, **{key: memory[key] for key in _OF_DIE if key in memory}}
    return said if pim is None else {**said, "pim": pim}


def derive(memory: Tables, die: Tables) -> None:
    """Name what a package's own data rate, mode or capacity changes in the die's timings, and set times of refresh.

    A timing that the package itself gives stays as it is.

    Args:
        memory: The tables of [memory], changed in place.
        die: Those of the die's file, under the same keys.
    """
    rate, timing = _text(memory["data_rate"]), memory["timing"]
    kept = {name for name, constant in die["timing"].items() if timing.get(name) == constant}
    gb, gb_of_die = (_density_gb(tables["organisation"]) for tables in (memory, die))
    if gb is not None and gb != gb_of_die:
        renewed = lpddr6.refresh(gb) if memory.get("standard") == "LPDDR6" else _refresh(gb)
        timing |= {name: constant for name, constant in renewed.items() if name in kept}
        kept -= renewed.keys()
    if memory.get("standard") == "LPDDR6":
        kept -= _from_tables(memory, die, kept)
    if _mbps(rate) == _mbps(_text(die["data_rate"])):
        return
    at = f"derived from {memory['die']} at {rate}"
    memory["die"] = f"{memory['die']} at {rate}"
    for name in kept:
        how = "its time, in whole CK" if is_time(timing[name].get("value")) else "its count or sum"
        timing[name] = {**timing[name], "source": f"{at}: {how}; {timing[name].get('source', '')}"}


def _from_tables(memory: Tables, die: Tables, kept: set[str]) -> set[str]:
    """Take what JESD209-6 has as tables from them where rate or mode differ from the die's own, and say which timings.

    Values that the package gives itself stay as they are.
    """
    mbps, mode, mode_of_die = _mbps(_text(memory["data_rate"])), memory.get("mode"), die.get("mode", {})
    same = mode == mode_of_die and mbps == _mbps(_text(die["data_rate"]))
    if mbps is None or same or not isinstance(mode, dict):
        return set()
    found = lpddr6.tabled(mbps, mode)
    if mode.get("burst") != mode_of_die.get("burst"):
        memory["organisation"] |= {
            key: constant
            for key, constant in found["organisation"].items()
            if memory["organisation"].get(key) == die["organisation"].get(key)
        }
    tabled = {name: constant for name, constant in found["timing"].items() if name in kept}
    memory["timing"] |= tabled
    return set(tabled)


def _refresh(gb: float) -> dict[str, Any]:
    """Timings of refresh at a density: those of the next one that the table has, of its last one beyond."""
    listed = min((density for density in REFRESH_NS if density >= gb), default=max(REFRESH_NS))
    said = f"derived: public simulators, JESD209-5, at {listed} Gb" + ("" if listed == gb else f", for {gb:g} Gb")
    if listed == max(REFRESH_NS):
        said = f"derived: JESD209-6 at 32 Gb (all-bank), assumed, 140 to 190 and 90 to 120 (others), for {gb:g} Gb"
    return {name: {"value": f"{ns:g} ns", "source": said} for name, ns in REFRESH_NS[listed].items()}


def _density_gb(organisation: Mapping[str, Any]) -> float | None:
    """Capacity of a die in Gb; None where a number is missing or none."""
    product = 1.0
    for key in ("bank_groups", "banks_per_group", "rows", "row_bytes"):
        try:
            product *= float(_text(organisation[key]))
        except (KeyError, ValueError):
            return None
    return product / _GB


def _mbps(rate: str) -> float | None:
    try:
        return DataRate.parse_value(rate)
    except ValueError:
        return None


def _text(constant: Any) -> str:
    """A constant's value as it is written."""
    return str(constant.get("value")) if isinstance(constant, dict) else str(constant)
