"""Macro dataflow kernels on FPGA cards, each reused from layer to layer (LoopLynx, DATE 2025; TeraFly, TCAD 2025).

A node is one die half of a card with HBM channels of its own. Its kernels run one after the other: a product streams
its weights at full port width, attention streams keys and values through fewer ports, and what neither hides (norms,
quantisation, residuals, the last transfer round the ring, filling of the pipelines) takes a time by the width of the
layer. A weight serves ``tokens_per_read`` tokens, one as published, so a tree costs as many passes as it has tokens.
Energy is counted as on other machines, buffers and MACs at the prices of an ASIC; what a card draws is its board power.
"""

from collections.abc import Iterator
from typing import ClassVar, Self

from pydantic import Field

from lpspec.devices.cost import Activity, Cost, Real, macs_at, off_chip_read
from lpspec.devices.device import Identity
from lpspec.errors import InputError
from lpspec.llm.counts import ceil_div
from lpspec.llm.operators import Attention, Gemm, PlainOperator, StateUpdate
from lpspec.machine.platform_spec import PlatformSpec
from lpspec.machine.quantity import Count, Described, Duration, Frequency, Power, Size

KERNEL_BITS = 8
"""Bits of weights and activations that the kernels multiply (W8A8)."""


class DataflowSpec(Described):
    """What the table [dataflow] of a platform file says."""

    RANGES: ClassVar = {
        "nodes": (1, 64),
        "weight_ports": (1, 256),
        "attention_ports": (1, 256),
        "port_bytes": (1, 4096),
        "clock": (0.01, 2),
        "exposed_per_width": (0, 1e4),
        "tokens_per_read": (1, 1024),
        "memory": (2**20, 2**50),
        "board_power": (0, 1e5),
    }

    nodes: Count = Field(description="nodes that share every product by its outputs, and attention by its heads")
    weight_ports: Count = Field(description="ports of a node to HBM through which weights stream")
    attention_ports: Count = Field(description="those of them through which keys and values stream")
    port_bytes: Count = Field(description="bytes of a port in a cycle")
    clock: Frequency = Field(description="clock of the kernels")
    exposed_per_width: Duration = Field(
        description="time of a layer that neither weights nor cache hide, for a token and a number of its width"
    )
    tokens_per_read: Count = Field(description="tokens that a weight serves once it is read")
    memory: Size = Field(description="HBM of all cards")
    board_power: Power = Field(description="power of all cards under load")

    @property
    def weight_gb_per_s(self) -> float:
        """Bandwidth of the weights of all nodes, GB/s."""
        return self.nodes.n * self.weight_ports.n * self.port_bytes.n * self.clock.ghz

    @property
    def attention_gb_per_s(self) -> float:
        """Bandwidth of keys and values of all nodes, GB/s."""
        return self.nodes.n * self.attention_ports.n * self.port_bytes.n * self.clock.ghz


class Dataflow:
    """Costs of operators on the kernels, one after the other."""

    Spec = DataflowSpec
    stands_alone = True

    def __init__(self, spec: DataflowSpec) -> None:
        """Take the data of one platform."""
        self.spec = spec

    @classmethod
    def of(cls, platform: PlatformSpec) -> Self:
        """The kernels of a platform whose file has [dataflow]."""
        return cls(platform.device(DataflowSpec))

    def price(self, op: PlainOperator) -> Cost:
        """Cost of all copies of an operator.

        Raises:
            InputError: Its numbers are none of 8 bits, or it is a state.
        """
        if isinstance(op, Gemm):
            _check_bits(op.name, op.weight_bits, op.activation_bits)
            read_bytes = op.weight_bytes * ceil_div(op.tokens, self.spec.tokens_per_read.n)
            return self._streamed(read_bytes, self.spec.weight_gb_per_s, op.macs)
        if isinstance(op, Attention):
            _check_bits(op.name, op.kv_bits, op.activation_bits)
            read_bytes = op.kv_read_bytes * ceil_div(op.tokens, self.spec.tokens_per_read.n)
            width = op.count * op.heads * op.head_dim
            exposed = Cost(op.tokens * (width * self.spec.exposed_per_width.ns))
            written = Activity(activation_memory_bits=op.kv_write_bytes * 8.0)
            return self._streamed(read_bytes, self.spec.attention_gb_per_s, op.macs) + exposed + Cost(0.0, written)
        if isinstance(op, StateUpdate):
            raise InputError(f"dataflow kernels have no states: '{op.name}' is one, allowed is attention")
        return Cost(0.0, off_chip_read(op.memory_bytes) + Activity(macs_fp16=op.vector_ops / 2))

    def phase_parts(self, op: PlainOperator, amount: int | None = None) -> None:
        """It has no command level."""

    def describe(self) -> Iterator[Identity]:
        """Its bandwidths."""
        yield Identity("weight_stream", self.spec.weight_gb_per_s, "GB/s", "weights into the kernels of all nodes")
        yield Identity("attention_stream", self.spec.attention_gb_per_s, "GB/s", "keys and values, likewise")

    def _streamed(self, read_bytes: Real, gb_per_s: float, macs: Real) -> Cost:
        return Cost(read_bytes / gb_per_s, off_chip_read(read_bytes) + macs_at(macs, KERNEL_BITS))


def _check_bits(name: str, stored: int, activations: int) -> None:
    if (stored, activations) != (KERNEL_BITS, KERNEL_BITS):
        raise InputError(
            f"dataflow kernels multiply {KERNEL_BITS}-bit numbers: '{name}' has {stored}-bit weights or keys and "
            f"{activations}-bit activations"
        )
