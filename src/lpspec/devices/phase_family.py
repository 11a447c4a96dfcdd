"""Phases that are alike: what a copy takes without refresh is affine in counts of its program."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from lpspec.arrays import FloatArray
from lpspec.devices.phase_prices import Job
from lpspec.dram.run.session import ACTIVE_CK, CK

SAME, MOST_SAME, NOTHING = 1e-4, 5e-2, 1e-7
"""Part of a phase's time whose features lie outside of those of the anchors, times the share of time that its family
takes, from which on it is no combination of them; the most that such a part may be; what is no part but rounding."""

FAIR_SHARE = 0.1
"""Among phases that add so much of what the best would add, the shortest becomes an anchor."""

MOST_CHECKS, FAIR_ERROR = 3, 1e-4
"""A phase that checks a family becomes an anchor, and where its error, times the share of time that the family takes,
was larger than this, another one checks again."""

LONGEST_CHECK = 3.0
"""CK of the phase that checks a family, over those of its longest anchor, where there is so short a one."""


class Member(NamedTuple):
    """A phase of a family: its features in CK, about how many CK it takes, and how many of all CK go to it."""

    make: Callable[[], Job]
    features: tuple[float, ...]
    ck: float
    weight: float = 0.0


class Family:
    """Phases whose counts are combined from those of a few that were run, the anchors; one more checks them.

    Attributes:
        error: Relative error of the CK of the last phase that checked it.
    """

    def __init__(self, run: Callable[[Job], FloatArray]) -> None:
        """Take what runs a phase without refresh."""
        self._run = run
        self._anchors: dict[tuple[float, ...], FloatArray] = {}
        self._solved: tuple[int, FloatArray, FloatArray] | None = None
        self.error = 0.0

    def error_of(self, member: Member) -> float:
        """Relative error of the CK of a member: none of an anchor, which was run itself."""
        return 0.0 if member.features in self._anchors else self.error

    def learn(self, members: Sequence[Member], candidates: Sequence[Member], share: float) -> None:
        """Run anchors until all members are combinations of them, then another phase to check them.

        Args:
            members: Whose counts will be asked for.
            candidates: What may be run, surely phases of the family; the heaviest check it.
            share: Part of all time that goes to the members.
        """
        new = self._cover(members, candidates, min(SAME / share**1.5, MOST_SAME))
        checks = MOST_CHECKS if new or self.error * share > FAIR_ERROR else 0
        for _ in range(checks):
            others = [member for member in candidates if member.features not in self._anchors]
            if not others:
                return
            longest = max(float(counts[CK]) for counts in self._anchors.values())
            short = [m for m in others if m.ck <= LONGEST_CHECK * longest] or [min(others, key=lambda m: m.ck)]
            check = max(short, key=lambda m: (m.weight, m.features[-1]))
            predicted_ck = float(np.array(check.features) @ self._solve()[:, CK])
            self._anchors[check.features] = exact = self._run(check.make())
            self.error = abs(predicted_ck / float(exact[CK]) - 1)
            if self.error * share <= FAIR_ERROR:
                return

    def counts(self, members: Sequence[Member]) -> FloatArray:
        """Counts of copies without refresh, an anchor's as they were run: float64 [members, COUNTED]."""
        if self._solved is None or self._solved[0] != len(self._anchors):
            self._solved = len(self._anchors), self._solve(), self._solve_open_rows()
        features = np.array([member.features for member in members])
        found: FloatArray = features @ self._solved[1]
        found[:, ACTIVE_CK] = _with_open_rows(features, found[:, CK]) @ self._solved[2]
        for row, member in zip(found, members, strict=True):
            row[:] = self._anchors.get(member.features, row)
        return found

    def _solve(self) -> FloatArray:
        """What one CK more of each feature adds, the least that explains the anchors: float64 [features, COUNTED]."""
        counts = np.stack(list(self._anchors.values()))
        ck = counts[:, CK, None]
        return _least(np.array(list(self._anchors)) / ck, counts / ck)

    def _solve_open_rows(self) -> FloatArray:
        """The same of the CK that rows are open, float64 [features + 1]."""
        counts = np.stack(list(self._anchors.values()))
        ck = counts[:, CK]
        of_rows = _with_open_rows(np.array(list(self._anchors)), ck) / ck[:, None]
        return _least(of_rows, counts[:, ACTIVE_CK] / ck)

    def _cover(self, members: Sequence[Member], candidates: Sequence[Member], same: float) -> int:
        """Make candidates anchors until members are combinations of anchors, or candidates are; how many it took.

        What lies outside of them may be ``same``.
        """
        taken = [np.array(features) / counts[CK] for features, counts in self._anchors.items()]
        others = (*members, *candidates)
        asked = np.array([m.features for m in others]) / np.array([[m.ck] for m in others])
        left = np.concatenate([np.array(taken).reshape(-1, asked.shape[1]), asked])
        for i in range(len(taken)):
            left = _without(left, left[i])
        ours, theirs = len(taken), len(taken) + len(members)
        new = 0
        while (outside := np.sqrt(np.einsum("ij,ij->i", left, left)))[ours:theirs].max() > same:
            adds = outside[theirs:]
            if adds.max(initial=0.0) <= NOTHING:
                break
            fair: list[int] = np.flatnonzero(adds >= FAIR_SHARE * adds.max()).tolist()
            best = min(fair, key=lambda i: candidates[i].ck)
            self._anchors[candidates[best].features] = self._run(candidates[best].make())
            left = _without(left, left[theirs + best])
            new += 1
        return new


def _without(rows: FloatArray, row: FloatArray) -> FloatArray:
    """Rows less what they have in the direction of one of them."""
    size = float(row @ row)
    return rows if size <= NOTHING**2 else rows - np.outer(rows @ row, row / size)


def _with_open_rows(features: FloatArray, ck: FloatArray) -> FloatArray:
    """Features and, where reads go beside, all CK: rows that they opened stay open until the program ends.

    So large that the least weights say so, rather than that each read keeps a row open, unless anchors do.
    """
    return np.column_stack([features, 100.0 * ck * (features[:, -1] > 0)])


def _least(features: FloatArray, counts: FloatArray) -> FloatArray:
    """The least weights of features that explain counts best: float64 [features, ...]."""
    return np.asarray(np.linalg.lstsq(features, counts, rcond=1e-9)[0], np.float64)
