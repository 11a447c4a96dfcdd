"""Finds every broken rule in a stream of LPDDR and PIM commands, knowing nothing of the engine that made it.

A stream is legal if each command is: legal for the state of its banks, far enough after every command that matters,
alone on the CA bus, its data alone on DQ. Units are CK unless a name says otherwise.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from lpspec.arrays import IntArray
from lpspec.dram.check import bus, rules
from lpspec.dram.check import pim as pim_rules
from lpspec.dram.check import refresh as refresh_rules
from lpspec.dram.check.csv_tables import read_csv_tables
from lpspec.dram.check.log import BANKS, DEADLINES, Rule, new_history, new_log
from lpspec.dram.check.table import SETS, CommandTable, Op, Shape, Stream, stream_of
from lpspec.dram.check.timing import CheckTiming, LPDDR5_6400_16Gb
from lpspec.errors import InputError

PIECE = 1 << 16
"""Commands checked at a time: the arrays of a piece stay in the processor's cache."""
MAX_RANKS = 8
LANES = 32
"""INT8 weights of one 32 B column."""
COMMAND_CK = (1, 2)
"""CK that a command takes, on LPDDR5 and on LPDDR6."""

HALVES = {
    "both": (rules.FIRST_HALF, rules.OTHER_HALF),
    "ACT1": (rules.FIRST_HALF,),
    "ACT2": (rules.SECOND_HALF,),
}


@dataclass(frozen=True)
class PimRules:
    """The PIM parameters that legality depends on; their timings are in ``CheckTiming``."""

    alus: int = 4
    """N_ALU, tokens per MAC."""
    input_depth: int = 64
    """Bytes of inputs of each token in a set of input registers; 64 are those of one 2 KiB row in INT8."""
    banks_per_mpu: int = 2
    """Banks that share an MPU (LP-Spec, Samsung LPDDR-PIM: 2; CD-PIM: 1)."""
    activate: Literal["faw", "at_once"] = "faw"
    """Whether the activations of one PIM_ACT obey nRRD and nFAW, or happen together and count as one."""
    concurrent_ranks: int = MAX_RANKS
    """Ranks that may compute at once, as the package's power budget allows."""
    tokens: int = 1
    """Tokens that every MAC serves at least: a stream doesn't say, and passes may have fewer than N_ALU."""
    mode_steps: int = 1
    """PIM_ENTERs that bring a rank into PIM mode."""
    lanes: int = LANES
    """Weights of a column in the narrowest format, each with accumulators of its own."""
    input_bytes: int = 1
    """Bytes of one input."""
    inputs: bool = True
    """Whether to follow the input registers; off for streams with another layout of k over columns and slots."""

    @property
    def slots_per_set(self) -> int:
        """Bursts that fill a set of input registers."""
        return -(-self.input_depth * self.alus // pim_rules.BURST_BYTES)

    @property
    def sums(self) -> int:
        """Bursts that read the accumulators of an MPU, one INT32 for each lane and each token."""
        return self.lanes * self.alus * 4 // pim_rules.BURST_BYTES


@dataclass(frozen=True)
class CheckOptions:
    """What is known about a stream beside the stream."""

    ranks: int = 1
    pim_ranks: tuple[int, ...] = ()
    """Ranks that can enter PIM mode."""
    timing: CheckTiming = LPDDR5_6400_16Gb
    wck: Literal["on-demand", "always-on"] = "on-demand"
    refresh: Literal["none", "all-bank", "per-bank"] = "none"
    """How every rank is kept alive; "none" expects no retention, yet any refresh must still be legal."""
    pim: PimRules = field(default_factory=PimRules)
    rows: int = 65536
    """Rows of a bank: 65536 in a 16 Gb die, 32768 in an 8 Gb die."""
    activation: Literal["both", "ACT2", "ACT1"] = "both"
    """Halves of an activation between which nRRD and nFAW hold; public simulators, with one ACT of 2 CK, have one."""
    beats: int = 16
    """Columns of a burst: 16, and 32 of BL48, which no PIM rank takes."""
    columns: int = 1024
    """Columns of a row, 2 B of data each: 1,024 in a row of 2 KiB."""
    command_buses: int = 1
    """CA buses: with 2, ``pim_ranks`` have one of their own."""
    kept: int = 1000
    """Violations kept one by one; beyond that they are only counted."""

    def __post_init__(self) -> None:
        """Refuse what no channel has."""
        if not 1 <= self.ranks <= MAX_RANKS:
            raise InputError(f"ranks must be 1..{MAX_RANKS}, is {self.ranks}")
        if any(not 0 <= rank < self.ranks for rank in self.pim_ranks):
            raise InputError(f"PIM ranks must be among 0..{self.ranks - 1}, are {list(self.pim_ranks)}")
        if self.command_buses not in (1, 2) or (self.command_buses == 2 and not self.pim_ranks):
            raise InputError(f"command buses are {self.command_buses}: allowed is 1, or 2 where there are PIM ranks")
        if self.beats not in (16, 32) or (self.beats == 32 and self.pim_ranks):
            raise InputError(
                f"a burst has {self.beats} columns: allowed is 16, or 32 (BL48) where there are no PIM ranks"
            )
        if self.pim.alus not in (1, 2, 4, 8, 16) or self.pim.banks_per_mpu not in (1, 2, 4):
            raise InputError("N_ALU must be 1, 2, 4, 8 or 16, and banks per MPU 1, 2 or 4")
        if not 1 <= self.pim.tokens <= self.pim.alus:
            raise InputError(f"tokens of a MAC must be 1..{self.pim.alus}, is {self.pim.tokens}")
        if self.pim.concurrent_ranks < 1 or self.pim.mode_steps < 1:
            raise InputError("concurrent_ranks and mode_steps must be at least 1")
        if not 1 <= self.pim.input_bytes <= self.pim.input_depth:
            raise InputError(f"input_depth is {self.pim.input_depth}: an input has {self.pim.input_bytes} bytes")

    def serving(self, tokens: int) -> "CheckOptions":
        """The same for a stream whose every MAC serves so many tokens at least: their inputs must all be there.

        Raises:
            InputError: There are fewer ALUs, or none is served.
        """
        return replace(self, pim=replace(self.pim, tokens=tokens))

    def taking(self, input_bytes: int) -> "CheckOptions":
        """The same for a stream whose MACs take inputs of so many bytes.

        Raises:
            InputError: A set of registers has no room for one.
        """
        return replace(self, pim=replace(self.pim, input_bytes=input_bytes))

    def on_buses(self, command_buses: int) -> "CheckOptions":
        """The same for so many CA buses.

        Raises:
            InputError: There are others than 1 or 2, or 2 and no PIM ranks.
        """
        return replace(self, command_buses=command_buses)


class Violation(NamedTuple):
    """One command that breaks one rule."""

    rule: str
    command_index: int
    """Number of the offending command in the stream, from 0 (its CSV line is command_index + 2)."""
    ck: int
    earlier_index: int | None
    """Number of the command that it conflicts with, if there is one."""
    earlier_ck: int | None
    """When that command acts: its CK; later for an auto-precharge or the last activation of a PIM_ACT."""
    required_ck: int | None
    """Earliest CK at which the offending command would be legal by this rule; the latest, for a deadline (nAAD, WCK,
    retention, refresh_debt, input_overwrite); None where the state forbids it at any time."""

    def __str__(self) -> str:
        """One line: where, what, against what, and by how much."""
        text = f"command {self.command_index} (line {self.command_index + 2}) at CK {self.ck} breaks {self.rule}"
        if self.earlier_index is not None:
            text += f" against command {self.earlier_index} at CK {self.earlier_ck}"
        if self.required_ck is not None:
            bound = "at the latest" if Rule[self.rule] in DEADLINES else "at the earliest"
            text += f": CK {self.required_ck} {bound}"
        return text


class CheckReport(NamedTuple):
    """What a check found."""

    commands: int
    end_ck: int
    violations: list[Violation]
    """In the order of the stream, as many as were to be kept."""
    counts: dict[str, int]
    """All of them, by rule; a rule that nothing breaks is absent."""

    @property
    def legal(self) -> bool:
        """Whether no rule was broken."""
        return not self.counts


class CommandChecker:
    """Checks one stream piece by piece, in memory that doesn't grow with it."""

    def __init__(self, options: CheckOptions | None = None) -> None:
        """Start with every bank precharged, freshly refreshed at CK 0, out of PIM mode, WCK stopped.

        Args:
            options: What is known about the stream; one plain rank of LPDDR5-6400 by default.
        """
        self.options = options = options or CheckOptions()
        ranks, pim = options.ranks, options.pim
        slots, mpus = SETS * pim.slots_per_set, BANKS // pim.banks_per_mpu
        sizes = (options.rows, mpus, pim.banks_per_mpu, slots, pim.sums, options.beats, options.columns)
        self._shape = Shape(ranks, *sizes)
        self._pim_mask = sum(1 << rank for rank in set(options.pim_ranks))
        self._own_bus = self._pim_mask if options.command_buses == 2 else 0
        self._spread = spread_ck(options.timing, pim, mpus)
        t = options.timing
        self._kept_alive = options.refresh != "none"
        self._ca, self._pairs, self._state = (
            new_history(2),
            rules.new_pair_history(ranks),
            rules.new_state_history(ranks),
        )
        self._rows, self._precharges = rules.new_row_history(ranks), new_history(ranks)
        self._activations = [
            (half, new_history(ranks * rules.WINDOW), np.zeros(ranks, np.int64)) for half in HALVES[options.activation]
        ]
        self._columns, self._dq, self._wck = (
            bus.new_column_history(ranks),
            bus.new_dq_history(),
            bus.new_wck_history(ranks),
        )
        self._refreshes = refresh_rules.new_refresh_history(ranks)
        self._retention = refresh_rules.new_retention_history(ranks)
        self._modes = pim_rules.new_mode_history(ranks, pim.mode_steps)
        self._pim_rows = pim_rules.new_pim_row_history(ranks, pim.banks_per_mpu)
        self._inputs = pim_rules.new_input_history(ranks, slots, pim.banks_per_mpu)
        self._log = new_log(options.kept, COMMAND_CK[t.lpddr6])
        self.commands = 0
        self._end_ck = 0

    def feed(self, table: CommandTable, where: str = "command", first: int | None = None) -> None:
        """Check the next commands of the stream.

        Args:
            table: The commands.
            where: What the numbers in an error count.
            first: Number of the first command in an error; its place in the stream by default.

        Raises:
            InputError: A field is missing or out of range.
        """
        first = self.commands if first is None else first
        for begin in range(0, len(table.ck), PIECE):
            # Copied: compiled sweeps then meet one kind of array, however the caller's columns lie in memory.
            piece = CommandTable(*(np.array(column[begin : begin + PIECE], np.int64) for column in table))
            self._sweep(stream_of(piece, self._shape, where, first + begin))

    def _sweep(self, stream: Stream) -> None:
        """Walk one piece once for each family of rules."""
        t, log, start, options = self.options.timing, self._log, self.commands, self.options
        rules.check_ca(stream, start, self._own_bus, log, self._ca)
        rules.check_pairs(stream, start, t, log, self._pairs)
        rules.check_state(stream, start, log, self._state)
        rules.check_rows(stream, start, t, log, self._rows)
        rules.check_precharge_rate(stream, start, t, log, self._precharges)
        for half, ring, activations in self._activations:
            rules.check_activation_rate(stream, start, t, self._spread, half, log, ring, activations)
        bus.check_columns(stream, start, t, log, self._columns)
        bus.check_dq(stream, start, t, log, self._dq)
        if options.wck == "on-demand":
            bus.check_wck(stream, start, t, log, self._wck)
        refresh_rules.check_refresh(stream, start, t, log, self._refreshes)
        if self._kept_alive:
            refresh_rules.check_retention(stream, start, t, log, self._retention)
        pim_rules.check_mode(stream, start, t, self._pim_mask, log, self._modes)
        if self._pim_mask:
            settle_ck, parities = int(self._spread[-1]), options.pim.banks_per_mpu
            pim, slots = options.pim, self._shape.slots
            most = pim.concurrent_ranks
            pim_rules.check_pim_rows(stream, start, t, parities, settle_ck, most, log, self._pim_rows)
            if pim.inputs:
                pim_rules.check_inputs(
                    stream,
                    start,
                    t,
                    pim.tokens,
                    (pim.input_depth // pim.input_bytes, pim.input_bytes),
                    slots,
                    parities,
                    log,
                    self._inputs,
                )
        self.commands += len(stream.ck)
        self._end_ck = max(self._end_ck, int(stream.ck.max()))

    def finish(self, end_ck: int | None = None) -> CheckReport:
        """Hold the end of the stream against what is still due, and report.

        Args:
            end_ck: Until when banks must be kept alive; the last command by default.
        """
        end = self._end_ck if end_ck is None else end_ck
        last = self.commands - 1
        rules.check_pairs_end(last, end, self._log, self._pairs)
        if self._kept_alive and self.commands:
            t, log = self.options.timing, self._log
            refresh_rules.check_retention_end(t, log, last, end, self._retention)
        counts = {Rule(k).name: int(n) for k, n in enumerate(self._log.counts) if n}
        return CheckReport(self.commands, end, self._violations(), counts)

    def _violations(self) -> list[Violation]:
        found = self._log.rows[: self._log.size[0]].tolist()
        return [
            Violation(
                Rule(rule).name,
                index,
                ck,
                earlier if earlier >= 0 else None,
                earlier_ck if earlier >= 0 else None,
                required if required >= 0 else None,
            )
            for rule, index, ck, earlier, earlier_ck, required in sorted(found, key=lambda row: (row[1], row[0]))
        ]


def spread_ck(t: CheckTiming, pim: PimRules, mpus: int) -> IntArray:
    """CK after PIM_ACT at which each activation happens: four nRRD apart, then four an nFAW or 4 nRRD later."""
    if pim.activate == "at_once":
        return np.zeros(1, np.int64)
    four = max(t.nFAW, 4 * t.nRRD)
    return np.array([i % 4 * t.nRRD + i // 4 * four for i in range(mpus)], np.int64)


def check_commands(
    tables: CommandTable | Iterable[CommandTable], options: CheckOptions | None = None, end_ck: int | None = None
) -> CheckReport:
    """Check a stream held in arrays, whole or in pieces.

    Args:
        tables: One table, or tables that follow each other.
        options: What is known about the stream.
        end_ck: Until when banks must be kept alive; the last command by default.
    """
    checker = CommandChecker(options)
    for table in [tables] if isinstance(tables, CommandTable) else tables:
        checker.feed(table)
    return checker.finish(end_ck)


def check_csv(
    path: Path, options: CheckOptions | None = None, progress: Callable[[int], Any] = lambda commands: None
) -> CheckReport:
    """Check a command file, reading it piece by piece.

    Args:
        path: CSV with the columns ck, command, rank, bank_group, bank, row, column.
        options: What is known about the stream.
        progress: Told the number of commands checked so far, after each piece.

    Raises:
        InputError: A line is malformed; the line is named, the header being line 1.
    """
    checker = CommandChecker(options)
    for table in read_csv_tables(path):
        checker.feed(table, f"{path.name}: line", checker.commands + 2)
        progress(checker.commands)
    return checker.finish()


__all__ = [
    "CheckOptions",
    "CheckReport",
    "CheckTiming",
    "CommandChecker",
    "CommandTable",
    "Op",
    "PimRules",
    "Violation",
    "check_commands",
    "check_csv",
]
