"""Allocators without a choice: every operator has its one device."""

from functools import reduce
from operator import add

from lpspec.devices.cost import Cost
from lpspec.devices.gpu import Gpu
from lpspec.devices.hbm_pim import HbmPim
from lpspec.devices.memory_timing import MemoryTiming, timing_of
from lpspec.devices.npu import Npu
from lpspec.errors import InputError
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.operators import Attention, Operator
from lpspec.machine.platform_spec import PlatformSpec


class SingleDevice:
    """Everything on the NPU, or everything on the GPU."""

    def __init__(self, platform: PlatformSpec, model: ModelSpec, max_tokens: int, max_context: int) -> None:
        """Take the one device of the platform."""
        self.device: Npu | Gpu
        self.timing: MemoryTiming | None = None
        if platform.npu is not None and platform.memory is not None:
            self.device = Npu(platform.npu, platform.memory)
            self.timing = timing_of(platform.memory)
        else:
            assert platform.gpu is not None
            self.device = Gpu(platform.gpu)

    def decode_cost(self, operators: tuple[Operator, ...]) -> Cost:
        """Cost of the operators one after the other, and of all dies of an LPDDR package meanwhile."""
        total = reduce(add, (self.device.price(op) for op in operators), Cost())
        return total if self.timing is None else self.timing.standing_by(total)

    def prefill_cost(self, operators: tuple[Operator, ...]) -> Cost:
        """The same as decoding."""
        return self.decode_cost(operators)


class AttentionOnHbmPim:
    """AttAcc as published: attention of decode passes in the HBM, everything else on the GPU."""

    def __init__(self, platform: PlatformSpec, model: ModelSpec, max_tokens: int, max_context: int) -> None:
        """Take GPU and HBM-PIM of the platform."""
        if platform.gpu is None or platform.hbm_pim is None:
            raise InputError(f"platform '{platform.name}': allocator attention-on-hbm-pim needs [gpu] and [hbm_pim]")
        self.gpu = Gpu(platform.gpu)
        self.hbm_pim = HbmPim(platform.hbm_pim)

    def decode_cost(self, operators: tuple[Operator, ...]) -> Cost:
        """Cost of the operators one after the other, each on its device."""
        return reduce(add, (self._price(op) for op in operators), Cost())

    def prefill_cost(self, operators: tuple[Operator, ...]) -> Cost:
        """Cost on the GPU alone: prefill attention has enough reuse for it."""
        return reduce(add, (self.gpu.price(op) for op in operators), Cost())

    def _price(self, op: Operator) -> Cost:
        if isinstance(op, Attention):
            return self.hbm_pim.price(op) + self.gpu.kv_write(op)
        return self.gpu.price(op)
