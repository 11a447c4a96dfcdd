"""What a machine's file says of the memory controller in front of each channel: ``[memory.controller]``."""

from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from lpspec.machine.quantity import Count, CountOrZero, Described

CONTROLLER_QUEUE = 32
"""Requests that each of the two queues holds, of reads and of writes; assumed."""


PAGE_TIMEOUT_CK = 256
"""CK that a row without requests stays open where nobody says otherwise; assumed, range 64 to 1024."""

LONGEST_TIMEOUT_CK = 2**20
"""Hundreds of refreshes, each of which closes all rows: no row stays open so long."""


ADDRESS_MAPPING = "ra-ro-ba-co-bg-ch"
"""What lies together fills a rank, its bursts in turn on the channels, then on the bank groups; assumed."""


def _count(n: int, source: str) -> Any:
    return Count(value=n, source=source)


def _count_or_zero(n: int, source: str) -> Any:
    return CountOrZero(value=n, source=source)


class ControllerSpec(Described):
    """Policies of the controller that commands follow; the analytic level knows none of them."""

    RANGES: ClassVar = {
        "page_timeout": (1, LONGEST_TIMEOUT_CK),
        "postpone": (0, 8),
        "drain_high": (1, CONTROLLER_QUEUE),
        "drain_low": (0, CONTROLLER_QUEUE - 1),
        "age_cap": (0, 2**30),
        "patience": (0, 2**30),
    }

    address_mapping: str = Field(
        default=ADDRESS_MAPPING,
        description="fields of an address, the highest first, as `lpspec dram run` has them; what NPU and CPU read and "
        "write in plain ranks lies so, an even share of it on each channel",
    )
    page: Literal["open", "closed", "timeout"] = Field(
        default="open",
        description="rows stay open, close with the last queued access to them, or after page_timeout without one",
    )
    page_timeout: Count = Field(
        default=_count(PAGE_TIMEOUT_CK, "assumed, range 64 to 1024"),
        description="CK that an unused row stays open, with page = timeout only",
    )
    postpone: CountOrZero = Field(
        default=_count_or_zero(0, "assumed, 0 to 8 as JESD209-5 allows"),
        description="refreshes of nREFI each that a busy rank may put off",
    )
    drain_high: Count = Field(
        default=_count(CONTROLLER_QUEUE, "assumed, range 16 to 32"),
        description="queued writes at which they are served before reads",
    )
    drain_low: CountOrZero = Field(
        default=_count_or_zero(CONTROLLER_QUEUE // 2, "assumed, range 8 to 24"),
        description="queued writes down to which they are served while reads wait",
    )
    age_cap: CountOrZero = Field(
        default=_count_or_zero(2048, "assumed, range 512 to 8192"),
        description="CK after which a queued request goes before any other; 0 for never",
    )
    patience: CountOrZero = Field(
        default=_count_or_zero(256, "assumed, range 64 to 1024"),
        description="CK that a read waits for an older write to its address",
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.page_timeout.n != PAGE_TIMEOUT_CK and self.page != "timeout":
            raise ValueError(f'page_timeout counts with page = "timeout" only: page is {self.page}')
        if self.drain_low.n >= self.drain_high.n:
            raise ValueError(f"drain_low ({self.drain_low.n}) must be below drain_high ({self.drain_high.n})")
        return self
