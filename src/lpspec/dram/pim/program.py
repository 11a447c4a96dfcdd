"""PIM programs: few instructions that stand for many commands, written as the loops that they are.

An instruction names the ranks that take it (a bit mask) and stands for one command or a run of them: 64 MACs over a
row are one line. Four units take their instructions in order, each on its own: rows (activate, precharge), MACs,
inputs, readback. What must wait for what follows from the order of the lines: a MAC for the rows and inputs above it,
inputs for the MACs above that still use their registers, a readback for the MACs above it, a precharge likewise. So
the line for the next row's inputs may stand before the MACs of this row, and they will overlap.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from struct import Struct

import numpy as np

from lpspec.arrays import IntArray
from lpspec.dram.engine import state
from lpspec.errors import InputError
from lpspec.machine.die import DieSpec
from lpspec.machine.pim_format import INT8, PimFormat

Reach = tuple[int, int]
"""First MPU that a burst of inputs goes to, and how many: a run of them."""

EVERY_MPU: Reach = (0, 0)


def reach_of(line: Sequence[int]) -> Reach:
    """Where the bursts of a PIM_IN go."""
    return line[state.I_BANK] >> REACH_BITS, line[state.I_BANK] & (1 << REACH_BITS) - 1


REACH_BITS = 8
"""Bits of the number of MPUs in the bank of a PIM_IN; the engine, for which all go over DQ alike, does not read it."""


_NO_STEPS = (0,) * state.MAX_DEPTH
_LINE = Struct(f"{state.INSTRUCTION_FIELDS}q")


class ProgramBuilder:
    """Writes a PIM program for dies of one kind, and refuses lines that no such die could execute.

    Attributes:
        slots: Bursts that fill one of the two sets of input registers.
    """

    def __init__(self, device: DieSpec, ranks: int, form: PimFormat = INT8) -> None:
        """Start an empty program for a channel of ``ranks`` such dies, whose MACs are of one format."""
        self._macs_per_int8 = form.lanes(1)
        pim = device.pim
        self._mode_steps, self._alus, self._banks = pim.mode_steps.n, pim.alus.n, pim.banks_per_mpu.n
        self._columns, self._rows = device.organisation.columns, device.organisation.rows.n
        self._accumulator_bursts = device.mpus * device.readback_bursts
        self._mpus, self._names_mpus = device.mpus, pim.input_reach == "mpus"
        self.slots = device.slots_per_set
        self._ranks, self._masks = ranks, 1 << ranks
        self._lines: list[bytes] = []
        self._depth = 0

    def enter(self, mask: int) -> None:
        """Switch ranks into PIM mode, their open rows closed first, in as many steps as their dies take."""
        for step in range(self._mode_steps):
            self._add(state.PIM_ENTER, mask, 0, 0, 0, step)

    def leave(self, mask: int) -> None:
        """Switch ranks back; all their rows must have been precharged."""
        self._add(state.PIM_EXIT, mask)

    def activate(self, mask: int, parity: int, row: int, row_steps: Sequence[int] = ()) -> None:
        """Open a row in one bank of every MPU.

        Args:
            mask: Ranks.
            parity: Which bank of each MPU.
            row: Row in the first round of all loops.
            row_steps: By how much it grows with each round of the enclosing loops, outermost first.

        Raises:
            InputError: There are other numbers of steps than loops.
        """
        self._check("parity", parity, self._banks)
        self._check("row", row, self._rows)
        if len(row_steps) > self._depth:
            raise InputError(f"{len(row_steps)} row steps inside {self._depth} loops")
        self._add(state.PIM_ACT, mask, parity, row, 0, 0, 0, 0, row_steps)

    def precharge(self, mask: int, parity: int) -> None:
        """Close the rows of one bank of every MPU, once the MACs above are done with them."""
        self._check("parity", parity, self._banks)
        self._add(state.PIM_PRE, mask, parity)

    def load_inputs(
        self,
        mask: int,
        slot: int,
        count: int,
        data: int = 0,
        data_steps: Sequence[int] = (),
        reach: Reach = EVERY_MPU,
    ) -> None:
        """Send bursts over DQ into consecutive input slots of one set, all ranks of the mask listening.

        Args:
            mask: Ranks.
            slot: First slot; slots from ``slots_per_set`` on are those of the second set.
            count: Bursts.
            data: Mark for whoever compiles or executes the program; the engine doesn't read it.
            data_steps: How the mark grows with the enclosing loops, outermost first.
            reach: MPUs that latch them, the same of every die; others keep what they have.

        Raises:
            InputError: The slots, or the MPUs, are beyond those of the die.
        """
        slots = self.slots
        self._check("slot", slot, 2 * slots)
        if count < 1 or slot // slots != (slot + count - 1) // slots:
            raise InputError(f"{count} input bursts from slot {slot} don't fit into one set of {slots}")
        if reach != EVERY_MPU:
            self._check_reach(reach)
        bank = reach[0] << REACH_BITS | reach[1]
        self._add(state.PIM_IN, mask, bank, 0, slot, count, 0, 0, (), data, data_steps)

    def mac(self, mask: int, parity: int, inputs: int, column: int = 0, count: int = 64, tokens: int = 0) -> None:
        """Multiply consecutive columns of the open row with one set of inputs.

        Args:
            mask: Ranks.
            parity: Which bank of each MPU.
            inputs: Set of input registers, 0 or 1.
            column: First column, counted in bursts (0 to 63).
            count: Columns.
            tokens: Tokens that each serves, for energy; 0 means all ALUs. Lines count what lanes of INT8 would serve.

        Raises:
            InputError: The columns are beyond the row.
        """
        self._check("parity", parity, self._banks)
        self._check("inputs", inputs, 2)
        self._check("tokens", tokens, self._alus + 1)
        columns = self._columns
        if count < 1 or column < 0 or column + count > columns:
            raise InputError(f"{count} columns from {column} don't fit into a row of {columns}")
        tokens = (tokens or self._alus) * self._macs_per_int8
        self._add(state.PIM_MAC, mask, parity, 0, column, count, inputs, tokens)

    def read_back(
        self, rank: int, burst: int = 0, count: int = 0, data: int = 0, data_steps: Sequence[int] = ()
    ) -> None:
        """Read accumulators of one rank over DQ.

        Args:
            rank: Rank.
            burst: First burst, counted over the MPUs of the die (``readback_bursts`` each).
            count: Bursts; 0 means all up to the last MPU's.
            data: Mark as for ``load_inputs``.
            data_steps: How it grows with the enclosing loops.

        Raises:
            InputError: The bursts are beyond the die's.
        """
        total = self._accumulator_bursts
        self._check("rank", rank, self._ranks)
        self._check("burst", burst, total)
        count = count or total - burst
        if count < 1 or burst + count > total:
            raise InputError(f"{count} bursts from {burst}: a die has {total}")
        self._add(state.PIM_OUT, 1 << rank, 0, 0, burst, count, 0, 0, (), data, data_steps)

    def refresh_point(self, mask: int) -> None:
        """Let the ranks refresh here if they owe it: rows are closed, refreshed, and opened again."""
        self._add(state.PIM_REFAB, mask)

    def wait(self, ck: int) -> None:
        """Let everything above be issued, then issue nothing for some CK (a fence)."""
        self._add(state.WAIT, 1, 0, 0, 0, ck)

    @contextmanager
    def loop(self, rounds: int) -> Iterator[None]:
        """Repeat the lines inside.

        Raises:
            InputError: No round, or loops nested too deep.
        """
        if rounds < 1:
            raise InputError(f"a loop of {rounds} rounds: allowed is at least 1")
        if self._depth == state.MAX_DEPTH:
            raise InputError(f"loops nest at most {state.MAX_DEPTH} deep")
        self._add(state.LOOP, 1, 0, 0, 0, rounds)
        self._depth += 1
        yield
        self._depth -= 1
        self._add(state.END, 1)

    def build(self) -> IntArray:
        """The program as the engine takes it: int64 [instructions, fields]."""
        return np.frombuffer(bytearray().join(self._lines), np.int64).reshape(-1, state.INSTRUCTION_FIELDS)

    def _check_reach(self, reach: Reach) -> None:
        if not self._names_mpus:
            raise InputError("inputs for some MPUs of a die: these dies send them to all (pim.input_reach)")
        if not 0 <= reach[0] <= sum(reach) <= self._mpus:
            raise InputError(f"MPUs {reach[0]} to {sum(reach) - 1}: a die has {self._mpus}")

    def _add(
        self,
        op: int,
        mask: int,
        bank: int = 0,
        row: int = 0,
        column: int = 0,
        count: int = 0,
        inputs: int = 0,
        tokens: int = 0,
        row_steps: Sequence[int] = (),
        data: int = 0,
        data_steps: Sequence[int] = (),
    ) -> None:
        if not 0 < mask < self._masks:
            raise InputError(f"mask {mask:#b} names no rank, or one beyond the {self._ranks} of the channel")
        steps = (*row_steps, *_NO_STEPS[len(row_steps) :]) if row_steps else _NO_STEPS
        marks = (*data_steps, *_NO_STEPS[len(data_steps) :]) if data_steps else _NO_STEPS
        self._lines.append(_LINE.pack(op, mask, bank, row, column, count, inputs, tokens, *steps, data, *marks))

    @staticmethod
    def _check(name: str, value: int, limit: int) -> None:
        if not 0 <= value < limit:
            raise InputError(f"{name} is {value}: allowed is 0 to {limit - 1}")
