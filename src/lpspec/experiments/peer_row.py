"""A neighbour's number beside ours."""

from dataclasses import dataclass

Numbers = float | tuple[float, float]
"""A number, or the two ends of a range."""
AGREEMENT = 0.05
"""Relative difference within which two simulators are said to agree."""


@dataclass(frozen=True, slots=True)
class PeerRow:
    """A neighbour's number, and ours under its conditions.

    Attributes:
        id: Key of the row.
        peer: Whose number, with its conditions.
        quantity: What it is.
        published: The number; a range has its two ends.
        simulated: What this project gives; a range where a condition is open.
        unit: Its unit, ``x`` for a ratio.
        fidelity: ``analytic`` or ``command``: how ours was come by; ``replay`` where nothing was priced.
        note: What explains a difference.
        system: Which system of ours it is, by the name that ``compare`` takes, or its machine's.
        fitted: What of ours was fitted, and to what; empty where nothing was.
    """

    id: str
    peer: str
    quantity: str
    published: tuple[float, float]
    simulated: tuple[float, float]
    unit: str
    fidelity: str
    note: str = ""
    system: str = ""
    fitted: str = ""

    @property
    def ratio(self) -> float:
        """Middle of the simulated range over the middle of the published one."""
        return sum(self.simulated) / sum(self.published)

    @property
    def verdict(self) -> str:
        """``agrees`` within 5 % or where the ranges meet; ``explained`` by a note; otherwise ``differs``."""
        meet = min(self.simulated) <= max(self.published) and min(self.published) <= max(self.simulated)
        if meet or abs(self.ratio - 1) <= AGREEMENT:
            return "agrees"
        return "explained" if self.note else "differs"


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Who published something, and which system of ours stands for it.

    Attributes:
        peer: Its name, and under which conditions its numbers hold.
        system: As ``compare`` takes it.
    """

    peer: str
    system: str

    def row(self, key: str, quantity: str, published: Numbers, found: Numbers, **more: str) -> PeerRow:
        """One of its numbers beside ours; ``more`` as for ``PeerRow``, an analytic ratio if left out."""
        theirs, ours = ((one, one) if isinstance(one, int | float) else one for one in (published, found))
        said = {"unit": "x", "fidelity": "analytic", "system": self.system, **more}
        return PeerRow(key, self.peer, quantity, theirs, ours, **said)
