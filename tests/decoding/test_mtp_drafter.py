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
from lpspec.decoding.drafters.mtp_levels import MtpLevels
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


# Several layers, each for its level


def with_layers(layout: str, folder: Path, count: int) -> tuple[Any, Path, list[dict[str, Tensor]]]:
    """The same with several layers; Qwen's share all but the decoder layer itself."""
    model, folder, first = with_layer(layout, folder)
    names, _ = LAYOUTS[layout]
    random = torch.Generator().manual_seed(11)
    owns, written = [first], {}
    for number in range(1, count):
        own = {}
        for role, tensor in first.items():
            is_own = layout == "mimo" or role.startswith("layer.")
            own[role] = tensor + 0.2 * torch.randn(tensor.shape, generator=random) if is_own else tensor
        owns.append(own)
        for role, tensor in own.items():
            name = f"{names['layer']}{role[6:]}" if role.startswith("layer.") else f"{names[role]}.weight"
            if ".0." in name:
                written[name.replace(".0.", f".{number}.")] = tensor
    file = folder / "model.safetensors"
    save_file(load_file(file) | written, file)
    return model, folder, owns


@torch.inference_mode()
def chained(layout: str, model: Any, owns: list[dict[str, Tensor]], tokens: Tensor, known: int) -> list[Tensor]:
    """Scores of each module k for every token but its first k, the first of them beside the model's hidden states.

    As DeepSeek-V3's equations have it, module by module over the whole sequence with nothing cached: module k at place
    i takes what module k - 1 made at place i, and the embedding of token i + k. Of the model's own states, those of
    ``known`` tokens are there.
    """
    hidden = model.model(tokens[None, :known]).last_hidden_state
    eps, scores = model.config.rms_norm_eps, []
    for k, own in enumerate(owns, 1):
        layer = deepcopy(model.model.layers[0])
        layer.load_state_dict({name.removeprefix("layer."): own[name] for name in own if name.startswith("layer.")})

        def norm(x: Tensor, weight: Tensor) -> Tensor:
            return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * weight

        hidden = hidden[:, : len(tokens) - k]
        embedded = model.model.embed_tokens(tokens[None, k : k + hidden.shape[1]])
        sides = [norm(hidden, own["hidden"]), norm(embedded, own["token"])]
        x = torch.cat(sides if layout == "mimo" else sides[::-1], -1) @ own["mix"].T
        positions = torch.arange(x.shape[1])[None]
        mask = torch.full((x.shape[1], x.shape[1]), float("-inf")).triu(1)[None, None]
        out = layer(
            x, attention_mask=mask, position_ids=positions, position_embeddings=model.model.rotary_emb(x, positions)
        )
        hidden = norm(out[0] if isinstance(out, tuple) else out, own["final"])
        scores.append(model.lm_head(hidden)[0])
    return scores


@pytest.mark.parametrize("layout", LAYOUTS)
def test_each_layer_drafts_the_level_that_it_was_trained_for(layout: str, tmp_path: Path) -> None:
    """Every node of trees four levels deep, behind texts that grow by some tokens, module by module along its path."""
    theirs, folder, owns = with_layers(layout, tmp_path / "m", 4)
    model = load_transformer(folder, backend="torch")
    assert load_drafter("mtp", model).depth == 4
    drafter = load_mtp(model, None, width=2)
    assert isinstance(drafter, MtpLevels)
    text = torch.arange(30) * 7 % 64
    price = np.ones(40)
    read = 6
    with torch.inference_mode():
        drafter.start(text[:read].numpy(), Committed(text[1 : read + 1].numpy(), model.forward(text[:read]).hidden))
    for more in (1, 3, 2, 0):
        draft = drafter.draft(price)
        assert np.bincount(draft.tree.depth).tolist() == [1, 2, 4, 4, 4]
        for node in range(1, draft.tree.size):
            path = [node]
            while (above := int(draft.tree.parent[path[0]])) > 0:
                path.insert(0, above)
            whole = torch.cat([text[: read + 1], torch.from_numpy(draft.tokens[np.array(path[:-1], int) - 1])])
            chance = 1.0
            for depth, one in enumerate(path, 1):
                scores = chained(layout, theirs, owns[:depth], whole[: read + depth], read)[-1][-1]
                chance *= float(scores.softmax(-1)[draft.tokens[one - 1]])
            assert draft.probability[node - 1] == pytest.approx(chance, rel=1e-3)
        state = model.forward(text[: read + more]).hidden if more else None
        if state is not None:
            drafter.observe(draft, Committed(text[read + 1 : read + more + 1].numpy(), state[read:]))
        read += more


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("prompt", [1, 2, 12])
def test_the_text_is_the_models_own_with_several_layers(layout: str, prompt: int, tmp_path: Path) -> None:
    """Prompts shorter than there are layers, too, behind which the first trees have fewer levels."""
    theirs, folder, _ = with_layers(layout, tmp_path / "m", 3)
    model, start = load_transformer(folder), np.arange(prompt) * 5 % 64 + 1
    with torch.inference_mode():
        said = theirs.generate(torch.from_numpy(start)[None], max_new_tokens=30, do_sample=False)[0, prompt:].tolist()
    ahead = Generation(model, start, 30, load_mtp(model, None), max_tree=12)
    depths = [step.tree.max_depth for step in ahead]
    assert max(depths) == 3
    assert depths[0] <= prompt + 1
    assert ahead.tokens == said


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
