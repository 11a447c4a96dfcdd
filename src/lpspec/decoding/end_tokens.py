"""Which tokens end a text: newer model folders say it in ``generation_config.json`` only."""

from __future__ import annotations

import json
from pathlib import Path

from lpspec.errors import InputError, shown
from lpspec.text_files import read_json_object

FILE = "generation_config.json"
"""Only its end tokens are read; what else it says is a matter of the options of ``lpspec generate``."""


def own_end_tokens(folder: Path) -> tuple[int, ...]:
    """Token ids that end a text by ``generation_config.json``, which comes before ``config.json``.

    Source: transformers, whose generation asks the files in this order.

    Returns:
        Nothing where there is no such file, or it names none.

    Raises:
        InputError: The file is damaged, or a token is no id.
    """
    file = folder / FILE
    if not file.exists():
        return ()
    where = f"generation config '{shown(str(file))}'"
    said = read_json_object(file, where).get("eos_token_id")
    ends = said if isinstance(said, list) else [] if said is None else [said]
    if not all(type(end) is int and end >= 0 for end in ends):
        raise InputError(f"{where}: eos_token_id must be a token id or a list of them, is {json.dumps(said)[:40]}")
    return tuple(ends)
