"""Prompts from the command line, from standard input, or from a file."""

import json
import sys
from pathlib import Path
from typing import Any

from lpspec.errors import InputError

STDIN = "-"


def read_prompts(prompt: str | None, file: str | None) -> list[str]:
    """The prompts asked for: one text, or those of a file.

    Args:
        prompt: The text; ``-`` for standard input.
        file: A JSONL file.

    Raises:
        InputError: Both or neither is given, a prompt is empty, or the file holds something else.
    """
    if (prompt is None) == (file is None):
        raise InputError("give either --prompt TEXT or --prompts FILE.jsonl")
    if file is not None:
        return _read_file(Path(file))
    text = sys.stdin.read() if prompt == STDIN else prompt
    if not text:
        raise InputError("the prompt is empty, one token at least is needed")
    return [text]


def _read_file(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise InputError(f"prompt file '{path}' cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise InputError(f"prompt file '{path}' is no text in UTF-8") from None
    prompts = [
        _prompt(line, f"prompt file '{path}', line {number}") for number, line in enumerate(lines, 1) if line.strip()
    ]
    if not prompts:
        raise InputError(f"prompt file '{path}' holds no prompt")
    return prompts


def _prompt(line: str, where: str) -> str:
    try:
        content: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise InputError(f"{where} is not JSON: one object a line is needed") from None
    if isinstance(content, dict):
        turns = content.get("turns")
        content = content.get("prompt", turns[0] if isinstance(turns, list) and turns else None)
    if not isinstance(content, str):
        raise InputError(f'{where} needs a text: {{"prompt": "..."}} or {{"turns": ["..."]}}')
    if not content:
        raise InputError(f"{where}: the prompt is empty")
    return content
