"""A decoder by its layers, and what follows: tensors, bytes read by a pass, bytes of the cache."""

import re
from typing import Any, Literal

from pydantic import SerializerFunctionWrapHandler, ValidationError, model_serializer

from lpspec.errors import LONGEST, InputError, listed, shown
from lpspec.llm.counts import cached_bytes, packed_bytes
from lpspec.llm.feed_forward import Experts
from lpspec.llm.formats import LINEAR, NAMED, Formats, WeightFormat, read_format, read_formats
from lpspec.llm.routing import Routing
from lpspec.llm.steps import Attend, ExpertProduct, Gather, Product, Recur, Step, Unread, Vector
from lpspec.llm.stored_tensors import CLASSES, TensorClass
from lpspec.llm.structure import SHARED_HEAD, Structure
from lpspec.llm.weights import Read, Tensor, distinct_experts

__all__ = ["ModelSpec", "Tensor", "WeightFormat", "one_line", "validated_spec"]

Bits = Literal[4, 8, 16, 32]


class ModelSpec(Structure):
    """A decoder: embedding, layers in groups of equal ones, LM head. Who drafts for it: ``draft_work``.

    A Llama-like one may be given by the numbers of ``PLAIN_NUMBERS`` instead of ``layer_groups``: see ``llama_spec``.
    Raises ``pydantic.ValidationError`` when built by hand from wrong values; ``load_model`` and ``with_bits`` say the
    same in one line as ``InputError``.
    """

    name: str
    """What tables and figures call the model."""
    source: str
    """Where the dimensions come from."""
    formats: Formats = Formats()
    """How weights are stored, by class of tensors; draft heads as the feed-forward layers."""
    activation_bits: Bits = 8
    """Bits of an activation between operators."""
    kv_bits: Bits = 8
    """Bits of a number of the cache: a key, a value, a latent vector, a state."""
    routing: Routing | None = None
    """Which experts were chosen for a text, where that was measured."""
    default_trace: str | None = None
    """Name of the shipped acceptance trace that suits the model, or stands in for its own."""

    @model_serializer(mode="wrap")
    def _said(self, fields: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Every field, but routing only where it was measured."""
        found: dict[str, Any] = fields(self)
        if self.routing is None:
            del found["routing"]
        return found

    # What is stored

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Every weight tensor of the base model; those that share an input are fused."""
        return tuple(
            tensor
            for step, count, _ in self.steps()
            if (tensor := step_tensor(step, count)) and not (self.tied_embeddings and tensor.name == SHARED_HEAD)
        )

    @property
    def weight_bits(self) -> int:
        """Bits of a weight of the layers' products: of the widest, where classes differ."""
        return max(self.formats.of(kind).bits for kind in LINEAR if kind in self.classes)

    @property
    def weights_text(self) -> str:
        """How weights are stored, in words: the format of most classes, and the classes of others."""
        formats = {kind: self.formats.of(kind).text for kind in CLASSES if kind in self.classes}
        texts = list(formats.values())
        most = max(dict.fromkeys(texts), key=texts.count)
        others = {text: [kind for kind in formats if formats[kind] == text] for text in dict.fromkeys(texts)}
        named = "; ".join(f"{text} in {' and '.join(kinds)}" for text, kinds in others.items() if text != most)
        return f"{most} ({named})" if named else most

    @property
    def classes(self) -> frozenset[TensorClass]:
        """Classes that the model has tensors of."""
        return frozenset(tensor.kind for tensor in self.tensors)

    def stored_as(self, kind: TensorClass) -> WeightFormat:
        """How tensors of a class are stored; an LM head that is the embedding as that."""
        return self.formats.of("embedding" if kind == "head" and self.tied_embeddings else kind)

    def stored_bytes(self, *tensors: Tensor) -> int:
        """Bytes of all copies of some of the model's tensors."""
        of_class: dict[TensorClass, int] = {}
        total = 0
        for tensor in tensors:
            if self.stored_as(tensor.kind).per_weights:
                of_class[tensor.kind] = of_class.get(tensor.kind, 0) + tensor.elements
            else:
                total += tensor.size_bytes(self.stored_as(tensor.kind))
        return total + sum(int(self.stored_as(kind).size_bytes(1, n)) for kind, n in of_class.items())

    @property
    def parameters(self) -> int:
        """Parameters of the base model; tied embeddings count once."""
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def weight_bytes(self) -> int:
        """Bytes resident for the base model, the embedding table included."""
        return self.stored_bytes(*self.tensors)

    @property
    def most_drafts(self) -> int:
        """Levels that its trees can have: none without a drafter."""
        return 0

    @property
    def draft_weight_bytes(self) -> int:
        """Bytes resident for a drafter."""
        return 0

    # What a pass reads, and what stays between passes

    def read_bytes(self, tokens: int = 1, context: int = 0) -> int:
        """Bytes that a pass reads: weights, and behind a context the cache and the states; each counted once.

        Args:
            tokens: Tokens of the pass, all with logits, as in a verify pass.
            context: Tokens before; 0 for weights alone.

        Raises:
            InputError: Fewer than one token, or a context below 0.
        """
        _check_pass(tokens, context)
        return self.weight_read_bytes(tokens) + (self.cache_bytes(context) if context else 0)

    def weight_read_bytes(self, tokens: int = 1) -> int:
        """Bytes of the weights that a pass needs, each counted once: tables by rows, experts as chosen, the rest whole.

        Of experts, those that at least one token is expected to be sent to, rounded to whole bytes (see
        ``distinct_experts`` for the routing model). Rows of an embedding that is the LM head too are among its own.
        """
        wholes: list[Tensor] = []
        exact, expected = 0, 0.0
        for step, count, _ in self.steps():
            tensor = step_tensor(step, count)
            if tensor is None or tensor.read == "none":
                continue
            whole = self.stored_bytes(tensor)
            if tensor.read == "whole":
                wholes.append(tensor)
            elif tensor.read == "experts":
                needed = distinct_experts(tensor.experts, tensor.top_k, tokens, self.routing)
                expected += whole * float(needed) / tensor.experts
            elif not (tensor.name == "embedding" and self.tied_embeddings):
                exact += min(tokens, tensor.rows) * (whole // tensor.rows)
        return self.stored_bytes(*wholes) + exact + round(expected)

    def cache_bytes(self, context: int) -> int:
        """Bytes kept between passes after so many tokens: keys and values inside windows, latent vectors, states.

        Raises:
            InputError: A context below 0.
        """
        _check_pass(1, context)
        layers = 0
        for step, count, runs in self.steps():
            if isinstance(step, Attend):
                layers += count * runs * step.kept(context) * self._token_bytes(step)
        return layers + self.state_bytes

    def _token_bytes(self, step: Attend) -> int:
        return cached_bytes(step.numbers_per_token, step.vectors_per_token, self.kv_bits)

    @property
    def state_bytes(self) -> int:
        """Bytes of states, whose size does not depend on the text."""
        return sum(
            count * runs * packed_bytes(step.numbers, self.kv_bits)
            for step, count, runs in self.steps()
            if isinstance(step, Recur)
        )

    @property
    def kv_bytes_per_token(self) -> int:
        """Bytes that one token adds to the key-value cache, all layers, before any window is full."""
        return sum(
            count * runs * self._token_bytes(step) for step, count, runs in self.steps() if isinstance(step, Attend)
        )

    def with_bits(self, weight: int | None = None, activation: int | None = None, kv: int | None = None) -> "ModelSpec":
        """The same model at other precisions; what is left out stays.

        Args:
            weight: Bits per weight: 4, 8, 16 or 32; then all weights are alike, with nothing stored beside them.
            activation: Bits per activation.
            kv: Bits per cached key or value element.

        Raises:
            InputError: A width is none of the allowed ones.
        """
        given = {"activation_bits": activation, "kv_bits": kv}
        changed: dict[str, object] = {field: bits for field, bits in given.items() if bits is not None}
        if weight is not None:
            changed["formats"] = self.formats.with_formats(dict.fromkeys(CLASSES, read_format(str(weight))))
        return validated_spec({**dict(self), **changed}, f"model '{self.name}'")

    def with_weights(self, text: str) -> "ModelSpec":
        """The same model with its weights stored otherwise.

        Args:
            text: A format for all, such as ``4``, ``4g128`` or ``q4_k``; or one for each class that changes, such as
                ``attention_in=8,expert=mxfp4``.

        Raises:
            InputError: A class or format that is not known, a class that the model has not, or a format whose blocks
                its rows do not fill.
        """
        formats = read_formats(text)
        if "=" in text:
            for kind in formats:
                self._check_has(kind)
        changed = self.model_copy(update={"formats": self.formats.with_formats(formats)})
        for tensor in changed.tensors:
            stored = changed.stored_as(tensor.kind)
            if stored.name in NAMED and stored.group_size and tensor.columns % stored.group_size:
                whole = f"rows of {tensor.columns} are no whole blocks of {stored.group_size}"
                raise InputError(f"model '{self.name}': {tensor.name} cannot be {stored.name}, its {whole}")
        return changed

    def with_routing(self, routing: Routing) -> "ModelSpec":
        """The same model with experts chosen as was measured.

        Raises:
            InputError: The choices are of other layers, or of other experts, than the model has.
        """
        where, layers = f"routing '{shown(routing.source, 50)}'", 0
        for group in self.layer_groups:
            for network in (group.layer.feed_forward, *group.layer.more):
                if not isinstance(network, Experts):
                    continue
                layers += group.count
                if network.top_k != routing.top_k:
                    had = f"{routing.top_k} experts a token, and model '{self.name}' chooses {network.top_k}"
                    raise InputError(f"{where} has {had}")
                if (largest := int(routing.ids.max())) >= network.experts:
                    raise InputError(f"{where} names expert {largest}, and model '{self.name}' has {network.experts}")
        if layers != routing.layers:
            had = f"{layers or 'no'} layers with experts"
            raise InputError(f"{where} has choices of {routing.layers} layers, and model '{self.name}' has {had}")
        return self.model_copy(update={"routing": routing})

    def _check_has(self, kind: TensorClass) -> None:
        if kind == "head" and self.tied_embeddings:
            raise InputError(f"model '{self.name}': its head is its embedding, whose format is given as embedding=...")
        if kind not in self.classes:
            raise InputError(
                f"model '{self.name}' has no tensors of class {kind}: it has {', '.join(sorted(self.classes))}"
            )


def validated_spec(fields: dict[str, object], where: str) -> ModelSpec:
    """Build a ``ModelSpec``, or say in one line that starts with ``where`` all that is wrong with its fields.

    Raises:
        InputError: A field is missing, unknown, or has a value that is not allowed.
    """
    try:
        return ModelSpec.model_validate(fields)
    except ValidationError as error:
        raise InputError(f"{where}: {one_line(error, LONGEST - len(where) - 2)}") from None


def one_line(error: ValidationError, room: int = 100) -> str:
    """The first errors that pydantic found, each with its key and what is allowed, and how many more there are."""
    found = [
        _one_error(".".join(map(str, item["loc"])), item["type"], item["msg"], item["input"])
        for item in error.errors(include_url=False, include_context=False)
    ]
    return listed(found, room, "; ")


def step_tensor(step: Step, count: int) -> Tensor | None:
    """The weights of a step that ``count`` layers have; None where it has none."""
    match step:
        case Product():
            return Tensor(step.name, count, step.n, step.k, step.kind)
        case Vector() if step.weights:
            read: Read = "whole" if step.experts == 1 else "experts"
            copies = count * step.experts
            return Tensor(step.name, copies, 1, step.weights, "other", read, step.experts, step.top_k)
        case Gather():
            return Tensor(step.name, count, step.rows, step.columns, step.kind, "rows")
        case Unread():
            return Tensor(step.name, count, step.rows, step.columns, step.kind, "none")
        case ExpertProduct():
            copies = count * step.experts
            return Tensor(step.name, copies, step.n, step.k, "expert", "experts", step.experts, step.top_k)
        case _:
            return None


def _check_pass(tokens: int, context: int) -> None:
    if tokens < 1 or context < 0:
        raise InputError(f"a pass of {tokens} tokens after {context}: allowed are 1 and more after 0 and more")


_TAG = re.compile(r"Input tag ('.*') found using '(.*)' does not match any of the expected tags: (.*)")


def _one_error(key: str, kind: str, message: str, value: object) -> str:
    match kind:
        case "missing":
            return f"missing key '{key}'"
        case "extra_forbidden":
            return f"unknown key '{key}'"
        case "union_tag_invalid":
            return _TAG.sub(rf"{key}.\2 = \1: allowed are \3", message)
        case "value_error":
            return message.removeprefix("Value error, ")
        case _:
            return f"{key} = {_shortened(value)}: {message[0].lower()}{message[1:]}"


def _shortened(value: object, width: int = 40) -> str:
    text = repr(value)
    return text if len(text) <= width else f"{text[:width]}..."
