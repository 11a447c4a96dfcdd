"""The comparison: one model, one trace, several systems."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lpspec.errors import InputError, unknown_name
from lpspec.experiments.notes import basis_notes, policy_notes, rounding_notes, workload_notes
from lpspec.experiments.provenance import provenance
from lpspec.experiments.systems import BASES, REFERENCE, SYSTEMS, Basis, check_changes, make_system
from lpspec.llm.loading import load_model
from lpspec.llm.model_spec import ModelSpec
from lpspec.machine.loading import load_profile
from lpspec.simulation.run import Run, simulate
from lpspec.simulation.workload import Fidelity, System, TreePolicy, Workload, parse_fidelity, parse_tree
from lpspec.speculation.rank_trace import RankTrace, load_trace

FALLBACK_TRACE = "vicuna-7b"
"""The trace for models that name none of their own."""


@dataclass(frozen=True)
class Comparison:
    """What each system made of the same requests.

    Attributes:
        runs: One per system, in the order asked for.
        left_out: Systems that cannot hold the model, with the reason; only when no systems were named.
        model: The decoder at the precision of the mobile systems.
        trace: Whose acceptance was replayed.
        workload: Prompt and answer lengths.
        tree: The tree setting as it was written.
        policy: How trees were found.
        basis: Whose precision was used, and what energy counts.
        provenance: What the result was made from.
        notes: Options that have no effect, one line each.
    """

    runs: tuple[Run, ...]
    left_out: tuple[tuple[str, str], ...]
    model: ModelSpec
    trace: RankTrace
    workload: Workload
    tree: str
    policy: TreePolicy
    basis: Basis
    provenance: dict[str, Any]
    notes: tuple[str, ...] = ()


def compare(
    model: str | ModelSpec = "llama2-7b",
    trace: str | None = None,
    systems: Sequence[str] | None = None,
    objective: str = "edp",
    tree: str = "dtp",
    prompt_tokens: int = 128,
    new_tokens: int | None = None,
    basis: str = "equal",
    energy_profile: str = "attacc",
    changes: Mapping[str, str] | None = None,
    learning: str = "full-feedback",
    root_counts: bool = True,
    fidelity: str = "analytic",
    heads: str = "by-depth",
) -> Comparison:
    """Run systems on the same requests.

    Args:
        model: Preset name, path of a Hugging Face ``config.json``, or the dimensions themselves.
        trace: Shipped name or path of a rank trace; None for the one that suits the model.
        systems: Names or platform files; None for all that can hold the model (LP-Spec must).
        objective: ``throughput``, ``energy`` or ``edp``.
        tree: ``dtp``, the name of a published tree, a size with the root included, or size x depth.
        prompt_tokens: Tokens of each prompt.
        new_tokens: Tokens to generate per turn at most; None for whole turns.
        basis: ``equal``, ``board`` or ``published``.
        energy_profile: Shipped name or path.
        changes: Constants of the platforms to change, dotted key to text.
        learning: How the pruner learns accuracies, a name of ``LEARNING_RULES``.
        root_counts: Whether a pass is charged for the root among its tokens.
        fidelity: ``analytic`` or ``command``.
        heads: Draft heads that a step runs, a name of ``HEAD_USES``.

    Raises:
        InputError: Any name, value or file that cannot be used.
    """
    if basis not in BASES:
        raise unknown_name("basis", basis, BASES)
    if systems is not None and not systems:
        raise InputError(f"no system given: known are {', '.join(SYSTEMS)}")
    level = parse_fidelity(fidelity)
    policy = parse_tree(tree, objective, learning, heads)
    workload = Workload(prompt_tokens, new_tokens)
    spec = load_model(model) if isinstance(model, str) else model
    profile = load_profile(energy_profile)
    acceptance = load_trace(spec.default_trace or FALLBACK_TRACE if trace is None else trace)
    names = list(dict.fromkeys(systems if systems is not None else SYSTEMS))
    check_changes(names, changes or {})
    asked = [make_system(name, spec, profile, basis, changes, root_counts) for name in names]
    _check_labels(names, asked)
    runs, left_out = _run_all(asked, acceptance, workload, policy, level, may_leave_out=systems is None)
    origin = provenance([r.system for r in runs], acceptance, workload, policy, level, basis=basis)
    ran = [run.system for run in runs]
    notes = (
        *policy_notes(ran, tree, policy, root_counts),
        *workload_notes(acceptance, workload),
        *basis_notes(ran, basis, changes or {}),
        *rounding_notes(runs),
    )
    return Comparison(tuple(runs), tuple(left_out), spec, acceptance, workload, tree, policy, basis, origin, notes)


def _check_labels(names: Sequence[str], systems: Sequence[System]) -> None:
    """Refuse two rows of one name: a platform file that extends another inherits its name."""
    called: dict[str, str] = {}
    for name, system in zip(names, systems, strict=True):
        if system.name in called:
            file = called[system.name] if name in SYSTEMS else name
            raise InputError(f"two systems are called '{system.name}': give the platform in {file} a name of its own")
        called[system.name] = name


def _run_all(
    systems: Sequence[System],
    trace: RankTrace,
    workload: Workload,
    policy: TreePolicy,
    fidelity: Fidelity,
    may_leave_out: bool,
) -> tuple[list[Run], list[tuple[str, str]]]:
    runs: list[Run] = []
    left_out: list[tuple[str, str]] = []
    for system in systems:
        try:
            runs.append(simulate(system, trace, workload, policy, fidelity))
        except InputError as error:
            if not may_leave_out or system.name == REFERENCE:
                raise
            left_out.append((system.name, str(error)))
    return runs, left_out
