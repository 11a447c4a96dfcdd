"""How far chains of first guesses are right in a trace."""

from collections.abc import Iterator
from typing import Any

from lpspec.report.wording import new_table
from lpspec.speculation.chains import ChainStatistics
from lpspec.speculation.rank_trace import RankTrace


def acceptance_document(trace: RankTrace, found: ChainStatistics) -> dict[str, Any]:
    """What ``lpspec acceptance --json`` writes; lists are by depth, from one draft on."""
    return {
        "name": trace.name,
        "model": trace.model,
        "drafter": trace.drafter,
        "temperature": trace.temperature,
        "kind": trace.kind,
        "description": trace.description,
        "source": trace.source,
        "turns": trace.turns,
        "positions": trace.positions,
        "top_k": trace.top_k,
        "survival": list(found.survival),
        "accepted_by_passes": list(found.accepted),
        "tokens_per_pass_of_chains": list(found.tokens_per_pass),
        "turn_sd": found.turn_sd,
        "lag_1": found.lag_1,
        "sha256": trace.content_hash,
    }


def acceptance_blocks(trace: RankTrace, found: ChainStatistics) -> Iterator[Any]:
    """Survival and tokens per pass by depth, then what the trace is."""
    heads = ">drafts|>all right|>of those right before|>accepted by passes|>tokens per pass"
    table = new_table(f"{trace.name}: chains of first guesses", heads)
    before = 1.0
    by_depth = zip(found.survival, found.accepted, found.tokens_per_pass, strict=True)
    for depth, (share, accepted, tokens) in enumerate(by_depth, 1):
        given = f"{share / before:.3f}" if before else "-"
        table.add_row(str(depth), f"{share:.3f}", given, f"{accepted:.3f}", f"{tokens:.3f}")
        before = share
    yield table
    yield f"spread  tokens per pass of the longest chain: ± {found.turn_sd:.3f} over turns, lag-1 {found.lag_1:.3f}"
    at = "greedy" if trace.temperature == 0 else f"temperature {trace.temperature:g}"
    yield f"trace   {trace.kind}, model {trace.model}, drafter {trace.drafter}, {at}"
    yield f"text    {trace.positions} tokens in {trace.turns} turns, lists of {trace.top_k}"
    yield f"about   {trace.description}"
    yield f"source  {trace.source}"
