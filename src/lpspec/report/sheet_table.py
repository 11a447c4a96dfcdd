"""Data sheets as tables."""

from collections.abc import Iterator, Mapping
from typing import Any

from lpspec.report.sheets import Sheet
from lpspec.report.wording import digits, new_table


def sheet_blocks(sheet: Sheet) -> Iterator[Any]:
    """What is written down, then what follows from it."""
    yield f"{sheet.kind} {sheet.name}: {sheet.summary}"
    facts = new_table(None, "=key|>value|meaning|source")
    above = None
    for fact in sheet.facts:
        facts.add_row(fact.key, fact.text, fact.description, "as above" if fact.source == above else fact.source)
        above = fact.source
    yield facts
    if not sheet.identities:
        return
    follows = new_table("what follows", "=key|=>value|meaning")
    for identity in sheet.identities:
        follows.add_row(identity.key, f"{digits(identity.value)} {identity.unit}".strip(), identity.description)
    yield follows


def catalogue_blocks(catalogue: Mapping[str, Mapping[str, str]]) -> Iterator[Any]:
    """Every name that can be inspected, by kind, with its summary."""
    for kind, entries in catalogue.items():
        table = new_table(kind, "=|")
        table.show_header = False
        for name, summary in entries.items():
            table.add_row(name, summary)
        yield table
