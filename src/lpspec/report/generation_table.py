"""Generated text as people read it: what each system would have taken, and how the drafts fared."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from rich.table import Table

from lpspec.experiments.acceptance import PositionAcceptance
from lpspec.experiments.generation import Generated
from lpspec.report.compare_table import add_left_out, basis_text, board_line, costs_text, left_out_lines, systems_table
from lpspec.report.wording import digits, new_table

PARTS = 10
"""Pieces of a run over which L_spec is shown."""


def generation_blocks(generated: Generated) -> Iterator[Any]:
    """The systems, the acceptance of every position, and what stands behind them."""
    table = systems_table(f"{generated.priced_as}: these very steps, per generated token", generated.runs)
    add_left_out(table, generated.left_out)
    yield table
    if generated.acceptance:
        yield _acceptance_table(generated.acceptance)
    yield from _lines(generated)


def _acceptance_table(positions: Sequence[PositionAcceptance]) -> Table:
    ranks = max(len(position.by_rank) for position in positions)
    table = new_table(
        "drafts accepted, of the steps that reached their place",
        ">place after root|>reached|>accepted|>rate",
        *(f">guess {rank + 1}" for rank in range(ranks)),
    )
    for position in positions:
        rate = "-" if position.rate is None else f"{position.rate:.3f}"
        counts = [str(count) for count in position.by_rank]
        table.add_row(str(position.position), str(position.reached), str(position.accepted), rate, *counts)
    return table


def _lines(generated: Generated) -> Iterator[str]:
    request, steps = generated.request, generated.steps
    tokens = sum(len(text.token_ids) for text in generated.written)
    a_pass = f", {generated.tokens_per_step:.3f} tokens a pass" if generated.tokens_per_step is not None else ""
    yield f"steps   {tokens} tokens in {len(steps)} verify passes{a_pass}"
    yield f"L_spec  {_over_time([step.tree.size for step in steps])}"
    if generated.measured_tokens_per_s is not None:
        machine = generated.provenance["machine"]
        how = f"backend {machine['backend']}, threads: {machine['threads']}, {machine['dtype']}, {machine['processor']}"
        yield f"here    {digits(generated.measured_tokens_per_s)} token/s measured ({how})"
    yield f"trees   {_trees(generated)}"
    yield f"text    {_text(generated)}"
    costs = costs_text(generated.runs, generated.provenance["fidelity"])
    yield f"costs   {costs}, basis {basis_text(request.basis, generated.runs)}"
    yield from board_line(generated.runs)
    yield from left_out_lines(generated.left_out)


def _over_time(sizes: Sequence[int]) -> str:
    if not sizes:
        return "no step"
    bounds = [len(sizes) * part // PARTS for part in range(PARTS + 1)]
    parts = [sizes[low:high] for low, high in pairwise(bounds) if high > low]
    means = " ".join(f"{sum(part) / len(part):.1f}" for part in parts)
    return f"{sum(sizes) / len(sizes):.2f} on average; from beginning to end: {means}"


def _trees(generated: Generated) -> str:
    request = generated.request
    if request.drafter == "none":
        return "none: plain decoding"
    if request.tree != "dtp":
        return f"{request.tree} at every step, drafted by {request.drafter}"
    where = "this machine" if request.objective == "machine" else request.systems[0]
    goal = "throughput" if request.objective == "machine" else request.objective
    return f"drafted by {request.drafter}, sized by the pruner (DTP) for {goal} on {where}"


def _text(generated: Generated) -> str:
    request = generated.request
    if request.temperature == 0:
        return "greedy: the model's own, whatever the trees"
    how = f"sampled at temperature {request.temperature:g}, top-p {request.top_p:g}, seed {request.seed}"
    return f"{how}: {'lossless' if request.accept == 'exact' else 'typical acceptance, LOSSY'}"
