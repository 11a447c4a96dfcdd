"""Prompts from the command line, from standard input, or from a file."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from lpspec.errors import InputError, shown
from lpspec.text_files import each_key_once, split_lines, text_of

STDIN = "-"
JSON_BLANKS = " \t\r"
_OF_GENERATION = frozenset(
    (
        "system",
        "system_prompt",
        "messages",
        "max_tokens",
        "max_new_tokens",
        "n_predict",
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "seed",
        "stop",
        "stop_sequences",
        "images",
        "image",
        "sampling_params",
        "generation_config",
    )
)
"""Keys of others' prompt files beside the text, which requests to servers take."""

NO_UNICODE = "holds bytes or escapes that are no text in Unicode"


@dataclass(frozen=True)
class Prompts:
    """Where prompts come from, for cyclopts to flatten."""

    prompt: Annotated[
        str | None,
        Parameter(allow_leading_hyphen=True, help="The text to continue; - reads it from standard input."),
    ] = None
    prompts: Annotated[
        str | None,
        Parameter(
            help='A JSONL file of prompts, one a line: {"prompt": "..."} or {"turns": ["...", ...]}, whose first is '
            "taken."
        ),
    ] = None


NO_PROMPTS = Prompts()


def read_prompts(source: Prompts) -> list[str]:
    """The prompts asked for: one text, or those of a file.

    Raises:
        InputError: Both or neither is given, a prompt is empty or no text, or the file holds something else.
    """
    prompt, file = source.prompt, source.prompts
    if (prompt is None) == (file is None):
        raise InputError("give either --prompt TEXT or --prompts FILE.jsonl")
    if file is not None:
        return _read_file(Path(file))
    assert prompt is not None
    return [_checked(_standard_input() if prompt == STDIN else prompt, "the prompt")]


def _standard_input() -> str:
    """All of it, its line ends as they are."""
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError("standard input is no text in UTF-8") from None


def _read_file(path: Path) -> list[str]:
    lines = split_lines(text_of(path, f"prompt file '{path}'"))
    there = [(number, line) for number, line in enumerate(lines, 1) if line.strip(JSON_BLANKS)]
    prompts = [_prompt(line, f"prompt file '{path}', line {number}") for number, line in there]
    if not prompts:
        raise InputError(f"prompt file '{path}' holds no prompt")
    return prompts


def _prompt(line: str, where: str) -> str:
    try:
        content: Any = json.loads(line, object_pairs_hook=each_key_once)
    except (json.JSONDecodeError, RecursionError):
        raise InputError(f"{where} is not JSON: one object a line is needed") from None
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
    if isinstance(content, dict):
        if asked := next((key for key in content if key.lower() in _OF_GENERATION and content[key] is not None), None):
            raise InputError(f"{where}: '{shown(asked, 30)}' would change what is generated: only texts are taken")
        turns = content.get("turns")
        content = content.get("prompt", turns[0] if isinstance(turns, list) and turns else None)
    if not isinstance(content, str):
        raise InputError(f'{where} needs a text: {{"prompt": "..."}} or {{"turns": ["..."]}}')
    return _checked(content, f"{where}: the prompt")


def _checked(text: str, where: str) -> str:
    """The text, unless it is empty or holds half of a surrogate pair, which no tokenizer takes."""
    if not text:
        raise InputError(f"{where} is empty, one token at least is needed")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"{where} {NO_UNICODE}") from None
    return text
