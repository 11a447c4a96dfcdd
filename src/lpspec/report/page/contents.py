"""What a page is made of."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from lpspec.report.page.html import Html


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure of a page.

    Attributes:
        name: Of its file.
        figure: What is drawn.
        caption: What it shows.
    """

    name: str
    figure: Figure
    caption: str


@dataclass(frozen=True, eq=False)
class Section:
    """A part of a page.

    Attributes:
        name: Of its anchor.
        title: Above it.
        parts: Text and figures, in order.
    """

    name: str
    title: str
    parts: tuple[Html | Drawing, ...]


@dataclass(frozen=True, eq=False)
class Page:
    """A whole page.

    Attributes:
        title: Of the page.
        lead: What stands below it.
        sections: In order.
        cloud: Points for the script of the page.
    """

    title: str
    lead: str
    sections: tuple[Section, ...]
    cloud: dict[str, Any]

    @property
    def drawings(self) -> Iterator[Drawing]:
        """Every figure, in order."""
        for section in self.sections:
            yield from (part for part in section.parts if isinstance(part, Drawing))
