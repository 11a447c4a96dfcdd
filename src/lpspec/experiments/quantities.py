"""Every published quantity from the runs of five systems."""

from collections.abc import Callable, Mapping

from lpspec.experiments.published import READ
from lpspec.scenario.names import Objective
from lpspec.simulation.energy_basis import Efficiency, Real

OBJECTIVE_OF: dict[str, Objective] = {
    "speedup_vs_npu": "throughput",
    "energy_vs_npu": "energy",
    "edp_vs_npu": "edp",
    "edp_vs_attacc": "edp",
    "edp_vs_rtx3090": "edp",
    "energy_vs_pim_spec": "energy",
    "lp_spec_tokens_per_s": "throughput",
    "lp_spec_tokens_per_j": "energy",
    "lp_spec_edp_s_mj": "edp",
    "npu_tokens_per_s": "throughput",
    "npu_tokens_per_j": "energy",
    "attacc_edp_s_mj": "edp",
    "rtx3090_edp_s_mj": "edp",
}
"""What every system's pruner must optimise where a quantity is to be compared fairly."""


def quantities(of: Callable[[str, Objective], Efficiency[Real]]) -> dict[str, Real]:
    """Every published quantity, by id.

    Args:
        of: What a token takes on a system whose pruner serves an objective.
    """

    def per_s(name: str) -> Real:
        return of(name, "throughput").tokens_per_s

    def per_j(name: str) -> Real:
        return of(name, "energy").tokens_per_j

    def edp(name: str) -> Real:
        return of(name, "edp").edp_s_mj

    return {
        "speedup_vs_npu": per_s("lp-spec") / per_s("npu"),
        "energy_vs_npu": per_j("lp-spec") / per_j("npu"),
        "edp_vs_npu": edp("npu") / edp("lp-spec"),
        "edp_vs_attacc": edp("attacc") / edp("lp-spec"),
        "edp_vs_rtx3090": edp("rtx3090") / edp("lp-spec"),
        "energy_vs_pim_spec": per_j("lp-spec") / per_j("pim-spec"),
        "lp_spec_tokens_per_s": per_s("lp-spec"),
        "lp_spec_tokens_per_j": per_j("lp-spec"),
        "lp_spec_edp_s_mj": edp("lp-spec"),
        "npu_tokens_per_s": per_s("npu"),
        "npu_tokens_per_j": per_j("npu"),
        "attacc_edp_s_mj": edp("attacc"),
        "rtx3090_edp_s_mj": edp("rtx3090"),
    }


def furthest_off(simulated: Mapping[str, float]) -> tuple[str, float]:
    """Of the quantities that an assumption set decides, the one furthest off, and its simulated over published."""
    ratios = {p.id: simulated[p.id] / p.value for p in READ}
    name = max(ratios, key=lambda key: max(ratios[key], 1 / ratios[key]))
    return name, ratios[name]
