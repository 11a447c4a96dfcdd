"""The Python API beyond single runs: one product's price, and the points of a study's store."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lpspec.api import Result
from lpspec.experiments.product import ProductPrice, price_product
from lpspec.explore.pareto import Cloud
from lpspec.explore.results import Query, Results
from lpspec.report.product_table import product_blocks, product_document, product_rows
from lpspec.report.results_table import results_blocks, results_document
from lpspec.scenario.product import Product

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class PricedProduct(ProductPrice, Result):
    """One product on every device of a system; ``devices`` has time, counts and energies."""

    def to_dict(self) -> dict[str, Any]:
        """What ``lpspec price --json`` writes."""
        return product_document(self)

    def to_rows(self) -> list[dict[str, Any]]:
        """One row per device and kind of event."""
        return product_rows(self)

    def blocks(self) -> Iterable[Any]:
        """What ``lpspec price`` prints."""
        return product_blocks(self)

    def plot(self) -> "Figure":
        """What ``lpspec price --figure`` draws."""
        from lpspec.report.product_figure import product_figure

        return product_figure(self)


def price(**options: Any) -> PricedProduct:
    """Price one matrix product on every device of a system, as ``lpspec price`` does.

    Args:
        options: ``m``, ``k``, ``n``, ``system``, ``weights``, ``activations``, ``energy_profile`` and ``changes``.

    Raises:
        InputError: A name or value that cannot be used; a line for each.
    """
    return PricedProduct(**vars(price_product(Product.from_dict(options))))


@dataclass(frozen=True, eq=False, repr=False)
class StudyResults(Result):
    """Points of a study's store.

    Attributes:
        rows: Each point by column, with its ``scenario`` and ``metrics``.
        columns: What tells points apart, and their figures.
        document: What ``lpspec results --json`` writes.
    """

    rows: tuple[dict[str, Any], ...]
    columns: tuple[str, ...]
    document: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """What ``lpspec results --json`` writes."""
        return self.document

    def to_rows(self) -> list[dict[str, Any]]:
        """One row per point."""
        return [{name: row[name] for name in self.columns} for row in self.rows]

    def blocks(self) -> Iterable[Any]:
        """What ``lpspec results`` prints."""
        return results_blocks(self.rows, self.columns, len(self.rows), self.document["provenance"])

    def plot(self) -> "Figure":
        """Token/s and token/J of every point, with those that no other beats."""
        from lpspec.report.results_figure import results_figure

        return results_figure(Cloud.of(self.rows, ("tokens_per_s", "tokens_per_j")))


def results(store: str | Path, where: str = "", sort: str = "", limit: int | None = None) -> StudyResults:
    """Points of a study's store, as ``lpspec results`` shows them.

    Args:
        store: The folder that ``lpspec sweep`` filled.
        where: A condition in SQL over the columns; all points if left out.
        sort: A column to sort by, with ``:desc`` behind it for the largest first.
        limit: Points at most.

    Raises:
        InputError: There is no store, or the condition is no SQL.
    """
    found = Results(store)
    try:
        rows = list(found.rows(Query(where, sort, limit)))
        return StudyResults(tuple(rows), found.shown_columns(Query(where)), results_document(rows, found))
    finally:
        found.close()
