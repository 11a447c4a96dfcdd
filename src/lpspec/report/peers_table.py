"""Neighbours' numbers beside ours, as tables and as a JSON document."""

from collections.abc import Iterator
from dataclasses import asdict
from itertools import groupby
from typing import Any

from rich.table import Table

from lpspec.experiments.peer_row import PeerRow
from lpspec.experiments.peers import CONTROLS_NOTE, Peers
from lpspec.report.documents import run_document
from lpspec.report.wording import digits, new_table, ratio_text, trace_line


def peers_blocks(peers: Peers) -> Iterator[Any]:
    """A table per neighbour, what explains the differences, and the RTX 3090 at both precisions."""
    for peer, rows in groupby(peers.rows, key=lambda row: row.peer):
        listed = list(rows)
        yield rows_table(peer, listed)
        yield from (f"  {note}" for note in dict.fromkeys(row.note for row in listed if row.note))
        yield from (f"  fitted: {what}" for what in dict.fromkeys(row.fitted for row in listed if row.fitted))
        yield ""
    yield _gpu_table(peers)
    yield ""
    yield _controls_table(peers)
    yield f"  {CONTROLS_NOTE}"
    yield ""
    yield f"trace {trace_line(peers.provenance)}"


def rows_table(peer: str, rows: list[PeerRow]) -> Table:
    """The rows of one neighbour."""
    table = new_table(peer, "quantity|=|=>published|=>simulated|=>ratio|=fidelity|=verdict")
    for row in rows:
        numbers = (_range(row.published, "g"), _range(row.simulated, ""))
        ratio = ratio_text(row.ratio, agrees=row.verdict == "agrees")
        table.add_row(row.quantity, row.unit, *numbers, ratio, row.fidelity, row.verdict)
    return table


def _range(ends: tuple[float, float], form: str) -> str:
    texts = [f"{end:g}" if form else digits(end, 3) for end in dict.fromkeys(ends)]
    return " to ".join(texts)


def _gpu_table(peers: Peers) -> Table:
    table = new_table("RTX 3090, Llama2-7B, dynamic energy", "|>token/s|>token/J|>tokens/pass")
    for name, run in peers.gpus:
        table.add_row(name, digits(run.tokens_per_s), digits(run.tokens_per_j), f"{run.mean_acceptance_length:.3f}")
    return table


def _controls_table(peers: Peers) -> Table:
    table = new_table(
        "LP-Spec, Llama2-7B INT8, at command level; drafts and acceptance of the demo model",
        "|>token/s|>token/J|>drafts/pass|>accepted",
    )
    for row in peers.controls:
        counts = (f"{row.mean_nodes:.2f}", f"{row.mean_accepted:.2f}")
        table.add_row(row.name, digits(row.tokens_per_s), digits(row.tokens_per_j), *counts)
    return table


def peers_document(peers: Peers) -> dict[str, Any]:
    """What ``lpspec peers --json`` writes; a range has its two ends."""
    return {
        "rows": [asdict(row) | {"ratio": row.ratio, "verdict": row.verdict} for row in peers.rows],
        "gpus": [{"name": name} | run_document(run) for name, run in peers.gpus],
        "controls": [asdict(row) for row in peers.controls],
        "provenance": peers.provenance,
    }
