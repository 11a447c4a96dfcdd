"""One decoder layer of its parts, and how many alike follow each other."""

from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, NonNegativeInt, PositiveInt

from lpspec.llm.feed_forward import Experts, FeedForward
from lpspec.llm.layers import ADD_OPS, LatentAttention, Norm, Part, SelfAttention
from lpspec.llm.states import LinearAttention, ShortConvolution, StateSpace
from lpspec.llm.steps import Product, Step, Vector
from lpspec.llm.stored_tensors import TensorClass

Mixer: TypeAlias = Annotated[
    SelfAttention | LatentAttention | StateSpace | LinearAttention | ShortConvolution, Field(discriminator="type")
]
"""How a layer mixes tokens."""

Network: TypeAlias = Annotated[FeedForward | Experts, Field(discriminator="type")]
"""What a layer computes on each token by itself."""


class More(Part):
    """A product or a vector that only few families have."""

    type: Literal["more"] = "more"
    name: str
    """What operators and tables call it."""
    k: NonNegativeInt = 0
    """Width that goes into a product; 0 for a vector."""
    width: PositiveInt
    """Width that comes out."""
    kind: TensorClass = "other"
    """What a product's matrix is for."""
    ops: NonNegativeInt = 0
    """Vector operations per number that comes out."""
    weights: NonNegativeInt = 0
    """Numbers of norms and biases."""

    def steps(self, hidden: int) -> Iterator[Step]:
        """A product, a vector, or one after the other; its widths are its own."""
        if self.k:
            yield Product(self.name, self.k, self.width, self.kind)
        if self.ops or self.weights:
            yield Vector(f"{self.name}_vector" if self.k else self.name, self.width, self.ops, self.weights)


Further: TypeAlias = Annotated[More | FeedForward | Experts, Field(discriminator="type")]
"""What a layer may have beside its mixers and its network."""


class Layer(Part):
    """A decoder layer: norms and mixers, then norms and a feed-forward network; both add to the residual stream."""

    mixers: tuple[Mixer, ...]
    """How tokens are mixed; more than one where several work side by side, none in a layer that only feeds forward."""
    feed_forward: Network | None
    """The network behind; None in a layer that only mixes."""
    attention_norms: NonNegativeInt = 1
    """Norms before and after the mixers."""
    mlp_norms: NonNegativeInt = 1
    """Norms before and after the network; 0 where it shares that of the mixers, which it then works beside."""
    scaled_residuals: bool = False
    """True where what is added to the residual stream has a factor."""
    more: tuple[Further, ...] = ()
    """What else is computed."""

    @property
    def kind(self) -> str:
        """What tables call it."""
        mixers = " and ".join(mixer.kind for mixer in self.mixers)
        return " + ".join(part for part in (mixers, self.feed_forward and self.feed_forward.kind) if part)

    def steps(self, hidden: int, norm: Norm) -> Iterator[Step]:
        """All of the layer, in the order of execution."""
        for part, parts, norms in (
            ("attention", self.mixers, self.attention_norms),
            ("mlp", (self.feed_forward,) if self.feed_forward else (), self.mlp_norms),
        ):
            before, after = (norms > 0, norms > 1) if parts else (False, False)
            if before:
                yield norm.vector(f"{part}_norm", hidden)
            for one in parts:
                yield from one.steps(hidden)
            if after:
                yield norm.vector(f"{part}_post_norm", hidden)
            if parts:
                yield Vector(f"{part}_residual", hidden, ADD_OPS + self.scaled_residuals)
        for further in self.more:
            yield from further.steps(hidden)


class LayerGroup(Part):
    """Layers in a row that are alike."""

    count: PositiveInt
    """Layers with weights of their own."""
    layer: Layer
    """What each of them is."""
    runs: PositiveInt = 1
    """Times that a token passes each of them, with a cache for each time."""

    def steps(self, hidden: int, norm: Norm) -> tuple[Step, ...]:
        """Of one layer."""
        return tuple(self.layer.steps(hidden, norm))


def run_lengths(layers: list[Layer]) -> tuple[LayerGroup, ...]:
    """Layers one by one as groups of those in a row that are alike."""
    groups: list[LayerGroup] = []
    for layer in layers:
        if groups and groups[-1].layer == layer:
            groups[-1] = LayerGroup(count=groups[-1].count + 1, layer=layer)
        else:
            groups.append(LayerGroup(count=1, layer=layer))
    return tuple(groups)
