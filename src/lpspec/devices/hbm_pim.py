"""AttAcc: GEMV units at every bank of the HBM stacks that do attention for a GPU (ASPLOS 2024)."""

from lpspec.devices.cost import Activity, Cost, macs_at
from lpspec.llm.operators import Attention
from lpspec.machine.platform_spec import HbmPimSpec


class HbmPim:
    """Costs of attention inside HBM. The units are GEMV units: each query reads the KV cache anew."""

    def __init__(self, spec: HbmPimSpec) -> None:
        """Take the data of one platform."""
        self.spec = spec

    def price(self, op: Attention) -> Cost:
        """Cost of all layers of attention, without the KV writes."""
        queries = op.tokens * (op.heads // op.kv_heads)
        array_bits = op.kv_read_bytes * queries * 8.0
        bus_bits = (2 * op.query_bytes + 2 * op.score_bytes) * 8.0
        activity = Activity(
            activate_bits=array_bits,
            column_bits=array_bits,
            pim_register_bits=array_bits,
            activation_io_bits=bus_bits,
        )
        latency_ns = op.kv_read_bytes * queries / self.spec.internal_bandwidth.gb_per_s
        return Cost(latency_ns, activity + macs_at(op.macs, max(op.kv_bits, op.activation_bits)))
