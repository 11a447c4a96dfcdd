"""What LP-Spec published (arXiv 2508.07227v3), with the place of every number.

[A] abstract, [P] body, [D] derived from them by arithmetic.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Published:
    """A published number.

    Attributes:
        id: Key of the row.
        quantity: What it is, for people.
        value: The number as printed or derived.
        unit: Its unit; ``x`` for a ratio.
        source: Where it stands.
        rival: The system that it is about, or that LP-Spec is compared with.
    """

    id: str
    quantity: str
    value: float
    unit: str
    source: str
    rival: str


PUBLISHED: tuple[Published, ...] = (
    Published("speedup_vs_npu", "LP-Spec over mobile NPU: performance", 13.21, "x", "abstract [A]", "npu"),
    Published("energy_vs_npu", "LP-Spec over mobile NPU: energy efficiency", 7.56, "x", "abstract [A]", "npu"),
    Published("edp_vs_npu", "LP-Spec over mobile NPU: EDP", 99.87, "x", "abstract [A]", "npu"),
    Published("edp_vs_attacc", "LP-Spec over AttAcc: EDP", 12.83, "x", "abstract [A]", "attacc"),
    Published("edp_vs_rtx3090", "LP-Spec over RTX 3090: EDP", 415.31, "x", "abstract [A]", "rtx3090"),
    Published(
        "energy_vs_pim_spec",
        "LP-Spec over GEMV-PIM with speculation: energy efficiency",
        2.85,
        "x",
        "body [P]",
        "pim-spec",
    ),
    Published("lp_spec_tokens_per_s", "LP-Spec: throughput", 73.4, "token/s", "Table III [P]", "lp-spec"),
    Published("lp_spec_tokens_per_j", "LP-Spec: energy efficiency", 32.6, "token/J", "Table III [P]", "lp-spec"),
    Published("lp_spec_edp_s_mj", "LP-Spec: EDP", 0.418, "s·mJ", "Table III [P]", "lp-spec"),
    Published("npu_tokens_per_s", "mobile NPU: throughput", 5.556, "token/s", "73.4 / 13.21 [D]", "npu"),
    Published("npu_tokens_per_j", "mobile NPU: energy efficiency", 4.312, "token/J", "32.6 / 7.56 [D]", "npu"),
    Published("attacc_edp_s_mj", "AttAcc: EDP", 5.36, "s·mJ", "0.418 x 12.83 [D]", "attacc"),
    Published("rtx3090_edp_s_mj", "RTX 3090: EDP", 173.6, "s·mJ", "0.418 x 415.31 [D]", "rtx3090"),
)

GPUS = ("attacc", "rtx3090")

READ = tuple(published for published in PUBLISHED if published.rival not in GPUS)
"""Quantities that what the paper leaves open about its own machine decides. GPUs are as their files have them, whatever
the assumption set, so their rows choose none."""

LOWEST_RATIO, HIGHEST_RATIO = 0.8, 1.25
"""Simulated over published: outside this range a row must say why."""
