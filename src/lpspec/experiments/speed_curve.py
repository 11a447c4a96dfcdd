"""Real speed against tree size on this machine: measured, and as the calibrated prices predict it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from lpspec.decoding.drafter import Drafter, NoDrafter
from lpspec.decoding.generate import Generation, Price, Step, fixed_size
from lpspec.decoding.machine_prices import MachinePrices
from lpspec.errors import InputError
from lpspec.experiments.decoder import Decoder, fresh_drafter

SIZES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 63)
"""Tree sizes of the curve."""

NONE, DTP = "none", "dtp"

ROUNDS = 3
"""Runs of every variant, one after the other in rounds; the first also teaches the pruner."""

PROMPTS = (
    "Q: A farmer has 12 hens, and every hen lays 3 eggs a day. How many eggs are there after a week?\nA:",
    "Q: Anna buys 4 books for $6 each and pays with $50. How much money is left?\nA:",
    "KING:\nWho comes so late to knock upon my gate,\nAnd what",
    "Q: A train of 8 cars carries 40 people in each. At the next stop 75 leave. How many people are on the train?\nA:",
    "First Soldier:\nThe night is cold, and",
    "Q: Ben runs 5 miles on each of 6 days. Carl runs half as far. How many miles do they run together?\nA:",
)
"""Texts that are continued, in the manner of the demo's training texts but not from them."""


@dataclass(frozen=True)
class CurveWork:
    """What every variant decodes.

    Attributes:
        sizes: Tree sizes to try.
        prompts: Texts to continue.
        new_tokens: Tokens to generate for each.
        rounds: Runs of each variant.
    """

    sizes: tuple[int, ...] = SIZES
    prompts: tuple[str, ...] = PROMPTS
    new_tokens: int = 96
    rounds: int = ROUNDS


WORK = CurveWork()


@dataclass(frozen=True)
class SpeedPoint:
    """One variant.

    Attributes:
        tree: ``none``, a size, or ``dtp``.
        l_spec: Tokens verified per pass, on average.
        tokens_per_pass: Tokens that a pass added, on average.
        measured: Tokens per second, every prompt in the fastest of its rounds.
        predicted: Tokens per second of the same steps by the calibrated prices.
    """

    tree: str
    l_spec: float
    tokens_per_pass: float
    measured: float
    predicted: float


@dataclass(frozen=True)
class SpeedCurve:
    """All variants on the same prompts, and the text was the same for all.

    Attributes:
        points: ``none``, the sizes, ``dtp``.
        prompts: How many prompts.
        new_tokens: Tokens generated for each.
        rounds: Runs of each variant.
        model: Name of the model.
        machine: Where it ran.
    """

    points: tuple[SpeedPoint, ...]
    prompts: int
    new_tokens: int
    rounds: int
    model: str
    machine: str

    def of(self, tree: str) -> SpeedPoint:
        """The point of a variant."""
        return next(point for point in self.points if point.tree == tree)

    @property
    def fixed(self) -> tuple[SpeedPoint, ...]:
        """The points of the fixed sizes."""
        return tuple(point for point in self.points if point.tree not in (NONE, DTP))


def measure_curve(
    decoder: Decoder,
    prices: MachinePrices,
    say: Callable[[float], None] = lambda done: None,
    work: CurveWork = WORK,
) -> SpeedCurve:
    """Decode the prompts without drafts, with trees of every size, and as the DTP sizes them.

    Args:
        decoder: Model and drafter.
        prices: This machine's, for that model and drafter.
        say: Told which part is done.
        work: What to decode.

    Raises:
        InputError: A prompt is too long for the model, or the model ends every text with its first token.
    """
    variants: dict[str, tuple[Drafter, Price]] = {NONE: (NoDrafter(), fixed_size(1))}
    variants |= {str(size): (fresh_drafter(decoder), fixed_size(size)) for size in work.sizes}
    variants[DTP] = (fresh_drafter(decoder), prices)
    tokens = [np.array(decoder.tokenizer.encode(prompt)) for prompt in work.prompts]
    fastest: dict[tuple[str, int], list[Step]] = {}
    for done in range(work.rounds * len(variants)):
        name = list(variants)[done % len(variants)]
        for number, prompt in enumerate(tokens):
            steps = list(Generation(decoder.model, prompt, work.new_tokens, variants[name][0], price=variants[name][1]))
            best = fastest.setdefault((name, number), steps)
            fastest[name, number] = max(best, steps, key=_speed)
        say((done + 1) / (work.rounds * len(variants)))
    by_variant = {name: [step for n in range(len(tokens)) for step in fastest[name, n]] for name in variants}
    if not by_variant[NONE]:
        raise InputError(f"'{decoder.name}' ends every text with its first token: there is no step to time")
    points = tuple(_point(name, steps, prices) for name, steps in by_variant.items())
    did = len(work.prompts), work.new_tokens, work.rounds
    return SpeedCurve(points, *did, prices.model, str(prices.machine["processor"]))


def _speed(steps: Sequence[Step]) -> float:
    spent_ns = sum(step.draft_ns + step.verify_ns + step.accept_ns for step in steps)
    return sum(len(step.tokens) for step in steps) / (spent_ns / 1e9) if steps else 0.0


def _point(name: str, steps: Sequence[Step], prices: MachinePrices) -> SpeedPoint:
    tokens = sum(len(step.tokens) for step in steps)
    beside_ns = prices.overhead_ns if name == NONE else 0.0  # plain decoding has no drafter to wait for
    predicted_ns = sum(prices(step.context)[step.tree.size - 1] - beside_ns for step in steps)
    l_spec = sum(step.tree.size for step in steps) / len(steps)
    return SpeedPoint(name, l_spec, tokens / len(steps), _speed(steps), tokens / (predicted_ns / 1e9))
