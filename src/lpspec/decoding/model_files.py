"""Where a model lies: in the package, in a folder, or, only if its name says so, on the Hugging Face hub."""

from __future__ import annotations

import re
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from lpspec.errors import InputError
from lpspec.text_files import is_file, is_folder, is_there

DEMO = "demo"
"""Name of the model that comes with the package."""

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_TEXT_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)
_MODEL_FILES = (*_TEXT_FILES, "*.safetensors", "*.safetensors.index.json")
_HEAD_FILES = (*_MODEL_FILES, "*.pt", "pytorch_model.bin")


def model_folder(name: str) -> Path:
    """The folder of a model, or its GGUF file.

    Args:
        name: ``demo``, a folder, a GGUF file, or an id of the Hugging Face hub such as ``org/name``, whose files are
            fetched into the hub's own cache unless they are there.

    Raises:
        InputError: There is no such folder, or the hub's files cannot be had.
    """
    if name == DEMO:
        return demo_folder()
    if name and is_folder(name):
        return Path(name)
    if is_gguf(name):
        return Path(name)
    if _is_hub_id(name):
        return _fetched(name, _MODEL_FILES)
    raise InputError(
        f"no model folder '{name}': give {DEMO}, a folder with a config.json, a GGUF file, or a hub id such as org/name"
    )


def heads_source(name: str) -> Path:
    """The file or folder of draft heads; a hub id is fetched as for ``model_folder``.

    Raises:
        InputError: There is none.
    """
    if name and is_there(name):
        return Path(name)
    if _is_hub_id(name):
        return _fetched(name, _HEAD_FILES)
    raise InputError(f"no draft heads '{name}': give a file, a folder, or a hub id such as org/name")


def is_gguf(path: str | Path) -> bool:
    """Whether a path is that of a GGUF file."""
    return Path(path).suffix == ".gguf" and is_file(path)


def demo_folder() -> Path:
    """The folder of the demo model, with those of its draft heads inside."""
    return Path(str(files("lpspec.decoding") / "demo"))


def _is_hub_id(name: str) -> bool:
    return _HUB_ID.fullmatch(name) is not None


def _fetched(hub_id: str, patterns: tuple[str, ...]) -> Path:
    if find_spec("huggingface_hub") is None:
        raise InputError(
            f"there is no folder '{hub_id}' here, and to fetch it from the Hugging Face hub huggingface_hub is needed:"
            " pip install huggingface_hub"
        )
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(hub_id, allow_patterns=list(patterns)))
    except Exception as error:  # whatever network, hub or cache raise
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise InputError(f"there is no folder '{hub_id}' here, and the Hugging Face hub gives none: {reason}") from None
