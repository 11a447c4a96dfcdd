"""Where LP-Spec+ and each of its pieces are held against LP-Spec for being worse: 180 settings."""

from collections.abc import Mapping
from dataclasses import dataclass

from lpspec.experiments.beyond import ALL, SOONEST, Case, Piece, without

CONTEXTS: Mapping[str, tuple[int, ...]] = {
    "llama2-7b": (128, 512, 2000, 3500),
    "llama3-8b": (128, 1000, 3500, 7500),
    "llama3.2-1b": (128, 2000, 8000, 32768),
    "llama3.2-3b": (128, 2000, 3500, 32768),
    "qwen2.5-7b": (128, 2000, 8000, 32000),
}
"""Models, and prompts in tokens: from a short question up to the longest that the model reads, or 32k."""

PROFILES = ("attacc", "specpim", "micron-y52p")
BATCHES = (1, 4, 16)


@dataclass(frozen=True)
class GridCase(Case):
    """One of many settings: all pieces together, these but for splits that end soonest, and each alone."""

    def variants(self) -> dict[str, tuple[Piece, ...]]:
        """Sets of pieces by the name of their row."""
        together = {ALL: self.pieces, SOONEST: without(SOONEST, self.pieces)}
        return {**together, **{piece.name: (piece,) for piece in self.pieces}}


def grid() -> tuple[GridCase, ...]:
    """Every setting: 180."""
    return tuple(
        GridCase("grid", model, context=context, batch=batch, profile=profile)
        for model, contexts in CONTEXTS.items()
        for context in contexts
        for profile in PROFILES
        for batch in BATCHES
    )
