"""Several systems that serve the same requests, which arrive one by one or all at once, several in a pass."""

from dataclasses import dataclass

from lpspec.experiments.compare import Compared, run_all
from lpspec.experiments.intervals import drawn_requests
from lpspec.experiments.notes import (
    analytic_notes,
    basis_notes,
    drafter_notes,
    machine_notes,
    policy_notes,
    rounding_notes,
    serving_notes,
)
from lpspec.experiments.provenance import provenance
from lpspec.experiments.setting import load_setting
from lpspec.scenario import Scenario
from lpspec.simulation.requests import Requests, load_requests
from lpspec.simulation.serve import serve
from lpspec.simulation.served_run import ServedRun


@dataclass(frozen=True, kw_only=True)
class Serving(Compared):
    """What each system made of the same requests: a run of each, in the order asked for, and what was served."""

    runs: tuple[ServedRun, ...]
    requests: Requests


def serve_requests(scenario: Scenario, samples: int = 0) -> Serving:
    """Serve the requests of a scenario on its systems, those that can.

    Args:
        scenario: What is asked for.
        samples: How many samples of the requests are served, too, the same on every system.

    Raises:
        InputError: Any name, value or file that cannot be used.
    """
    setting = load_setting(scenario)
    requests = load_requests(scenario.workload, setting.trace)
    with_what = requests, scenario.workload.batch, setting.policy, scenario.level
    draws = list(drawn_requests(len(requests), samples))
    runs, left_out = run_all(setting, requests.traces, lambda system: serve(system, *with_what, draws))
    ran = [run.system for run in runs]
    notes = (
        *policy_notes(ran, scenario, setting.policy),
        *(note for trace in requests.traces for note in drafter_notes(ran, trace)),
        *machine_notes(ran),
        *serving_notes(requests, scenario.workload),
        *basis_notes(ran, scenario.basis, scenario.changes),
        *rounding_notes(runs),
        *analytic_notes(runs, scenario),
    )
    made_from = {"basis": scenario.basis, "requests_sha256": requests.content_hash}
    return Serving(
        scenario=scenario,
        runs=tuple(runs),
        left_out=tuple(left_out),
        model=setting.model,
        requests=requests,
        policy=setting.policy,
        provenance=provenance(scenario, ran, setting.trace, setting.policy, **made_from),
        notes=notes,
    )
