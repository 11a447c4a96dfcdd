#!/usr/bin/env bash
# transformers 5.23.0 with gguf 0.19.0: a Llama file in GGUF loses its scaled rotation without a word. Neither the keys
# `llama.rope.scaling.*` nor the tensor `rope_freqs.weight` (where the files of Llama 3.1 to 3.3 keep their scaling) is
# read, so such a model computes other numbers than its config.json has it compute, the more so the longer the text.
#
# Why: its table of GGUF keys for `llama` has rope.dimension_count and rope.freq_base alone; scaling is rebuilt for gpt-oss
# only, and tensors that no weight of the model is named after are passed over.
#
# Seen, 2026-11-28, CPython 3.11, torch 2.13.0, accelerate 1.15.0 (rope_type read, largest difference of a logit over 40
# tokens from the file without scaling):
#   linear by 4       read as default, 0.0
#   yarn by 4         read as default, 0.0
#   rope_freqs of 8   read as default, 0.0
#   linear by 4, from a config.json: 12.2
# What lpspec does: it reads the keys and the factors, and refuses a kind of scaling that it does not compute.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.13.0 transformers==5.23.0 gguf==0.19.0 accelerate==1.15.0
cd "$folder"
"$folder/venv/bin/python" - <<'PY'
import logging
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFWriter, RopeScalingType
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging as progress

progress.disable_progress_bar()
logging.disable(logging.WARNING)
WIDTH, HEADS, INNER, ROWS, LAYERS = 64, 4, 128, 96, 2
HEAD = WIDTH // HEADS
draw = np.random.default_rng(0)

shapes = {"token_embd.weight": (ROWS, WIDTH), "output_norm.weight": (WIDTH,), "output.weight": (ROWS, WIDTH)}
for layer in range(LAYERS):
    block = f"blk.{layer}."
    shapes |= {block + f"{name}_norm.weight": (WIDTH,) for name in ("attn", "ffn")}
    shapes |= {block + f"attn_{name}.weight": (WIDTH, WIDTH) for name in ("q", "k", "v", "output")}
    shapes |= {block + f"ffn_{name}.weight": (INNER, WIDTH) for name in ("gate", "up")}
    shapes |= {block + "ffn_down.weight": (WIDTH, INNER)}
tensors = {
    name: np.ones(shape, np.float32) if len(shape) == 1 else draw.normal(0, 0.3, shape).astype(np.float32)
    for name, shape in shapes.items()
}


def write(name, scaling=None, factors=None):
    file = GGUFWriter(name, "llama")
    file.add_context_length(512)
    file.add_embedding_length(WIDTH)
    file.add_block_count(LAYERS)
    file.add_feed_forward_length(INNER)
    file.add_head_count(HEADS)
    file.add_head_count_kv(HEADS)
    file.add_layer_norm_rms_eps(1e-5)
    file.add_rope_dimension_count(HEAD)
    file.add_rope_freq_base(10000.0)
    file.add_vocab_size(ROWS)
    file.add_tokenizer_model("llama")
    file.add_token_list([f"t{i}" for i in range(ROWS)])
    file.add_token_scores([0.0] * ROWS)
    file.add_token_types([1] * ROWS)
    if scaling is not None:
        file.add_rope_scaling_type(scaling)
        file.add_rope_scaling_factor(4.0)
        file.add_rope_scaling_orig_ctx_len(128)
    if factors is not None:
        file.add_tensor("rope_freqs.weight", factors)
    for key, value in tensors.items():
        file.add_tensor(key, value)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


def logits(model):
    with torch.no_grad():
        return model.eval()(torch.arange(40)[None]).logits


write("plain.gguf")
write("linear by 4.gguf", RopeScalingType.LINEAR)
write("yarn by 4.gguf", RopeScalingType.YARN)
write("rope_freqs of 8.gguf", factors=np.full(HEAD // 2, 8.0, np.float32))
plain = AutoModelForCausalLM.from_pretrained(".", gguf_file="plain.gguf")
for path in sorted(Path().glob("* *.gguf")):
    model = AutoModelForCausalLM.from_pretrained(".", gguf_file=path.name)
    kind = model.config.rope_parameters["rope_type"]
    apart = float((logits(model) - logits(plain)).abs().max())
    print(f"{path.stem:17} read as {kind}, {apart}")
    assert kind == "default" and apart == 0.0, "changed: scaling is read"

rotation = {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}
scaled = LlamaForCausalLM(LlamaConfig(**{**plain.config.to_dict(), "rope_parameters": rotation}))
scaled.load_state_dict(plain.state_dict())
apart = float((logits(scaled) - logits(plain)).abs().max())
print(f"linear by 4, from a config.json: {apart:.1f}")
assert apart > 1.0, "the scaling matters for these weights"
PY
