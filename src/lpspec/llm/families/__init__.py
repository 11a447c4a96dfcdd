"""Families of models by the ``model_type`` of their ``config.json``."""

from dataclasses import replace
from types import MappingProxyType

from lpspec.llm.config_keys import HARMLESS, words
from lpspec.llm.families.family import Family
from lpspec.llm.families.further import FAMILIES as FURTHER
from lpspec.llm.families.gemma import FAMILIES as GEMMA
from lpspec.llm.families.gpt_style import FAMILIES as GPT_STYLE
from lpspec.llm.families.hybrids import FAMILIES as HYBRIDS
from lpspec.llm.families.latent import FAMILIES as LATENT
from lpspec.llm.families.llama_like import FAMILIES as LLAMA_LIKE
from lpspec.llm.families.mixtures import FAMILIES as MIXTURES
from lpspec.llm.families.multimodal import FAMILIES as MULTIMODAL
from lpspec.llm.families.other_spellings import ALIASES, NULLABLE

_ALL = LLAMA_LIKE | MIXTURES | LATENT | GEMMA | HYBRIDS | GPT_STYLE | FURTHER | MULTIMODAL


def _spelt(name: str, family: Family) -> Family:
    aliases = dict(pair.split("=") for pair in ALIASES.get(name, "").split())
    return replace(family, nullable=words(NULLABLE.get(name, "")), aliases=aliases)


FAMILIES = MappingProxyType({name: _spelt(name, family) for name, family in _ALL.items()})
"""By ``model_type``; of multimodal models those of the text decoder."""


def known_keys(name: str) -> frozenset[str]:
    """Keys of a family that are used or change nothing."""
    family = FAMILIES[name]
    return HARMLESS | family.keys.keys() | family.aliases.keys() | family.repeated.keys() | family.harmless


__all__ = ["FAMILIES", "Family", "known_keys"]
