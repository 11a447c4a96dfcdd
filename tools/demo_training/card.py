"""The model card: what the model is, what it was trained on, and what was measured."""

from dataclasses import dataclass

from demo_training.heads import count_blocks, count_heads
from demo_training.measure import Acceptance
from demo_training.model import Shape, Weights
from demo_training.text import Text


@dataclass(frozen=True)
class HeldOut:
    """A text that the model has not seen.

    Attributes:
        text: The text.
        loss: Mean cross-entropy, nats per token.
        first_choice: Share of its tokens that are the model's first choice.
        characters_per_token: Its length in characters by that in tokens.
    """

    text: Text
    loss: float
    first_choice: float
    characters_per_token: float


@dataclass(frozen=True)
class Findings:
    """What the card reports.

    Attributes:
        texts: What the model was trained on.
        text_tokens: Their length.
        window: Longest sequence in training, tokens.
        heldout: How well it does on texts that it has not seen.
        acceptance: Of the Medusa heads on the model's own text from held-out prompts.
        seconds: Training time by part.
        threads: Cores used.
        notice: Origin and licences of the texts, as Markdown.
    """

    texts: list[Text]
    text_tokens: int
    window: int
    heldout: list[HeldOut]
    acceptance: Acceptance
    seconds: dict[str, float]
    threads: int
    notice: str


def model_card(shape: Shape, weights: dict[str, Weights], found: Findings) -> str:
    """The card as Markdown."""
    count = {name: sum(weight.numel() for weight in part.values()) for name, part in weights.items()}
    return "\n".join(
        [
            "# The demo model",
            "",
            "A tiny Llama that shows and tests token-tree speculation. It writes in the manner of its texts and knows",
            "nothing: no answer of it is worth anything, only how fast it comes.",
            "",
            "| part | parameters | what |",
            "|---|--:|---|",
            f"| model | {count['model']:,} | {_dimensions(shape)} |",
            f"| Medusa | {count['medusa']:,} | {count_heads(weights['medusa'])} heads {_blocks(weights['medusa'])} |",
            f"| EAGLE-2 | {count['eagle']:,} | one decoder layer of the same dimensions |",
            "",
            f"Stored as float16, run as float32. Trained on windows of at most {found.window} tokens: texts",
            f"may be up to {shape.context} tokens long, but what lies beyond the window is worse. Nothing ends a text.",
            "",
            "## Texts",
            "| file | use | SHA-256 |",
            "|---|---|---|",
            *(f"| {text.name} | training | `{text.sha256}` |" for text in found.texts),
            *(f"| {held.text.name} | held out | `{held.text.sha256}` |" for held in found.heldout),
            "",
            found.notice.strip(),
            "",
            "## Loss on held-out text",
            "| file | nats per token | nats per character | first choice right |",
            "|---|--:|--:|--:|",
            *_loss_rows(found),
            "",
            "## Acceptance of the Medusa heads",
            "On what the model writes greedily after held-out prompts: share of positions where a head's k-th guess",
            "is the token that follows. So small a model soon repeats itself, which is easy to guess: expect less of a",
            "real one.",
            "",
            "| head | 1st | 2nd | 3rd | any of 10 |",
            "|--:|--:|--:|--:|--:|",
            *(
                f"| {head + 1} | {row[0]:.3f} | {row[1]:.3f} | {row[2]:.3f} | {row.sum():.3f} |"
                for head, row in enumerate(found.acceptance.accuracy)
            ),
            "",
            "| tokens per tree, root included | " + " | ".join(map(str, found.acceptance.tokens_per_pass)) + " |",
            "|---|" + "--:|" * len(found.acceptance.tokens_per_pass),
            "| tokens committed per pass | "
            + " | ".join(f"{value:.2f}" for value in found.acceptance.tokens_per_pass.values())
            + " |",
            "",
            "## Training",
            f"`tools/train_demo.py`, {found.text_tokens:,} tokens of text, {found.threads} thread(s): "
            + ", ".join(f"{name} {seconds / 60:.0f} min" for name, seconds in found.seconds.items())
            + ".",
            "The draft heads learn on text that the model wrote itself, greedily, from random places of the training",
            "texts.",
            "",
        ]
    )


def _dimensions(shape: Shape) -> str:
    return (
        f"{shape.layers} layers, hidden size {shape.hidden_size}, {shape.heads} heads ({shape.kv_heads} for keys and "
        f"values), feed-forward {shape.intermediate_size}, byte-level BPE of {shape.vocab_size}, tied embeddings"
    )


def _blocks(medusa: Weights) -> str:
    blocks = count_blocks(medusa)
    return f"of {blocks} residual block{'s' * (blocks > 1)} each, before the model's own LM head"


def _loss_rows(found: Findings) -> list[str]:
    rows = []
    for held in found.heldout:
        values = (held.loss, held.loss / held.characters_per_token, held.first_choice)
        rows.append(f"| {held.text.name} | " + " | ".join(f"{value:.3f}" for value in values) + " |")
    return rows
