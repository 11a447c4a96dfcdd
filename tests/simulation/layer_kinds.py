"""Small models of every kind of layer, for what must hold whatever a model is made of."""

from lpspec.llm import ModelSpec
from lpspec.llm.feed_forward import Experts, FeedForward
from lpspec.llm.layer import Layer, LayerGroup
from lpspec.llm.layers import LatentAttention, SelfAttention
from lpspec.llm.states import LinearAttention, ShortConvolution, StateSpace

DENSE = FeedForward(width=1536)
FULL = SelfAttention(heads=8, kv_heads=4, head_dim=64)
SLIDING = FULL.model_copy(update={"window": 128})
FEW = Experts(experts=16, top_k=2, width=384)


def layer(mixer: object, network: object = DENSE) -> Layer:
    return Layer.model_validate({"mixers": (mixer,), "feed_forward": network})


def spec(name: str, *groups: tuple[int, Layer], **fields: object) -> ModelSpec:
    """A decoder of width 512 with these layers, so many of each."""
    made = {
        "name": name,
        "source": "made for tests",
        "hidden_size": 512,
        "vocab_size": 4096,
        "tied_embeddings": True,
        "max_context": 1 << 16,
        "default_trace": "vicuna-7b",
        "layer_groups": tuple(LayerGroup(count=count, layer=one) for count, one in groups),
    }
    return ModelSpec.model_validate(made | fields)


LATENT = LatentAttention(heads=16, query_rank=None, latent_dim=192, nope_dim=64, rotary_dim=32, value_dim=64)
SHARED = FULL.model_copy(update={"shares_cache": True})
LINEAR = LinearAttention(key_heads=4, value_heads=8, key_dim=64, value_dim=64, kernel=4)
SPACE = StateSpace(heads=16, head_dim=64, groups=1, state_size=64, kernel=4)
CONVOLUTION = ShortConvolution(kernel=3)

MODELS = {
    "plain": spec("plain", (6, layer(FULL))),
    "windows": spec("windows", (5, layer(SLIDING)), (1, layer(FULL))),
    "heads": spec("heads", (3, layer(SLIDING)), (2, layer(SelfAttention(heads=6, kv_heads=2, head_dim=128)))),
    "shared": spec("shared", (3, layer(FULL)), (3, layer(SHARED))),
    "latent": spec("latent", (4, layer(LATENT))),
    "experts": spec("experts", (1, layer(FULL)), (4, layer(FULL, FEW))),
    "latent-experts": spec("latent-experts", (1, layer(LATENT)), (3, layer(LATENT, FEW))),
    "linear": spec("linear", (3, layer(LINEAR)), (1, layer(FULL, FEW))),
    "state-space": spec("state-space", (4, layer(SPACE)), (1, layer(FULL, FeedForward(width=1024, gated=False)))),
    "convolution": spec("convolution", (4, layer(CONVOLUTION)), (2, layer(FULL))),
    "states-only": spec("states-only", (4, layer(SPACE))),
}
"""By what is unlike a Llama."""
