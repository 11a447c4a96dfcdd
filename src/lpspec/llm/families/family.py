"""What a family of models is: which keys its ``config.json`` has, what their absence means, and what they describe.

Defaults are those of transformers 5.23.0 (5.24.0 has the same): an absent key means
another value in every family, and null is not the same as absent.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeAlias

from pydantic import BaseModel, Field, NonNegativeInt

from lpspec.llm.feed_forward import Experts, FeedForward
from lpspec.llm.layer import Layer, Mixer, run_lengths
from lpspec.llm.layers import Norm, SelfAttention

Dimension = Annotated[int, Field(gt=0, le=2**24)]
"""Width, number or size: no model comes near the limit, and products of two stay machine integers."""

Positions = Annotated[int, Field(gt=0, le=2**31)]

LAYER_NORM = Norm(kind="layer", has_bias=True)
PLAIN_LAYER_NORM = Norm(kind="layer")

GELUS = dict.fromkeys(
    ("gelu", "gelu_new", "gelu_fast", "gelu_python", "gelu_pytorch_tanh", "quick_gelu", "gelu_accurate"), "gelu"
)
ACTIVATIONS: dict[str, Any] = {"silu": "silu", "swish": "silu", "relu": "relu", "relu2": "relu2", "xielu": "xielu"}
ACTIVATIONS |= GELUS
"""The activation of ``FeedForward`` for every name of the library that is priced."""

Layers: TypeAlias = list[Layer]
Keys: TypeAlias = Any
"""The validated keys of a configuration, by name."""


@dataclass(frozen=True)
class Family:
    """A ``model_type``.

    Attributes:
        describe: Makes the fields of ``Structure`` of the validated keys.
        keys: Every key that is used, and what its absence means.
        classes: Classes that compute a whole decoder of the family with its LM head and nothing else.
        harmless: Further keys of the family that change nothing in what a pass computes or reads.
        modules: Names of the family's own code from before the library had it, without ``modeling_``.
        nullable: Keys that may be null though their absence means something else.
        types: Types of keys where they are not those of the name.
        aliases: Other names that the library knows keys by.
        repeated: Names that the library does not read, under which files repeat what a key says.
        turns_part: Whether positions may turn a part of a head though they turn all of it where nothing is said.
    """

    describe: Callable[[Keys], dict[str, Any]]
    keys: dict[str, Any]
    classes: tuple[str, ...]
    harmless: frozenset[str] = frozenset()
    modules: tuple[str, ...] = ()
    nullable: frozenset[str] = frozenset()
    types: dict[str, Any] = field(default_factory=dict)
    turns_part: bool = False
    aliases: dict[str, str] = field(default_factory=dict)
    repeated: dict[str, str] = field(default_factory=dict)


# Shape of every key's value; what is not listed has that of its default.
_TYPES: dict[str, Any] = {
    name: kind
    for names, kind in (
        ("num_key_value_heads num_kv_heads head_dim n_inner ffn_hidden_size word_embed_proj_dim", Dimension),
        ("q_lora_rank v_head_dim moe_latent_size num_layers_per_stack mamba_d_ssm", Dimension),
        ("num_experts_per_tok num_experts top_k_experts moe_intermediate_size", Dimension),
        ("sliding_window", Positions),
        ("max_position_embeddings n_positions", Positions),
        ("layer_types mlp_layer_types layers_block_type", list[str]),
        ("no_rope_layers", list[int]),
        ("moe_layers mlp_only_layers full_attn_idxs", list[NonNegativeInt]),
        ("hidden_act hidden_activation activation_function activation mlp_hidden_act", str),
        ("rms_norm_eps layer_norm_eps norm_eps layer_norm_epsilon norm_epsilon", Annotated[float, Field(ge=0, lt=1)]),
        ("rope_theta", Annotated[float, Field(gt=0)]),
        ("rope_scaling rope_parameters use_bidirectional_attention per_layer_config", object),
        ("eos_token_id", NonNegativeInt | list[NonNegativeInt]),
        ("num_kv_shared_layers num_local_experts num_dense_layers first_k_dense_replace", NonNegativeInt),
        ("n_shared_experts moe_num_shared_experts max_window_layers num_nextn_predict_layers", NonNegativeInt),
        ("moe_layer_start_index moe_layer_end_index", int),
        ("interleave_moe_layer_step no_rope_layer_interval decoder_sparse_step moe_layer_interval", Dimension),
        ("final_logit_softcapping attn_logit_softcapping clip_qkv", float),
    )
    for name in names.split()
}


def type_of(family: Family, name: str, default: Any) -> Any:
    """What values a key may have."""
    kind = family.types.get(name) or _TYPES.get(name)
    if kind is None:
        plain = {bool: bool, int: Dimension, float: float, str: str}
        kind = plain.get(type(default), object)
    return kind | None if default is None or name in family.nullable else kind


ROPE: dict[str, Any] = {
    "rope_theta": 10_000.0,
    "rope_scaling": None,
    "rope_parameters": None,
    "partial_rotary_factor": 1.0,
}
"""How positions turn; of no effect on the amount of work but for the part of a head that is turned."""

COMMON: dict[str, Any] = ROPE | {
    "vocab_size": 32_000,
    "hidden_size": 4096,
    "intermediate_size": 11_008,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": None,
    "head_dim": None,
    "hidden_act": "silu",
    "max_position_embeddings": 2048,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": False,
    "eos_token_id": None,
}
"""Keys that nearly every family has."""


FACTORS = {"embedding_multiplier": 1.0, "logits_scaling": 1.0, "residual_multiplier": 1.0, "attention_multiplier": 1.0}
"""Granite's."""


def width_of(k: Keys) -> int:
    """Width of one head."""
    return int(getattr(k, "head_dim", None) or k.hidden_size // k.num_attention_heads)


def attention(k: Keys, window: int | None = None, **own: Any) -> SelfAttention:
    """The attention of a family that names its heads as most do.

    Args:
        k: Its keys.
        window: Tokens that a token sees; None for all.
        own: What else the family says.
    """
    heads, width = k.num_attention_heads, width_of(k)
    part = rotary_part(k)
    said: dict[str, Any] = {
        "heads": heads,
        "kv_heads": k.num_key_value_heads or heads,
        "head_dim": width,
        "rotary_dim": None if part == 1 else int(width * part),
        "window": window,
    }
    return SelfAttention(**said | own)


def rotary_part(k: Keys) -> float:
    """Which part of a head its position turns."""
    for source in (k.rope_scaling, k.rope_parameters):
        if isinstance(source, dict) and isinstance(part := source.get("partial_rotary_factor"), int | float):
            return float(part)
    return float(k.partial_rotary_factor)


def gated(k: Keys, width: int | None = None, **own: Any) -> FeedForward:
    """The feed-forward network of most families."""
    act: Any = getattr(k, "hidden_act", None) or getattr(k, "hidden_activation", "silu")
    return FeedForward(**{"width": width or k.intermediate_size, "activation": ACTIVATIONS[act]} | own)


def plain(k: Keys, width: int, bias: bool, act: str) -> FeedForward:
    """Up and down without a gate."""
    return FeedForward(width=width, gated=False, activation=ACTIVATIONS[act], up_bias=bias, down_bias=bias)


def experts(k: Keys, count: int, top_k: int | None, width: int, **own: Any) -> Experts:
    """Experts of a family."""
    if top_k is None:
        raise ValueError("num_experts_per_tok is needed beside experts")
    return Experts(experts=count, top_k=top_k, width=width, activation=ACTIVATIONS[k.hidden_act], **own)


def layer(mixer: Mixer | Sequence[Mixer], network: FeedForward | Experts | None, **own: Any) -> Layer:
    """A layer of one mixer, of several side by side, or of none."""
    mixers = (mixer,) if isinstance(mixer, BaseModel) else tuple(mixer)
    return Layer(mixers=mixers, feed_forward=network, **own)


def model(k: Keys, layers: Layers, **own: Any) -> dict[str, Any]:
    """The fields of ``Structure`` of a family that names its sizes as most do."""
    said = {
        "hidden_size": k.hidden_size,
        "vocab_size": k.vocab_size,
        "tied_embeddings": k.tie_word_embeddings,
        "max_context": k.max_position_embeddings,
        "layer_groups": run_lengths(layers),
    }
    return said | own


_LEGACY_TYPES = {
    "mamba": "linear_attention",
    "attention": "full_attention",
    "deepseek_sparse_attention": "indexed_attention",
}
"""Older names of layer types, which the library still reads."""


def types_of(k: Keys, usual: Sequence[str], allowed: str, key: str = "layer_types") -> list[str]:
    """Kinds of the layers one by one.

    Args:
        k: The keys of a configuration.
        usual: What they are where it does not say.
        allowed: Those that the family computes.
        key: Where it would say.

    Raises:
        ValueError: It says another number of layers than it has, or a kind that the family does not compute.
    """
    said = getattr(k, key)
    found = list(usual) if said is None else [_LEGACY_TYPES.get(kind, kind) for kind in said]
    other = next((kind for kind in found if kind not in allowed.split()), None)
    if other is not None:
        raise ValueError(f"{key} names '{other[:30]}': allowed are {allowed.replace(' ', ', ')}")
    if len(found) != k.num_hidden_layers:
        raise ValueError(f"{key} must be {k.num_hidden_layers} entries, one for each layer, not {len(found)}")
    return found


def every(k: Keys, interval: int, usual: str, special: str) -> list[str]:
    """Layers of which each ``interval``-th is of a special kind."""
    return [special if (i + 1) % interval == 0 else usual for i in range(k.num_hidden_layers)]


def windows_of(k: Keys, types: Sequence[str]) -> list[int | None]:
    """The window of each layer, for those that slide.

    Raises:
        ValueError: A layer slides, and there is no window.
    """
    window = k.sliding_window
    if "sliding_attention" in types and window is None:
        raise ValueError("layer_types names sliding_attention, and sliding_window is null")
    return [window if kind == "sliding_attention" else None for kind in types]
