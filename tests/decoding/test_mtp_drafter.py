"""Layers for multi-token prediction guess what their published code does, and the text stays the model's own."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from random_models import save_random
from safetensors.torch import load_file, save_file
from torch import Tensor

from lpspec.decoding.drafter import Committed
from lpspec.decoding.drafters import load_drafter
from lpspec.decoding.drafters.mtp import Mtp, load_mtp
from lpspec.decoding.generate import Generation
from lpspec.decoding.transformer import load_transformer
from lpspec.errors import InputError

MIMO = {
    "layer": "model.mtp_layers.0.", "token": "model.mtp_layers.0.token_layernorm",
    "hidden": "model.mtp_layers.0.hidden_layernorm", "mix": "model.mtp_layers.0.input_proj",
    "final": "model.mtp_layers.0.final_layernorm",
}  # fmt: skip
QWEN = {
    "layer": "mtp.layers.0.", "token": "mtp.pre_fc_norm_embedding", "hidden": "mtp.pre_fc_norm_hidden",
    "mix": "mtp.fc", "final": "mtp.norm",
}  # fmt: skip
LAYOUTS = {"mimo": (MIMO, "qwen2"), "qwen3-next": (QWEN, "qwen3")}


def with_layer(layout: str, folder: Path, **keys: Any) -> tuple[Any, Path, dict[str, Tensor]]:
    """A random model, its folder with a random layer beside its own, and the layer's tensors by their roles."""
    names, kind = LAYOUTS[layout]
    model = save_random(kind, folder)
    random = torch.Generator().manual_seed(5)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random) * 0.3

    own = {
        "token": 1 + drawn(32), "hidden": 1 + drawn(32), "mix": drawn(32, 64), "final": 1 + drawn(32),
        **{f"layer.{name}": drawn(*tensor.shape) + ("norm" in name)
           for name, tensor in model.model.layers[0].state_dict().items()},
    }  # fmt: skip
    written = {
        f"{names['layer']}{role.removeprefix('layer.')}"
        if role.startswith("layer.")
        else f"{names[role]}.weight": tensor
        for role, tensor in own.items()
    }
    file, config = folder / "model.safetensors", folder / "config.json"
    save_file(load_file(file) | written, file)
    if layout == "mimo":
        code = {"AutoModelForCausalLM": "modeling_mimo.MiMoForCausalLM"}
        said = {"model_type": "mimo", "architectures": ["MiMoForCausalLM"], "auto_map": code, "attention_bias": True}
        keys = said | {"num_nextn_predict_layers": 1} | keys
    config.write_text(json.dumps(json.loads(config.read_text("utf-8")) | keys))
    return model, folder, own


@torch.inference_mode()
def published(layout: str, model: Any, own: dict[str, Tensor], tokens: Tensor) -> Tensor:
    """Scores after every token but the first, as the published code computes them, with the library's own layer."""
    layer = deepcopy(model.model.layers[0])
    layer.load_state_dict({name.removeprefix("layer."): own[name] for name in own if name.startswith("layer.")})
    eps = model.config.rms_norm_eps

    def norm(x: Tensor, role: str) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * own[role]

    hidden = model.model(tokens[None]).last_hidden_state[:, :-1]
    embedded = model.model.embed_tokens(tokens[None, 1:])
    sides = [norm(hidden, "hidden"), norm(embedded, "token")]
    x = torch.cat(sides if layout == "mimo" else sides[::-1], -1) @ own["mix"].T
    positions = torch.arange(x.shape[1])[None]
    mask = torch.full((x.shape[1], x.shape[1]), float("-inf")).triu(1)[None, None]
    out = layer(
        x, attention_mask=mask, position_ids=positions, position_embeddings=model.model.rotary_emb(x, positions)
    )
    scores: Tensor = model.lm_head(norm(out[0] if isinstance(out, tuple) else out, "final"))[0]
    return scores


@pytest.mark.parametrize("layout", LAYOUTS)
def test_guesses_are_those_of_the_published_code(layout: str, tmp_path: Path) -> None:
    theirs, folder, own = with_layer(layout, tmp_path / "m")
    model = load_transformer(folder, backend="torch")
    drafter = load_drafter("mtp", model)
    assert isinstance(drafter, Mtp)
    tokens = torch.arange(20) * 7 % 64
    hidden = model.forward(tokens[:-1]).hidden
    with torch.inference_mode():
        drafter.start(tokens[:-1].numpy(), Committed(tokens[1:].numpy(), hidden))
        drafter._read()
        scores = drafter.logits(drafter._last)
    torch.testing.assert_close(scores[-1], published(layout, theirs, own, tokens)[-1], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_text_is_the_models_own(layout: str, tmp_path: Path) -> None:
    theirs, folder, _ = with_layer(layout, tmp_path / "m")
    model, prompt = load_transformer(folder), np.arange(12) * 5 % 64
    with torch.inference_mode():
        said = theirs.generate(torch.from_numpy(prompt)[None], max_new_tokens=30, do_sample=False)[0, 12:].tolist()
    ahead = Generation(model, prompt, 30, load_mtp(model, None), max_tree=8)
    assert any(step.tree.max_depth > 1 for step in list(ahead))
    assert ahead.tokens == said


def test_a_layer_of_its_own_file_is_taken_too(tmp_path: Path) -> None:
    _, folder, _ = with_layer("mimo", tmp_path / "m")
    tensors = load_file(folder / "model.safetensors")
    save_file({name: tensor for name, tensor in tensors.items() if "mtp" in name}, tmp_path / "mtp.safetensors")
    save_file({name: tensor for name, tensor in tensors.items() if "mtp" not in name}, folder / "model.safetensors")
    model = load_transformer(folder)
    with pytest.raises(InputError, match="holds no layer for multi-token prediction"):
        load_drafter("mtp", model)
    assert load_drafter("mtp", model, tmp_path / "mtp.safetensors").depth == 3


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("model.mtp_layers.1.input_proj.weight", "holds 'model.mtp_layers.1.input_proj.weight', which by its config"),
        ("model.mtp_layers.0.self_attn.q_norm.weight", "holds 'model.mtp_layers.0.self_attn.q_norm.weight', which"),
    ],
)
def test_what_is_not_used_is_refused_by_name(name: str, line: str, tmp_path: Path) -> None:
    _, folder, _ = with_layer("mimo", tmp_path / "m")
    file = folder / "model.safetensors"
    save_file(load_file(file) | {name: torch.ones(32)}, file)
    with pytest.raises(InputError, match=line) as caught:
        load_drafter("mtp", load_transformer(folder))
    assert len(str(caught.value)) <= 200


def test_code_of_another_name_is_refused(tmp_path: Path) -> None:
    _, folder, _ = with_layer("mimo", tmp_path / "m", auto_map={"AutoModelForCausalLM": "modeling_mimo.MiMoV2"})
    with pytest.raises(InputError, match="'auto_map' asks for code of its own"):
        load_transformer(folder)
