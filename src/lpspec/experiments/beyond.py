"""LP-Spec+: what does better than the paper's scheduler on the paper's machine, piece by piece, and where it is tried.

LP-Spec, the baseline, is the paper's: Medusa's heads, all of them run wherever there is a tree; columns of every
product split so that both sides finish together; accepted keys and values moved up. Its acceptance is Medusa's.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from lpspec.scenario import Scenario, Workload
from lpspec.scenario.names import Fidelity, HeadUse

BASELINE, TOGETHER = "lp-spec", "lp-spec-plus"
"""The systems that are compared."""

MT_BENCH, SPEC_BENCH = "vicuna-7b", "vicuna-7b-spec-bench"
ALL, WITHOUT, WITH = "all", "without ", "all with "
"""What rows call all pieces together, and how the names begin of all but one, and of all and an extra."""

SOONEST = WITHOUT + "split-for-edp"
"""The row of batches that keeps LP-Spec's token/s: products are split so that they end soonest."""

NO_HARDWARE = "nothing"


@dataclass(frozen=True)
class Piece:
    """A part of LP-Spec+ by its name.

    Attributes:
        name: What rows and options call it.
        effect: Why it should help.
        hardware: What the paper's machine has to have besides, in words; ``NO_HARDWARE`` for none.
        changes: Constants of the platform that it changes, by key.
        heads: Draft heads that a step runs, where it says so.
        drafts: Whether it is another drafter than Medusa's heads: that of the case.
        kv_bits: Bits of a number of the cache, where it changes them: then text is another.
    """

    name: str
    effect: str
    hardware: str
    changes: Mapping[str, str] = field(default_factory=dict)
    heads: HeadUse | None = None
    drafts: bool = False
    kv_bits: int | None = None

    @property
    def is_lossless(self) -> bool:
        """Whether text stays the same."""
        return self.kv_bits is None


PIECES: tuple[Piece, ...] = (
    Piece("heads-by-depth", "a step runs as many draft heads as its tree is deep", NO_HARDWARE, heads="by-depth"),
    Piece(
        "split-for-edp",
        "products are split for the least energy-delay product, not so that both sides finish together",
        "nothing: other numbers in the DAU's allocation table",
        {"allocator": "least-edp"},
    ),
    Piece(
        "drafts-in-scratchpad",
        "keys and values wait in the NPU's scratchpad, and accepted ones are written to memory by full blocks",
        "nothing: room in the scratchpad that the paper's NPU has",
        {"draft_cache": "scratchpad-blocks"},
    ),
    Piece(
        "k-over-ranks",
        "ranks share the inputs of the outputs that fill no tile, and the NPU adds their sums",
        NO_HARDWARE,
        {"pim.product_split": "columns-and-k"},
    ),
    Piece(
        "attention-by-positions",
        "PIM takes some positions of every head, the NPU the others, scores and values each for itself",
        NO_HARDWARE,
        {"pim.attention_split": "positions"},
    ),
    Piece(
        "scores-in-turn",
        "PIM ranks compute scores a row apart, so that one reads back while others compute, and queries are sent once",
        "nothing: another order of commands",
        {"pim.scores_order": "in-turn"},
    ),
    Piece("better-drafts", "EAGLE-3's layer drafts in place of Medusa's heads", NO_HARDWARE, drafts=True),
)
"""Every piece; ``lp-spec-plus`` has the changes of all of them."""

EXTRAS: tuple[Piece, ...] = (
    Piece(
        "inputs-by-mpus",
        "heads whose values share a die take inputs of their own, so that each MAC serves all of them",
        "MPU addresses on input bursts: a burst is latched by a run of a die's MPUs, not by all of them",
        {"pim.input_reach": "mpus"},
    ),
    Piece(
        "4-bit-cache",
        "keys and values of 4 bits, a scale for each, meet 8-bit queries and probabilities in the banks",
        "MPUs of 64 lanes for 4-bit weights (W4A8), with twice as many accumulators",
        {"pim.formats": "w8a8 w4a8"},
        kv_bits=4,
    ),
)
"""What needs more than LP-Spec's hardware: beside all pieces, in rows of their own."""


LONG = 32768
"""Tokens of a long context."""


@dataclass(frozen=True)
class Case:
    """Where LP-Spec+ is compared with LP-Spec.

    Attributes:
        shows: The group of rows that it belongs to.
        model: A preset.
        drafter: Of LP-Spec+; LP-Spec has Medusa's heads.
        trace: Whose acceptance the drafter of LP-Spec+ has.
        baseline_trace: Whose acceptance LP-Spec has.
        context: Tokens of each prompt.
        batch: Requests of a pass at most.
        profile: Energy profile.
        is_taken_apart: Whether each piece is tried alone and left out, too.
    """

    shows: str
    model: str
    drafter: str = "medusa"
    trace: str = MT_BENCH
    baseline_trace: str = MT_BENCH
    context: int = 128
    batch: int = 1
    profile: str = "attacc"
    is_taken_apart: bool = False

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """Those that make a difference here."""
        return tuple(piece for piece in PIECES if not piece.drafts or self.drafter != "medusa")

    def variants(self) -> dict[str, tuple[Piece, ...]]:
        """Sets of pieces by the name of their row: all, and each alone and left out where it is taken apart."""
        mine = self.pieces
        found = {ALL: mine}
        if self.is_taken_apart:
            found |= {piece.name: (piece,) for piece in mine}
            found |= {WITHOUT + left.name: without(WITHOUT + left.name, mine) for left in mine}
        elif self.batch > 1:
            found[SOONEST] = without(SOONEST, mine)
        if self.is_taken_apart or self.context >= LONG:
            found |= {WITH + extra.name: (*mine, extra) for extra in EXTRAS}
        return found

    def scenario(self, pieces: Iterable[Piece], fidelity: Fidelity, new_tokens: int | None = None) -> Scenario:
        """What runs: LP-Spec with some pieces; without any, LP-Spec itself.

        Args:
            pieces: Of ``PIECES``.
            fidelity: What prices it.
            new_tokens: Tokens of each turn at most; None for whole turns.
        """
        chosen = tuple(pieces)
        drafts = any(piece.drafts for piece in chosen)
        system, changed_by = BASELINE, chosen
        if chosen and chosen[: len(self.pieces)] == self.pieces:  # the same machine by its name
            system, changed_by = TOGETHER, chosen[len(self.pieces) :]
        changes: dict[str, str] = {}
        for piece in changed_by:
            changes |= piece.changes
        return Scenario(
            systems=(system,),
            changes=changes,
            kv=next((piece.kv_bits for piece in chosen if piece.kv_bits is not None), None),
            model=self.model,
            drafter=self.drafter if drafts else "medusa",
            trace=self.trace if drafts or self.drafter == "medusa" else self.baseline_trace,
            heads=next((piece.heads for piece in chosen if piece.heads is not None), "all"),
            energy_profile=self.profile,
            workload=Workload(prompt_tokens=self.context, new_tokens=new_tokens, batch=self.batch),
            fidelity=fidelity,
        )


def without(name: str, pieces: Iterable[Piece]) -> tuple[Piece, ...]:
    """Pieces but the one that a row's name leaves out."""
    return tuple(piece for piece in pieces if WITHOUT + piece.name != name)


PHONE_MODELS = ("llama2-7b", "llama3-8b", "llama3.2-1b")


def cases() -> tuple[Case, ...]:
    """Every case of the comparison."""
    eagle = {"llama3.1-8b": "llama3.1-8b-eagle3", "qwen3-8b": "qwen3-8b-eagle3"}
    return (
        *(Case("drafts by Medusa", model, is_taken_apart=True) for model in PHONE_MODELS),
        *(Case("drafts by Medusa", model) for model in ("llama3.1-8b", "qwen3-8b", "vicuna-13b")),
        *(Case("drafts by EAGLE-3", model, "eagle3", trace, is_taken_apart=True) for model, trace in eagle.items()),
        Case("long context", "llama3.1-8b", context=LONG, is_taken_apart=True),
        *(Case("long context", model, context=LONG) for model in ("llama3.2-1b", "llama3.2-3b", "qwen3-8b")),
        Case("long context", "llama3.1-8b", "eagle3", eagle["llama3.1-8b"], context=LONG),
        *(Case("harder drafts", model, trace=SPEC_BENCH, baseline_trace=SPEC_BENCH) for model in PHONE_MODELS),
        *(Case("batches", model, batch=batch) for model in PHONE_MODELS for batch in (4, 16)),
        *(Case("batches", model, "eagle3", trace, batch=n) for model, trace in eagle.items() for n in (4, 16)),
        *(
            Case("energy profiles", model, profile=profile)
            for profile in ("specpim", "micron-y52p")
            for model in PHONE_MODELS
        ),
    )
