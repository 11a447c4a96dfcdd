"""What a model of the library really reads in one step of decoding, and what its cache really holds."""

import copy
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_ASKS_ONLY = {"__get__", "size", "dim", "numel", "is_floating_point", "__len__", "stride", "is_contiguous", "data_ptr"}
"""Functions that read no numbers of a tensor."""


class Reads(TorchFunctionMode):
    """Collects which numbers of which parameters are read: rows of tables, single experts, or all."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.parameters = {id(parameter): parameter for parameter in model.parameters()}
        self.whole: set[int] = set()
        self.parts: dict[int, set[int]] = {}

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        for one in self._tensors([*args, *kwargs.values()]):
            asks = name in _ASKS_ONLY and func != torch.Tensor.T.__get__  # type: ignore[attr-defined]
            if id(one) not in self.parameters or asks:
                continue
            part = self._part(name, one, args)
            if part is None:
                self.whole.add(id(one))
            else:
                self.parts.setdefault(id(one), set()).update(part)
        return func(*args, **kwargs)

    @staticmethod
    def _tensors(values: list[Any]) -> list[Any]:
        flat: list[Any] = []
        for value in values:
            flat += value if isinstance(value, list | tuple) else [value]
        return [value for value in flat if isinstance(value, torch.Tensor)]

    @staticmethod
    def _part(name: str, parameter: Any, args: Any) -> set[int] | None:
        """The rows of a table that are taken, or the expert; None where all is read."""
        if name == "embedding":
            ids = next(arg for arg in args if isinstance(arg, torch.Tensor) and arg is not parameter)
            return set(ids.flatten().tolist())
        if name == "__getitem__" and args[0] is parameter:
            index = args[1]
            if isinstance(index, torch.Tensor):
                return set(index.flatten().tolist())
            if isinstance(index, int):
                return {index}
        return None

    @property
    def numbers(self) -> int:
        """How many numbers were read, each counted once."""
        whole: int = sum(self.parameters[key].numel() for key in self.whole)
        partly = {key: rows for key, rows in self.parts.items() if key not in self.whole}
        for key, rows in partly.items():
            whole += len(rows) * self.parameters[key].numel() // len(self.parameters[key])
        return whole


def built(content: dict[str, Any]) -> Any:
    """The library's model of a configuration, with random weights."""
    import transformers

    config = transformers.AutoConfig.for_model(**copy.deepcopy(content))
    torch.manual_seed(0)
    causal: Any = transformers.AutoModelForCausalLM
    model = causal.from_config(config, attn_implementation="eager", experts_implementation="eager")
    return model.eval()


def one_step(model: Any, context: int) -> tuple[int, int]:
    """Numbers read by a step behind so many tokens, and numbers that the cache holds before it."""
    tokens = torch.arange(context)[None] % 50
    with torch.no_grad():
        cache = model(tokens, use_cache=True).past_key_values
        held = cached_numbers(cache)
        with Reads(model) as reads:
            model(tokens[:, :1], past_key_values=cache, use_cache=True, position_ids=torch.tensor([[context]]))
    return reads.numbers, held


def cached_numbers(cache: Any) -> int:
    """Numbers of all different tensors that a cache object holds."""
    found: dict[int, int] = {}

    def walk(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            if value.is_floating_point() and value.ndim > 1:
                found[value.data_ptr()] = value.numel()
        elif isinstance(value, list | tuple):
            for one in value:
                walk(one)
        elif isinstance(value, dict):
            for one in value.values():
                walk(one)
        elif hasattr(value, "__dict__") and type(value).__module__.startswith("transformers"):
            walk(vars(value))

    walk(cache)
    return sum(found.values())
