"""Allocators without a choice: every operator has its one device."""

from collections.abc import Iterator
from dataclasses import replace

from lpspec.allocation.division import Division
from lpspec.devices.cost import Cost
from lpspec.devices.device import Device
from lpspec.devices.expert_loads import price_on
from lpspec.devices.gpu import Gpu
from lpspec.devices.hbm_pim import HbmPim
from lpspec.devices.kinds import device_alone
from lpspec.devices.memory_timing import timing_of
from lpspec.errors import InputError
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.operators import Attention, Operator
from lpspec.machine.platform_spec import PlatformSpec


class SingleDevice:
    """Everything on the one device of the platform that stands alone: its NPU, its GPU, or another kind."""

    kv_on_dram = True
    lays_out_arrays = True

    def __init__(self, platform: PlatformSpec, model: ModelSpec, max_tokens: int, max_context: int) -> None:
        """Take the device, and the package that it reads if the platform has one."""
        self.device: Device = device_alone(platform)
        self.timing = timing_of(platform.memory) if platform.memory is not None else None

    def decode_cost(self, operators: tuple[Operator, ...]) -> Cost:
        """Cost of the operators one after the other, and of all dies of an LPDDR package meanwhile."""
        total = sum((price_on(self.device, op) for op in operators), Cost())
        return total if self.timing is None else self.timing.standing_by(total)

    def prefill_cost(self, operators: tuple[Operator, ...]) -> Cost:
        """The same as decoding."""
        return self.decode_cost(operators)

    def pim_cache(self, op: Attention) -> None:
        """There is none in PIM ranks."""

    @property
    def layouts(self) -> "tuple[SingleDevice, ...]":
        """Its one placement."""
        return (self,)

    def divided(self, op: Operator, prompt: bool = False) -> Iterator[Division]:
        """All of it on the device."""
        yield Division(op.count, ((self.device, None),))


class AttentionInHbm:
    """Attention of decode passes at the banks of the HBM, everything else on the GPU.

    Attributes:
        gpu: Set by those that say which HBM.
    """

    gpu: Gpu

    def decode_cost(self, operators: tuple[Operator, ...]) -> Cost:
        """Cost of the operators one after the other, each on its device."""
        return sum((self._price(op) for op in operators), Cost())

    def prefill_cost(self, operators: tuple[Operator, ...]) -> Cost:
        """Cost on the GPU alone: prefill attention has enough reuse for it."""
        return sum((price_on(self.gpu, op) for op in operators), Cost())

    def _price(self, op: Operator) -> Cost:
        return self._attention(op) if isinstance(op, Attention) else price_on(self.gpu, op)

    def _attention(self, op: Attention) -> Cost:
        raise NotImplementedError


class AttentionOnHbmPim(AttentionInHbm):
    """AttAcc as published: one HBM, all of whose banks compute attention."""

    def __init__(self, platform: PlatformSpec, model: ModelSpec, max_tokens: int, max_context: int) -> None:
        """Take GPU and HBM-PIM of the platform.

        Raises:
            InputError: The platform lacks one of them.
        """
        if platform.gpu is None or platform.hbm_pim is None:
            raise InputError(f"platform '{platform.name}': allocator attention-on-hbm-pim needs [gpu] and [hbm_pim]")
        self.gpu, self.hbm_pim = Gpu.of(platform), HbmPim.of(platform)

    def _attention(self, op: Attention) -> Cost:
        return self.hbm_pim.price(op) + self.gpu.kv_write(replace(op, latent=False))
