"""Classes of tensors by the names that files give them."""

from pathlib import Path

import pytest

from lpspec.llm.stored_tensors import CLASSES, StoredTensor, shares, tensor_class

NAMES = {
    "embedding": [
        "token_embd.weight", "per_layer_token_embd.weight", "model.embed_tokens.weight", "transformer.wte.weight",
        "model.language_model.embed_tokens_per_layer.weight", "gpt_neox.embed_in.weight",
    ],
    "head": ["output.weight", "lm_head.weight", "lm_head.weight_packed", "embed_out.weight"],
    "attention_in": [
        "blk.0.attn_q.weight", "blk.11.attn_qkv.weight", "blk.3.attn_kv_a_mqa.weight", "blk.2.ssm_in.weight",
        "blk.2.shortconv.in_proj.weight", "model.layers.0.self_attn.q_proj.weight",
        "model.layers.0.self_attn.k_proj.qweight", "model.layers.0.self_attn.v_proj.weight.absmax",
        "model.layers.3.self_attn.kv_a_proj_with_mqa.weight_scale_inv",
        "model.layers.1.linear_attn.in_proj_qkvz.weight",
        "model.layers.1.conv.in_proj.weight", "transformer.h.0.attn.c_attn.weight",
        "model.layers.0.self_attn.v_proj.weight.quant_state.bitsandbytes__nf4", "model.layers.0.self_attn.qkv_proj.SCB",
    ],
    "attention_out": [
        "blk.0.attn_output.weight", "model.layers.0.self_attn.o_proj.qzeros", "model.layers.1.conv.out_proj.weight",
        "transformer.h.0.attn.c_proj.weight", "transformer.h.0.self_attention.dense.weight", "blk.2.ssm_out.weight",
    ],
    "ffn_up": [
        "blk.0.ffn_gate.weight", "blk.0.ffn_up_shexp.weight", "model.layers.0.mlp.gate_proj.scales",
        "model.layers.0.mlp.shared_experts.up_proj.weight", "model.layers.0.mlp.gate_up_proj.weight",
        "model.layers.0.feed_forward.w1.weight", "model.layers.0.shared_mlp.input_linear.weight",
    ],
    "ffn_down": [
        "blk.0.ffn_down.weight", "model.layers.0.mlp.down_proj.weight_scale", "transformer.h.0.mlp.c_proj.weight",
        "model.layers.0.feed_forward.w2.weight", "model.layers.0.mlp.shared_expert.down_proj.weight",
    ],
    "expert": [
        "blk.0.ffn_gate_exps.weight", "model.layers.0.mlp.experts.17.down_proj.weight",
        "model.layers.0.mlp.experts.gate_up_proj_blocks", "model.layers.0.mlp.experts.down_proj_scales",
        "model.layers.0.block_sparse_moe.experts.3.w1.weight", "model.layers.0.block_sparse_moe.input_linear.weight",
        "model.layers.0.mlp.experts.gate_up_proj",
    ],
    "other": [
        "output_norm.weight", "blk.0.attn_norm.weight", "blk.0.attn_q.bias", "blk.0.ffn_gate_inp.weight",
        "blk.0.attn_sinks.weight", "model.norm.weight", "model.layers.0.self_attn.q_proj.bias", "rope_freqs.weight",
        "model.layers.0.mlp.gate.weight", "model.layers.0.mlp.gate.e_score_correction_bias", "lm_head.bias",
        "model.layers.0.mlp.router.weight", "model.layers.0.input_layernorm.weight", "blk.0.shortconv.conv.weight",
        "model.layers.0.mlp.experts.gate_up_proj_bias", "model.layers.0.mlp.shared_expert_gate.weight", "", ".weight",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("name", "expected"), [(name, key) for key, names in NAMES.items() for name in names])
def test_a_name_tells_the_class(name: str, expected: str) -> None:
    assert tensor_class(name) == expected


def test_shares_add_up_and_come_in_order() -> None:
    kinds = [
        ("blk.0.ffn_down.weight", "q6_k", 210),
        ("output_norm.weight", "f32", 8),
        ("token_embd.weight", "q8_0", 34),
    ]
    kinds += [("blk.1.ffn_down.weight", "q4_k", 144), ("blk.2.ffn_down.weight", "q6_k", 210)]
    tensors = [StoredTensor(name, kind, (1, 256), size, Path("x"), 0) for name, kind, size in kinds]
    found = shares(tensors)
    assert [tuple(share) for share in found] == [
        ("embedding", "q8_0", 1, 256, 34), ("ffn_down", "q6_k", 2, 512, 420), ("ffn_down", "q4_k", 1, 256, 144),
        ("other", "f32", 1, 256, 8),
    ]  # fmt: skip
    assert set(NAMES) == set(CLASSES)
