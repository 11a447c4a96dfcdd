#!/usr/bin/env bash
# genz-llm 0.0.16: the tokens that a pass of speculative decoding gives on average are right up to an acceptance rate of
# about 0.88 (four drafts) and then stand still: 0.9, 0.95 and 1 give the same 4, where the closed form gives 4.10 to 5.
#
# Why: `expected_tokens` counts the token that the model itself adds, so the mean reaches drafts + 1, and its last line
# cuts it off at the number of drafts. Sweeps over acceptance end in a plateau that the method does not have.
#
# Seen, 2026-11-28, CPython 3.11 (rate, genz-llm, 1 + x + x^2 + x^3 + x^4):
#   0.70 2.7731 2.7731
#   0.88 3.9356 3.9356
#   0.90 4.0000 4.0951
#   0.95 4.0000 4.5244
#   1.00 4.0000 5.0000
# What lpspec does: `--acceptance` is checked against the closed form, the model's own token included, up to rate 1.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check genz-llm==0.0.16
"$folder/venv/bin/python" - <<'PY'
from GenZ.LLM_inference.llm_spec_decode import expected_tokens

DRAFTS = 4
for rate in (0.7, 0.88, 0.9, 0.95, 1.0):
    theirs, closed = expected_tokens(DRAFTS, rate), sum(rate**depth for depth in range(DRAFTS + 1))
    print(f"{rate:.2f} {theirs:.4f} {closed:.4f}")
    assert abs(theirs - min(closed, DRAFTS)) < 1e-9, "changed"
PY
