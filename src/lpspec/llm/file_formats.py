"""The formats of a model's classes of tensors as its files store them, every byte of theirs counted."""

import re
from collections.abc import Iterable, Sequence

from lpspec.errors import InputError
from lpspec.llm.formats import NAMED, Formats, WeightFormat, plain
from lpspec.llm.model_spec import ModelSpec
from lpspec.llm.safetensors_header import DTYPE_BITS
from lpspec.llm.stored_tensors import CLASSES, StoredTensor, TensorClass, is_outside
from lpspec.llm.weights import Tensor

_NO_WEIGHTS = re.compile(r"rope_(freqs|factors_long|factors_short)\.weight|.*rotary_emb\.\w+|.*\.attn_rot_embd.*")
"""Precomputed angles and factors."""

_OFF_BY = 0.05
"""Share by which a class may be larger or smaller than its configuration says: what is not counted there is 1 %."""

_FLOATS = {name.lower(): bits for name, bits in DTYPE_BITS.items() if name[0] in "FB" and name != "BOOL"}


def formats_of_files(model: ModelSpec, tensors: Iterable[StoredTensor], where: str) -> Formats:
    """Formats by class, such that the model's bytes are the files'.

    Args:
        model: The decoder; formats that have names are those that its ``quantization_config`` says.
        tensors: All of its files.
        where: Begins what is said of any fault.

    Raises:
        InputError: The files hold other weights than the model has, or store them otherwise than is said.
    """
    own = [tensor for tensor in tensors if _counts(tensor, model)]
    found: dict[TensorClass, WeightFormat] = {}
    for kind in CLASSES:
        stored = [tensor for tensor in own if tensor.tensor_class == kind]
        described = [tensor for tensor in model.tensors if tensor.kind == kind]
        if not described and stored:
            raise InputError(f"{where} holds {len(stored)} tensors of class {kind}, its description has none")
        if described:
            declared = model.formats.of(kind)
            found[kind] = (
                _as_declared(declared, stored, described, where)
                if declared.name
                else _as_found(stored, described, model.parameters // 1000 if kind == "other" else 0, where)
            )
    if model.tied_embeddings:
        found["head"] = found["embedding"]
    return model.formats.with_formats(found)


def _counts(tensor: StoredTensor, model: ModelSpec) -> bool:
    """Whether a tensor holds weights of the decoder; a copy of the embedding that is tied to the head does not."""
    if is_outside(tensor.name) or _NO_WEIGHTS.fullmatch(tensor.name):
        return False
    return not (model.tied_embeddings and tensor.tensor_class == "head")


def _as_declared(
    declared: WeightFormat, stored: Sequence[StoredTensor], described: Sequence[Tensor], where: str
) -> WeightFormat:
    """The format that the configuration says with the files' bytes, which must be about what it says."""
    held, said = sum(tensor.size_bytes for tensor in stored), sum(tensor.size_bytes(declared) for tensor in described)
    if abs(held - said) > _OFF_BY * said:
        kind = f"class {described[0].kind}"
        raise InputError(f"{where} holds {held:,} bytes of {kind}: as {declared.text} they were about {said:,}")
    return declared.filling(held, sum(tensor.elements for tensor in described))


def _as_found(stored: Sequence[StoredTensor], described: Sequence[Tensor], off_by: int, where: str) -> WeightFormat:
    """The type of a class, or the mean of its types."""
    kind = described[0].kind
    held, weights = sum(tensor.elements for tensor in stored), sum(tensor.elements for tensor in described)
    if abs(held - weights) > off_by:
        raise InputError(f"{where} holds {held:,} weights of class {kind}: its description has {weights:,}")
    types = sorted({tensor.type_name for tensor in stored})
    formats = [_of_type(kind, name, where) for name in types]
    if len(formats) == 1 and held == weights:
        return formats[0]
    if kind == "embedding":
        raise InputError(f"{where} holds embeddings of several types ({', '.join(types)}), which is not known")
    widest = max(one.bits for one in formats)
    return WeightFormat(widest, name="+".join(types)).filling(sum(tensor.size_bytes for tensor in stored), weights)


def _of_type(kind: str, name: str, where: str) -> WeightFormat:
    if name in _FLOATS:
        return plain(_FLOATS[name], name)
    if name in NAMED:
        return NAMED[name]
    raise InputError(f"{where} holds class {kind} in type {name}: without a quantization_config that is not known")
