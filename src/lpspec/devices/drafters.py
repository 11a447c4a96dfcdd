"""Several GPUs of their own that draft beside a verifier, each with a network tuned on another domain (CoSine)."""

from collections.abc import Iterator
from typing import ClassVar, Self

from pydantic import Field

from lpspec.devices.cost import Cost
from lpspec.devices.device import Identity
from lpspec.devices.gpu import Gpu
from lpspec.llm.operators import PlainOperator
from lpspec.machine.platform_spec import GpuSpec, PlatformSpec
from lpspec.machine.quantity import Count, Described, Duration, Share


class DraftersSpec(Described):
    """What the table [drafters] of a platform file says."""

    RANGES: ClassVar = {
        "count": (1, 256),
        "cooperating": (1, 256),
        "elsewhere": (0.01, 1),
        "common": (0.001, 1),
        "kept": (0.001, 1),
        "exploration": (0.001, 1),
        "link": (0, 1e9),
    }

    gpu: GpuSpec = Field(description="the GPU of each")
    count: Count = Field(description="drafters, each tuned on a domain of texts of its own")
    cooperating: Count = Field(description="of them, those that draft for one request at a time")
    elsewhere: Share = Field(description="chance that a guess is right outside a drafter's domain, over that inside")
    common: Share = Field(description="share of positions at which drafters guess alike")
    kept: Share = Field(description="of what is known of a drafter's acceptance, the share that is kept at each step")
    exploration: Share = Field(description="chance that a step has another drafter in place of the last one chosen")
    link: Duration = Field(description="from a drafter to the verifier, and as long back")


class Drafters:
    """Those that cooperate: each computes the same at the same time."""

    Spec = DraftersSpec
    stands_alone = False

    def __init__(self, spec: DraftersSpec) -> None:
        """Take the data of one platform."""
        self.spec, self._gpu = spec, Gpu(spec.gpu)

    @classmethod
    def of(cls, platform: PlatformSpec) -> Self:
        """The drafters of a platform that has some."""
        return cls(platform.device(DraftersSpec))

    def price(self, op: PlainOperator) -> Cost:
        """Time of one, and what all of them do."""
        cost = self._gpu.price(op)
        return Cost(cost.latency_ns, cost.activity * float(self.spec.cooperating.n))

    def phase_parts(self, op: PlainOperator, amount: int | None = None) -> None:
        """They have no command level."""

    def describe(self) -> Iterator[Identity]:
        """The bandwidth of one."""
        yield Identity("drafter_sustained", self.spec.gpu.sustained_gb_per_s, "GB/s", "memory of a drafter's GPU")
