"""Weights in processing-in-memory tiles on a mesh of routers that compute what is not stationary (LEAP, ICCAD 2025).

LEAP publishes no parameter: its form is the abstract's, every number is assumed, and two are fitted (``leap.toml``).
Each layer has tiles of its own. A product takes its inputs tile row after tile row, the tiles of other outputs working
at once, and its partial sums are added on their way through the mesh. Keys and values lie spread over the routers,
which multiply them with what passes. So the tokens of a prompt or of a tree follow each other through the layers, and
one token waits for all of them.
"""

from collections.abc import Iterator
from typing import ClassVar, Self

from pydantic import Field

from lpspec.devices.cost import Activity, Cost, Real, macs_at
from lpspec.devices.device import Identity
from lpspec.errors import InputError
from lpspec.llm.counts import Count as Number
from lpspec.llm.counts import ceil_div
from lpspec.llm.operators import Attention, Gemm, PlainOperator, StateUpdate
from lpspec.machine.platform_spec import PlatformSpec
from lpspec.machine.quantity import Count, Described, Duration, Frequency, Power, Size

SUM_BYTES = 4
"""Bytes of a partial sum: INT8 products summed over k without overflow."""


class PimNocSpec(Described):
    """What the table [pim_noc] of a platform file says."""

    RANGES: ClassVar = {
        "mesh": (1, 4096),
        "tile_rows": (1, 65_536),
        "tile_time": (0, 1e6),
        "link_bytes": (1, 4096),
        "clock": (0.01, 10),
        "memory": (2**20, 2**50),
        "board_power": (0, 1e5),
    }

    mesh: Count = Field(description="routers on a side of the square mesh, each with a tile")
    tile_rows: Count = Field(description="inputs that a tile takes at once")
    tile_time: Duration = Field(description="time of a tile for the inputs of one token")
    link_bytes: Count = Field(description="bytes of a link between two routers in a cycle")
    clock: Frequency = Field(description="clock of the routers")
    memory: Size = Field(description="weights, keys and values that tiles and routers hold")
    board_power: Power = Field(description="power of the whole accelerator under load")

    @property
    def link_gb_per_s(self) -> float:
        """Bandwidth of one link, GB/s."""
        return self.link_bytes.n * self.clock.ghz


class PimNoc:
    """Costs of operators on tiles and mesh."""

    Spec = PimNocSpec
    stands_alone = True

    def __init__(self, spec: PimNocSpec) -> None:
        """Take the data of one platform."""
        self.spec = spec

    @classmethod
    def of(cls, platform: PlatformSpec) -> Self:
        """The mesh of a platform whose file has [pim_noc]."""
        return cls(platform.device(PimNocSpec))

    def price(self, op: PlainOperator) -> Cost:
        """Cost of all copies of an operator.

        Raises:
            InputError: It is a state.
        """
        if isinstance(op, Gemm):
            tiles_ns = ceil_div(op.k, self.spec.tile_rows.n) * self.spec.tile_time.ns
            sums = op.count * op.tokens * (op.n * SUM_BYTES)
            read = Activity(pim_register_bits=op.weight_bytes * 8.0 * op.tokens)
            bits = max(op.weight_bits, op.activation_bits)
            once_ns = tiles_ns + self._gathered_ns(op.n)
            return Cost(once_ns * _passes(op.count, op.tokens), read + self._moved(sums) + macs_at(op.macs, bits))
        if isinstance(op, Attention):
            read_bytes = op.kv_read_bytes * op.tokens / op.count
            spread_ns = read_bytes / op.tokens / (self.spec.mesh.n**2 * self.spec.link_gb_per_s)
            once_ns = spread_ns + self._gathered_ns(op.heads * op.value_width)
            sums = op.result_bytes * SUM_BYTES
            stored = Activity(local_buffer_bits=(read_bytes * op.count + op.kv_write_bytes) * 8.0)
            macs = macs_at(op.macs, max(op.kv_bits, op.activation_bits))
            return Cost(once_ns * _passes(op.count, op.tokens), stored + self._moved(sums) + macs)
        if isinstance(op, StateUpdate):
            raise InputError(f"a mesh of PIM tiles has no states: '{op.name}' is one, allowed is attention")
        return Cost(0.0, Activity(macs_fp16=op.vector_ops / 2))

    def phase_parts(self, op: PlainOperator, amount: int | None = None) -> None:
        """It has no command level."""

    def describe(self) -> Iterator[Identity]:
        """Its bandwidths."""
        yield Identity("link", self.spec.link_gb_per_s, "GB/s", "between two routers")
        yield Identity("bisection", self.spec.mesh.n * self.spec.link_gb_per_s, "GB/s", "across the middle of the mesh")

    def _gathered_ns(self, outputs: Number) -> Real:
        """Time of the partial sums of a token on their way: over half the mesh in the mean, all its rows at once."""
        hops = self.spec.mesh.n / 2
        return outputs * SUM_BYTES / (self.spec.mesh.n * self.spec.link_gb_per_s) * hops

    def _moved(self, moved_bytes: Real) -> Activity:
        """Events of bytes that cross the mesh, each router a buffer."""
        return Activity(local_buffer_bits=moved_bytes * (8.0 * self.spec.mesh.n / 2))


def _passes(count: int, tokens: Number) -> Number:
    """Times of one copy from the first token's way in to the last one's way out."""
    return count + tokens - 1
