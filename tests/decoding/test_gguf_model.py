"""GGUF files decode as transformers does with the values that package gguf tells."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from random_models import SIZES, save_random, transformers

gguf = pytest.importorskip("gguf")

from gguf_by_hand import write_gguf  # noqa: E402

from lpspec.decoding.generate import Generation  # noqa: E402
from lpspec.decoding.gguf_blocks import _BLOCKS, block_values  # noqa: E402
from lpspec.decoding.transformer import load_transformer  # noqa: E402
from lpspec.errors import InputError  # noqa: E402

FACTORS = {"rope_factors_short.weight": torch.tensor([1.0, 1.1, 1.5, 2.0]), "rope_factors_long.weight": torch.ones(4)}
TEMPERED = float(np.sqrt(1 + np.log(2) / np.log(128)))
FILES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {"vocab_size": 64, "rope__dimension_count": 8}),
    "llama-gqa-biased": ("llama", {}),
    "llama-tied-head-dim": ("llama", {}),
    "llama-rope-linear": ("llama", {"rope__scaling__type": "linear", "rope__scaling__factor": 4.0}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {}),
    "smollm3-of-4": ("smollm3", {"rope__freq_base": 2e6}),
    "gemma": ("gemma", {}),
    "gemma2-own-scale": ("gemma2", {"attention__sliding_window": 11, "attn_logit_softcapping": 2.0,
                                    "final_logit_softcapping": 3.0}),
    "gemma3-own-scale": ("gemma3", {"attention__sliding_window": 11, "rope__freq_base": 1e6,
                                    "rope__scaling__type": "linear", "rope__scaling__factor": 8.0}),
    "phi3": ("phi3", {"attention__sliding_window": 30, "rope__dimension_count": 8}),
    "phi3-partial": ("phi3", {"rope__dimension_count": 4}),
    "phi3-longrope": ("phi3", {"rope__dimension_count": 8, "rope__scaling__attn_factor": TEMPERED,
                               "rope__scaling__original_context_length": 128, "extra": FACTORS}),
    "granite": ("granite", {"embedding_scale": 3.0, "residual_scale": 0.4, "logit_scale": 2.0,
                            "attention__scale": 0.2}),
    "olmo2": ("olmo2", {}),
    "olmo3-one-base": ("olmo2", {"attention__sliding_window": 11, "rope__freq_base": 5e5,
                                 "attention__sliding_window_pattern": [True, True, True, False, True],
                                 "rope__scaling__type": "yarn", "rope__scaling__factor": 4.0,
                                 "rope__scaling__original_context_length": 64}),
}  # fmt: skip


def written(kind: str, tmp_path: Path, **changes: Any) -> tuple[Any, Path]:
    architecture, keys = FILES[kind]
    model = save_random(kind, tmp_path / "hub")
    file = tmp_path / f"{kind}.gguf"
    write_gguf(file, model, architecture, **keys | changes)
    return model, file


@pytest.mark.parametrize("kind", FILES)
def test_greedy_text_is_that_of_transformers(kind: str, tmp_path: Path) -> None:
    theirs, file = written(kind, tmp_path)
    ours, tokens = load_transformer(file), torch.arange(90) * 7 % 64
    with torch.inference_mode():
        logits = ours.logits(ours.forward(tokens).hidden)
        torch.testing.assert_close(logits, theirs(tokens[None]).logits[0], atol=1e-4, rtol=1e-4)
        said = theirs.generate(tokens[None, :20], max_new_tokens=20, do_sample=False)[0, 20:].tolist()
    plain = Generation(ours, tokens[:20].numpy(), 20)
    list(plain)
    assert plain.tokens == said


MIXES = {
    "Q4_0": {"q.weight": "Q4_0", "k.weight": "Q5_0", "v.weight": "Q4_1", "down.weight": "Q5_1", "embd.weight": "Q8_0"},
    "Q4_K": {"q.weight": "Q4_K", "k.weight": "Q4_K", "v.weight": "Q6_K", "output.weight": "Q5_K"},
    "BF16": {"q.weight": "BF16", "k.weight": "F16", "down.weight": "F16"},
    "Q3_K": {"q.weight": "Q2_K", "k.weight": "Q3_K", "v.weight": "Q3_K", "down.weight": "IQ4_XS"},
    "MXFP4": {"q.weight": "MXFP4", "k.weight": "MXFP4", "up.weight": "MXFP4", "down.weight": "Q8_0"},
}  # fmt: skip


@pytest.mark.parametrize("mix", MIXES)
def test_quantised_files_decode_as_what_their_blocks_mean(mix: str, tmp_path: Path) -> None:
    sizes = SIZES | {"hidden_size": 256, "intermediate_size": 256, "num_hidden_layers": 1, "initializer_range": 0.1}
    torch.manual_seed(0)
    theirs = transformers.LlamaForCausalLM(transformers.LlamaConfig(**sizes)).eval()
    meant = write_gguf(tmp_path / "m.gguf", theirs, "llama", MIXES[mix])
    theirs.load_state_dict(meant)
    ours, tokens = load_transformer(tmp_path / "m.gguf"), torch.arange(30) * 7 % 64
    with torch.inference_mode():
        logits = ours.logits(ours.forward(tokens).hidden)
        torch.testing.assert_close(logits, theirs(tokens[None]).logits[0], atol=1e-4, rtol=1e-4)
        said = theirs.generate(tokens[None], max_new_tokens=20, do_sample=False)[0, 30:].tolist()
    plain = Generation(ours, tokens.numpy(), 20)
    list(plain)
    assert plain.tokens == said
    assert ours.notes[0].startswith("weights stored as GGUF (")


@pytest.mark.parametrize("kind", _BLOCKS)
def test_any_block_means_what_the_package_says(kind: str) -> None:
    size_bytes, of_type = _BLOCKS[kind][0], gguf.GGMLQuantizationType[kind.upper()]
    data = np.random.default_rng(1).integers(0, 256, (500, size_bytes), np.uint8)
    single = {"q6_k": (208,), "q3_k": (108,), "q2_k": (80, 82)}
    places = single.get(kind, (0,) if kind in ("q4_0", "q5_0", "q8_0", "iq4_nl", "iq4_xs") else (0, 2))
    if kind == "mxfp4":
        places = ()
        data[:, 0] %= 250  # no value beyond float32
    for place in places:
        data[:, place + 1] &= 0xBB  # no float16 that is not finite
    wanted = gguf.quants.dequantize(data, of_type).reshape(-1)
    assert np.array_equal(block_values(data.reshape(-1), kind, "blocks"), wanted)


def test_a_type_that_is_not_read_is_named() -> None:
    with pytest.raises(InputError, match="'blk' is of type tq2_0, which is not read: allowed are f32") as caught:
        block_values(np.zeros(66, np.uint8), "tq2_0", "'blk'")
    assert len(str(caught.value)) <= 200


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "experts": ({"expert_count": 8}, "'llama.expert_count' may change what is computed"),
    "a part turned": ({"rope__dimension_count": 4}, "'llama.rope.dimension_count' = 4, expected is 8"),
    "other values": ({"attention__value_length": 16}, "attention.value_length' differs"),
    "a missing key": ({"extra": {"rope_freqs.weight": torch.ones(3)}}, "'rope_freqs.weight' has 3 factors"),
    "another rotation": ({"rope__scaling__type": "longrope"}, "rope"),
    "a tensor too many": ({"extra": {"blk.0.attn_sinks.weight": torch.ones(4)}}, "holds 'blk.0.attn_sinks.weight'"),
    "a bias too many": ({"extra": {"blk.1.attn_q.bias": torch.ones(32)}}, "holds '.*1.self_attn.q_proj.bias'"),
    "a bias too few": ({"extra": {"blk.0.attn_q.bias": torch.ones(32)}}, "has no tensor '.*0.self_attn.k_proj.bias'"),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_not_computed_is_refused_by_name(fault: str, tmp_path: Path) -> None:
    changes, line = REFUSED[fault]
    _, file = written("llama", tmp_path, **changes)
    with pytest.raises(InputError, match=line) as caught:
        load_transformer(file)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 200


def test_another_architecture_is_refused_by_name(tmp_path: Path) -> None:
    model = save_random("llama", tmp_path / "hub")
    write_gguf(tmp_path / "m.gguf", model, "rwkv6")
    with pytest.raises(InputError, match=r"general\.architecture = 'rwkv6': allowed are llama, qwen2"):
        load_transformer(tmp_path / "m.gguf")


def test_frequencies_may_have_factors_of_their_own(tmp_path: Path) -> None:
    """Llama 3.1 is written so: a tensor of what divides each frequency."""
    theirs = save_random("llama-rope-llama3", tmp_path / "hub")
    rope = theirs.model.rotary_emb
    plain = 1.0 / 5e5 ** (torch.arange(0, 8, 2).float() / 8)
    extra = {"rope_freqs.weight": plain / rope.inv_freq}
    write_gguf(tmp_path / "m.gguf", theirs, "llama", extra=extra, rope__freq_base=5e5)
    tokens = torch.arange(60)
    ours = load_transformer(tmp_path / "m.gguf")
    with torch.inference_mode():
        logits = ours.logits(ours.forward(tokens).hidden)
        torch.testing.assert_close(logits, theirs(tokens[None]).logits[0], atol=1e-4, rtol=1e-4)
