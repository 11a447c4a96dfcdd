"""Weight tensors as files store them: by name, with their type, true bytes and place, none of them loaded."""

import re
from collections.abc import Sequence
from math import prod
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias, get_args

from lpspec.llm.config_keys import words

TensorClass: TypeAlias = Literal[
    "embedding", "head", "attention_in", "attention_out", "ffn_up", "ffn_down", "expert", "other"
]
"""What a tensor is for, which decides in which precision it is stored; "other" are norms, biases and routers."""

CLASSES: tuple[TensorClass, ...] = get_args(TensorClass)
"""All of them."""

_LEAVES: dict[TensorClass, str] = {
    "embedding": "token_embd per_layer_token_embd embed_tokens embed_tokens_per_layer wte word_embeddings embed_in",
    "head": "output lm_head embed_out",
    "attention_in": """
        attn_q attn_k attn_v attn_qkv attn_q_a attn_q_b attn_kv_a_mqa attn_kv_b attn_k_b attn_v_b attn_gate ssm_in
        ssm_ba ssm_alpha ssm_beta q_proj k_proj v_proj qkv_proj q_a_proj q_b_proj kv_a_proj_with_mqa kv_b_proj
        in_proj in_proj_qkvz in_proj_qkv in_proj_z in_proj_ba in_proj_a in_proj_b c_attn query_key_value Wqkv W_pack
        """,
    "attention_out": "attn_output ssm_out o_proj out_proj dense",
    "ffn_up": """
        ffn_gate ffn_up ffn_gate_shexp ffn_up_shexp gate_proj up_proj gate_up_proj c_fc fc1 w1 w3 dense_h_to_4h
        input_linear
        """,
    "ffn_down": "ffn_down ffn_down_shexp down_proj fc2 w2 dense_4h_to_h output_linear",
    "expert": "ffn_gate_exps ffn_up_exps ffn_down_exps ffn_gate_up_exps",
}
_CLASS_OF: dict[str, TensorClass] = {leaf: name for name, leaves in _LEAVES.items() for leaf in words(leaves)}

_ENDING = re.compile(
    r"[._](weight|qweight|qzeros|scales|g_idx|blocks|SCB|(input|output)_(scale|zero_point)|input_global_scale"
    r"|weight_(packed|scale|scale_inv|scale_2|zero_point|shape|global_scale|g_idx|format)"
    r"|weight\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\.bitsandbytes__\w+))$"
)
"""Ends of names of what is stored for one product: its numbers, packed or not, and what gives their values back."""


class StoredTensor(NamedTuple):
    """A tensor of a file.

    Attributes:
        name: As the file has it.
        type_name: Type of its numbers in lower case, such as ``q4_1`` or ``bf16``.
        shape: Rows of numbers last; a matrix is (outputs, inputs).
        size_bytes: Bytes that it fills, without padding.
        file: Which file.
        offset: Of its first byte in the file.
    """

    name: str
    type_name: str
    shape: tuple[int, ...]
    size_bytes: int
    file: Path
    offset: int

    @property
    def elements(self) -> int:
        """Numbers that it holds; where integers hold several weights each, the integers."""
        return prod(self.shape)

    @property
    def tensor_class(self) -> TensorClass:
        """The class that its precision belongs to, by its name in GGUF or on the Hugging Face hub."""
        return tensor_class(self.name)


class Share(NamedTuple):
    """What tensors of one class and type come to."""

    tensor_class: TensorClass
    type_name: str
    tensors: int
    elements: int
    size_bytes: int


def tensor_class(name: str) -> TensorClass:
    """The class of a tensor; what is none of the products, embeddings or the head is one of the others."""
    if name.endswith("bias"):
        return "other"
    *path, leaf = _ENDING.sub("", name).split(".")
    if "experts" in path or leaf == "experts":
        return "expert"
    if leaf == "c_proj":
        return "ffn_down" if path[-1:] == ["mlp"] else "attention_out"
    if leaf in ("input_linear", "output_linear") and path[-1:] == ["block_sparse_moe"]:
        return "expert"
    return _CLASS_OF.get(leaf, "other")


_OUTSIDE = re.compile(
    r"(.*\.)?(visual|vision_\w+|image_\w+|audio_\w+|multi_modal_\w+|mm_\w+|embed_(vision|audio)|v|a|mm|resampler)\..*"
)


def is_outside(name: str) -> bool:
    """Whether a tensor or module belongs to what a multimodal model has beside its decoder."""
    return _OUTSIDE.fullmatch(f"{name}.") is not None


def shares(tensors: Sequence[StoredTensor]) -> tuple[Share, ...]:
    """Tensors summed by class and type: classes in order, the largest type of a class first."""
    sums: dict[tuple[TensorClass, str], list[int]] = {}
    for tensor in tensors:
        found = sums.setdefault((tensor.tensor_class, tensor.type_name), [0, 0, 0])
        for place, more in enumerate((1, tensor.elements, tensor.size_bytes)):
            found[place] += more
    every = [Share(*key, *counts) for key, counts in sums.items()]
    return tuple(sorted(every, key=lambda share: (CLASSES.index(share.tensor_class), -share.size_bytes)))
