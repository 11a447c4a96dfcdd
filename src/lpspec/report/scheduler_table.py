"""What the scheduler decides: trees by size, what other ways to learn give, and where its choices matter."""

from collections.abc import Iterator, Mapping, Sequence

from rich.table import Table

from lpspec.experiments.level import Level
from lpspec.experiments.region import Place
from lpspec.experiments.reproduce import Variant
from lpspec.report.wording import digits, new_table

RULE_NAMES = {
    "full-feedback": "full feedback (every committed token)",
    "verified-nodes": "the paper's: verified nodes alone",
}

REGION_NOTE = (
    "L_spec: the sizes that the pruner chose, the commonest first. DTP: its gain in EDP over the best tree of one "
    "shape (below 1 it loses). DAU: the gain of the split over PIM alone, in token/s, which it serves, and in EDP"
)


def l_spec_lines(level: Level) -> Iterator[str]:
    """How many tokens were verified in how many passes."""
    yield f"L_spec of LP-Spec: {histogram(level.published['lp-spec'].l_spec_histogram)}"
    rivals = [run for name, run in level.fair["equal"]["edp"].items() if name != "lp-spec"]
    others = "; ".join(f"{run.system.name} {histogram(run.l_spec_histogram)}" for run in rivals)
    yield f"  rivals by memory and MACs, trees for EDP: {others}"


def histogram(counts: Mapping[int, int]) -> str:
    """Sizes of trees, and how often the commonest was verified."""
    steps = sum(counts.values())
    if len(counts) == 1:
        return f"{next(iter(counts))} in all {steps:,} steps"
    commonest = max(counts, key=lambda size: counts[size])
    return f"{min(counts)} to {max(counts)}, {commonest} in {counts[commonest] / steps:.0%} of {steps:,} steps"


def variants_table(variants: Sequence[Variant]) -> Table:
    """LP-Spec on the published basis by how its pruner learns."""
    table = new_table(
        "LP-Spec by how the pruner learns and which draft heads run (the first row is published basis)",
        "=learns from|=heads|=>token/s|=>token/J|=>EDP s·mJ|=>tokens/pass|=>L_spec",
    )
    for variant in variants:
        run = variant.command or variant.closed
        numbers = (digits(run.tokens_per_s, 3), digits(run.tokens_per_j, 3), digits(run.edp_s_mj, 3))
        lengths = (f"{run.mean_acceptance_length:.3f}", f"{run.mean_l_spec:.2f}")
        table.add_row(RULE_NAMES[variant.rule], variant.heads, *numbers, *lengths)
    return table


def region_table(places: Sequence[Place]) -> Table:
    """Where the pruner and the split decide anything."""
    found = {(place.vocabulary, place.profile, place.context): place for place in places}
    vocabularies, profiles, contexts = (list(dict.fromkeys(names)) for names in zip(*found, strict=True))
    table = new_table(
        "where the scheduler decides anything: the chosen assumption set, trees for EDP, analytic",
        "=profile|=>context",
        *(head for v in vocabularies for head in (f"={v:,} words: L_spec", "=>DTP", "=>DAU token/s", "=>EDP")),
    )
    for profile in profiles:
        for context in contexts:
            cells = [cell for words in vocabularies for cell in _place_cells(found[words, profile, context])]
            last = context == contexts[-1]
            table.add_row(profile if context == contexts[0] else "", f"{context:,}", *cells, end_section=last)
    return table


def _place_cells(place: Place) -> tuple[str, ...]:
    if place.l_spec is None:
        return "does not fit", "", "", ""
    sizes = ", ".join(map(str, sorted(place.l_spec, key=place.l_spec.__getitem__, reverse=True)))
    return sizes, f"{place.dtp_edp_gain:.3f}", f"{place.dau_speed_gain:.2f}", f"{place.dau_edp_gain:.2f}"
