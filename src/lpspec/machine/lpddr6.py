"""Timings of JESD209-6 that are tables over data rate, burst and mode, as constants of a die's file.

Source: stpcoder/lpddr6-wck-sync-timing-db at 9288484, which names the standard's tables 49 to 51, 256 to 274 and 381 to
414, and Ramulator 2 at c5b1c3a; link protection and DVFSL are off. Above 10,667 Mbps the standard has not set
latencies: there the times of 10,667 are assumed.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from lpspec.errors import InputError, exactly
from lpspec.machine.clock import ck_ns_at

Constant = dict[str, Any]


class Bin(NamedTuple):
    """Latencies up to a data rate, CK: RL of sets 0, 1 and 2, WL of sets A and B, nRTP of BL24 and BL48."""

    mbps: int
    rl: tuple[int, int, int]
    wl: tuple[int, int]
    rtp: tuple[int, int]


BINS = (
    Bin(3200, (17, 19, 21), (10, 15), (7, 13)),
    Bin(3750, (20, 22, 24), (12, 18), (8, 14)),
    Bin(4267, (23, 25, 28), (12, 21), (8, 14)),
    Bin(4800, (26, 28, 31), (14, 24), (8, 14)),
    Bin(5500, (30, 32, 35), (16, 28), (8, 14)),
    Bin(6400, (34, 37, 41), (18, 32), (8, 14)),
    Bin(7500, (40, 44, 48), (20, 38), (11, 23)),
    Bin(8533, (46, 50, 54), (22, 44), (11, 23)),
    Bin(9600, (52, 56, 62), (24, 50), (13, 25)),
    Bin(10667, (56, 62, 68), (26, 54), (14, 26)),
)
SLOWEST_MBPS, FASTEST_MBPS = 2750, 14_400
GROUP_GAP = ((6400, 6), (8533, 8), (10667, 10), (FASTEST_MBPS, 12))
"""CK between column commands of one bank group, BL24, up to a data rate (table 382)."""
SHORT, SEGMENT = 6, 12
"""CK of a BL24 on the data pins; CK from the first segment of a BL48 to its second above 6,400 Mbps (table 381)."""
LEAST_CK = 6
"""No write recovery nor write to read is shorter (tables 274 and 414)."""

REFRESH_AB_NS = {8: 210, 16: 280, 32: 380}
"""tRFCab by the density of two sub-channels in Gb, ns (table 302, as Ramulator 2 has it)."""


def tabled(mbps: float, mode: Mapping[str, str]) -> dict[str, dict[str, Constant]]:
    """What the tables say of a die at a data rate in a mode: constants of [organisation] and of [timing].

    Args:
        mbps: Data rate of a pin.
        mode: As a die's [mode] has it.

    Raises:
        InputError: The tables have no such data rate.
    """
    if not SLOWEST_MBPS < mbps <= FASTEST_MBPS:
        allowed = f"above {SLOWEST_MBPS} to {FASTEST_MBPS}"
        raise InputError(f"memory.data_rate {exactly(mbps)} Mbps: the tables of LPDDR6 have latencies {allowed} Mbps")
    long, efficient = mode.get("burst") == "BL48", mode.get("efficiency") == "on"
    row = next((row for row in BINS if mbps <= row.mbps), None) or _beyond(mbps)
    rl_set, wl_set = int(efficient) + int(mode.get("read_dbi") == "on"), int(mode.get("write_set") == "B")
    gap = next(ck for upto, ck in GROUP_GAP if mbps <= upto)
    at = f"JESD209-6 at {row.mbps} Mbps, {mode.get('burst')}"
    latency = f"{at}, public timing table"
    if row not in BINS:
        latency = "assumed, 18 to 26 ns for RL and in proportion: not set above 10667 Mbps, so the time of 10667"
    spread = long and mbps > 6400
    segments = 2 if long else 1
    turn = 2.0 if efficient else 0.0
    return {
        "organisation": {
            "burst_bytes": _constant(32 * segments, f"{at}: 32 B a segment"),
            "metadata_bits": _constant(32 * segments, f"{at}: 32 bits a segment"),
        },
        "timing": {
            "nCL": _constant(f"{row.rl[rl_set]} CK", f"{latency}: RL, set {rl_set}"),
            "nCWL": _constant(f"{row.wl[wl_set]} CK", f"{latency}: WL, set {'AB'[wl_set]}"),
            "nRTP": _constant(f"{row.rtp[int(long)]} CK", latency),
            "nBL_min": _constant(f"{(18 if spread else 12) if long else SHORT} CK", f"{at}: BL/n_min, table 381"),
            "nBL_max": _constant(f"{_held(mbps, long)} CK", f"{at}: BL/n_max, table 381"),
            "nCCD_S": _constant(f"{12 if long and not spread else SHORT} CK", f"{at}: table 381"),
            "nCCD_L": _constant(f"{gap + (SEGMENT if spread else SHORT if long else 0)} CK", f"{at}: table 382"),
            "nWR": _at_least(12.0 + turn, mbps, f"{at}: nWTP, max(12 ns, 6 CK), in efficiency mode 14 ns"),
            "nWTR_S": _at_least(6.25 + turn, mbps, f"{at}: max(6.25 ns, 6 CK), in efficiency mode 8.25 ns"),
            "nWTR_L": _at_least(12.0 + turn, mbps, f"{at}: max(12 ns, 6 CK), in efficiency mode 14 ns"),
        },
    }


def refresh(gb: float) -> dict[str, Constant]:
    """Times of refresh of a die: those of the next density of two sub-channels that the table has, or of its last one.

    Args:
        gb: Density of a die, which lies behind one sub-channel, Gb.
    """
    listed = min((density for density in REFRESH_AB_NS if density >= 2 * gb), default=max(REFRESH_AB_NS))
    said = f"JESD209-6 table 302: two sub-channels of {gb:g} Gb, at {listed} Gb"
    if listed < 2 * gb:
        said = f"assumed, 380 to 760 ns: {said}"
    per_bank = {8: 120, 16: 140, 32: 190}[listed]
    assumed = "assumed, {} to {} ns: no public value; that of LPDDR5 at the density of two sub-channels"
    return {
        "nRFCab": _constant(f"{REFRESH_AB_NS[listed]} ns", said),
        "nRFCpb": _constant(f"{per_bank} ns", assumed.format(per_bank, REFRESH_AB_NS[listed])),
    }


def _beyond(mbps: float) -> Bin:
    """The latencies of the last bin as times, in whole commands of 2 CK."""
    last = BINS[-1]
    longer = ck_ns_at(last.mbps, "LPDDR6") / ck_ns_at(mbps, "LPDDR6")

    def scaled(ck: int) -> int:
        return 2 * math.ceil(round(ck * longer / 2, 6))

    rl, wl, rtp = (tuple(map(scaled, counts)) for counts in last[1:])
    return Bin(round(mbps), (rl[0], rl[1], rl[2]), (wl[0], wl[1]), (rtp[0], rtp[1]))


def _held(mbps: float, long: bool) -> int:
    """BL/n_max: a burst holds its bank group as long as it takes the pins up to 6,400 Mbps, twice as long above."""
    if mbps <= 6400:
        return 12 if long else SHORT
    return 24 if long else 12


def _at_least(ns: float, mbps: float, source: str) -> Constant:
    """A time that is no shorter than ``LEAST_CK``."""
    shorter = ns < LEAST_CK * ck_ns_at(mbps, "LPDDR6")
    return _constant(f"{LEAST_CK} CK" if shorter else f"{ns:g} ns", source)


def _constant(value: int | str, source: str) -> Constant:
    return {"value": value, "source": source}
