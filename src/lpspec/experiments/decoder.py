"""A real model made ready to decode: its weights, its tokenizer, and whoever drafts for it."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch

from lpspec.arrays import IntArray
from lpspec.decoding.chat import chat_template
from lpspec.decoding.drafter import Drafter
from lpspec.decoding.drafters import load_drafter
from lpspec.decoding.drafters.medusa import TOP_K, Medusa, MedusaHeads
from lpspec.decoding.generate import Generation, checked_prompt, fixed_size
from lpspec.decoding.model_files import heads_source, model_folder
from lpspec.decoding.tokenizer import TextTokenizer, load_tokenizer
from lpspec.decoding.transformer import Transformer, load_transformer
from lpspec.errors import InputError, unknown_name
from lpspec.scenario.names import DTYPES, LearningRule
from lpspec.simulation.workload import TreePolicy
from lpspec.speculation.measured import prior_accuracy
from lpspec.speculation.pruner import DraftTokenPruner, FixedTree


@dataclass(frozen=True, eq=False)
class Decoder:
    """A model that can continue texts.

    Attributes:
        name: The model as it was asked for.
        model: The model.
        tokenizer: Its tokenizer.
        drafter: Who drafts.
        drafter_name: What the drafter is called.
        dtype: Precision of the model.
    """

    name: str
    model: Transformer
    tokenizer: TextTokenizer
    drafter: Drafter
    drafter_name: str
    dtype: str


def load_decoder(
    name: str,
    drafter_name: str,
    heads: str | None = None,
    policy: TreePolicy | None = None,
    dtype: str = "float32",
    backend: str | None = None,
) -> Decoder:
    """Load a model and its drafter.

    Args:
        name: ``demo``, a model folder, or a hub id.
        drafter_name: A name of ``lpspec.decoding.drafters.DRAFTERS``.
        heads: File, folder or hub id of the drafter's weights; None for the folder of the drafter's name inside the
            model's.
        policy: How trees are found; None for the DTP.
        dtype: One of ``DTYPES``.
        backend: One of ``BACKENDS``; None for the one that is faster here.

    Raises:
        InputError: A name is unknown, a file is missing or damaged, or drafter, tree and model don't fit together.
    """
    if dtype not in DTYPES:
        raise unknown_name("dtype", dtype, DTYPES)
    folder = model_folder(name)
    kind = torch.bfloat16 if dtype == "bfloat16" else torch.float32
    model = load_transformer(folder, kind, int8=dtype == "int8", backend=backend)
    drafter = load_drafter(drafter_name, model, _heads(folder, drafter_name, heads))
    tokenizer = load_tokenizer(folder)
    _check_rows(name, tokenizer, model)
    return Decoder(name, model, tokenizer, shaped(drafter, drafter_name, policy or TreePolicy()), drafter_name, dtype)


def _check_rows(name: str, tokenizer: TextTokenizer, model: Transformer) -> None:
    """Refuse a tokenizer of another model; tokens added to it later, such as padding, may lie beyond the model's rows.

    No text has them, and a prompt that does is refused.
    """
    largest, known = max(tokenizer.plain_vocabulary.values(), default=-1), model.config.shape.vocab_size
    if largest >= known:
        raise InputError(f"the tokenizer of '{name}' knows {largest + 1} tokens, the model {known}")


def _heads(folder: Path, drafter_name: str, heads: str | None) -> Path | None:
    if heads is not None:
        return heads_source(heads)
    beside = folder / drafter_name
    return beside if beside.is_dir() else None


def shaped(drafter: Drafter, drafter_name: str, policy: TreePolicy) -> Drafter:
    """The drafter with the pruner that a policy asks for; sizes are a matter of its price list.

    Raises:
        InputError: Only Medusa's trees are shaped by a pruner, and only as deep as it has heads.
    """
    if policy.fixed is None and policy.pruner is None and (policy.depth is None or isinstance(drafter, Medusa)):
        return grown(drafter.heads, policy.rule) if isinstance(drafter, Medusa) else drafter
    if not isinstance(drafter, Medusa):
        raise InputError(f"drafter '{drafter_name}' shapes its own trees: give --tree dtp or a size")
    if policy.fixed is not None:
        return Medusa(drafter.heads, FixedTree(policy.fixed))
    assert policy.pruner is not None
    return Medusa(drafter.heads, policy.pruner(prior_accuracy(drafter.depth, drafter.top_k)))


def grown(heads: MedusaHeads, rule: LearningRule) -> Medusa:
    """Medusa with trees that the DTP grows, learning by this rule."""
    return Medusa(heads, DraftTokenPruner(prior_accuracy(heads.count, TOP_K), rule=rule))


def unlearnt(drafter: Drafter) -> Drafter:
    """A drafter with what this one knows now, which it does not learn on; all but Medusa's forget each text anyway.

    Lossy acceptance takes other tokens from other trees, so there a text must not shape the trees of the next.
    """
    return Medusa(drafter.heads, deepcopy(drafter.pruner), drafter.top_k) if isinstance(drafter, Medusa) else drafter


def prompt_tokens(decoder: Decoder, prompts: Sequence[str], new_tokens: int, chat: bool = False) -> list[IntArray]:
    """The tokens of every prompt, refused before the first is decoded.

    Args:
        decoder: Who continues them.
        prompts: The prompts.
        new_tokens: Tokens to come.
        chat: Write each as the user's turn by the model's chat template.

    Raises:
        InputError: A prompt cannot be continued by so many tokens; of several, it is named by its number.
    """

    folder = decoder.model.folder
    template = chat_template(folder) if chat and folder is not None else None

    def tokens(number: int, prompt: str) -> IntArray:
        try:
            text = prompt if template is None else template.render(prompt)
            return checked_prompt(decoder.model, decoder.tokenizer.encode(text, whole=chat), new_tokens)
        except InputError as error:
            raise InputError(f"prompt {number}: {error}" if len(prompts) > 1 else str(error)) from None

    return [tokens(number, prompt) for number, prompt in enumerate(prompts, 1)]


ON_MACHINE: LearningRule = "chain-feedback"
"""How the DTP learns where real time counts: a head is right more often where those before it were, and the other rules
either miss that or learn nothing of heads deeper than the tree."""


def fresh_drafter(decoder: Decoder) -> Drafter:
    """A drafter that the DTP sizes and that has learnt nothing yet; all but Medusa's forget each text anyway."""
    return grown(decoder.drafter.heads, ON_MACHINE) if isinstance(decoder.drafter, Medusa) else decoder.drafter


def warm_up(decoder: Decoder) -> None:
    """Decode a few tokens, so that nothing is compiled while steps are timed."""
    for _ in Generation(decoder.model, [0], 4, fresh_drafter(decoder), price=fixed_size(8), max_tree=8):
        pass
