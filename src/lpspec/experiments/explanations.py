"""What explains a ratio of simulated to published outside 0.8 to 1.25."""

from math import sqrt

from lpspec.experiments.level import Level
from lpspec.experiments.published import GPUS, HIGHEST_RATIO, LOWEST_RATIO, Published
from lpspec.llm.counts import ceil_div
from lpspec.llm.draft_work import draft_operators
from lpspec.llm.operators import Gemm, Operator, verify_operators
from lpspec.simulation.run import Run


def why(published: Published, level: Level) -> str:
    """What explains the ratio of a quantity on the published basis; empty inside the range.

    Args:
        published: The quantity.
        level: What the assumption set gives.
    """
    ratio = level.simulated[published.id] / published.value
    if LOWEST_RATIO <= ratio <= HIGHEST_RATIO:
        return ""
    if published.rival in GPUS:
        return _gpu(published.rival, level.published[published.rival])
    if published.id in ("lp_spec_tokens_per_j", "energy_vs_npu") and ratio > HIGHEST_RATIO:  # tiles only save energy
        npu = level.published["npu"] if published.id == "energy_vs_npu" else None
        return whole_tiles(level.published["lp-spec"], published.value, npu)
    if published.rival == "npu":
        return _bus(level.published["npu"])
    if level.fidelity == "command":
        return "the assumption set was chosen analytically; commands add rows, turns of the bus and the cache's layout"
    return "no assumption set brings every quantity into range; the table of assumption sets shows which one this costs"


PUBLISHED_GPU_EDP_S_MJ = {"attacc": 5.36, "rtx3090": 173.6}


def implied_bus_efficiency(name: str, run: Run) -> float:
    """The share of its peak bandwidth at which a GPU would have its published energy-delay product.

    A pass takes time in inverse proportion to it; board power x time does so too, counted energy does not change.

    Args:
        name: The GPU.
        run: Its run on the published basis.
    """
    assert run.system.platform.gpu is not None
    factor = run.edp_s_mj / PUBLISHED_GPU_EDP_S_MJ[name]
    power = sqrt(factor) if run.system.platform.energy_basis == "board-power" else factor
    return run.system.platform.gpu.bus_efficiency.fraction * power


def _gpu(name: str, run: Run) -> str:
    assert run.system.platform.gpu is not None
    return (
        f"the published {PUBLISHED_GPU_EDP_S_MJ[name]:g} s·mJ of this GPU would take "
        f"{implied_bus_efficiency(name, run):.2f} of its bandwidth; it keeps the "
        f"{run.system.platform.gpu.bus_efficiency.fraction:g} of its file, whatever the assumption set"
    )


def _bus(npu: Run) -> str:
    """How busy the bus is while the NPU decodes alone, which it does by reading all its weights for each token."""
    memory = npu.system.platform.memory
    assert memory is not None
    used = npu.tokens_per_s * _weight_bytes(verify_operators(npu.system.model, 1, 0)) / 1e9 / memory.peak_gb_per_s
    return f"the NPU's weights alone take {used:.2f} of its peak bandwidth, by its published token/s 0.72"


def whole_tiles(lp_spec: Run, published: float, npu: Run | None = None) -> str:
    """Why LP-Spec takes less energy than published: what its split in whole tiles saves.

    Args:
        lp_spec: Its run.
        published: Published energy efficiency, token/J, or the gain over the NPU.
        npu: The NPU's run, if the gain over it is explained.
    """
    share, tokens_per_j = divisible_split(lp_spec)
    found = tokens_per_j if npu is None else tokens_per_j / npu.tokens_per_j
    gain = "" if npu is None else f", {found:.2f} times the NPU's"
    return (
        f"PIM works in whole tiles, so the best split leaves the NPU few columns and little off-chip traffic; "
        f"the paper's divisible split would give the NPU {share:.1%} of the weights and LP-Spec {tokens_per_j:.1f} "
        f"token/J{gain}, {found / published:.2f} of the published number"
    )


def divisible_split(run: Run) -> tuple[float, float]:
    """LP-Spec's energy if columns could be divided at will, by the closed form of the paper's section V-B.

    The NPU's share is r = t_p / (t_n + t_p) of the weights, read off the chip instead of in the bank.

    Args:
        run: LP-Spec with whole tiles.

    Returns:
        The share, and the tokens per joule that it would give.
    """
    platform, model, profile = run.system.platform, run.system.model, run.system.profile
    assert platform.memory is not None
    assert platform.pim is not None
    passes = ceil_div(round(run.mean_l_spec), platform.pim.alus.n)
    pim_dies = platform.pim.concurrent_ranks.n * platform.memory.dies_per_rank
    pim_ns_per_byte = passes / (platform.die.pim_gb_per_s * pim_dies)
    npu_ns_per_byte = 1 / platform.memory.sustained_gb_per_s
    share = pim_ns_per_byte / (npu_ns_per_byte + pim_ns_per_byte)
    buffers_pj_per_bit = 2 * (profile.scratchpad.pj_per_bit + profile.local_buffer.pj_per_bit)  # written and read
    off_chip_pj_per_bit = profile.off_chip_pj_per_bit + buffers_pj_per_bit
    verify_bits = 8 * _weight_bytes(verify_operators(model, 1, 0))
    draft_bits = 8 * _weight_bytes(draft_operators(model))
    npu_pj = share * (verify_bits + draft_bits) * off_chip_pj_per_bit
    pim_pj = (1 - share) * (verify_bits * passes + draft_bits) * profile.in_bank_pj_per_bit
    components = run.energy_by_component_mj
    rest_mj = components["mac"] + components["activation"] + components["static"]
    step_mj = (npu_pj + pim_pj) / 1e9
    return share, 1e3 / (rest_mj + step_mj / run.mean_acceptance_length)


def _weight_bytes(operators: tuple[Operator, ...]) -> int:
    return sum(op.weight_bytes for op in operators if isinstance(op, Gemm))
