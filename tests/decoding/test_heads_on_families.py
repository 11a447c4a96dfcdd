"""Drafters made for Llamas draft for other families too, and the text stays the model's own."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from head_weights import config_json, eagle3_weights, eagle_weights
from random_models import save_random
from safetensors.torch import save_file
from tiny_llama import tiny_config

from lpspec.decoding.drafters import load_drafter
from lpspec.decoding.generate import Generation
from lpspec.decoding.transformer import load_transformer

LAYERS = {"gemma3": 7, "olmo3": 5}


@pytest.mark.parametrize("drafter", ["eagle", "eagle3", "draft-model"])
@pytest.mark.parametrize("kind", ["gemma3", "olmo3"])
def test_the_text_is_the_models_own(kind: str, drafter: str, tmp_path: Path) -> None:
    theirs = save_random(kind, tmp_path / "m")
    folder = tmp_path / drafter
    if drafter == "draft-model":
        save_random("qwen3", folder)
    else:
        folder.mkdir()
        spec = tiny_config(layers=LAYERS[kind]).spec
        weights = eagle_weights(spec) if drafter == "eagle" else eagle3_weights(spec, list(range(0, 64, 2)))
        save_file(weights, folder / "model.safetensors")
        taps = {"eagle_aux_hidden_state_layer_ids": [1, 2, 4]} if drafter == "eagle3" else {}
        (folder / "config.json").write_text(json.dumps(config_json(spec, num_hidden_layers=1, **taps)))
    model, prompt = load_transformer(tmp_path / "m"), np.arange(20) * 7 % 64
    with torch.inference_mode():
        said = theirs.generate(torch.from_numpy(prompt)[None], max_new_tokens=24, do_sample=False)[0, 20:].tolist()
    ahead = Generation(model, prompt, 24, load_drafter(drafter, model, folder), max_tree=10)
    assert any(step.tree.size > 4 for step in list(ahead))
    assert ahead.tokens == said
