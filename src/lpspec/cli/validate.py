"""``lpspec validate``: the ladder from counted bits to published tables."""

from typing import Annotated

from cyclopts import Parameter

from lpspec.cli.asked import with_command
from lpspec.cli.compiled import announce_compiling
from lpspec.cli.console import progress
from lpspec.cli.deliver import deliver
from lpspec.cli.options import WholeNumber
from lpspec.cli.outputs import plan_outputs
from lpspec.errors import InputError

A_RUNG_FAILED = 1
MOST_MACHINES = 1_000_000


def validate(
    *,
    random: Annotated[WholeNumber | None, Parameter(show_default=False)] = None,
    seed: Annotated[WholeNumber | None, Parameter(show_default=False)] = None,
    json: str | None = None,
) -> int:
    """Compare every level of the model with the one below it, and with what is published; exit code 1 if one fails.

    Takes a few minutes. The last rung decodes a small model and is left out without lpspec[models].

    Parameters
    ----------
    random
        Try rules that hold on every machine, such as that more bandwidth is never slower, on so many machines, models
        and trees drawn at random, analytically and at command level, and nothing else.
    seed
        Seed of the first random machine, 0 if not given; the others have the seeds after it, so that
        --random 1 --seed N repeats machine N.
    json
        Write the result as JSON to this file, with the numbers behind every rung; - prints it instead of the table.
    """
    _check(random, seed)
    outputs = plan_outputs(json)
    announce_compiling()
    from lpspec.experiments.validate import climb
    from lpspec.experiments.validate_random import random_machines
    from lpspec.report.validate_table import ladder_blocks, ladder_document

    with progress("validating") as advance:
        if random is None:
            rungs = list(climb(advance))
        else:
            rungs = [random_machines("random machines", random, seed or 0, advance)]
    deliver(outputs, with_command(ladder_document(rungs)), ladder_blocks(rungs))
    return A_RUNG_FAILED if any(rung.passed is False for rung in rungs) else 0


def _check(random: int | None, seed: int | None) -> None:
    if random is not None and not 1 <= random <= MOST_MACHINES:
        raise InputError(f"--random {random} is not possible: allowed is 1 to {MOST_MACHINES}")
    if seed is not None and random is None:
        raise InputError("--seed is the seed of random machines: it needs --random")
    if seed is not None and seed < 0:
        raise InputError(f"--seed {seed} is not possible: allowed is 0 or more")
