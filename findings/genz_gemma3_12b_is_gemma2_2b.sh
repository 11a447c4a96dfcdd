#!/usr/bin/env bash
# genz-llm 0.0.16: its model `google/gemma-3-12B` has the layers of Gemma 2 2B (26 of width 2,304) and Gemma 3's
# vocabulary: 2.6 billion weights priced where the published model has 48 layers of width 3,840 and 11.8 billion. Its
# `facebook/OPT-13B` is 5,140 wide (published: 5,120), and `google/gemma-3-4B` has heads of 160 numbers (published: 256, 8
# of them, not 16). A name is no description of a model.
#
# Seen, 2026-11-28, CPython 3.11 (layers, width, inner width, heads, numbers of a head):
#   google/gemma-3-12B 26 2304 9216 8 256
#   google/gemma-2-2B  26 2304 9216 8 256
#   google/gemma-3-4B  34 2560 10240 16 160
#   facebook/OPT-13B   40 5140 20560 40 128
# What lpspec does: models come from their own config.json, and counts are tested against transformers' models.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check genz-llm==0.0.16
"$folder/venv/bin/python" - <<'PY'
from GenZ.Models import get_configs

FIELDS = "num_decoder_layers", "hidden_size", "intermediate_size", "num_attention_heads", "head_dim"
SEEN = {
    "google/gemma-3-12B": (26, 2304, 9216, 8, 256),
    "google/gemma-2-2B": (26, 2304, 9216, 8, 256),
    "google/gemma-3-4B": (34, 2560, 10240, 16, 160),
    "facebook/OPT-13B": (40, 5140, 20560, 40, 128),
}
for name, seen in SEEN.items():
    found = tuple(getattr(get_configs(name), field) for field in FIELDS)
    print(f"{name:18}", *found)
    assert found == seen, "changed"
PY
