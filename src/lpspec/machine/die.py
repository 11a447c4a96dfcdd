"""One LPDDR die and its channel as data: organisation, JEDEC timings, and the compute side of a PIM die.

Names are JESD209-5's (``nRCD``: tRCD in clock cycles of CK). nRCD, nRAS and nRC count from ACT-2. A die of LPDDR6 is
what lies behind one sub-channel (x12); its settings stand in ``Lpddr6Mode``.
"""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from lpspec.errors import InputError
from lpspec.machine.clock import (
    FASTEST_MBPS,
    SLOWEST_MBPS,
    STANDARDS,
    Standard,
    StandardName,
    ck_ns_at,
    ck_ns_of,
    in_whole_ck,
    whole_ck,
)
from lpspec.machine.pim_die import PimDie, check_mpus, pim_in_ns
from lpspec.machine.quantity import Count, DataRate, Described, Duration
from lpspec.machine.timing import LPDDR6_TIMINGS, Timing

AT_MOST = frozenset({"nREFI", "nAAD"})
"""Timings that are limits from above, so that a time is rounded down to whole CK."""


class Organisation(Described):
    """Pins, banks, rows and columns of one die, and what one burst moves."""

    RANGES: ClassVar = {
        "data_pins": (1, 1024),
        "bank_groups": (1, 256),
        "banks_per_group": (1, 256),
        "rows": (1, 2**24),
        "row_bytes": (1, 2**20),
        "burst_bytes": (1, 4096),
        "metadata_bits": (1, 4096),
    }

    data_pins: Count = Field(description="data pins of a die, which fills one channel (x16; x12 of LPDDR6)")
    bank_groups: Count = Field(description="bank groups of a die")
    banks_per_group: Count = Field(description="banks of a bank group")
    rows: Count = Field(description="rows of a bank; they give the capacity")
    row_bytes: Count = Field(description="bytes of a row (page)")
    burst_bytes: Count = Field(description="bytes of data of one burst (BL16 on x16, BL24 on x12): one column")
    metadata_bits: Count | None = Field(default=None, description="bits that a burst carries beside data (LPDDR6)")

    @model_validator(mode="after")
    def _whole_columns(self) -> Self:
        if self.row_bytes.n % self.burst_bytes.n:
            raise ValueError(f"row_bytes ({self.row_bytes.n}) must be a multiple of burst_bytes ({self.burst_bytes.n})")
        return self

    @property
    def banks(self) -> int:
        """Banks of a die."""
        return self.bank_groups.n * self.banks_per_group.n

    @property
    def burst_bits(self) -> int:
        """Bits of a burst on the data pins, metadata with them."""
        return 8 * self.burst_bytes.n + (0 if self.metadata_bits is None else self.metadata_bits.n)

    @property
    def payload_share(self) -> float:
        """Share of a burst's bits that is data: all of LPDDR5's, 8/9 of LPDDR6's."""
        return 8 * self.burst_bytes.n / self.burst_bits

    @property
    def columns(self) -> int:
        """Bursts of a row."""
        return self.row_bytes.n // self.burst_bytes.n

    @property
    def burst_beats(self) -> int:
        """Columns of a burst as addresses count them, 2 B of data each: 16, and 32 of BL48."""
        return self.burst_bytes.n // 2

    @property
    def address_sizes(self) -> dict[str, int]:
        """Values of the fields of an address that a die decides."""
        banks = {"bg": self.bank_groups.n, "ba": self.banks_per_group.n}
        return {**banks, "ro": self.rows.n, "co": self.columns}

    @property
    def die_bytes(self) -> int:
        """Capacity of a die, bytes."""
        return self.banks * self.rows.n * self.row_bytes.n


class Lpddr6Mode(Described):
    """Settings of an LPDDR6 die that move its timings; each is a mode register's, but for ``rows_from``."""

    burst: Literal["BL24", "BL48"] = Field(description="beats of a burst; BL48 comes as two of BL24, 12 CK apart")
    efficiency: Literal["off", "on"] = Field(
        description="efficiency mode: one bus of x12 serves both sub-channels, so give half the channels"
    )
    read_dbi: Literal["off", "on"] = Field(description="data bus inversion of reads, which adds to RL")
    write_set: Literal["A", "B"] = Field(description="set of write latencies")
    rows_from: Literal["ACT-1", "ACT-2"] = Field(
        description="command from which nRCD, nRAS and nRC count; public texts do not settle it"
    )


class LpddrDies(Described):
    """What is said of a die without its compute side: the same in a die's file and in a platform's [memory]."""

    RANGES: ClassVar = {"data_rate": (SLOWEST_MBPS, FASTEST_MBPS)}

    standard: StandardName = Field(default="LPDDR5", description="generation of LPDDR: its clocks and rules")
    mode: Lpddr6Mode | None = Field(default=None, description="settings of an LPDDR6 die")
    data_rate: DataRate = Field(description="bits per second and pin")
    organisation: Organisation
    timing: Timing

    @model_validator(mode="before")
    @classmethod
    def _count_ck(cls, data: Any) -> Any:
        """Turn times of the standard into CK at the data rate, which thus moves what is tied to it."""
        if not isinstance(data, dict) or not isinstance(data.get("timing"), dict):
            return data
        ck_ns = ck_ns_of(data)
        return data if ck_ns is None else {**data, "timing": in_whole_ck(data["timing"], ck_ns, AT_MOST)}

    @model_validator(mode="after")
    def _has_what_its_standard_has(self) -> Self:
        has = {name for name in LPDDR6_TIMINGS if getattr(self.timing, name) is not None}
        due = set(LPDDR6_TIMINGS) if self.standard == "LPDDR6" else set()
        if has != due or (self.mode is None) != (self.standard == "LPDDR5"):
            raise ValueError(f"[mode] and timings {', '.join(LPDDR6_TIMINGS)} go with standard LPDDR6, all or none")
        if self.timing.nAAD.n < (command := self.clocks.ck_per_command):
            raise ValueError(f"timing.nAAD ({self.timing.nAAD.n}) must be at least {command} CK, which a command takes")
        return self

    @model_validator(mode="after")
    def _writes_wait_for_reads(self) -> Self:
        t = self.timing
        if t.nODTLon is not None and t.nWCK2DQO is not None:
            most = t.nCWL.n + t.nWCK2DQO.n + 1  # or a write's data would begin before those of the read before it end
            if t.nODTLon.n > most:
                raise ValueError(f"timing.nODTLon ({t.nODTLon.n}) must be at most nCWL + nWCK2DQO + 1 ({most})")
        return self

    @model_validator(mode="after")
    def _burst_fills_its_time(self) -> Self:
        pins, burst, held = self.organisation.data_pins.n, self.organisation.burst_bytes.n, self.timing.nBL_min.n
        moved = pins * self.clocks.bits_per_ck * held
        if self.is_long and 3 * self.organisation.burst_bits == 2 * moved:
            return self
        if self.organisation.burst_bits != moved:
            metadata = "" if self.organisation.metadata_bits is None else " and metadata"
            raise ValueError(
                f"organisation.burst_bytes ({burst}){metadata} must be what data_pins ({pins}) move in nBL_min "
                f"({held} CK): {moved / 8:g}"
            )
        if self.timing.nCCD_S.n < held:
            raise ValueError(f"timing.nCCD_S ({self.timing.nCCD_S.n}) must be at least nBL_min ({held}): one data bus")
        return self

    @model_validator(mode="after")
    def _refreshes_leave_time(self) -> Self:
        if self.stop_ck >= self.timing.nREFI.n:
            what = "nRTP + nRPab + nRFCab + an activation + nRCD"
            raise ValueError(f"timing: {what} ({self.stop_ck}) must be less than nREFI ({self.timing.nREFI.n})")
        return self

    @property
    def clocks(self) -> Standard:
        """Clocks of the die's standard."""
        return STANDARDS[self.standard]

    @property
    def is_long(self) -> bool:
        """Whether a burst comes in two segments (BL48), between which nBL_min may hold a gap that another one fills."""
        return self.mode is not None and self.mode.burst == "BL48"

    @property
    def column_bytes(self) -> int:
        """Bytes that a bank gives at once: those of a burst, or of one of the two segments of a BL48."""
        return self.organisation.burst_bytes.n // (2 if self.is_long else 1)

    @property
    def segment_gap_ck(self) -> int:
        """CK from the begin of a burst on the data pins to the gap between its segments; 0 if there is none."""
        return self.burst_ck // 2 if self.burst_ck < self.timing.nBL_min.n else 0

    @property
    def burst_ck(self) -> int:
        """CK for which a burst's bits hold the data pins: nBL_min but for the gap that BL48 has."""
        return self.organisation.burst_bits // (self.organisation.data_pins.n * self.clocks.bits_per_ck)

    @property
    def stop_ck(self) -> int:
        """CK for which an all-bank refresh stops a stream: rows are closed, refreshed, and the first is opened."""
        t = self.timing
        return t.nRTP.n + t.nRPab.n + t.nRFCab.n + self.activate_ck + t.nRCD.n

    @property
    def activate_ck(self) -> int:
        """ACT-1 and ACT-2, back to back, CK."""
        return 2 * self.clocks.ck_per_command

    @property
    def write_recovery_ck(self) -> int:
        """WR to PRE, CK: recovery runs from the end of the data, LPDDR6's from WL + BL/n_max."""
        t = self.timing
        return t.nCWL.n + (t.nBL_max if self.standard == "LPDDR6" else t.nBL_min).n + t.nWR.n

    @property
    def ck_ns(self) -> float:
        """Period of the command clock, ns."""
        return ck_ns_at(self.data_rate.mbps, self.standard)

    def in_ck(self, duration: Duration) -> int:
        """The CK that commands keep between them for a time: whole commands."""
        step = self.clocks.ck_per_command
        return -(-whole_ck(duration.ns, self.ck_ns) // step) * step


class DieSpec(LpddrDies):
    """One die of an LPDDR channel: every rank of the channel is such a die."""

    name: str
    summary: str
    pim_side: PimDie | None = Field(default=None, alias="pim", description="compute side; a plain die has none")

    @model_validator(mode="before")
    @classmethod
    def _resolve_clocks(cls, data: Any) -> Any:
        """Turn times of PIM in CK into ns."""
        return pim_in_ns(data, data) if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _whole_mpus(self) -> Self:
        check_mpus(self.organisation.banks, self.column_bytes, self.pim_side)
        return self

    @property
    def pim(self) -> PimDie:
        """The compute side.

        Raises:
            InputError: The die has none.
        """
        if self.pim_side is None:
            raise InputError(f"die '{self.name}' has no [pim]: it does not compute")
        return self.pim_side

    @property
    def peak_gb_per_s(self) -> float:
        """Peak bandwidth of the channel, GB/s; metadata do not count."""
        return self.organisation.burst_bytes.n / (self.burst_ck * self.ck_ns)

    @property
    def mode_ck(self) -> int:
        """One switch between normal and PIM mode, CK; 0 for a die that does not compute."""
        return 0 if self.pim_side is None else self.in_ck(self.pim_side.mode_switch)

    @property
    def mac_ck(self) -> int:
        """PIM_MAC to PIM_MAC of a rank, CK; 0 for a die that does not compute."""
        return 0 if self.pim_side is None else self.in_ck(self.pim_side.mac_interval)

    @property
    def mpus(self) -> int:
        """MPUs of a die; 0 for one that does not compute."""
        return 0 if self.pim_side is None else self.organisation.banks // self.pim_side.banks_per_mpu.n

    @property
    def macs_per_command(self) -> int:
        """Multiply-accumulates of one PIM_MAC on a die, for one token; 0 for one that does not compute."""
        return 0 if self.pim_side is None else self.mpus * self.pim_side.lanes.n

    @property
    def slots_per_set(self) -> int:
        """Bursts that fill one of the two sets of input registers; 0 for a die that does not compute."""
        pim = self.pim_side
        return 0 if pim is None else -(-pim.input_depth.n * pim.alus.n // self.organisation.burst_bytes.n)

    @property
    def readback_bursts(self) -> int:
        """Bursts that read the accumulators of one MPU in its widest format; 0 for a die that does not compute."""
        pim = self.pim_side
        bits = 0 if pim is None else pim.most_lanes * pim.alus.n * pim.accumulator_bits.n
        return -(-bits // (8 * self.organisation.burst_bytes.n))

    @property
    def pim_gops(self) -> float:
        """Peak INT8 throughput of the MPUs of a die, 10^9 operations per second."""
        return self.macs_per_command * self.pim.alus.n * 2 / self.pim.mac_interval.ns

    @property
    def pim_gb_per_s(self) -> float:
        """Bandwidth from the banks of a die into its MPUs, GB/s."""
        return self.mpus * self.column_bytes / self.pim.mac_interval.ns
