"""The seam between the decoder and what computes its products: plain torch, or compiled loops for few tokens on a CPU.

Nothing on the decoder's side of it knows how a product is computed.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from torch import Tensor

from lpspec.decoding.kv_cache import Window
from lpspec.decoding.pass_context import PassContext

Product = Callable[[Tensor, Tensor | None], Tensor]
"""Multiplies x [..., inputs] by a weight, adds its bias, and what the result comes on top of; to [..., outputs]."""

StackPass = Callable[[Tensor, PassContext, Window | None], tuple[Tensor, Sequence[Tensor]]]
"""All layers over x [..., n, hidden size], behind a cache if there is one: what comes after them, and after each."""


class Layers(Protocol):
    """Decoder layers one after the other, and the norm after the last, as ``lpspec.decoding.layer.Stack`` has them."""

    layers: Sequence[Any]
    norm: Tensor | None
    eps: float

    def by_operators(
        self, x: Tensor, context: PassContext, cache: Window | None = None
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """A pass by torch's operators."""
        ...


class Backend(Protocol):
    """Computes what a pass is made of. Weights are given once, so that it may lay them out as it reads them."""

    @property
    def name(self) -> str:
        """As in ``BACKENDS``."""
        ...

    def product(self, weight: Tensor, bias: Tensor | None) -> Product:
        """Make a weight [outputs, inputs] and its bias [outputs], if there is one, ready to multiply by."""
        ...

    def stack(self, stack: Layers) -> StackPass:
        """Make decoder layers ready to be passed through."""
        ...

    def int_product(self, x: Tensor, weight: Tensor) -> Tensor:
        """The exact int32 [n, outputs] of x int8 [n, inputs] times weight int8 [outputs, inputs] transposed."""
        ...
