"""The data sheet of a model: its layers by kind, what it stores, what a pass reads, what stays between passes."""

from collections.abc import Iterator

from pydantic import BaseModel

from lpspec.devices.device import Identity
from lpspec.llm.layer import Layer
from lpspec.llm.medusa_heads import MedusaHeads
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.stored_tensors import CLASSES, TensorClass
from lpspec.llm.structure import Structure
from lpspec.report.sheets import GIGA, Fact, Sheet


def model_sheet(model: ModelSpec) -> Sheet:
    """The sheet of a model."""
    kinds = ", ".join(f"{count} x {layer.kind}" for layer, count in _layers(model).items())
    return Sheet("model", model.name, f"decoder of {kinds}", tuple(_facts(model)), tuple(_identities(model)))


def _identities(model: ModelSpec) -> Iterator[Identity]:
    yield Identity("parameters", model.parameters / 1e9, "10^9", "of the base model")
    heads = MedusaHeads()
    tensors = heads.tensors(model)
    parameters = sum(tensor.elements for tensor in tensors)
    yield Identity("medusa_parameters", parameters / 1e9, "10^9", f"of {heads.count} Medusa heads")
    yield Identity("weights", model.weight_bytes / GIGA, "GB", "resident for the base model")
    yield Identity("medusa_weights", model.stored_bytes(*tensors) / GIGA, "GB", "resident for the Medusa heads")
    yield Identity("read_per_pass", model.read_bytes() / GIGA, "GB", "weights read for one token, draft heads apart")
    yield Identity("kv_per_token", model.kv_bytes_per_token / 1024, "KiB", "added to the cache by the first tokens")
    for window, in_layers in _windows(model).items():
        yield Identity(
            f"kv_window_{window}", window - 1, "tokens", f"held between passes by each of {in_layers} layers"
        )
    if model.state_bytes:
        yield Identity("state", model.state_bytes / 1024, "KiB", "of states, whatever the context")
    at_most = model.cache_bytes(model.max_context)
    yield Identity("kv_at_max_context", at_most / GIGA, "GB", "of cache and states, full")


def _windows(model: ModelSpec) -> dict[int, int]:
    """Layers that hold their own cache, by their window."""
    found: dict[int, int] = {}
    for group in model.layer_groups:
        for mixer in group.layer.mixers:
            if mixer.type == "attention" and mixer.window is not None and not mixer.shares_cache:
                found[mixer.window] = found.get(mixer.window, 0) + group.count * group.runs
    return found


def _layers(model: ModelSpec) -> dict[Layer, int]:
    found: dict[Layer, int] = {}
    for group in model.layer_groups:
        found[group.layer] = found.get(group.layer, 0) + group.count
    return found


def _facts(model: ModelSpec) -> Iterator[Fact]:
    shown = [name for name in type(model).model_fields if name not in ("name", "source")]
    for name in shown:
        value, field = getattr(model, name), type(model).model_fields[name]
        if isinstance(value, tuple | BaseModel) or (name in Structure.model_fields and value == field.default):
            continue
        is_bits = name.endswith("_bits")
        is_ours = is_bits or name.startswith("default")
        source = "set by lpspec" if is_ours else model.source
        yield Fact(name, value, "bit" if is_bits else "", str(value), _meaning(field.description), source)
    for kind in CLASSES:
        if kind in model.classes:
            yield _format_fact(model, kind)
    layers = _layers(model)
    for number, (layer, count) in enumerate(layers.items(), 1):
        prefix = "layer." if len(layers) == 1 else f"layer_{number}."
        yield Fact(f"{prefix}count", count, "", str(count), f"Layers of this kind: {layer.kind}", model.source)
        yield from _part_facts(layer, prefix, model.source)


def _format_fact(model: ModelSpec, kind: TensorClass) -> Fact:
    """How a class of tensors is stored: by lpspec's choice where nothing but whole bits is said."""
    stored = model.stored_as(kind)
    tensors = [tensor for tensor in model.tensors if tensor.kind == kind]
    weights = sum(tensor.elements for tensor in tensors)
    meaning = f"Stored form of {weights:,} weights, {8 * model.stored_bytes(*tensors) / weights:.4g} bits each"
    source = model.source if stored.name else "set by lpspec"
    return Fact(f"weights.{kind}", stored.text, "", stored.text, meaning, source)


def _part_facts(part: BaseModel, prefix: str, source: str) -> Iterator[Fact]:
    """What a part says that is not so of most."""
    for name, field in type(part).model_fields.items():
        value = getattr(part, name)
        parts = value if isinstance(value, tuple) else (value,)
        if all(isinstance(one, BaseModel) for one in parts):
            for one in parts:
                yield from _part_facts(one, f"{prefix}{getattr(one, 'type', name)}.", source)
        elif value != field.default and name != "type":
            yield Fact(prefix + name, value, "", str(value), _meaning(field.description), source)


def _meaning(description: str | None) -> str:
    return (description or "").replace("``", "").rstrip(".")
