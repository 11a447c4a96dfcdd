"""Names that a shell offers for the value of an option, found when it asks; each loads what it lists."""

from collections.abc import Callable, Iterable
from typing import Any

from lpspec.scenario.option import Option


def _models() -> Iterable[str]:
    from lpspec.llm.loading import model_names

    return model_names()


def _systems() -> Iterable[str]:
    from lpspec.experiments.systems import KNOWN_SYSTEMS

    return KNOWN_SYSTEMS


def _platforms() -> Iterable[str]:
    from lpspec.machine.loading import platform_names

    return platform_names()


def _dies() -> Iterable[str]:
    from lpspec.machine.loading import die_names

    return die_names()


def _profiles() -> Iterable[str]:
    from lpspec.machine.loading import profile_names

    return profile_names()


def _traces() -> Iterable[str]:
    from lpspec.speculation.rank_trace import trace_names

    return trace_names()


def _trees() -> Iterable[str]:
    from lpspec.simulation.workload import PRUNERS
    from lpspec.speculation.medusa_trees import tree_names

    return (*PRUNERS, *tree_names())


def _drafters() -> Iterable[str]:
    from lpspec.llm.draft_work import DRAFT_WORK

    return (f"{name}:" if name == "draft-model" else name for name in DRAFT_WORK)


NAMES: dict[str, Callable[[], Iterable[str]]] = {
    "model": _models,
    "models": _models,
    "system": _systems,
    "systems": _systems,
    "platform": _platforms,
    "die": _dies,
    "energy_profile": _profiles,
    "trace": _traces,
    "tree": _trees,
    "drafter": _drafters,
}
"""What has a name, by the option that takes it."""


def completer(option: Option) -> Callable[[Any], list[str]] | None:
    """What gives a shell the values of an option that begin as its last word does; None where there are no names.

    Args:
        option: Whose values; of a list each name follows those before its last comma.
    """
    if not option.choices and option.name not in NAMES:
        return None

    def offered(context: Any) -> list[str]:
        names = option.choices or tuple(NAMES[option.name]())
        before = context.incomplete.rpartition(",")[0] if option.is_list else ""
        given = before.split(",")
        return [f"{before}," * bool(before) + name for name in names if name not in given]

    return offered
