"""A network drafts on GPUs of its own, all else runs on the platform's one device, as CoSine has them.

Draft heads are the model's, and run where it does. Time between the two is the pass's, which waits for drafts.
"""

from collections.abc import Iterator

from lpspec.allocation.division import Division
from lpspec.allocation.single import SingleDevice
from lpspec.devices.cost import Cost
from lpspec.devices.drafters import Drafters
from lpspec.devices.expert_loads import price_on
from lpspec.errors import InputError
from lpspec.llm.draft_work import network_of
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.operators import Operator
from lpspec.machine.platform_spec import PlatformSpec

LAST = "argmax"
"""The operator of a verify pass that there is one of."""


class DraftsApart(SingleDevice):
    """Everything that a network drafts with on its own GPUs, its pass over the prompt with it."""

    def __init__(self, platform: PlatformSpec, model: ModelSpec, max_tokens: int, max_context: int) -> None:
        """Take both, and the names of the drafter's operators.

        Raises:
            InputError: The platform has no drafters, or what drafts does not fit one of their GPUs.
        """
        if "drafters" not in platform.device_tables:
            raise InputError(f"platform '{platform.name}': allocator drafts-apart needs [drafters]")
        super().__init__(platform, model, max_tokens, max_context)
        self.drafters, network = Drafters.of(platform), network_of(model)
        self._prefix = None if network is None else network.name("")
        room = self.drafters.spec.gpu.memory.bytes
        if model.draft_weight_bytes > room:
            raise InputError(f"{model.name}'s drafter does not fit a GPU of {room / 2**30:.3g} GiB of {platform.name}")

    def decode_cost(self, operators: tuple[Operator, ...]) -> Cost:
        """Cost of the operators one after the other, and of waiting for the drafts of a verify pass."""
        device = self.drafters if self.drafts(operators) else self.device
        total = sum((price_on(device, op) for op in operators), Cost())
        waits = self._prefix is not None and any(op.name == LAST for op in operators)
        return total + Cost(2 * self.drafters.spec.link.ns) if waits else total

    def prefill_cost(self, operators: tuple[Operator, ...]) -> Cost:
        """Cost of both passes, one after the other."""
        devices = (self.drafters if self.drafts((op,)) else self.device for op in operators)
        return sum((price_on(device, op) for device, op in zip(devices, operators, strict=True)), Cost())

    def divided(self, op: Operator, prompt: bool = False) -> Iterator[Division]:
        """All of it on one of the two."""
        yield Division(op.count, ((self.drafters if self.drafts((op,)) else self.device, None),))

    def drafts(self, operators: tuple[Operator, ...]) -> bool:
        """Whether a pass is the network's; a head that it shares with the model is computed where it is, too."""
        return self._prefix is not None and any(op.name.startswith(self._prefix) for op in operators)
