"""Plain torch: the backend for every device and type, and what the compiled one is tested against."""

import torch
from torch import Tensor
from torch.nn import functional

from lpspec.decoding.backend import Layers, Product, StackPass

EXACT_INPUTS = 1024
"""Products of int8 whose sum is exact in float32 in any order: each is 2**14 at most, and integers are to 2**24."""


class TorchBackend:
    """Products, layers and integers by torch's own operators."""

    name = "torch"

    def product(self, weight: Tensor, bias: Tensor | None) -> Product:
        """See ``Backend``."""

        def multiply(x: Tensor, onto: Tensor | None = None) -> Tensor:
            if onto is None:
                return functional.linear(x, weight, bias)
            if bias is None and x.dim() == 2:
                return torch.addmm(onto, x, weight.t())
            return onto + functional.linear(x, weight, bias)

        return multiply

    def stack(self, stack: Layers) -> StackPass:
        """The layers operator by operator."""
        return stack.by_operators

    def int_product(self, x: Tensor, weight: Tensor) -> Tensor:
        """See ``Backend``; on CPUs by float32, since torch's own integer product is exact on some of them only."""
        if x.is_cuda:
            return _gpu_int_product(x, weight)
        out = torch.zeros(x.shape[0], weight.shape[0], dtype=torch.int32)
        for first in range(0, x.shape[1], EXACT_INPUTS):
            some = slice(first, first + EXACT_INPUTS)
            out += (x[:, some].float() @ weight[:, some].float().t()).int()
        return out


TORCH = TorchBackend()


def _gpu_int_product(x: Tensor, weight: Tensor) -> Tensor:
    """Torch's own integer product; it wants more than 16 rows, and inputs and outputs that are multiples of 8."""
    rows, outputs, missing = len(x), len(weight), -x.shape[1] % 8
    x = functional.pad(x, (0, missing, 0, max(0, 17 - rows)))
    weight = functional.pad(weight, (0, missing, 0, -outputs % 8))
    return torch._int_mm(x, weight.t())[:rows, :outputs]
