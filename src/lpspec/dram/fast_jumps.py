"""What is known of PIM programs: jumps from one state to the next, and what of the clock each of them depends on."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lpspec.dram import kernels as k
from lpspec.dram.fast_state import StateMap
from lpspec.dram.simulate import ChannelRun

IntArray = NDArray[np.int64]

_MOST_BYTES = 1 << 26
_RUN_BYTES = 1 << 12  # of a run beside its served times, about


@dataclass(frozen=True, slots=True, eq=False)
class Jump:
    """What happens between two stops, as far as it doesn't depend on the clock.

    Attributes:
        ck: Time.
        commands: Commands of the program.
        add: By how much cells grow (``StateMap.add``).
        times: Cells relative to the end (``StateMap.times``).
        rows: Open rows at the end (``StateMap.rows``).
        decided: Decisions about refresh points that some unit has yet to reach.
        busy: For each CK whether a PIM command takes the command slot.
        last_ck: CK of the last of them.
        data_end_ck: End of the last data relative to the end, None if that was known before.
        refreshed: Ranks refreshed at refresh points, and how often.
        lines: How far the MACs and the activations go on in the text.
        rounds: By how much the rounds left of all loops of all units grow; None where all are few, and so the same.
        rounds_left: How many of them are left then, many being ROUNDS.
        key: The state at the end.
    """

    ck: int
    commands: int
    add: IntArray
    times: IntArray
    rows: IntArray
    decided: list[int]
    busy: bytes
    last_ck: int
    data_end_ck: int | None
    refreshed: tuple[tuple[int, int], ...]
    lines: tuple[int, int]
    rounds: tuple[int, ...] | None
    rounds_left: tuple[int, ...]
    key: bytes


class Look(NamedTuple):
    """A look at what ranks owe: when, which ranks, whether it counts (or only asks if any), and what follows."""

    ck: int
    ranks: tuple[int, ...]
    counts: bool
    then: "dict[int, Look | Jump]"


class Branch(NamedTuple):
    """Lines that were read, from first to behind last, relative to where the MACs stand; what they said; what follows.

    What follows stands under 0.
    """

    first: int
    last: int
    signature: bytes
    then: "dict[int, Look | Jump]"


class Clock:
    """When refreshes come due, as the engine counts them."""

    def __init__(self, given: list[int]) -> None:
        """Take the parameters of a channel."""
        self.ranks, self._mode, self._interval = given[k.P_RANKS], given[k.P_REFRESH], given[k.P_NREFI]
        self.refreshes = self._mode != k.REFRESH_NONE
        self.by_pairs = self._mode == k.REFRESH_PAIR
        self.per_point = 8 if self.by_pairs else 1
        """Refreshes due that make one at a refresh point."""
        step = self._interval // 8 if self.by_pairs else self._interval
        self._offset = [r * step // self.ranks for r in range(self.ranks)]

    def due(self, r: int, ck: int) -> int:
        """Refreshes of a rank that came due up to a CK."""
        if not self.refreshes:
            return 0
        after = ck - self._offset[r]
        if self.by_pairs:
            return max(0, (8 * (after + 1) - 1) // self._interval)
        return max(0, after // self._interval)

    def due_at(self, r: int, number: int) -> int:
        """CK at which a rank's refresh of that number (from 1) comes due, refreshes being of all banks."""
        return number * self._interval + self._offset[r]

    def owed(self, ck: int, ranks: tuple[int, ...], paid: list[int]) -> int:
        """Most refreshes that one of the ranks owes at a refresh point."""
        owed = 0
        for r in ranks:
            owed = max(owed, self.due(r, ck) - paid[r])
        return owed // self.per_point

    def pay(self, ranks: tuple[int, ...], owed: int, paid: list[int]) -> None:
        """Count refreshes at a refresh point."""
        for r in ranks:
            paid[r] += owed * self.per_point


@dataclass
class Memory:
    """Jumps and whole runs known for one device and controller."""

    known: dict[bytes, list[Branch]] = field(default_factory=dict)
    maps: dict[tuple[int, ...], StateMap] = field(default_factory=dict)
    runs: dict[bytes, ChannelRun] = field(default_factory=dict)
    size_bytes: int = 0
    runs_bytes: int = 0

    def find(self, branch: Branch, clock: Clock, now: int, paid: list[int]) -> Jump | None:
        """The jump from now, if every look would find what was found before; ``paid`` are refreshes of each rank."""
        node = branch.then.get(0)
        if isinstance(node, Look):
            paid = paid.copy()
        while isinstance(node, Look):
            owed = clock.owed(now + node.ck, node.ranks, paid)
            if node.counts:
                clock.pay(node.ranks, owed, paid)
            node = node.then.get(owed if node.counts else int(owed > 0))
        return node

    def keep(
        self, key: bytes, branch: Branch, looks: list[list[int]], clock: Clock, paid: list[int], jump: Jump
    ) -> None:
        """Keep a jump from a state.

        Args:
            key: The state.
            branch: Lines that were read; nothing follows them.
            looks: At what the ranks owed: CK, CK from the start of the jump, mask, whether it counts.
            clock: When refreshes come due.
            paid: Refreshes of each rank before the jump.
            jump: The jump.
        """
        if self.size_bytes > _MOST_BYTES:
            self.known.clear()
            self.size_bytes = 0
        self.size_bytes += len(jump.busy) + 8 * (jump.add.size + jump.times.size) + len(key)
        branches = self.known.setdefault(key, [])
        same = [other for other in branches if other[:3] == branch[:3]]
        if not same:
            branches.append(branch)
        then, outcome, paid = (same or [branch])[0].then, 0, paid.copy()
        for ck, after, mask, counts in looks:
            ranks = tuple(r for r in range(clock.ranks) if mask >> r & 1)
            node = then.setdefault(outcome, Look(after, ranks, bool(counts), {}))
            if not isinstance(node, Look):
                raise AssertionError("the same state looked at refreshes once, and once not")
            owed = clock.owed(ck, ranks, paid)
            if counts:
                clock.pay(ranks, owed, paid)
            then, outcome = node.then, owed if counts else int(owed > 0)
        then[outcome] = jump

    def keep_run(self, name: bytes, run: ChannelRun) -> None:
        """Keep a run without energy, and let the oldest go if there is too much of them."""
        self.runs[name] = run
        self.runs_bytes += run.served_at.nbytes + _RUN_BYTES
        while self.runs_bytes > _MOST_BYTES:
            oldest = self.runs.pop(next(iter(self.runs)))
            self.runs_bytes -= oldest.served_at.nbytes + _RUN_BYTES
