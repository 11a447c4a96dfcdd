"""Models whose weights share the memory with draft heads."""

from lpspec.llm.draft_work import drafted
from lpspec.llm.loading import load_model
from lpspec.llm.model_spec import ModelSpec


def medusa_model(name: str) -> ModelSpec:
    """A preset with Medusa heads."""
    return drafted(load_model(name), "medusa")
