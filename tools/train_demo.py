"""Train the demo model: a tiny Llama, four Medusa heads and an EAGLE-2 draft layer, on texts of your own.

    python tools/train_demo.py --text plays.txt sums.txt --heldout more.txt --notice licences.md \\
        --work out/training --to out/my-model

About half an hour for the model and a little more for its draft heads on one core. Interrupted, it goes on where it was
when called again with the same ``--work`` folder, where the hidden states that the heads learn from take 1.1 GB.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from torch import Tensor

from demo_training.base import base_loss, heldout_loss
from demo_training.card import Findings, HeldOut, model_card
from demo_training.export import as_stored, write_folder
from demo_training.heads import OwnText, eagle_loss, medusa_loss, new_eagle, new_medusa, write_own_text
from demo_training.measure import Acceptance, acceptance, first_choice, head_ranks
from demo_training.model import Shape, Weights, new_model
from demo_training.optimise import Plan, train
from demo_training.text import Text, encode, read_text, train_tokenizer


@dataclass(frozen=True)
class Recipe:
    """Sizes of everything.

    Attributes:
        shape: Dimensions of the model.
        base: How the model learns.
        medusa: How its Medusa heads learn.
        eagle: How its EAGLE layer learns.
        medusa_heads: How many.
        medusa_blocks: Residual blocks of each.
        own_sequences: Sequences that the model writes for its heads to learn from.
        prompt: Tokens of text before each.
        new_tokens: Tokens that the model adds to each.
        heldout_prompts: Sequences that it writes from held-out prompts, to measure acceptance on.
    """

    shape: Shape
    base: Plan
    medusa: Plan
    eagle: Plan
    medusa_heads: int
    medusa_blocks: int
    own_sequences: int
    prompt: int
    new_tokens: int
    heldout_prompts: int


SHIPPED = Recipe(
    shape=Shape(),
    base=Plan(steps=1000, batch=4, length=512, rate=2.5e-3, decay=0.1),
    medusa=Plan(steps=1800, batch=2048, length=1, rate=1.5e-2, muon=True),
    eagle=Plan(steps=600, batch=4, length=256, rate=1e-3),
    medusa_heads=4,
    medusa_blocks=2,
    own_sequences=8192,
    prompt=48,
    new_tokens=208,
    heldout_prompts=64,
)


def main() -> None:
    """Train what the command line asks for."""
    parser = argparse.ArgumentParser(description="Train the demo model on texts of your own.")
    parser.add_argument("--text", type=Path, nargs="+", required=True, help="UTF-8 texts to learn from")
    parser.add_argument("--heldout", type=Path, nargs="+", required=True, help="texts to measure on")
    parser.add_argument("--notice", type=Path, required=True, help="Markdown on the texts' origin, for the card")
    parser.add_argument("--work", type=Path, required=True, help="folder of what is under way")
    parser.add_argument("--to", type=Path, required=True, help="folder of the finished model")
    parser.add_argument("--threads", type=int, default=2, help="cores; 1 where others use the machine too")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    notice = options.notice.read_text(encoding="utf-8")
    texts, heldout = ([read_text(path) for path in paths] for paths in (options.text, options.heldout))
    train_demo(SHIPPED, texts, heldout, notice, options.work, options.to)


def train_demo(
    recipe: Recipe, texts: list[Text], heldout: list[Text], notice: str, work: Path, destination: Path
) -> Acceptance:
    """Train, measure and write a model.

    Args:
        recipe: Sizes of everything.
        texts: What to learn from.
        heldout: What to measure on.
        notice: Origin and licences of the texts, as Markdown.
        work: Folder of what is under way.
        destination: Folder of the finished model.
    """
    work.mkdir(parents=True, exist_ok=True)
    destination.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(texts, recipe.shape.vocab_size, work)
    tokens = encode(tokenizer, texts)
    parts, seconds = train_parts(recipe, tokens, work)
    parts = {name: as_stored(weights) for name, weights in parts.items()}
    found = Findings(
        texts,
        len(tokens),
        recipe.base.length,
        [measure_text(recipe, parts["model"], tokenizer, text) for text in heldout],
        measure_heads(recipe, parts, encode(tokenizer, heldout)),
        seconds,
        torch.get_num_threads(),
        notice,
    )
    write_folder(destination, recipe.shape, tokenizer, parts, model_card(recipe.shape, parts, found))
    return found.acceptance


def make_tokenizer(texts: list[Text], vocab_size: int, work: Path) -> Tokenizer:
    """Learn the tokenizer once."""
    file = work / "tokenizer.json"
    if not file.exists():
        train_tokenizer(texts, vocab_size).save(str(file))
    return Tokenizer.from_file(str(file))


def train_parts(recipe: Recipe, tokens: Tensor, work: Path) -> tuple[dict[str, Weights], dict[str, float]]:
    """Train model, Medusa heads and EAGLE layer, one after the other; return them and the seconds each took."""
    shape, seconds = recipe.shape, {}
    base = new_model(shape, torch.Generator().manual_seed(0))
    seconds["model"] = train("model", base, recipe.base, lambda g: base_loss(base, shape, recipe.base, tokens, g), work)
    own = own_text(recipe, base, tokens, work)
    medusa = new_medusa(shape, recipe.medusa_heads, recipe.medusa_blocks, torch.Generator().manual_seed(3))
    seconds["Medusa heads"] = train(
        "medusa", medusa, recipe.medusa, lambda g: medusa_loss(medusa, base, own, recipe.medusa.batch, g), work
    )

    def sequences(generator: torch.Generator) -> Tensor:
        return own.tokens[torch.randint(len(own.tokens), (recipe.eagle.batch,), generator=generator)]

    eagle = new_eagle(shape, torch.Generator().manual_seed(2))
    seconds["EAGLE layer"] = train(
        "eagle", eagle, recipe.eagle, lambda g: eagle_loss(eagle, base, shape, sequences(g)), work
    )
    return {"model": base, "medusa": medusa, "eagle": eagle}, seconds


def own_text(recipe: Recipe, base: Weights, tokens: Tensor, work: Path) -> OwnText:
    """What the model writes for its heads to learn from, written once."""
    file = work / "own_text.pt"
    if not file.exists():
        written = write_own_text(
            base,
            recipe.shape,
            tokens,
            recipe.own_sequences,
            recipe.prompt,
            recipe.new_tokens,
            lambda done: print(f"own text: {done} of {recipe.own_sequences} sequences", flush=True),
        )
        torch.save((written.tokens, written.hidden), file)
    written_tokens, hidden = torch.load(file, weights_only=True)
    return OwnText(written_tokens, hidden, recipe.prompt)


def measure_text(recipe: Recipe, base: Weights, tokenizer: Tokenizer, text: Text) -> HeldOut:
    """How well the model knows a text that it has not seen."""
    tokens = encode(tokenizer, [text])
    length = min(recipe.base.length, len(tokens) - 1)
    return HeldOut(
        text,
        heldout_loss(base, recipe.shape, tokens, length),
        first_choice(base, recipe.shape, tokens, length),
        len(text.content) / len(tokens),
    )


def measure_heads(recipe: Recipe, parts: dict[str, Weights], heldout: Tensor) -> Acceptance:
    """What the Medusa heads get right on the model's own text from held-out prompts."""
    base, shape = parts["model"], recipe.shape
    own = write_own_text(base, shape, heldout, recipe.heldout_prompts, recipe.prompt, recipe.new_tokens)
    return acceptance(head_ranks(parts["medusa"], base, shape, own))


if __name__ == "__main__":
    main()
