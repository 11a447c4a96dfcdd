"""Which tokens are special and which were added, from the three files beside a ``tokenizer.json``.

As transformers 5.23.0 reads them: ``special_tokens_map.json`` and ``added_tokens.json``, which its earlier releases
wrote, count where ``tokenizer_config.json`` has no ``added_tokens_decoder``, and the first then comes before it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lpspec.errors import InputError, shown
from lpspec.text_files import read_json_object

CONFIG, MAP, ADDED = "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"

ROLES = ("bos", "eos", "unk", "pad", "sep", "cls", "mask")
_FURTHER = ("additional_special_tokens", "extra_special_tokens")


def read_tokenizer_config(folder: Path) -> dict[str, Any]:
    """A folder's ``tokenizer_config.json`` with what older files beside it say; empty where there are none.

    Tokens that were added stand under ``added_tokens_decoder``, each with its content, by their ids.

    Raises:
        InputError: A file is damaged.
    """
    config: dict[str, Any] = {}
    if (folder / CONFIG).is_file():
        config = read_json_object(folder / CONFIG, said_as(folder))
    if config.get("added_tokens_decoder") is not None:
        return config
    if (folder / MAP).is_file():
        config |= read_json_object(folder / MAP, f"'{shown(str(folder / MAP), 60)}'")
    added: dict[str, Any] = {}
    if (folder / ADDED).is_file():
        where = f"'{shown(str(folder / ADDED), 60)}'"
        named = special_tokens(config)
        for content, index in read_json_object(folder / ADDED, where).items():
            if type(index) is not int or index < 0 or str(index) in added:
                raise InputError(f"{where}: added token '{shown(content, 30)}' needs an id of its own")
            is_special = content in named
            added[str(index)] = {"content": content, "special": is_special, "normalized": not is_special}
    return config | {"added_tokens_decoder": added}


def special_tokens(config: dict[str, Any]) -> set[str]:
    """The texts of all tokens that a configuration calls special."""
    further = [token for key in _FURTHER for token in _listed(config.get(key))]
    found = (token_text(token) for token in (*(config.get(f"{role}_token") for role in ROLES), *further))
    return {text for text in found if text is not None}


def token_text(token: object) -> str | None:
    """A special token's text, which a file may say as such or with how it is matched."""
    found = token.get("content") if isinstance(token, dict) else token
    return found if isinstance(found, str) else None


def said_as(folder: Path) -> str:
    """What messages call the configuration."""
    return f"tokenizer config '{shown(str(folder / CONFIG), 60)}'"


def _listed(tokens: object) -> list[object]:
    return list(tokens.values()) if isinstance(tokens, dict) else tokens if isinstance(tokens, list) else []
