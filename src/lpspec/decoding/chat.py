"""A prompt as the user's turn of a chat, written as the model's own template has it.

Templates are rendered by the rules of transformers 5.23.0: jinja2's sandbox, in which a template cannot change or call
anything of Python's, blocks trimmed, and its own ``tojson``, ``raise_exception`` and ``strftime_now``.
"""

from __future__ import annotations

import json
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lpspec.decoding.model_files import is_gguf
from lpspec.decoding.special_tokens import CONFIG, ROLES, read_tokenizer_config, said_as, token_text
from lpspec.errors import LONGEST, InputError, shown
from lpspec.llm.gguf import read_gguf
from lpspec.text_files import read_text

FILE = "chat_template.jinja"


class ChatTemplate:
    """A model's template.

    Args:
        text: Its source.
        special: What it may name beside the messages: ``bos_token`` and others.
        where: Begins what is said of any fault.

    Raises:
        InputError: It is no template, or jinja2 is missing.
    """

    def __init__(self, text: str, special: dict[str, str], where: str) -> None:
        """Compile the source."""
        if find_spec("jinja2") is None:
            raise InputError("chat templates need jinja2: pip install 'lpspec[models]'")
        self._special, self._where = special, where
        try:
            self._template = _environment().from_string(text)
        except Exception as error:  # beside TemplateError, whatever Python's own compiler does not take
            raise self._fault(error) from None

    def render(self, prompt: str) -> str:
        """The chat whose only message is the prompt, up to where the model's answer begins.

        Raises:
            InputError: The template raises an error, such as that it wants other messages.
        """
        messages = [{"role": "user", "content": prompt}]
        try:
            return str(
                self._template.render(
                    messages=messages, tools=None, documents=None, add_generation_prompt=True, **self._special
                )
            )
        except Exception as error:  # whatever a template brings about
            raise self._fault(error) from None

    def _fault(self, error: Exception) -> InputError:
        reason = " ".join(str(error).split()) or type(error).__name__
        return InputError(f"{self._where} cannot be rendered: {reason}"[:LONGEST])


def chat_template(folder: Path) -> ChatTemplate:
    """The template of a model folder or GGUF file.

    Raises:
        InputError: There is none, or it is damaged.
    """
    if is_gguf(folder):
        return _of_gguf(folder)
    config, where = read_tokenizer_config(folder), said_as(folder)
    special = {f"{role}_token": token for role in ROLES if (token := token_text(config.get(f"{role}_token")))}
    file = folder / FILE
    if file.is_file():
        said = f"chat template '{shown(str(file), 60)}'"
        try:
            return ChatTemplate(read_text(file), special, said)
        except UnicodeDecodeError:
            raise InputError(f"{said} is no text in UTF-8") from None
    found = config.get("chat_template")
    if isinstance(found, list):  # several by name
        named = {part.get("name"): part.get("template") for part in found if isinstance(part, dict)}
        found = named.get("default")
    if not isinstance(found, str):
        raise InputError(f"{shown(str(folder), 60)} has no chat template ({FILE}, or in {CONFIG}): leave out --chat")
    return ChatTemplate(found, special, f"chat_template of {where}")


def _of_gguf(file: Path) -> ChatTemplate:
    keys, where = read_gguf(file).keys, f"GGUF file '{shown(str(file), 50)}'"
    text, tokens = keys.get("tokenizer.chat_template"), keys.get("tokenizer.ggml.tokens")
    if not isinstance(text, str):
        raise InputError(f"{where} has no chat template (tokenizer.chat_template): leave out --chat")
    special = {}
    for role in ROLES:
        index = keys.get(f"tokenizer.ggml.{role}_token_id")
        if isinstance(index, int) and isinstance(tokens, tuple) and 0 <= index < len(tokens):
            special[f"{role}_token"] = str(tokens[index])
    return ChatTemplate(text, special, f"tokenizer.chat_template of {where}")


def _environment() -> Any:
    """Jinja2's sandbox with what templates of the hub expect."""
    from jinja2 import TemplateError, nodes
    from jinja2.ext import Extension, loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    class Generation(Extension):
        """``{% generation %}`` marks what the model says, for training; here it is written as it is."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> list[nodes.Node]:
            """The block's own statements."""
            next(parser.stream)
            return list(parser.parse_statements(("name:endgeneration",), drop_needle=True))

    def to_json(value: Any, ensure_ascii: bool = False, **how: Any) -> str:
        return json.dumps(value, ensure_ascii=ensure_ascii, **how)

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment
