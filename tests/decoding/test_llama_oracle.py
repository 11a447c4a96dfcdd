"""The forward pass and the greedy text of every supported kind of model, against transformers."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from random_models import KINDS, save_random, transformers
from tiny_llama import OracleDrafter

from lpspec.decoding.generate import Generation
from lpspec.decoding.transformer import load_transformer
from lpspec.scenario.names import BACKENDS


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", KINDS)
def test_logits_and_greedy_text_are_those_of_transformers(kind: str, backend: str, tmp_path: Path) -> None:
    theirs = save_random(kind, tmp_path)
    ours = load_transformer(tmp_path, backend=backend)
    tokens = torch.arange(90) * 7 % 64
    with torch.inference_mode():
        torch.testing.assert_close(
            ours.logits(ours.forward(tokens).hidden), theirs(tokens[None]).logits[0], atol=1e-4, rtol=1e-4
        )
        said = theirs.generate(tokens[None, :20], max_new_tokens=40, do_sample=False)[0, 20:].tolist()
    plain = Generation(ours, tokens[:20].numpy(), 40)
    list(plain)
    assert plain.tokens == said
    ahead = Generation(ours, tokens[:20].numpy(), 40, OracleDrafter(said, 64))
    list(ahead)
    assert ahead.tokens == said
    assert len(ahead.steps) < len(plain.steps)


def test_shards_and_older_configurations_read_the_same(tmp_path: Path) -> None:
    theirs = save_random("llama-rope-llama3", tmp_path, max_shard_size="20KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    file = tmp_path / "config.json"
    config = json.loads(file.read_text("utf-8"))
    scaling = config.pop("rope_parameters")
    config["rope_theta"] = scaling.pop("rope_theta")
    file.write_text(json.dumps({**config, "rope_scaling": scaling}))
    tokens = torch.arange(30)
    with torch.inference_mode():
        logits = load_transformer(tmp_path).logits(load_transformer(tmp_path).forward(tokens).hidden)
        torch.testing.assert_close(logits, theirs(tokens[None]).logits[0], atol=1e-4, rtol=1e-4)


BOTH: dict[str, Any] = {
    "rope_theta": 5e5,
    "rope_scaling": {"rope_type": "linear", "factor": 4.0},
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
}


@pytest.mark.parametrize("left_out", [None, *BOTH])
def test_of_two_rotations_the_one_that_transformers_takes_is_computed(left_out: str | None, tmp_path: Path) -> None:
    save_random("llama", tmp_path)
    file = tmp_path / "config.json"
    config = json.loads(file.read_text("utf-8"))
    del config["rope_parameters"]
    file.write_text(json.dumps(config | {key: value for key, value in BOTH.items() if key != left_out}))
    theirs, ours, tokens = (
        transformers.LlamaForCausalLM.from_pretrained(tmp_path),
        load_transformer(tmp_path),
        torch.arange(60),
    )
    with torch.inference_mode():
        torch.testing.assert_close(
            ours.logits(ours.forward(tokens).hidden), theirs(tokens[None]).logits[0], atol=1e-4, rtol=1e-4
        )


@pytest.mark.parametrize("backend", BACKENDS)
def test_bfloat16_stays_as_near_as_transformers_does(backend: str, tmp_path: Path) -> None:
    theirs = save_random("llama-gqa-biased", tmp_path)
    tokens = torch.arange(50)
    with torch.inference_mode():
        exact = theirs(tokens[None]).logits[0]
        model = load_transformer(tmp_path, torch.bfloat16, backend=backend)
        ours = model.logits(model.forward(tokens).hidden).float() - exact
        rounded = theirs.to(torch.bfloat16)(tokens[None]).logits[0].float() - exact
    assert float(ours.norm()) < 1.5 * float(rounded.norm())
