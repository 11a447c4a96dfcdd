"""What "the model's own text" means in floating point, and whether two texts differ by more than that.

A row of a matrix multiplication may differ in its last bits with the number of rows beside it, so two correct ways
of greedy decoding may part where the model finds two tokens equally likely. The rule for texts to be the same: equal
token by token, or, at the first place where they part, the logits of the two most likely tokens lie closer than
epsilon. What follows such a place is another text, and is not compared. Strict decoding, whose passes are all padded
to one width, parts more seldom: in bfloat16 a small random model parted in 4 of 12 texts without it and in none with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lpspec.decoding.transformer import Transformer

EPSILON = {torch.float32: 1e-3, torch.bfloat16: 0.25}
"""Top-2 logit gap below which greedy texts may part. Logits of a tree pass and of sequential ones were within 1e-4 in
float32, so 1e-3 has room for long contexts; bfloat16 has 8 bits, an eighth for logits from 16 to 32, twice."""


@dataclass(frozen=True)
class Parting:
    """Where two texts part.

    Args:
        place: Index of the first generated token that differs.
        gap: Difference of the two highest logits there, by plain decoding.
        close_call: True where the gap is below epsilon.
    """

    place: int
    gap: float
    close_call: bool


@torch.inference_mode()
def first_parting(
    model: Transformer, prompt: Sequence[int], text: Sequence[int], other: Sequence[int]
) -> Parting | None:
    """Where two greedy continuations of one prompt part, and by how little; None where they are equal.

    Args:
        model: Whose text it is.
        prompt: Token ids.
        text: Plain decoding's continuation.
        other: The other one; both end at the same limits, so one is never merely cut shorter.
    """
    place = next((i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b), None)
    if place is None:
        return None
    known = torch.tensor([*prompt, *text[:place]], device=model.device)
    best, second = model.logits(model.forward(known).hidden[-1]).float().topk(2).values.tolist()
    return Parting(place, best - second, best - second < EPSILON[model.dtype])
