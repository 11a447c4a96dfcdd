"""Where draft heads lie: a file of their own, or a folder as they are published."""

from __future__ import annotations

from pathlib import Path

from lpspec.decoding.checkpoint import Checkpoint, file_said, load_tensors, open_checkpoint
from lpspec.decoding.llama_config import LlamaConfig, load_config
from lpspec.errors import InputError, shown


def open_heads(source: str | Path, *names: str) -> Checkpoint:
    """Open a file of heads; or the first of ``names`` that a folder has, or else its whole checkpoint.

    Raises:
        InputError: There is no such file or folder, or it is damaged.
    """
    source = Path(source)
    if source.is_dir():
        named = next((source / name for name in names if (source / name).is_file()), None)
        return open_checkpoint(source) if named is None else _open_file(named)
    if not source.is_file():
        raise InputError(f"draft heads '{shown(str(source))}': there is no such file or folder")
    return _open_file(source)


def layer_config(source: str | Path, model: LlamaConfig) -> LlamaConfig:
    """The dimensions of a draft layer: those of the ``config.json`` beside it, or the model's where there is none.

    Raises:
        InputError: The file is wrong, or the layer's hidden states are of another width than the model's.
    """
    folder = Path(source) if Path(source).is_dir() else Path(source).parent
    if not (folder / "config.json").is_file():
        return model
    config = load_config(folder, draft_layer=True)
    if (width := config.spec.hidden_size) != model.spec.hidden_size:
        raise InputError(
            f"draft layer '{source}' has hidden states {width} wide, the model's are {model.spec.hidden_size}"
        )
    return config


def _open_file(file: Path) -> Checkpoint:
    return Checkpoint(load_tensors(file), file_said(file))
