"""The ladder from counted bits to published tables: what each level of the model rests on, one rung after the other.

Every rung compares two things that were come by in different ways, and says by how much they differ.
"""

from collections.abc import Callable, Iterator
from functools import partial

from lpspec.decoding import need_models_extra
from lpspec.errors import InputError
from lpspec.experiments.validate_levels import closed_against_commands, larger_trees
from lpspec.experiments.validate_memory import checker, functional, reading_against_bus, step_against_sum
from lpspec.experiments.validate_published import figures_of_others, identities, published_tables
from lpspec.experiments.validate_random import random_machines
from lpspec.experiments.validate_rung import Advance, Rung

FEW_MACHINES = 60
"""Random machines that are tried among the other rungs."""


def climb(advance: Advance) -> Iterator[Rung]:
    """Try one rung after the other.

    Args:
        advance: Told the name of the rung that comes next, and how far it is.
    """
    for name, rung in RUNGS.items():
        advance(name)
        yield rung(name, partial(_told, advance, name))


def _told(advance: Advance, name: str, step: str) -> None:
    advance(f"{name}: {step}")


def replay_against_decoder(name: str, advance: Advance) -> Rung:
    """A recorded trace, replayed, against live decoding of a small model in torch."""
    try:
        need_models_extra()
    except InputError:
        return Rung(name, "skipped: needs lpspec[models]", None)
    from lpspec.experiments.validate_decoder import steps_of_both

    live, replayed = steps_of_both()
    same = sum(one == other for one, other in zip(live, replayed, strict=False))
    figure = f"{same} of {len(live)} steps alike, {sum(step[2] for step in live) / len(live):.2f} tokens per step"
    return Rung(name, figure, live == replayed, {"steps": len(live), "same": same})


RUNGS: dict[str, Callable[[str, Advance], Rung]] = {
    "identities": identities,
    "commands against the checker": checker,
    "PIM products against integers": functional,
    "reads against the bus": reading_against_bus,
    "analytic against command level": closed_against_commands,
    "no larger tree is cheaper": larger_trees,
    "random machines": lambda name, advance: random_machines(name, FEW_MACHINES, 0, advance),
    "whole step against its phases": step_against_sum,
    "published tables": published_tables,
    "figures of others": figures_of_others,
    "replay against decoder": replay_against_decoder,
}
"""Every rung by its name, lowest first."""
