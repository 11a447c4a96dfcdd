"""Real models in torch: token-tree speculation whose text is the model's own, and whose steps can be priced.

Needs the extra ``lpspec[models]``. Importing this package loads no torch; its modules do, but for
those that replay a draft trace.
"""

from importlib.util import find_spec

from lpspec.errors import InputError

_EXTRA = ("torch", "safetensors", "tokenizers")


def need_models_extra() -> None:
    """Say in one line how to install what real models need, if any of it is missing.

    Raises:
        InputError: torch, safetensors or tokenizers is not installed.
    """
    if missing := [name for name in _EXTRA if find_spec(name) is None]:
        how = "pip install 'lpspec[models]', or `make models` in a checkout"
        raise InputError(f"real models need {', '.join(missing)}, not installed here: {how}")
