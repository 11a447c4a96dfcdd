"""Traces of real decoding: Medusa's ranks, or the whole trees of a drafter that grows them by confidence."""

from collections.abc import Callable, Sequence

from lpspec.decoding.draft_trace import DraftTrace
from lpspec.decoding.drafter import NoDrafter
from lpspec.decoding.drafters.medusa import Medusa
from lpspec.decoding.recording import Prompt, record_drafts, record_ranks
from lpspec.errors import InputError
from lpspec.experiments.decoder import load_decoder, prompt_tokens
from lpspec.simulation.workload import MAX_TREE_SIZE
from lpspec.speculation.rank_trace import RankTrace

LABEL_LETTERS = 40
"""Letters of a prompt that become the label of its turn."""


def record(
    prompts: Sequence[str],
    name: str,
    model: str = "demo",
    drafter: str = "medusa",
    heads: str | None = None,
    new_tokens: int = 128,
    nodes: int = MAX_TREE_SIZE - 1,
    dtype: str = "float32",
    say_done: Callable[[int], None] = lambda done: None,
) -> RankTrace | DraftTrace:
    """Continue every prompt greedily and record what was guessed at every token.

    Args:
        prompts: Texts to continue; each becomes a turn.
        name: Of the trace.
        model: ``demo``, a model folder, or a hub id.
        drafter: Any but ``none``.
        heads: Its weights; None for those in the model's folder.
        new_tokens: Tokens to generate per prompt, at least 2.
        nodes: Drafts per recorded tree at most; has no meaning for Medusa.
        dtype: ``float32`` or ``bfloat16``.
        say_done: Told how many prompts are done.

    Raises:
        InputError: A name, file or prompt that cannot be used, or nothing to record.
    """
    if not 1 <= nodes < MAX_TREE_SIZE:
        raise InputError(f"{nodes} drafts per tree are not possible: allowed are 1 to {MAX_TREE_SIZE - 1}")
    if new_tokens < 2:
        raise InputError(f"{new_tokens} new tokens leave nothing to record: 2 are the least")
    decoder = load_decoder(model, drafter, heads, dtype=dtype)
    if isinstance(decoder.drafter, NoDrafter):
        raise InputError("drafter 'none' guesses nothing that could be recorded")
    tokens = prompt_tokens(decoder, prompts, new_tokens)
    turns = [Prompt(ids, _label(prompt)) for ids, prompt in zip(tokens, prompts, strict=True)]
    done = 0

    def say(label: str) -> None:
        nonlocal done
        done += 1
        say_done(done)

    if isinstance(decoder.drafter, Medusa):
        return record_ranks(decoder.model, decoder.drafter, turns, new_tokens, name, say)
    return record_drafts(decoder.model, decoder.drafter, turns, new_tokens, nodes, name, drafter, say)


def _label(prompt: str) -> str:
    return " ".join(prompt.split())[:LABEL_LETTERS]
