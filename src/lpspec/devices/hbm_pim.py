"""AttAcc: GEMV units at every bank of the HBM stacks that do attention for a GPU (ASPLOS 2024)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Self

from lpspec.devices.cost import Activity, Cost, macs_at
from lpspec.devices.device import Identity
from lpspec.errors import InputError
from lpspec.llm.operators import Attention, PlainOperator
from lpspec.machine.platform_spec import HbmPimSpec, PlatformSpec


class HbmPim:
    """Costs of attention inside HBM. The units are GEMV units: each query reads the KV cache anew."""

    Spec = HbmPimSpec
    stands_alone = False

    def __init__(self, spec: HbmPimSpec) -> None:
        """Take the data of one platform."""
        self.spec = spec

    @classmethod
    def of(cls, platform: PlatformSpec) -> Self:
        """The HBM-PIM of a platform that has it."""
        return cls(platform.device(HbmPimSpec))

    def price(self, op: PlainOperator) -> Cost:
        """Cost of all layers of attention, without the KV writes; values that are part of keys lie apart, too.

        Raises:
            InputError: It is no attention.
        """
        if not isinstance(op, Attention):
            raise InputError(f"HBM-PIM computes attention: '{op.name}' is none")
        op = replace(op, latent=False)
        queries = op.tokens * (op.heads // op.kv_heads)
        array_bits = op.kv_read_bytes * queries * 8.0
        activity = Activity(
            activate_bits=array_bits,
            column_bits=array_bits,
            pim_register_bits=array_bits,
            activation_io_bits=(op.score_bytes + op.result_bytes) * 8.0,
            activation_input_bits=(op.query_bytes + op.score_bytes) * 8.0,
        )
        latency_ns = op.kv_read_bytes * queries / self.spec.internal_bandwidth.gb_per_s
        return Cost(latency_ns, activity + macs_at(op.macs, max(op.kv_bits, op.activation_bits)))

    def phase_parts(self, op: PlainOperator, amount: int | None = None) -> None:
        """It has no command level."""

    def describe(self) -> Iterator[Identity]:
        """Its bandwidth inside."""
        yield Identity(
            "in_array", self.spec.internal_bandwidth.gb_per_s, "GB/s", "from the banks into their GEMV units"
        )
