"""A small TOML file of weight formats: one line for each class of tensors that is stored otherwise."""

import tomllib
from pathlib import Path

from lpspec.errors import InputError, shown
from lpspec.text_files import read_text

ENDING = ".toml"
"""By which a table's path is told from a format."""


def weights_text(weights: int | str) -> str:
    """What is said of weights, as ``ModelSpec.with_weights`` takes it: that of a table in a row.

    Raises:
        InputError: As for ``read_table``.
    """
    text = str(weights)
    return read_table(text) if text.endswith(ENDING) else text


def read_table(path: str) -> str:
    """Formats by class as ``read_formats`` takes them, from a file with lines such as ``expert = "mxfp4"``.

    Raises:
        InputError: The file cannot be read, is not TOML, is empty, or holds anything but numbers and texts.
    """
    where = f"weights table '{shown(path, 60)}'"
    try:
        table = tomllib.loads(read_text(Path(path)))
    except OSError as error:
        raise InputError(f"{where} cannot be read: {error.strerror}") from None
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise InputError(f"{where} is not TOML: {shown(str(error), 80)}") from None
    if not table:
        raise InputError(f'{where} is empty: a class of tensors and its format are needed, as in expert = "mxfp4"')
    for name, stored in table.items():
        if type(stored) not in (int, str) or not str(stored).strip() or set("=,") & set(f"{name}{stored}"):
            said = shown(repr(stored), 40)
            raise InputError(
                f'{where}: {shown(name, 40)} = {said}: allowed are bits such as 8, or a format such as "4g128"'
            )
    return ",".join(f"{name}={stored}" for name, stored in table.items())
