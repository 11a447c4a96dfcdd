"""HBM in two tiers: memory whose banks compute attention, and denser memory without (TokenStack, arXiv 2605.05639).

Tiers are layers of the same stacks, which then share one path to the GPU, or whole stacks, each with its own, as a GPU
beside dedicated PIM stacks has them (AttAcc). Weights fill the dense tier first. Pages of the cache that find no room
in the computing tier lie in the dense one in fewer bits, and pass up between the tiers of a stack whenever they are
read; without such a path there are none.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import ClassVar, Literal, Self

from pydantic import Field

from lpspec.devices.cost import Activity, Cost, Real, macs_at
from lpspec.devices.device import Identity
from lpspec.errors import InputError
from lpspec.llm.operators import Attention, PlainOperator
from lpspec.machine.platform_spec import PlatformSpec
from lpspec.machine.quantity import Bandwidth, Count, Described, Size


class HbmTiersSpec(Described):
    """What the table [hbm_tiers] of a platform file says."""

    RANGES: ClassVar = {
        "compute_memory": (2**20, 2**50),
        "dense_memory": (2**20, 2**50),
        "internal_bandwidth": (0.1, 1e7),
        "compute_bandwidth": (0.1, 1e6),
        "dense_bandwidth": (0.1, 1e6),
        "tier_bandwidth": (0.1, 1e6),
        "page_tokens": (1, 4096),
        "cold_key_bits": (1, 16),
        "cold_value_bits": (1, 16),
    }

    tiers: Literal["layers", "stacks"] = Field(description="tiers are layers of every stack, or stacks of their own")
    compute_memory: Size = Field(description="memory with units at its banks")
    dense_memory: Size = Field(description="memory without")
    internal_bandwidth: Bandwidth = Field(description="from all banks of the computing tier into their units")
    compute_bandwidth: Bandwidth = Field(description="of stacks with the computing tier to the GPU")
    dense_bandwidth: Bandwidth = Field(description="of stacks with the dense tier to the GPU")
    tier_bandwidth: Bandwidth | None = Field(default=None, description="between the tiers; none without cold pages")
    page_tokens: Count | None = Field(default=None, description="tokens of a page of the cache")
    cold_key_bits: Count | None = Field(default=None, description="bits of a key in a cold page")
    cold_value_bits: Count | None = Field(default=None, description="bits of a value in a cold page")

    def weight_gb_per_s(self, weight_bytes: int) -> float:
        """Bandwidth at which the GPU reads weights, of which the dense tier holds what it can, GB/s."""
        spilled = max(weight_bytes - self.dense_memory.bytes, 0)
        dense_ns = (weight_bytes - spilled) / self.dense_bandwidth.gb_per_s
        spilled_ns = spilled / self.compute_bandwidth.gb_per_s
        return weight_bytes / (dense_ns + spilled_ns if self.tiers == "layers" else max(dense_ns, spilled_ns))

    def hot_room_bytes(self, weight_bytes: int) -> int:
        """Room of the computing tier for the cache."""
        return self.compute_memory.bytes - max(weight_bytes - self.dense_memory.bytes, 0)

    def cold_room_bytes(self, weight_bytes: int) -> int:
        """Room of the dense tier for the cache; 0 without a path between the tiers."""
        return 0 if self.tier_bandwidth is None else max(self.dense_memory.bytes - weight_bytes, 0)

    def cold_share(self, kv_bits: int) -> float:
        """Bits of a cold key and value over those of hot ones."""
        cold = [kv_bits if bits is None else bits.n for bits in (self.cold_key_bits, self.cold_value_bits)]
        return min(sum(cold) / (2 * kv_bits), 1.0)


class HbmTiers:
    """Costs of attention at the banks. The units are GEMV units: each query reads the cache anew."""

    Spec = HbmTiersSpec
    stands_alone = False

    def __init__(self, spec: HbmTiersSpec, hot: float = 1.0) -> None:
        """Take the data of one platform, and which part of the cache is hot."""
        self.spec, self.hot = spec, hot

    @classmethod
    def of(cls, platform: PlatformSpec) -> Self:
        """The tiers of a platform whose file has [hbm_tiers], all of the cache hot."""
        return cls(platform.device(HbmTiersSpec))

    def price(self, op: PlainOperator) -> Cost:
        """Cost of all layers of attention, without the writes of new keys and values.

        Cold pages come up while the banks compute on others: the slower of the two decides.

        Raises:
            InputError: It is no attention.
        """
        if not isinstance(op, Attention):
            raise InputError(f"HBM tiers compute attention: '{op.name}' is none")
        op = replace(op, latent=False)
        queries = op.tokens * (op.heads // op.kv_heads)
        in_banks = op.kv_read_bytes * queries
        risen: Real = op.kv_read_bytes * ((1.0 - self.hot) * self.spec.cold_share(op.kv_bits))
        latency_ns: Real = in_banks / self.spec.internal_bandwidth.gb_per_s
        if self.spec.tier_bandwidth is not None and self.hot < 1.0:
            hot_ns, cold_ns = latency_ns * self.hot, latency_ns * (1.0 - self.hot)
            rise_ns = risen / self.spec.tier_bandwidth.gb_per_s
            latency_ns = hot_ns + cold_ns + (rise_ns - cold_ns) * (rise_ns > cold_ns)
        array_bits = in_banks * 8.0 + risen * 8.0
        activity = Activity(
            activate_bits=array_bits,
            column_bits=array_bits,
            pim_register_bits=in_banks * 8.0,
            activation_io_bits=(op.score_bytes + op.result_bytes) * 8.0,
            activation_input_bits=(op.query_bytes + op.score_bytes) * 8.0,
            transferred_bits=risen * 8.0,
        )
        return Cost(latency_ns, activity + macs_at(op.macs, max(op.kv_bits, op.activation_bits)))

    def phase_parts(self, op: PlainOperator, amount: int | None = None) -> None:
        """It has no command level."""

    def describe(self) -> Iterator[Identity]:
        """Its bandwidth inside, and its room."""
        spec = self.spec
        yield Identity("in_array", spec.internal_bandwidth.gb_per_s, "GB/s", "from the banks into their GEMV units")
        yield Identity("compute_tier", spec.compute_memory.bytes / 2**30, "GiB", "where attention is computed")
