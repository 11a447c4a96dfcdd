"""Files that quantisers leave beside a ``config.json`` in place of its ``quantization_config``."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lpspec.errors import InputError, shown
from lpspec.text_files import is_file, read_json_object

_FILES = {"hf_quant_config.json": "modelopt", "quantize_config.json": "gptq", "quant_config.json": "awq"}
"""Of NVIDIA's Model Optimizer, and of AutoGPTQ and AutoAWQ before transformers had them."""


def quantization_beside(config: Path) -> Mapping[str, Any] | None:
    """What stands beside a configuration in place of its ``quantization_config``; None where nothing does.

    Raises:
        InputError: A file cannot be read, or there are several.
    """
    found = [name for name in _FILES if is_file(config.with_name(name))]
    if not found:
        return None
    where = f"'{shown(str(config.with_name(found[0])))}'"
    if len(found) > 1:
        raise InputError(f"{where} and {found[1]} both say how weights are stored: keep one")
    said: Any = read_json_object(config.with_name(found[0]), where)
    if found[0] == "hf_quant_config.json":
        said = said.get("quantization")
    if not isinstance(said, dict):
        raise InputError(f"{where} must hold an object under 'quantization'")
    return {"quant_method": _FILES[found[0]], **said}
