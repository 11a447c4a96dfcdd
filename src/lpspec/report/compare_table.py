"""A comparison as a table, and the lines that say what stands behind it."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from rich.table import Table

from lpspec.experiments.compare import Comparison
from lpspec.llm.model_spec import ModelSpec
from lpspec.report.sheets import facts_of
from lpspec.report.wording import digits, new_table, trace_line
from lpspec.simulation.energy_basis import Efficiency
from lpspec.simulation.run import Run
from lpspec.simulation.served_run import ServedRun

COLUMNS = ("token/s", "token/J", "EDP s·mJ", "power W", "first token ms", "tokens per pass", "L_spec")
BOARD_COLUMNS = ("board token/J", "board W")
PARTS_COLUMNS = ("mem+MAC token/J", "mem+MAC W")
"""What the other energy basis gives, where a table's token/J does not count it."""


def comparison_blocks(comparison: Comparison) -> Iterator[Any]:
    """The table, then one line each for what is modelled, whose acceptance, on what basis, and what is missing."""
    table = systems_table(f"{comparison.model.name}: decode steps only, per generated token", comparison.runs)
    add_left_out(table, comparison.left_out)
    yield table
    yield from _lines(comparison)


def systems_table(title: str, runs: Iterable[Run]) -> Table:
    """One row per system."""
    table = new_table(title, "=system")
    runs = tuple(runs)
    columns, others = other_basis(runs)
    for name in (*COLUMNS, *columns):
        table.add_column(name, justify="right")
    table.add_column("level", no_wrap=True)
    for run, other in zip(runs, others, strict=True):
        table.add_row(
            run.system.name, *_cells(run), *other, run.fidelity, style="bold" if run.system.name == "lp-spec" else None
        )
    return table


def other_basis(runs: Sequence[Run | ServedRun]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Columns of the energy basis that a table's token/J does not count, and the cells of each run."""
    counted = {run.system.platform.energy_basis for run in runs}
    parts, board = "board-power" in counted, "model" in counted
    columns = (*(PARTS_COLUMNS if parts else ()), *(BOARD_COLUMNS if board else ()))
    cells = [(*(_pair(run.memory_and_macs) if parts else ()), *(_pair(run.board) if board else ())) for run in runs]
    return columns, cells


def add_left_out(table: Table, left_out: Iterable[tuple[str, str]]) -> None:
    """A row without figures for each system that cannot run; a line below says why."""
    for name, _ in left_out:
        table.add_row(name, *["-"] * (len(table.columns) - 2), "left out")


def _pair(efficiency: Efficiency[float] | None) -> tuple[str, str]:
    if efficiency is None:
        return "-", "-"
    return digits(efficiency.tokens_per_j), digits(efficiency.power_w)


def _cells(run: Run) -> tuple[str, ...]:
    return (
        digits(run.tokens_per_s),
        digits(run.tokens_per_j),
        digits(run.edp_s_mj),
        digits(run.average_power_w),
        digits(run.time_to_first_token_ms),
        f"{run.mean_acceptance_length:.3f}",
        f"{run.mean_l_spec:.2f}",
    )


BASES = {
    "equal": "equal: {weights} and the energy of memory and MACs on every system",
    "board": "board: {weights} and board or SoC power on every system",
    "published": "published: FP16 on GPUs, board power for the RTX 3090, {weights}, memory and MACs elsewhere",
}

PHONE_NOTE = (
    "board   a GPU's board power x time; a phone's memory and MACs and {rest} W for the rest of its SoC "
    "(whole phones measured: 4.7 to 4.9 W, T-MAN)"
)


def _lines(comparison: Comparison) -> Iterator[str]:
    workload = comparison.scenario.workload
    answer = "whole turns" if workload.new_tokens is None else f"at most {workload.new_tokens} new tokens a turn"
    yield f"costs   {costs_and_profiles(comparison.runs, comparison.scenario.level)}"
    yield from own_memory_lines(comparison.runs)
    yield from fitted_lines(comparison.runs)
    yield f"trace   {trace_line(comparison.provenance)}"
    yield f"work    {workload.prompt_tokens} prompt tokens, {answer}, {comparison.trace.turns} turns"
    yield f"trees   {_trees(comparison)}"
    yield f"basis   {basis_text(comparison.scenario.basis, comparison.runs)}"
    yield from board_line(comparison.runs)
    for run in comparison.runs:
        if run.migrations:
            times = "once" if run.migrations == 1 else f"{run.migrations} times"
            mj = run.energy_by_component_mj["migration"] * run.tokens
            cost = f"{digits(run.migration_ns / 1e6)} ms and {digits(mj)} mJ in all"
            yield f"moves   weights of {run.system.name} changed ranks {times}, {cost}"
    yield from left_out_lines(comparison.left_out)


def left_out_lines(left_out: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Why systems cannot run, a line each; a reason that begins with the name does not say it twice."""
    for name, why in left_out:
        yield f"left out  {name}: {why.removeprefix(f'{name}: ')}"


def board_line(runs: Iterable[Run | ServedRun]) -> Iterator[str]:
    """What board columns count, beside what was measured on phones."""
    rests = [run.system.platform.rest_of_soc_power for run in runs]
    watts = sorted({rest.watts for rest in rests if rest is not None})
    if watts:
        yield PHONE_NOTE.format(rest=" or ".join(f"{value:g}" for value in watts))


def basis_text(basis: str, runs: Sequence[Run | ServedRun]) -> str:
    """Precision and energy accounting, with the weights of the mobile systems where there are some."""
    models = [run.system.model for run in sorted(runs, key=lambda run: run.system.platform.board_power is not None)]
    return BASES[basis].format(weights=_weights(models[0]) if models else "INT8 weights")


def _weights(model: ModelSpec) -> str:
    """In how many bits weights are stored."""
    text = model.weights_text
    beside = {"activations": model.activation_bits, "cache": model.kv_bits}
    said = [f"{bits}-bit {name}" for name, bits in beside.items() if bits != model.weight_bits]
    weights = f"weights in {text}" if " " in text else f"{text.upper()} weights"
    return ", ".join([weights, *said])


def costs_text(runs: Sequence[Run | ServedRun], fidelity: str) -> str:
    """What priced which systems; whose devices or allocator have no command level is priced analytically."""
    if fidelity == "analytic":
        return "analytic"
    parts = {
        "command level": [run.system.name for run in runs if run.fidelity == "command"],
        "analytic": [run.system.name for run in runs if run.fidelity != "command"],
    }
    return "; ".join(f"{what}: {', '.join(names)}" for what, names in parts.items() if names) + exactness(runs)


def exactness(runs: Sequence[Run | ServedRun]) -> str:
    """How exactly commands are timed: every phase by itself, or combined from a few with an error bound."""
    bounds = [run.error_bound for run in runs if run.error_bound is not None]
    if not any(run.fidelity == "command" for run in runs):
        return ""
    return f"; phases combined, time within {max(bounds):.2%} of --exact" if bounds else "; every phase exact"


def costs_and_profiles(runs: Sequence[Run | ServedRun], fidelity: str) -> str:
    """What priced which systems, and by which energy constants."""
    profiles = ", ".join(dict.fromkeys(run.system.profile.name for run in runs))
    return f"{costs_text(runs, fidelity)}, energy profile {profiles}"


def own_memory_lines(runs: Sequence[Run | ServedRun]) -> Iterator[str]:
    """Systems whose memory has prices of its own, by its kind."""
    kinds: dict[str, list[str]] = {}
    for run in runs:
        if run.system.platform.memory_energy is not None:
            kinds.setdefault(run.system.platform.memory_energy.technology, []).append(run.system.name)
    if kinds:
        said = "; ".join(f"{', '.join(names)} ({kind})" for kind, names in kinds.items())
        yield f"prices  of a memory of their own, not the profile's: {said}"


def fitted_lines(runs: Sequence[Run | ServedRun]) -> Iterator[str]:
    """Systems with constants whose source says that they were fitted, and which these are."""
    platforms = {run.system.name: run.system.platform for run in runs}
    keys = {
        name: ", ".join(fact.key for fact in facts_of(platform) if "fitted" in fact.source)
        for name, platform in platforms.items()
    }
    said = [f"{name}: {fitted}" for name, fitted in keys.items() if fitted]
    if said:
        yield f"fitted  {'; '.join(said)} (to what: lpspec inspect)"


def _trees(comparison: Comparison) -> str:
    drafting = "; all draft heads run" if comparison.policy.heads == "all" else ""
    if comparison.policy.fixed is not None:
        return f"{comparison.scenario.tree}, {comparison.policy.fixed.size} tokens at every step{drafting}"
    if comparison.policy.size is not None:
        deep = "" if comparison.policy.depth is None else f", {comparison.policy.depth} deep at most"
        if comparison.policy.size == 1:
            return "the root alone at every step"
        return f"{comparison.policy.size} tokens at every step, the most probable ones{deep}{drafting}"
    if comparison.policy.pruner is not None:
        return f"chosen by the pruner {comparison.scenario.tree}, on each system for itself{drafting}"
    return f"sized by the pruner (DTP) for {comparison.policy.objective}, on each system for itself{drafting}"
