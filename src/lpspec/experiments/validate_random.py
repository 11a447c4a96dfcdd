"""Rules tried on machines, models and trees drawn at random, analytically and at command level."""

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context

import numpy as np

from lpspec.dram.run.steady import REFRESH_INTERVALS
from lpspec.experiments.machine_rules import RULES, must_not_fall
from lpspec.experiments.one_step import both_levels
from lpspec.experiments.random_machines import Dice, RandomStep, draw
from lpspec.experiments.validate_rung import Advance, Rung
from lpspec.scenario.names import Fidelity
from lpspec.simulation.run import Run

TOLERANCES: dict[Fidelity, float] = {"analytic": 1e-9, "command": 0.005}
"""Relative. Analytic: rounding of floating-point numbers. Commands: a cost is the mean over 32 refresh intervals of
copies that begin anywhere in one, so a refresh more or less (0.17 %) falls to either side."""

RULES_PER_MACHINE: dict[Fidelity, int] = {"analytic": 2, "command": 1}
FEW_INTERVALS = 4
"""Refresh intervals that copies of a phase fill at first: a refresh more or less is then 1.4 % of the time. What seems
to break a rule is priced again with all 32, so that commands report 0.5 % and miss nothing beyond 3 %."""

_AT_ONCE = 20
"""Machines that a worker takes at a time."""


@dataclass(frozen=True)
class Findings:
    """What came of one machine.

    Attributes:
        compared: Comparisons by fidelity.
        violations: One line for each rule that does not hold, with what repeats it.
        command_over_closed: Time and energy at command level over analytic ones; None without a command level.
    """

    compared: Counter[str]
    violations: tuple[str, ...]
    command_over_closed: tuple[float, float] | None


def random_machines(name: str, machines: int, first_seed: int, advance: Advance) -> Rung:
    """Try so many machines, of consecutive seeds, on all cores.

    Args:
        name: What the rung is called.
        machines: How many.
        first_seed: Seed of the first one; a machine depends on its seed alone.
        advance: Told how many are done.
    """
    found: list[Findings] = []
    for some in _in_order(range(first_seed, first_seed + machines)):
        found += some
        advance(f"{len(found):,} of {machines:,}")
    compared = sum((one.compared for one in found), Counter[str]())
    violations = [line for one in found for line in one.violations]
    ratios = np.array([one.command_over_closed for one in found if one.command_over_closed is not None])
    figure = (
        f"{machines:,} machines, {compared['analytic']:,} comparisons analytically; {len(ratios):,} machines by "
        f"commands too, {compared['command']:,} comparisons; violations: {len(violations)}"
    )
    values: dict[str, float] = {"machines": machines, "violations": len(violations), **compared}
    values["machines_by_commands"] = len(ratios)
    for quantity, ratio in zip(("time", "energy"), ratios.T, strict=False):
        inside = float((np.abs(ratio - 1) <= 0.1).mean())
        values |= {f"{quantity}_within_10_percent": inside, f"{quantity}_median": float(np.median(ratio))}
    return Rung(name, figure, not violations, values, tuple(violations))


def _in_order(seeds: Sequence[int]) -> Iterable[list[Findings]]:
    """Findings of all seeds, in their order whoever tries them."""
    pieces = [seeds[at : at + _AT_ONCE] for at in range(0, len(seeds), _AT_ONCE)]
    workers = min(os.cpu_count() or 1, len(pieces))
    if workers == 1:
        yield from map(_try_some, pieces)
        return
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        yield from pool.map(_try_some, pieces)


def _try_some(seeds: Iterable[int]) -> list[Findings]:
    return [try_machine(seed) for seed in seeds]


def try_machine(seed: int) -> Findings:
    """Try some of the rules on the machine of a seed."""
    scenario, dice = draw(seed), Dice(seed, 1)
    base = _steps(scenario)
    compared: Counter[str] = Counter()
    wrong = [f"{run.fidelity}: {what}; {scenario}" for run in base for what in strange(run)]
    for name in dice.shuffled(tuple(RULES)):
        changed = RULES[name].change(scenario, dice)
        quantities = must_not_fall(RULES[name], scenario)
        if changed is None or not quantities:
            continue
        by_commands = len(base) == 2 and compared["command"] < RULES_PER_MACHINE["command"]
        for before, after in zip(base, _steps(changed, by_commands), strict=False):
            compared[after.fidelity] += 1
            better = RULES[name].kind == "machine"
            wrong_way = broken(before, after, quantities, better)
            if wrong_way and after.fidelity == "command":
                exact, other = (_steps(one, intervals=REFRESH_INTERVALS)[-1] for one in (scenario, changed))
                wrong_way = broken(exact, other, quantities, better)
            found = [wrong_way, *strange(after)]
            wrong += [
                f"{after.fidelity}, {name}: {what}; {scenario.against(changed)}; {scenario}" for what in found if what
            ]
        if compared["analytic"] == RULES_PER_MACHINE["analytic"]:
            break
    ratio = None
    if len(base) == 2:
        closed, commands = base
        ratio = (commands.decode_ns / closed.decode_ns, float(commands.decode_pj.sum() / closed.decode_pj.sum()))
    return Findings(compared, tuple(f"seed {seed}, {line}" for line in wrong), ratio)


def broken(base: Run, other: Run, quantities: Iterable[str], better_machine: bool) -> str:
    """What a rule forbids and happened nevertheless, in words; empty if nothing."""
    ratios = {
        "time": other.decode_ns / base.decode_ns,
        "energy": float(other.decode_pj.sum() / base.decode_pj.sum()),
    }
    ratios["EDP"] = ratios["time"] * ratios["energy"]
    wrong_way = 1.0 if better_machine else -1.0
    tolerance = TOLERANCES[base.fidelity]
    off = {quantity: ratios[quantity] - 1 for quantity in quantities}
    return ", ".join(f"{quantity} {more:+.2%}" for quantity, more in off.items() if more * wrong_way > tolerance)


def strange(run: Run) -> list[str]:
    """What of a run cannot be: numbers below zero or none at all, parts that don't add up, an EDP that is another's."""
    numbers = np.array([run.decode_ns, run.prefill_ns, run.prefill_pj, *run.decode_pj])
    if not (np.isfinite(numbers).all() and (numbers >= 0).all() and run.decode_ns > 0):
        return ["a cost is no number, or below zero"]
    wrong = []
    if not np.isclose(sum(run.energy_by_component_mj.values()), run.mj_per_token, rtol=1e-9):
        wrong.append("components don't add up to the energy")
    if not np.isclose(run.edp_s_mj * run.tokens_per_s * run.tokens_per_j, 1e3, rtol=1e-9):
        wrong.append("EDP is not 1 / (token/s x token/J)")
    return wrong


def _steps(scenario: RandomStep, by_commands: bool = True, intervals: int = FEW_INTERVALS) -> list[Run]:
    """Both levels, every phase run by itself: of one step there are fewer than it takes to combine others from."""
    return both_levels(replace(scenario.build(), exact=True), scenario.l_spec, scenario.context, by_commands, intervals)
