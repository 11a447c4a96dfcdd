"""What a result was made from, so that it can be made again."""

import hashlib
import json
from collections.abc import Iterable
from typing import Any

from lpspec import __version__
from lpspec.simulation.workload import Fidelity, System, TreePolicy, Workload
from lpspec.speculation.rank_trace import RankTrace


def provenance(
    systems: Iterable[System],
    trace: RankTrace,
    workload: Workload,
    policy: TreePolicy,
    fidelity: Fidelity = "analytic",
    **options: Any,
) -> dict[str, Any]:
    """Describe the inputs of a result: versions, hashes, seed, and the fidelity of its costs.

    Args:
        systems: Every system that ran, with its resolved platform, model and energy profile.
        trace: The acceptance trace.
        workload: Prompt and answer lengths.
        policy: How trees were found.
        fidelity: What priced steps, where it could.
        options: Further settings that the result depends on.
    """
    settings = {
        "systems": [_resolved(system) for system in systems],
        "trace_sha256": trace.content_hash,
        "workload": {"prompt_tokens": workload.prompt_tokens, "new_tokens": workload.new_tokens},
        "tree": _policy(policy),
        "fidelity": fidelity,
        **options,
    }
    return {
        "lpspec": __version__,
        "fidelity": fidelity,
        "config_sha256": hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest(),
        "trace": trace.name,
        "trace_kind": trace.kind,
        "trace_description": trace.description,
        "trace_source": trace.source,
        "trace_sha256": trace.content_hash,
        "seed": trace.seed,
        "config": settings,
    }


def generation_provenance(
    request: dict[str, Any],
    systems: Iterable[System],
    policy: TreePolicy,
    machine: dict[str, Any],
    prices: dict[str, Any] | None,
    fidelity: Fidelity = "analytic",
) -> dict[str, Any]:
    """Describe what real text was made from, and what its steps were priced by.

    Args:
        request: What was asked for.
        systems: Every system that was charged.
        policy: How trees were found.
        machine: Where it was decoded, and at what precision.
        prices: The machine's calibrated price list, if trees were sized by one.
        fidelity: What priced the steps, where it could.
    """
    settings = {"request": request, "systems": [_resolved(system) for system in systems], "tree": _policy(policy)}
    return {
        "lpspec": __version__,
        "fidelity": fidelity,
        "config_sha256": hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest(),
        "machine": machine,
        "machine_prices": prices,
        "config": settings,
    }


def _resolved(system: System) -> dict[str, Any]:
    return {
        "name": system.name,
        "speculates": system.speculates,
        "root_counts": system.root_counts,
        "platform": system.platform.model_dump(mode="json", exclude_none=True),
        "model": system.model.model_dump(mode="json"),
        "energy_profile": system.profile.model_dump(mode="json"),
    }


def _policy(policy: TreePolicy) -> dict[str, Any]:
    return {
        "fixed": None if policy.fixed is None else [list(path) for path in policy.fixed.paths()],
        "size": policy.size,
        "depth": policy.depth,
        "heads": policy.heads,
        "pruner": None if policy.pruner is None else getattr(policy.pruner, "__qualname__", repr(policy.pruner)),
        "objective": policy.objective,
        "learning_rule": policy.rule,
        "memory": policy.memory,
    }
