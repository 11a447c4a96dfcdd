"""Traces of real decoding: Medusa's ranks, or the whole trees of a drafter that grows them by confidence."""

from collections.abc import Callable

from lpspec.decoding.draft_trace import DraftTrace
from lpspec.decoding.drafter import NoDrafter
from lpspec.decoding.drafters.medusa import Medusa
from lpspec.decoding.recording import Prompt, record_drafts, record_ranks
from lpspec.errors import InputError
from lpspec.experiments.decoder import load_decoder, prompt_tokens
from lpspec.scenario import Request
from lpspec.simulation.workload import MAX_TREE_SIZE
from lpspec.speculation.rank_trace import RankTrace

BACKEND = "compiled"
"""Always, for its loops take sums in one order on every processor: traces then differ least between machines."""

LABEL_LETTERS = 40
"""Letters of a prompt that become the label of its turn."""


def record(
    request: Request,
    name: str,
    nodes: int = MAX_TREE_SIZE - 1,
    say_done: Callable[[int], None] = lambda done: None,
) -> RankTrace | DraftTrace:
    """Continue every prompt greedily and record what was guessed at every token.

    Args:
        request: Prompts, each of which becomes a turn, who decodes and who drafts, which is any but ``none``.
        name: Of the trace.
        nodes: Drafts per recorded tree at most; has no meaning for Medusa.
        say_done: Told how many prompts are done.

    Raises:
        InputError: A name, file or prompt that cannot be used, or nothing to record.
    """
    if not 1 <= nodes < MAX_TREE_SIZE:
        raise InputError(f"{nodes} drafts per tree are not possible: allowed are 1 to {MAX_TREE_SIZE - 1}")
    decoder = load_decoder(request.model, request.drafter, request.heads, dtype=request.dtype, backend=BACKEND)
    if isinstance(decoder.drafter, NoDrafter):
        raise InputError("drafter 'none' guesses nothing that could be recorded")
    tokens = prompt_tokens(decoder, request.prompts, request.new_tokens, request.chat)
    turns = [Prompt(ids, _label(prompt)) for ids, prompt in zip(tokens, request.prompts, strict=True)]
    done = 0

    def say(label: str) -> None:
        nonlocal done
        done += 1
        say_done(done)

    if isinstance(decoder.drafter, Medusa):
        return record_ranks(decoder.model, decoder.drafter, turns, request.new_tokens, name, say)
    return record_drafts(decoder.model, decoder.drafter, turns, request.new_tokens, nodes, name, request.drafter, say)


def _label(prompt: str) -> str:
    return " ".join(prompt.split())[:LABEL_LETTERS]
