"""Every drafter by name. A drafter of your own joins by an entry in ``DRAFTERS``; its module is loaded when used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lpspec.errors import InputError
from lpspec.plugins import Registry

if TYPE_CHECKING:
    from lpspec.decoding.drafter import Drafter
    from lpspec.decoding.transformer import Transformer

Source = Path | None


def _none(model: Transformer, source: Source) -> Drafter:
    from lpspec.decoding.drafter import NoDrafter

    return NoDrafter()


def _medusa(model: Transformer, source: Source) -> Drafter:
    from lpspec.decoding.drafters.medusa import load_medusa

    return load_medusa(model, _needed("medusa", source))


def _eagle(model: Transformer, source: Source) -> Drafter:
    from lpspec.decoding.drafters.eagle import load_eagle

    return load_eagle(model, _needed("eagle", source))


def _eagle3(model: Transformer, source: Source) -> Drafter:
    from lpspec.decoding.drafters.eagle3 import load_eagle3

    return load_eagle3(model, _needed("eagle3", source))


def _mtp(model: Transformer, source: Source) -> Drafter:
    from lpspec.decoding.drafters.mtp import load_mtp

    return load_mtp(model, source)


def _draft_model(model: Transformer, source: Source) -> Drafter:
    from lpspec.decoding.drafters.draft_model import load_draft_model

    return load_draft_model(model, _needed("draft-model", source))


def _prompt_lookup(model: Transformer, source: Source) -> Drafter:
    from lpspec.decoding.drafters.prompt_lookup import PromptLookup

    return PromptLookup()


DRAFTERS: Registry[Callable[[Transformer, Source], Drafter]] = Registry(
    "drafter",
    "lpspec.drafters",
    {
        "none": _none,
        "medusa": _medusa,
        "eagle": _eagle,
        "eagle3": _eagle3,
        "mtp": _mtp,
        "draft-model": _draft_model,
        "prompt-lookup": _prompt_lookup,
    },
)
"""Makes a drafter for a model from the file or folder of its weights, if it has any."""


def load_drafter(name: str, model: Transformer, source: str | Path | None = None) -> Drafter:
    """Make a drafter by its name.

    Args:
        name: One of ``DRAFTERS``.
        model: For which it drafts.
        source: The file or folder of its weights.

    Raises:
        InputError: The name is unknown, weights are needed, or they are wrong or don't match the model.
    """
    make = DRAFTERS.load(name)
    from lpspec.decoding.checked_draft import check_drafter

    drafter = make(model, None if source is None else Path(source))
    check_drafter(drafter, name, model.config.shape.layers)
    return drafter


def _needed(name: str, source: Source) -> Path:
    if source is None:
        raise InputError(f"drafter '{name}' needs the file or folder of its weights")
    return source
