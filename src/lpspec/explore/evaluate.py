"""Run one point of a study: its scenario's figures, or why it has none."""

import time
from typing import Any, Literal, NamedTuple

from lpspec.devices.cost import COMPONENTS
from lpspec.devices.kept_prices import kept_prices
from lpspec.errors import InputError
from lpspec.explore.store import Outcome
from lpspec.machine.area import PackageArea
from lpspec.scenario import Scenario
from lpspec.simulation.run import Run

Better = Literal["higher", "lower"]


class Metric(NamedTuple):
    """A figure of a point.

    Attributes:
        meaning: What it is, and its unit.
        better: Which way is better; None where neither is.
    """

    meaning: str
    better: Better | None = None


METRICS = {
    "tokens_per_s": Metric("decode throughput, tokens/s", "higher"),
    "tokens_per_j": Metric("energy efficiency, tokens/J, on the basis of the scenario", "higher"),
    "tokens_per_j_memory_and_macs": Metric("the same, of memory and MACs alone", "higher"),
    "tokens_per_j_board": Metric("the same, of the whole board or SoC; none where a platform does not say", "higher"),
    "edp_s_mj": Metric("energy-delay product of a token, s x mJ", "lower"),
    "mj_per_token": Metric("decode energy of a token, mJ", "lower"),
    "average_power_w": Metric("power while decoding, W", "lower"),
    "time_to_first_token_ms": Metric("time of the pass over the prompt, ms", "lower"),
    "prefill_mj": Metric("energy of the pass over the prompt, mJ", "lower"),
    "mean_acceptance_length": Metric("tokens committed in a verify pass, the root included", "higher"),
    "mean_l_spec": Metric("tokens verified in a pass, the root included"),
    "mean_heads": Metric("draft heads run in a pass"),
    "migrations": Metric("how often weights moved between ranks"),
    "weight_gb": Metric("weights of the model, GB"),
    "capacity_gb": Metric("what the platform holds, GB"),
    "package_mm2": Metric("silicon of its LPDDR package, mm2, assumed; none without one", "lower"),
    **{f"{name}_mj_per_token": Metric(f"part of mj_per_token: {name}, mJ") for name in COMPONENTS},
    "error_bound": Metric("largest relative error of the time where phases were combined; none otherwise"),
}
"""Figures of a point by name."""


def evaluate(values: dict[str, Any]) -> Outcome:
    """Run a scenario of one system.

    Args:
        values: The scenario as plain data.
    """
    from lpspec.experiments.compare import run_scenario

    start_s = time.process_time()
    try:
        _, (run,), _ = run_scenario(Scenario.from_dict(values))
        metrics = metrics_of(run)
    except InputError as error:
        return Outcome(None, None, str(error), time.process_time() - start_s)
    finally:
        kept_prices().write()  # so that other workers need not time the same phases
    return Outcome(metrics, run.fidelity, None, time.process_time() - start_s)


def metrics_of(run: Run) -> dict[str, Any]:
    """Every figure of a run by name."""
    area = PackageArea.of(run.system.platform)
    own = {
        "tokens_per_j_memory_and_macs": run.memory_and_macs.tokens_per_j,
        "tokens_per_j_board": None if run.board is None else run.board.tokens_per_j,
        **{f"{name}_mj_per_token": mj for name, mj in run.energy_by_component_mj.items()},
        "weight_gb": run.system.model.weight_bytes / 1e9,
        "capacity_gb": run.system.platform.capacity_bytes / 1e9,
        "package_mm2": None if area is None else area.total,
    }
    return {name: own[name] if name in own else getattr(run, name) for name in METRICS}
