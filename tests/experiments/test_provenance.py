"""What a result was made from: every input counts, and nothing else does."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lpspec import __version__
from lpspec.experiments.compare import compare
from lpspec.scenario.scenario import DEFAULT
from lpspec.speculation.rank_trace import RankTrace, load_trace

BASE: dict[str, Any] = {"systems": ["npu", "lp-spec"], "new_tokens": 4, "prompt_tokens": 16, "fidelity": "analytic"}


def origin(**options: Any) -> dict[str, Any]:
    return compare(DEFAULT.replace(**BASE | options)).provenance


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    return origin()


@pytest.mark.parametrize(
    "options",
    [
        {"model": "vicuna-7b"},
        {"model": "tinyllama"},
        {"trace": "vicuna-13b"},
        {"systems": ["npu"]},
        {"systems": ["lp-spec", "npu"]},
        {"objective": "energy"},
        {"tree": "4"},
        {"tree": "mc_sim_7b_63"},
        {"prompt_tokens": 17},
        {"new_tokens": 5},
        {"basis": "published"},
        {"energy_profile": "specpim"},
        {"learning": "verified-nodes"},
        {"root_counts": False},
        {"changes": {"pim.mac_interval": "10 ns"}},
        {"changes": {"memory.bus_efficiency": "0.84"}},
    ],
    ids=str,
)
def test_every_input_changes_the_hash(options: dict[str, Any], plain: dict[str, Any]) -> None:
    assert origin(**options)["config_sha256"] != plain["config_sha256"]


def test_trees_are_told_apart_by_their_nodes() -> None:
    hashes = {origin(tree=tree)["config_sha256"] for tree in ("mc_sim_7b_63", "4", "5", "dtp")}
    assert len(hashes) == 4


def test_a_trace_is_told_by_its_content(tmp_path: Path, plain: dict[str, Any]) -> None:
    trace = load_trace("vicuna-7b")
    trace.save(tmp_path / "copy.npz")
    copied = origin(trace=str(tmp_path / "copy.npz"))
    assert copied | {"scenario": plain["scenario"]} == plain
    ranks = trace.ranks.copy()
    place = np.argwhere(ranks == 0)[-1]
    ranks[tuple(place)] = 1
    fields = {name: getattr(trace, name) for name in ("turn_lengths", "top_k", "labels", "name", "model", "kind")}
    other = RankTrace(ranks, **fields, description=trace.description, source=trace.source, seed=trace.seed)
    other.save(tmp_path / "other.npz")
    assert origin(trace=str(tmp_path / "other.npz"))["config_sha256"] != plain["config_sha256"]


def test_what_cannot_matter_does_not_count(plain: dict[str, Any]) -> None:
    assert origin() == plain
    assert origin(systems=["npu", "lp-spec", "npu"]) == plain
    assert origin(changes={}) == plain
    assert origin(trace="vicuna-7b")["config_sha256"] == plain["config_sha256"]


def test_it_says_where_everything_came_from(plain: dict[str, Any]) -> None:
    trace = load_trace("vicuna-7b")
    assert plain["lpspec"] == __version__
    assert plain["fidelity"] == "analytic"
    assert (plain["trace"], plain["trace_kind"], plain["seed"]) == ("vicuna-7b", "synthetic", trace.seed)
    assert plain["trace_sha256"] == trace.content_hash
    assert plain["trace_description"] == trace.description
    npu, lp_spec = plain["config"]["systems"]
    assert npu["platform"]["memory"]["data_rate"]["source"]
    assert lp_spec["platform"]["pim"]["alus"] == {"value": 4, "source": lp_spec["platform"]["pim"]["alus"]["source"]}
    assert lp_spec["model"]["hidden_size"] == 4096
    assert lp_spec["energy_profile"]["name"] == "attacc"


def test_it_is_plain_json(plain: dict[str, Any]) -> None:
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain


def test_the_hash_is_the_same_in_every_process(plain: dict[str, Any]) -> None:
    code = f"import lpspec; print(lpspec.compare(**{BASE!r}).provenance['config_sha256'])"
    for seed in ("1", "2"):
        environment = os.environ | {"PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == plain["config_sha256"]
