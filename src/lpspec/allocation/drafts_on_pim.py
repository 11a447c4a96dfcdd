"""Drafts on PIM, verification on the NPU, as AHASD has them: neither waits for the other's units.

The products of the network that drafts lie in the PIM ranks; its attention and vector work, and all of the model, are
the NPU's. There is no command level: two programs side by side are not laid out.
"""

from collections.abc import Iterator

from lpspec.allocation.division import Division
from lpspec.allocation.single import SingleDevice
from lpspec.devices.cost import Cost
from lpspec.devices.expert_loads import price_on
from lpspec.devices.pim import LpddrPim
from lpspec.errors import InputError
from lpspec.llm.draft_work import network_of
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.operators import Gemm, Operator
from lpspec.machine.platform_spec import PlatformSpec


class DraftsOnPim(SingleDevice):
    """Every product of the drafter on all PIM ranks, everything else on the NPU."""

    def __init__(self, platform: PlatformSpec, model: ModelSpec, max_tokens: int, max_context: int) -> None:
        """Take both devices, and the names of the drafter's products.

        Raises:
            InputError: The platform has no PIM, the model no network that drafts, or that has no room in the ranks.
        """
        if platform.pim is None or platform.memory is None:
            raise InputError(f"platform '{platform.name}': allocator drafts-on-pim needs [npu], [memory] and [pim]")
        network = network_of(model)
        if network is None:
            raise InputError(
                f"{platform.name} drafts on PIM with a network, and {model.name} has none: "
                "allowed are drafters such as eagle3 or draft-model:llama3.2-1b"
            )
        if model.draft_weight_bytes > platform.memory.pim_capacity_bytes:
            raise InputError(f"{model.name}'s drafter does not fit the PIM ranks of {platform.name}")
        super().__init__(platform, model, max_tokens, max_context)
        self.pim, self._prefix = LpddrPim.of(platform), network.name("")

    def decode_cost(self, operators: tuple[Operator, ...]) -> Cost:
        """Cost of the operators one after the other, and of all dies meanwhile."""
        total = sum((self._price(op) for op in operators), Cost())
        return total if self.timing is None else self.timing.standing_by(total)

    def prefill_cost(self, operators: tuple[Operator, ...]) -> Cost:
        """Cost on the NPU, the drafter's pass over the prompt with it."""
        return super().decode_cost(operators)

    def divided(self, op: Operator, prompt: bool = False) -> Iterator[Division]:
        """All of it on one of the two."""
        device = self.pim if not prompt and self._is_drafts(op) else self.device
        yield Division(op.count, ((device, None),))

    def _price(self, op: Operator) -> Cost:
        return self.pim.price(op) if isinstance(op, Gemm) and self._is_drafts(op) else price_on(self.device, op)

    def _is_drafts(self, op: Operator) -> bool:
        return isinstance(op, Gemm) and op.name.startswith(self._prefix)
