"""What a result was made from, so that it can be made again."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

from lpspec import __version__
from lpspec.experiments.systems import KNOWN_SYSTEMS
from lpspec.llm.loading import model_names
from lpspec.machine.loading import profile_names
from lpspec.scenario import Request, Scenario
from lpspec.scenario.checking import is_path
from lpspec.scenario.description import Description
from lpspec.scenario.names import Fidelity
from lpspec.simulation.workload import System, TreePolicy
from lpspec.speculation.rank_trace import RankTrace, trace_names
from lpspec.text_files import is_there

_Description = TypeVar("_Description", bound=Description)


def provenance(
    scenario: Scenario, systems: Iterable[System], trace: RankTrace, policy: TreePolicy, **options: Any
) -> dict[str, Any]:
    """Describe the inputs of a result: versions, hashes, seed, and the fidelity of its costs.

    Args:
        scenario: What was asked for; ``--scenario`` with it, or with the whole result, gives the result again.
        systems: Every system that ran, with its resolved platform, model and energy profile.
        trace: The acceptance trace.
        policy: How trees were found.
        options: Further settings that the result depends on.
    """
    settings = {
        "systems": [_resolved(system) for system in systems],
        "trace_sha256": trace.content_hash,
        "workload": scenario.workload.to_dict(),
        "tree": _policy(policy),
        "fidelity": scenario.level,
        **options,
    }
    return {
        "lpspec": __version__,
        "fidelity": scenario.level,
        "scenario": repeatable(scenario).to_dict(),
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
    request: Request,
    systems: Iterable[System],
    policy: TreePolicy,
    machine: dict[str, Any],
    prices: dict[str, Any] | None,
    fidelity: Fidelity,
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
    settings = {
        "request": request.to_dict(),
        "systems": [_resolved(system) for system in systems],
        "tree": _policy(policy),
    }
    return {
        "lpspec": __version__,
        "fidelity": fidelity,
        "config_sha256": hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest(),
        "request": repeatable(request).to_dict(),
        "machine": machine,
        "machine_prices": prices,
        "config": settings,
    }


def repeatable(description: _Description) -> _Description:
    """What is asked for with absolute paths, so that it means the same wherever it lies."""
    names = {*model_names(), *trace_names(), *profile_names(), *KNOWN_SYSTEMS}

    def place(text: str) -> str:
        is_file = text not in names and (is_path(text) or is_there(text))
        return str(Path(text).absolute()) if is_file else text

    return description.with_paths(place)


def _resolved(system: System) -> dict[str, Any]:
    return {
        "name": system.name,
        "speculates": system.speculates,
        "root_counts": system.root_counts,
        "exact": system.exact,
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
