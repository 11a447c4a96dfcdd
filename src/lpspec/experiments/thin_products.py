"""Thin products on an NPU as three other simulators count them: the same work, machine and constants.

The work is one pass of Llama2-7B at INT8 over so many tokens, products only. The machine has 16 cores of 32 x 32 MACs
with 256 KiB each, 8 MiB of scratchpad and 51.2 GB/s. The peers were run on 2026-11-28; the AttAcc simulator's counts
are those of its GPU, with a GPU's tiles, and so are ours beside them.
"""

from dataclasses import dataclass

from lpspec.devices.cost import Activity, Cost
from lpspec.devices.gpu import Gpu
from lpspec.devices.memory_timing import timing_of
from lpspec.devices.npu import Npu
from lpspec.llm.loading import load_model
from lpspec.llm.operators import Gemm, verify_operators
from lpspec.machine.energy_profile import EnergyProfile
from lpspec.machine.loading import load_platform, load_profile
from lpspec.machine.quantity import Count, EnergyPerBit

TOKENS = (1, 4, 16, 64)
CONSTANTS_PJ_PER_BIT = {"scratchpad": 0.30, "local_buffer": 0.16, "core_register": 0.0675 / 8}
"""Those of the AttAcc simulator ('l2', 'l1', 'reg'); memory and MACs are its too."""


@dataclass(frozen=True, slots=True)
class ThinPeer:
    """What another simulator gives.

    Attributes:
        id: Key of its rows.
        name: Whose number.
        published_mj: Energy of a pass, one for each of ``TOKENS``.
        partial_sums: Where its partial sums live.
        sum_bits: Their width; 8 would not hold a sum, so no platform may have it.
        on_gpu: Whether the tiles are a GPU's.
        charged_once: On-chip memories of which it charges one access where a weight is written and read.
    """

    id: str
    name: str
    published_mj: tuple[float, ...]
    partial_sums: str = "local-buffer"
    sum_bits: int = 32
    on_gpu: bool = False
    charged_once: tuple[str, ...] = ()


THIN_PEERS = (
    ThinPeer("zigzag_buffer", "ZigZag 3.9.1, 32-bit sums in the local buffer", (245.3, 259.4, 314.9, 538.2)),
    ThinPeer(
        "zigzag_registers",
        "ZigZag 3.9.1, sums in a register file",
        (243.3, 251.5, 283.3, 420.1),
        partial_sums="registers",
    ),
    ThinPeer(
        "accelforge",
        "AccelForge 1.0.467, 8-bit sums",
        (224.5, 233.6, 270.0, 415.7),
        sum_bits=8,
        charged_once=("scratchpad_bits",),
    ),
    ThinPeer(
        "attacc_gpu",
        "AttAcc simulator, a GPU's tiles",
        (218.6, 230.9, 279.9, 502.6),
        on_gpu=True,
        charged_once=("scratchpad_bits", "local_buffer_bits"),
    ),
)

PASS_MS = {"ZigZag 3.9.1": (131.0, 135.0), "AttAcc simulator": (129.0, 132.0)}
"""Time of a pass of 1 to 64 tokens, which the bus decides."""
ARRAYS_US = {1: 33.03, 16: 32.93, 64: 65.73, 140: 143.60}
"""ZigZag 3.9.1, a 4096 x 4096 product with unlimited memory, by tokens."""


def thin_energy_mj(peer: ThinPeer, tokens: int, as_charged: bool = True) -> float:
    """Energy of a pass by our counts under a peer's conditions, mJ.

    Args:
        peer: Whose conditions.
        tokens: Tokens of the pass.
        as_charged: Leave out the accesses that the peer leaves out; otherwise every access is charged.
    """
    activity = Activity()
    for op, cost in _priced(_gpu() if peer.on_gpu else _npu(peer), tokens):
        activity += cost.activity
        if as_charged:
            activity += Activity(**dict.fromkeys(peer.charged_once, -8.0 * op.weight_bytes))
    return float(sum(activity.energy_pj(attacc_constants()).values())) / 1e9


def pass_ms(tokens: int) -> float:
    """Time of a pass at the peak rate of the bus, ms: the peers let no refresh, and no first row, interrupt it."""
    npu, memory = _npu(THIN_PEERS[0]), load_platform("mobile-npu").memory
    assert memory is not None
    at_peak = npu.bus_gb_per_s / timing_of(memory).peak_gb_per_s
    return sum(float(cost.latency_ns) for _, cost in _priced(npu, tokens)) * at_peak / 1e6


def arrays_us(tokens: int) -> float:
    """Time of the arrays for a 4096 x 4096 product, us."""
    return float(_npu(THIN_PEERS[0]).gemm_compute_ns(tokens, 4096, 4096)) / 1e3


def _priced(device: Npu | Gpu, tokens: int) -> list[tuple[Gemm, Cost]]:
    operators = verify_operators(load_model("llama2-7b"), tokens, 0)
    return [(op, device.price(op)) for op in operators if isinstance(op, Gemm)]


def _npu(peer: ThinPeer) -> Npu:
    platform = load_platform("mobile-npu", {"memory.bus_efficiency": "1", "npu.partial_sums": peer.partial_sums})
    assert platform.npu is not None
    assert platform.memory is not None
    width = Count.model_validate({"value": peer.sum_bits, "source": peer.name})
    return Npu(platform.npu.model_copy(update={"accumulator_bits": width}), platform.memory)


def _gpu() -> Gpu:
    platform = load_platform("attacc")
    assert platform.gpu is not None
    return Gpu(platform.gpu)


def attacc_constants() -> EnergyProfile:
    """The AttAcc simulator's constants throughout, those of on-chip memories included."""
    constants = {
        name: EnergyPerBit.model_validate({"value": f"{pj} pJ/b", "source": "AttAcc simulator"})
        for name, pj in CONSTANTS_PJ_PER_BIT.items()
    }
    return load_profile("attacc").model_copy(update=constants)
