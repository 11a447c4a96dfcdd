"""A verify pass under the roofs of its machine: arithmetic per byte of weights, and arithmetic per second."""

from dataclasses import dataclass

from lpspec.devices.kinds import devices_of
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.operators import verify_operators
from lpspec.llm.work import ExpertGemm, Gemm
from lpspec.machine.platform_spec import PlatformSpec

TERA = 1e12
BANDWIDTHS = ("off_chip_sustained", "in_array")
PEAKS = ("npu_matrix", "pim_all")


@dataclass(frozen=True)
class Roofs:
    """What a machine can do at most.

    Attributes:
        gb_per_s: Rates at which weights reach arithmetic, by what says so.
        tops: Peak rates of arithmetic, likewise; empty where the description has none.
    """

    gb_per_s: dict[str, float]
    tops: dict[str, float]


@dataclass(frozen=True)
class PassWork:
    """What one verify pass computes with weights; drafts and attention are apart.

    Attributes:
        tera_ops: Operations, two of each multiply-accumulate.
        weight_bytes: Bytes of weights that it reads.
    """

    tera_ops: float
    weight_bytes: float

    @property
    def ops_per_byte(self) -> float:
        """Arithmetic intensity."""
        return self.tera_ops * TERA / self.weight_bytes


def pass_work(model: ModelSpec, tokens: int) -> PassWork:
    """The products with weights of a pass.

    Args:
        model: The decoder.
        tokens: Verified in the pass.
    """
    products = [op for op in verify_operators(model, tokens, 0) if isinstance(op, Gemm | ExpertGemm)]
    macs = sum(float(op.macs) for op in products)
    return PassWork(2 * macs / TERA, sum(float(op.weight_bytes) for op in products))


def roofs(platform: PlatformSpec) -> Roofs:
    """The roofs that a platform's description and its devices' have."""
    found = {identity.key: identity.value for device in devices_of(platform).values() for identity in device.describe()}
    if platform.memory is not None:
        found["off_chip_sustained"] = platform.memory.sustained_gb_per_s
    return Roofs(
        {key: found[key] for key in BANDWIDTHS if found.get(key)}, {key: found[key] for key in PEAKS if found.get(key)}
    )
