"""Options that have no effect, said so: whoever sets one expects to see it in the numbers."""

from collections.abc import Iterator, Mapping, Sequence
from math import isclose

from lpspec.llm.draft_work import drafter_kind
from lpspec.machine.controller_spec import ControllerSpec
from lpspec.machine.loading import SET_BY_USER, platform_names
from lpspec.machine.platform_spec import MemorySpec
from lpspec.scenario import Workload
from lpspec.scenario.names import Basis
from lpspec.scenario.scenario import DEFAULT, Scenario
from lpspec.simulation.requests import Requests
from lpspec.simulation.run import Run, most_depth
from lpspec.simulation.served_run import ServedRun
from lpspec.simulation.workload import MAX_TREE_SIZE, System, TreePolicy
from lpspec.speculation.rank_trace import ANY_DRAFTER, USUAL_DRAFTER, RankTrace

WITHOUT_WEIGHTS = ("none", "prompt-lookup")
"""Drafters that read no weights of their own."""

DEFAULT_NODES = MAX_TREE_SIZE - 1
"""Drafts per recorded tree at most, where nothing is said."""

_INT8 = 8


def run_notes(runs: Sequence[Run], scenario: Scenario, trace: RankTrace, policy: TreePolicy) -> Iterator[str]:
    """Everything that changes nothing in runs of one request at a time, or is not what it seems.

    Args:
        runs: Of the systems, one each at least.
        scenario: What was asked for.
        trace: Whose acceptance was replayed.
        policy: How trees were found.
    """
    systems = [run.system for run in runs]
    yield from policy_notes(systems, scenario, policy)
    yield from drafter_notes(systems, trace)
    yield from machine_notes(systems)
    yield from workload_notes(trace, scenario.workload)
    yield from basis_notes(systems, scenario.basis, scenario.changes)
    yield from analytic_notes(runs, scenario)


def policy_notes(systems: Sequence[System], scenario: Scenario, policy: TreePolicy) -> Iterator[str]:
    """Options of trees that change nothing.

    Args:
        systems: What was compared.
        scenario: What was asked for.
        policy: How trees were found.
    """
    tree = scenario.tree
    given = {
        "--objective": scenario.objective != DEFAULT.objective,
        "--learning": scenario.learning != DEFAULT.learning,
        "--tree": tree != DEFAULT.tree,
        "--no-root-counts": scenario.root_counts != DEFAULT.root_counts,
        "--heads": scenario.heads != DEFAULT.heads,
        "--set draft_cache": scenario.changes.get("draft_cache") == "scratchpad",
    }
    if not any(system.speculates for system in systems):
        for option, is_given in given.items():
            if is_given:
                yield f"{option} has no effect: no system here speculates"
        return
    migrates = any(system.platform.allocator == "dynamic" for system in systems)
    if policy.size == 1:
        without = "--learning", "--no-root-counts", "--heads", "--set draft_cache"
        for option in (*without, *(() if migrates else ("--objective",))):
            if given[option]:
                yield f"{option} has no effect: --tree {tree} is the root alone"
        return
    most_heads = max(system.model.most_drafts for system in systems if system.speculates)
    if given["--objective"] and not migrates and not _chooses(policy, most_heads):
        yield f"--objective has no effect: with --tree {tree} neither size nor depth is chosen"
    if policy.fixed is not None and given["--learning"]:
        yield f"--learning has no effect: --tree {tree} is the same at every step"
    if policy.fixed is not None and given["--heads"] and policy.fixed.max_depth >= most_heads:
        yield f"--heads has no effect: --tree {tree} is as deep as there are heads"
    if policy.pruner is not None and given["--learning"]:
        yield f"--learning has no effect: pruner {tree} has its own rule"


def drafter_notes(systems: Sequence[System], trace: RankTrace) -> Iterator[str]:
    """Where the trace is not of the drafter that is paid for, or reaches deeper than it drafts.

    Args:
        systems: What was compared.
        trace: Whose drafts are right.
    """
    drafting = [system.model for system in systems if system.speculates]
    for kind in sorted({drafter_kind(model) for model in drafting} - {trace.drafter}):
        if trace.drafter != ANY_DRAFTER:
            yield (
                f"trace '{trace.name}' is of drafter {trace.drafter}, but {kind} is paid for: its drafts would be "
                "right more or less often"
            )
    most = max((model.most_drafts for model in drafting), default=trace.heads)
    if trace.drafter != USUAL_DRAFTER and trace.heads > most:
        yield f"trace '{trace.name}' is {trace.heads} drafts deep: beyond {most}, all that is drafted, it has no effect"
    if trace.temperature > 0 and drafting:
        yield f"trace '{trace.name}' was measured at temperature {trace.temperature:g}: greedy decoding accepts more"


def machine_notes(systems: Sequence[System]) -> Iterator[str]:
    """What real machines do beside what is simulated of them."""
    for platform in {system.platform.name: system.platform for system in systems}.values():
        if platform.not_simulated is not None:
            yield f"{platform.name}: not simulated: {platform.not_simulated}"


def workload_notes(trace: RankTrace, workload: Workload) -> Iterator[str]:
    """Options of the requests that change nothing."""
    longest, limit = int(trace.turn_lengths.max()), workload.new_tokens
    if limit is not None and limit >= longest:
        yield f"--new-tokens {limit} has no effect: the longest turn of trace '{trace.name}' has {longest}"


def serving_notes(requests: Requests, workload: Workload) -> Iterator[str]:
    """Options of requests that are served which change nothing."""
    if not requests.own_new_tokens:
        yield from workload_notes(max(requests.traces, key=lambda trace: int(trace.turn_lengths.max())), workload)
    if workload.batch > len(requests):
        yield f"--batch {workload.batch} is never full: there are {len(requests)} requests"
    for option, own, given in (
        ("--prompt-tokens", requests.own_prompts, workload.prompt_tokens != DEFAULT.workload.prompt_tokens),
        ("--new-tokens", requests.own_new_tokens, workload.new_tokens is not None),
    ):
        if own and given:
            yield f"{option} has no effect: every request says its own"


def basis_notes(systems: Sequence[System], basis: Basis, changes: Mapping[str, str]) -> Iterator[str]:
    """Options of precision and energy that change nothing."""
    gpus = [system for system in systems if system.platform.gpu is not None]
    if basis == "published" and not gpus and all(s.platform.energy_basis == "model" for s in systems):
        yield "--basis published has no effect: it changes GPUs, and there is none here"
    wide = {_widest_bits(system) > _INT8 for system in gpus}
    if "gpu.matrix_fp16" in changes and wide == {False}:
        yield "--set gpu.matrix_fp16 has no effect: everything here is INT8"
    if "gpu.matrix_int8" in changes and wide == {True}:
        yield f"--set gpu.matrix_int8 has no effect: GPUs compute in FP16 under --basis {basis}"


def recording_notes(drafter: str, heads: str | None, nodes: int) -> Iterator[str]:
    """Options of recordings that change nothing."""
    if drafter in WITHOUT_WEIGHTS and heads is not None:
        yield f"--heads has no effect: drafter {drafter} has no weights"
    if drafter == "medusa" and nodes != DEFAULT_NODES:
        yield "--nodes has no effect: Medusa's lists are recorded whole"


def drafting_notes(drafter: str, given: Mapping[str, bool]) -> Iterator[str]:
    """Options of real decoding that change nothing.

    Args:
        drafter: Who drafted.
        given: Whether ``--tree``, ``--objective``, ``--heads`` and ``--seed`` (of greedy decoding) are set.
    """
    for option in ("--tree", "--objective"):
        if drafter == "none" and given[option]:
            yield f"{option} has no effect: drafter none proposes nothing"
    if drafter not in ("none", "medusa") and given["--tree"] and given["--objective"]:
        yield "--objective has no effect: --tree gives the size of every tree"
    if drafter in WITHOUT_WEIGHTS and given["--heads"]:
        yield f"--heads has no effect: drafter {drafter} has no weights"
    if given["--seed"]:
        yield "--seed has no effect: greedy decoding draws nothing at random"


def rounding_notes(runs: Sequence[Run | ServedRun]) -> Iterator[str]:
    """Times that commands keep for longer or shorter than was given: of PIM, and timings that the user set."""
    by_commands = [run.system.platform for run in runs if run.fidelity == "command"]
    for platform in {platform.name: platform for platform in by_commands}.values():
        if platform.memory is not None:
            yield from _rounded_timings(platform.name, platform.memory)
        if platform.pim is None or platform.memory is None:
            continue
        ck_ns = platform.memory.ck_ns
        for key, given in (("mac_interval", platform.pim.mac_interval), ("mode_switch", platform.pim.mode_switch)):
            in_ck = platform.memory.in_ck(given)
            if not isclose(in_ck * ck_ns, given.ns, rel_tol=1e-3):
                took = f"{in_ck} CK, {in_ck * ck_ns:.5g} ns"
                yield f"pim.{key} of {platform.name} is {given.text()}: commands keep whole CK, {took}"


def analytic_notes(runs: Sequence[Run | ServedRun], scenario: Scenario) -> Iterator[str]:
    """What the user set, or a machine's own file says, that commands alone follow, where a run is analytic."""
    analytic = {run.system.platform.name: run.system.platform for run in runs if run.fidelity == "analytic"}
    if scenario.exact and all(run.fidelity == "analytic" for run in runs):
        yield "--exact has no effect: no system here has commands"
    changes = scenario.changes
    for key in changes:
        if analytic and (key.startswith("memory.controller.") or key == "memory.command_buses"):
            yield f"--set {key} has no effect on {', '.join(analytic)}: the analytic level has no commands"
    for name, platform in analytic.items():
        keys = [] if name in platform_names() or platform.memory is None else list(_of_commands_alone(platform.memory))
        if keys := [key for key in keys if key not in changes]:
            yield f"{', '.join(keys)} of {name} has no effect: the analytic level has no commands"


def _of_commands_alone(memory: MemorySpec) -> Iterator[str]:
    """What of a package commands alone follow, as far as it is not what a plain file has."""
    if memory.pim_ranks.n and memory.command_buses.n == 1:
        yield "memory.command_buses"
    plain = ControllerSpec()
    for name in ControllerSpec.model_fields:
        said, usual = (getattr(spec, name) for spec in (memory.controller, plain))
        if getattr(said, "n", said) != getattr(usual, "n", usual):
            yield f"memory.controller.{name}"


def _rounded_timings(platform: str, memory: MemorySpec) -> Iterator[str]:
    for name, ck in memory.timing.counts().items():
        timing = getattr(memory.timing, name)
        if timing.source.startswith(SET_BY_USER) and "rounded" in timing.given:
            took = f"{ck} CK, {ck * memory.ck_ns:.5g} ns"
            yield f"memory.timing.{name} of {platform} is {timing.given} to whole CK: {took}"


def _chooses(policy: TreePolicy, heads: int) -> bool:
    """Whether a price decides on the tree: on its size, or on its depth where heads run by it."""
    if policy.fixed is not None or policy.size is None:
        return policy.fixed is None
    return policy.heads != "all" and most_depth(policy, heads) > 1


def _widest_bits(system: System) -> int:
    model = system.model
    return max(*(model.stored_as(kind).bits for kind in model.classes), model.activation_bits, model.kv_bits)
