"""Model, drafter and tree fit together, or one line says why not."""

from pathlib import Path

import pytest

from lpspec.decoding.drafters.medusa import Medusa
from lpspec.decoding.model_files import demo_folder
from lpspec.errors import InputError
from lpspec.experiments.decoder import fresh_drafter, load_decoder
from lpspec.scenario import Scenario
from lpspec.scenario.names import DTYPES
from lpspec.simulation.workload import TreePolicy, tree_policy
from lpspec.speculation.pruner import FixedTree
from lpspec.speculation.token_tree import TokenTree


def test_the_demos_heads_lie_beside_it() -> None:
    decoder = load_decoder("demo", "medusa")
    assert isinstance(decoder.drafter, Medusa)
    assert decoder.drafter.depth == 4
    other = fresh_drafter(decoder)
    assert isinstance(other, Medusa)
    assert other.pruner is not decoder.drafter.pruner


def test_a_published_tree_becomes_the_drafters_own() -> None:
    drafter = load_decoder("demo", "medusa", policy=tree_policy(Scenario(tree="mc_sim_7b_63"))).drafter
    assert isinstance(drafter, Medusa)
    assert isinstance(drafter.pruner, FixedTree)
    assert drafter.pruner.tree.size == 64


def test_a_tree_deeper_than_the_heads_is_refused() -> None:
    deep = TokenTree.from_paths([(0,) * depth for depth in range(1, 6)])
    with pytest.raises(InputError, match="5 deep, but there are 4 Medusa heads"):
        load_decoder("demo", "medusa", policy=TreePolicy(fixed=deep))


def test_heads_given_by_name_come_before_those_beside_the_model() -> None:
    assert load_decoder("demo", "eagle", str(demo_folder() / "eagle")).drafter_name == "eagle"
    with pytest.raises(InputError, match="holds no EAGLE"):
        load_decoder("demo", "eagle", str(demo_folder() / "medusa" / "medusa_lm_head.safetensors"))


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_precision_runs(dtype: str) -> None:
    decoder = load_decoder("demo", "none", dtype=dtype)
    assert decoder.dtype == dtype


def test_a_model_without_its_tokenizer_is_refused(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((demo_folder() / name).read_bytes())
    with pytest.raises(InputError, match="a model folder needs one"):
        load_decoder(str(tmp_path), "none")
