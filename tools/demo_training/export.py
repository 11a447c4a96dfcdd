"""The folder that users load: float16 safetensors, ``config.json``, ``tokenizer.json``, and a card."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer

from demo_training.heads import count_blocks, count_heads
from demo_training.model import Shape, Weights


def as_stored(weights: Weights) -> Weights:
    """Weights as the files hold them, so that what is measured is what is shipped: rounded to float16."""
    return {name: weight.detach().half().float() for name, weight in weights.items()}


def write_folder(folder: Path, shape: Shape, tokenizer: Tokenizer, parts: dict[str, Weights], card: str) -> None:
    """Write everything; the draft heads lie in folders of their own.

    Args:
        folder: Where to; exists.
        shape: Dimensions of the model.
        tokenizer: Its tokenizer.
        parts: Weights of ``model``, ``medusa`` and ``eagle``.
        card: The model card.
    """
    _save(folder / "model.safetensors", parts["model"])
    _save(folder / "medusa" / "medusa_lm_head.safetensors", parts["medusa"])
    _save(folder / "eagle" / "model.safetensors", parts["eagle"])
    heads, blocks = count_heads(parts["medusa"]), count_blocks(parts["medusa"])
    _write_json(folder / "config.json", shape.config())
    _write_json(folder / "medusa" / "config.json", {"medusa_num_heads": heads, "medusa_num_layers": blocks})
    _write_json(folder / "eagle" / "config.json", shape.config() | {"num_hidden_layers": 1})
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    (folder / "MODEL_CARD.md").write_text(card, encoding="utf-8")


def _save(file: Path, weights: Weights) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    halves = {name: weight.detach().to(torch.float16).contiguous() for name, weight in weights.items()}
    save_file(halves, file, metadata={"format": "pt"})
    file.chmod(0o644)


def _write_json(file: Path, content: dict[str, object]) -> None:
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
