"""What phones run, through the comparison: experts, windows, latents, states, each by its configuration file."""

import json
from pathlib import Path
from typing import Any

import pytest

from lpspec import compare
from lpspec.errors import InputError
from lpspec.llm import load_model

BUS_BYTES_PER_S = 51.2e9

SMALL: dict[str, dict[str, Any]] = {
    "qwen3": {"hidden_size": 1024, "intermediate_size": 3072, "num_attention_heads": 16, "num_key_value_heads": 8},
    "gemma3_text": {"hidden_size": 1152, "intermediate_size": 6912, "num_attention_heads": 4, "num_key_value_heads": 1},
    "gemma3n_text": {},
    "gpt_oss": {"num_local_experts": 16},
    "qwen3_moe": {"num_experts": 32},
    "qwen3_next": {"num_experts": 64},
    "deepseek_v2": {
        "hidden_size": 2048,
        "moe_intermediate_size": 1408,
        "q_lora_rank": None,
        "n_group": 1,
        "num_experts_per_tok": 6,
    },
    "lfm2": {},
    "granitemoehybrid": {
        "hidden_size": 1536,
        "mamba_n_heads": 48,
        "mamba_d_head": 64,
        "layer_types": ["mamba", "attention"] * 2,
    },
    "phi3": {},
    "gpt2": {"n_layer": 4},
}
"""Changes of the families' defaults, beside four layers where that is possible."""


def written(folder: Path, family: str) -> str:
    layers = {} if family in ("gpt2", "gemma3n_text") else {"num_hidden_layers": 4}
    file = folder / "config.json"
    file.write_text(json.dumps({"model_type": family} | layers | SMALL[family]))
    return str(file)


@pytest.mark.parametrize("family", SMALL)
def test_every_system_runs_it_and_an_npu_as_fast_as_its_bytes_pass(family: str, tmp_path: Path) -> None:
    model = written(tmp_path, family)
    runs = {run.system.name: run for run in compare(model=model, new_tokens=2, fidelity="analytic").runs}
    assert len(runs) == 9
    read = load_model(model, 8).weight_read_bytes(1)
    at_most = BUS_BYTES_PER_S / read
    assert 0.8 * at_most < runs["npu"].tokens_per_s < at_most
    assert runs["npu-spec"].tokens_per_s > 0.98 * runs["npu"].tokens_per_s
    assert runs["pim"].tokens_per_s > runs["npu"].tokens_per_s
    assert runs["rtx3090"].tokens_per_s > runs["npu"].tokens_per_s


@pytest.mark.slow  # commands of every phase
@pytest.mark.parametrize("family", ["gemma3_text", "qwen3_moe", "deepseek_v2", "granitemoehybrid"])
def test_commands_time_it_too(family: str, tmp_path: Path) -> None:
    asked: dict[str, Any] = {"model": written(tmp_path, family), "new_tokens": 2, "systems": ["npu", "pim", "lp-spec"]}
    closed, commands = (compare(fidelity=fidelity, **asked).runs for fidelity in ("analytic", "command"))
    for before, after in zip(closed, commands, strict=True):
        assert after.fidelity == "command"
        assert after.tokens_per_s == pytest.approx(before.tokens_per_s, rel=0.02)


def test_four_bits_run_where_the_units_take_them() -> None:
    """LP-Spec's own units are INT8; Samsung's read twice as many weights in a column."""
    samsung = {"memory.die": "lp5x-pim", "memory.pim_ranks": "1", "pim.concurrent_ranks": "1"}
    asked: dict[str, Any] = {"model": "llama3.2-1b", "new_tokens": 2, "systems": ["pim"]}
    with pytest.raises(InputError, match=r"PIM computes w8a8: 'qkv' has 4-bit .*--weights 8") as caught:
        compare(weights=4, **asked)
    assert "\n" not in str(caught.value)
    (narrow,), (wide,) = (compare(weights=bits, changes=samsung, **asked).runs for bits in (4, 8))
    assert narrow.fidelity == wide.fidelity == "command"
    assert 1.4 < narrow.tokens_per_s / wide.tokens_per_s < 2.0
