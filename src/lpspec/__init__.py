"""Speculative LLM decoding on a mobile NPU beside hybrid LPDDR5-PIM memory (LP-Spec, ICCAD 2025).

The public names are those of ``__all__`` (docs/api.md). Each is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lpspec.api import compare, reproduce, run
    from lpspec.api_explore import price, results
    from lpspec.llm.loading import load_model
    from lpspec.machine.loading import load_platform as load_machine
    from lpspec.scenario import Scenario
    from lpspec.speculation.rank_trace import RankTrace as Trace

__version__ = "0.1.0"

__all__ = [
    "Scenario",
    "Trace",
    "compare",
    "load_machine",
    "load_model",
    "price",
    "reproduce",
    "results",
    "run",
]

_HOMES = {
    "Scenario": ("lpspec.scenario", "Scenario"),
    "Trace": ("lpspec.speculation.rank_trace", "RankTrace"),
    "compare": ("lpspec.api", "compare"),
    "load_machine": ("lpspec.machine.loading", "load_platform"),
    "load_model": ("lpspec.llm.loading", "load_model"),
    "price": ("lpspec.api_explore", "price"),
    "reproduce": ("lpspec.api", "reproduce"),
    "results": ("lpspec.api_explore", "results"),
    "run": ("lpspec.api", "run"),
}
"""Where each public name lives, and what it is called there."""


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used, and keep it."""
    if name not in _HOMES:
        raise AttributeError(f"module 'lpspec' has no attribute '{name}': public are {', '.join(__all__)}")
    module, there = _HOMES[name]
    globals()[name] = found = getattr(import_module(module), there)
    return found


def __dir__() -> list[str]:
    """Every public name, loaded or not."""
    return sorted({*globals(), *__all__})
