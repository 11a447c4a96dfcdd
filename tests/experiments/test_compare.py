"""The comparison: who takes part, what changes reach, and one line for whatever cannot be used."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lpspec.errors import InputError
from lpspec.experiments.compare import Comparison, compare
from lpspec.experiments.systems import SYSTEMS
from lpspec.machine.loading import load_profile
from lpspec.report.compare_table import fitted_lines, own_memory_lines
from lpspec.scenario import Scenario
from lpspec.scenario.scenario import DEFAULT
from lpspec.simulation.run import Run
from lpspec.speculation.rank_trace import load_trace

QUICK: dict[str, Any] = {"new_tokens": 8, "fidelity": "analytic"}


def runs(**options: Any) -> dict[str, Run]:
    return {run.system.name: run for run in compare(DEFAULT.replace(**QUICK | options)).runs}


def refusal(**options: Any) -> str:
    with pytest.raises(InputError) as refused:
        compare(DEFAULT.replace(**QUICK | options))
    line = str(refused.value)
    assert "\n" not in line
    return line


@pytest.fixture(scope="module")
def everyone() -> Comparison:
    return compare(DEFAULT.replace(**QUICK))


def test_all_systems_take_part_in_order(everyone: Comparison) -> None:
    assert [run.system.name for run in everyone.runs] == list(SYSTEMS)
    assert everyone.left_out == ()
    for run in everyone.runs:
        assert run.tokens == np.minimum(everyone.trace.turn_lengths, 8).sum()


def test_plain_systems_verify_and_commit_one_token(everyone: Comparison) -> None:
    for run in everyone.runs:
        plain = not SYSTEMS[run.system.name].speculates
        assert run.system.speculates is not plain
        if plain:
            assert (run.mean_l_spec, run.mean_acceptance_length) == (1.0, 1.0)


def test_where_every_token_costs_a_pass_nothing_is_speculated(everyone: Comparison) -> None:
    """GEMV-PIM reads the weights once per token, so a draft costs a whole pass and is right half of the time."""
    gemv, lp_spec = everyone.runs[3], everyone.runs[4]
    assert (gemv.system.name, gemv.mean_l_spec) == ("pim-spec", 1.0)
    assert lp_spec.system.name == "lp-spec"
    steps = lp_spec.steps
    assert set(steps.l_spec[steps.position < 4]) == {4}  # one pass serves four
    assert set(steps.l_spec[steps.position == 7]) == {1}  # the last of eight tokens needs no draft


@pytest.mark.parametrize(
    ("trace", "length"), [("vicuna-7b", 43754 / 17058), ("vicuna-13b", 2.639), ("vicuna-33b", 2.514)]
)
def test_medusas_tree_accepts_what_was_measured(trace: str, length: float) -> None:
    (run,) = compare(Scenario(trace=trace, systems=("lp-spec",), tree="mc_sim_7b_63", fidelity="analytic")).runs
    assert run.mean_acceptance_length == pytest.approx(length, rel=0.01)
    assert run.mean_l_spec == 64.0


def test_order_and_repetition_of_names_are_the_users() -> None:
    assert list(runs(systems=["lp-spec", "npu", "lp-spec"])) == ["lp-spec", "npu"]


# Bases


def test_bases_differ_in_precision_and_in_whose_energy_is_the_boards() -> None:
    equal, published, boards = runs(), runs(basis="published"), runs(basis="board")
    for name in SYSTEMS:
        gpu = name.startswith(("attacc", "rtx3090"))
        assert equal[name].system.model.weight_bits == 8
        assert published[name].system.model.weight_bits == (16 if gpu else 8)
        assert equal[name].system.platform.energy_basis == "model"
        assert boards[name].system.platform.energy_basis == "board-power"
        assert boards[name].system.model == equal[name].system.model
        board = name.startswith("rtx3090")
        assert published[name].system.platform.energy_basis == ("board-power" if board else "model")
        assert equal[name].system.profile == published[name].system.profile == boards[name].system.profile
        if not gpu:
            assert published[name].edp_s_mj == equal[name].edp_s_mj
    assert published["rtx3090"].average_power_w == pytest.approx(350, rel=1e-12)
    assert published["rtx3090"].tokens_per_s == pytest.approx(equal["rtx3090"].tokens_per_s / 2, rel=0.02)


def test_both_energies_are_known_of_every_machine() -> None:
    """Memory and MACs are a part of what a board draws, and plain systems take the same steps on both bases."""
    equal, boards = runs(), runs(basis="board")
    watts = {"attacc": 400.0, "rtx3090": 350.0}
    for name, run in equal.items():
        assert run.board is not None
        assert run.memory_and_macs.power_w < run.board.power_w
        gpu = watts.get(name.removesuffix("-spec"))
        assert run.board.power_w == pytest.approx(gpu or run.memory_and_macs.power_w + 3.3, rel=1e-12)
        assert run.tokens_per_j == run.memory_and_macs.tokens_per_j
        whole = boards[name].board
        assert whole is not None
        assert boards[name].tokens_per_j == pytest.approx(whole.tokens_per_j, rel=1e-12)
        if not SYSTEMS[name].speculates:
            assert boards[name].edp_s_mj == pytest.approx(run.board.edp_s_mj, rel=1e-12)
    phone = equal["npu"].board
    assert phone is not None
    assert phone.power_w == pytest.approx(4.8, rel=0.06)  # 4.72 to 4.91 W measured while a OnePlus 12 decodes


def test_a_machine_of_unknown_board_power_says_so(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    npu = Path(__file__).parents[2] / "src/lpspec/machine/platforms/mobile-npu.toml"
    text = "\n".join(line for line in npu.read_text("utf-8").splitlines() if not line.startswith("rest_of_soc"))
    file.write_text(text.replace('"mobile-npu"', '"mine"'), encoding="utf-8")
    assert runs(systems=[str(file)])["mine"].board is None
    assert refusal(systems=[str(file)], basis="board") == (
        "platform 'mine' has no rest_of_soc_power: basis 'board' needs it"
    )


@pytest.mark.parametrize("basis", ["equal", "board"])
def test_a_change_of_what_energy_counts_is_not_overruled_in_silence(basis: str) -> None:
    line = refusal(basis=basis, systems=["rtx3090"], changes={"energy_basis": "model"})
    assert line.startswith(f"energy_basis follows from the basis '{basis}'")
    found = runs(basis="published", systems=["rtx3090"], changes={"energy_basis": "model"})["rtx3090"]
    assert found.average_power_w < 100


def test_a_profile_of_one_memory_does_not_price_another() -> None:
    """GDDR6X costs 7.25 pJ per bit and HBM2 3.59, whatever the profile says of LPDDR; a phone's memory is the
    profile's."""
    for profile in ("attacc", "specpim", "micron-y52p"):
        found = runs(energy_profile=profile, systems=["npu", "attacc", "rtx3090"])
        off_chip = {name: run.system.profile.off_chip_pj_per_bit for name, run in found.items()}
        assert off_chip["rtx3090"] == pytest.approx(7.25, rel=1e-12)
        assert off_chip["attacc"] == pytest.approx(3.59, rel=1e-12)
        assert off_chip["npu"] == load_profile(profile).off_chip_pj_per_bit
        parts = found["rtx3090"].energy_by_component_mj
        read_bits = parts["io"] * 1e9 / 6.7
        assert parts["array"] == pytest.approx(read_bits * 0.55 / 1e9, rel=1e-9)
        assert read_bits / 8e9 == pytest.approx(6.7, rel=0.03)  # GB per token: 6.6 of weights and the cache


# Who is left out


def test_a_system_that_cannot_hold_the_model_is_left_out_with_the_reason() -> None:
    """13 billion FP16 parameters and draft heads exceed 24 GiB; LP-Spec's INT8 does not exceed 16."""
    result = compare(DEFAULT.replace(model="llama2-13b", basis="published", **QUICK))
    assert [name for name, _ in result.left_out] == ["rtx3090", "rtx3090-spec"]
    for _, why in result.left_out:
        assert why.startswith("llama2-13b does not fit rtx3090: ")
        assert "it holds 24.00 GiB" in why
    assert {run.system.name for run in result.runs} == set(SYSTEMS) - {"rtx3090", "rtx3090-spec"}
    assert {config["name"] for config in result.provenance["config"]["systems"]} == {r.system.name for r in result.runs}


def test_a_system_that_was_asked_for_is_left_out_with_the_reason_too() -> None:
    result = compare(DEFAULT.replace(systems=["ahasd", "lp-spec", "npu"], **QUICK))
    assert [run.system.name for run in result.runs] == ["lp-spec", "npu"]
    ((name, why),) = result.left_out
    assert name == "ahasd"
    assert why.startswith("ahasd drafts on PIM with a network, and llama2-7b has none")


def test_of_several_that_cannot_run_the_first_says_why() -> None:
    assert refusal(systems=["ahasd"]).startswith("ahasd drafts on PIM with a network")
    line = refusal(model="vicuna-33b", systems=["npu", "lp-spec"])
    assert line.startswith("vicuna-33b does not fit mobile-npu: ")


@pytest.mark.parametrize("tree", ["8x5", "mc_sim_7b_63"])
def test_a_tree_that_no_heads_fill_is_refused_beside_systems_that_need_none(tree: str) -> None:
    line = refusal(systems=["npu", "lp-spec"], tree=tree, acceptance="1.5@2")
    assert line.startswith("a tree ")


def test_lp_spec_itself_must_hold_the_model() -> None:
    assert refusal(model="vicuna-33b").startswith("vicuna-33b does not fit lp-spec: ")


# What changes reach


def test_changes_reach_the_platforms_that_have_the_constant() -> None:
    plain, slow = runs(), runs(changes={"pim.mac_interval": "10 ns", "gpu.bus_efficiency": "0.5"})
    changed = {name for name in SYSTEMS if slow[name].tokens_per_s != plain[name].tokens_per_s}
    assert changed == set(SYSTEMS) - {"npu", "npu-spec"}
    for name in ("pim", "lp-spec"):
        pim = slow[name].system.platform.pim
        assert pim is not None
        assert pim.mac_interval.ns == 10
        assert slow[name].tokens_per_s < plain[name].tokens_per_s


def test_one_assumption_set_of_the_root_is_for_all_who_speculate() -> None:
    counted, uncounted = runs(tree="5"), runs(tree="5", root_counts=False)
    for name, system in SYSTEMS.items():
        assert (uncounted[name].tokens_per_s > counted[name].tokens_per_s) == system.speculates
        assert (uncounted[name].tokens_per_j > counted[name].tokens_per_j) == system.speculates


def test_profiles_price_the_same_steps_otherwise() -> None:
    attacc, specpim = runs(objective="throughput"), runs(objective="throughput", energy_profile="specpim")
    for name in SYSTEMS:
        assert attacc[name].tokens_per_s == specpim[name].tokens_per_s
        assert attacc[name].mj_per_token != specpim[name].mj_per_token


# Files of one's own


def test_a_platform_file_is_a_system_that_speculates(tmp_path: Path) -> None:
    file = tmp_path / "wide.toml"
    file.write_text(
        'extends = "lp-spec"\nname = "wide"\nsummary = "eight ALUs"\n[pim]\nalus = { value = 8, source = "a test" }\n',
        encoding="utf-8",
    )
    found = runs(systems=["lp-spec", str(file)], tree="8")
    assert list(found) == ["lp-spec", "wide"]
    assert found["wide"].system.speculates
    assert found["wide"].tokens_per_s > found["lp-spec"].tokens_per_s
    same = runs(systems=[str(file)], tree="8", changes={"pim.alus": "4"})
    assert same["wide"].tokens_per_s == found["lp-spec"].tokens_per_s


def test_two_systems_of_one_name_are_refused(tmp_path: Path) -> None:
    """A file that extends lp-spec inherits its name; nobody could tell the rows apart."""
    file = tmp_path / "mine.toml"
    file.write_text('extends = "lp-spec"\n', encoding="utf-8")
    assert list(runs(systems=[str(file)])) == ["lp-spec"]
    for systems in (["lp-spec", str(file)], [str(file), "lp-spec"]):
        line = refusal(systems=systems)
        assert line == f"two systems are called 'lp-spec': give the platform in {file} a name of its own"


def test_a_hugging_face_config_is_the_model_that_it_describes(tmp_path: Path) -> None:
    folder = tmp_path / "my-llama"
    folder.mkdir()
    config = {
        "model_type": "llama",
        "num_hidden_layers": 32,
        "hidden_size": 4096,
        "intermediate_size": 11008,
        "num_attention_heads": 32,
        "vocab_size": 32000,
        "max_position_embeddings": 4096,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    result = compare(DEFAULT.replace(model=str(folder / "config.json"), systems=["lp-spec", "npu"], **QUICK))
    preset = runs(systems=["lp-spec", "npu"])
    assert (result.model.name, result.trace.name) == ("my-llama", "vicuna-7b")
    for run in result.runs:
        assert run.edp_s_mj == preset[run.system.name].edp_s_mj


def test_a_trace_of_ones_own_is_replayed(tmp_path: Path) -> None:
    file = tmp_path / "two-heads.npz"
    load_trace("vicuna-7b").with_heads(2).save(file)
    (run,) = compare(DEFAULT.replace(trace=str(file), systems=["lp-spec"], tree="6", **QUICK)).runs
    assert run.steps.committed.max() == 3


def test_models_come_with_their_trace() -> None:
    assert compare(DEFAULT.replace(model="vicuna-13b", systems=["npu"], **QUICK)).trace.name == "vicuna-13b"
    assert compare(DEFAULT.replace(model="tinyllama", systems=["npu"], **QUICK)).trace.name == "vicuna-7b"


# One line for what cannot be used


@pytest.mark.parametrize(
    ("options", "start"),
    [
        ({"model": "llama2-7"}, "unknown model 'llama2-7': did you mean 'llama2-7b'? "),
        ({"trace": "vicuna7b"}, "unknown trace 'vicuna7b': did you mean 'vicuna-7b'? "),
        ({"systems": ["lpspec"]}, "unknown system 'lpspec': did you mean 'lp-spec'? "),
        ({"systems": []}, "systems: is empty: name one at least"),
        ({"objective": "engery"}, "objective: unknown value 'engery': did you mean 'energy'? "),
        ({"tree": "dpt"}, "unknown tree 'dpt': did you mean 'dtp'? "),
        ({"tree": "65"}, "tree size 65 is not possible: "),
        ({"basis": "publish"}, "basis: unknown value 'publish': did you mean 'published'? "),
        ({"energy_profile": "spec-pim"}, "unknown energy profile 'spec-pim': did you mean 'specpim'? "),
        ({"learning": "verified"}, "learning: unknown value 'verified': did you mean 'verified-nodes'? "),
        ({"changes": {"pim.mac_intervall": "5 ns"}}, "unknown constant 'pim.mac_intervall': did you mean 'pim.mac_in"),
        ({"changes": {"pim.mac_interval": "5"}}, "platform 'lpddr5-pim': pim.mac_interval"),
        ({"systems": ["npu"], "changes": {"pim.alus": "4"}}, "unknown constant 'pim.alus': "),
        ({"prompt_tokens": 0}, "workload.prompt_tokens: must be at least 1, not 0"),
        ({"new_tokens": 0}, "workload.new_tokens: must be at least 1, not 0"),
        ({"prompt_tokens": 4090}, "llama2-7b reads at most 4096 tokens: "),
        ({"trace": "nowhere/trace.npz"}, "trace file 'nowhere/trace.npz' cannot be read: "),
        ({"model": "nowhere/config.json"}, "cannot read model config 'nowhere/config.json': "),
        ({"systems": ["nowhere/mine.toml"]}, "cannot read platform file nowhere/mine.toml: "),
    ],
)
def test_whatever_is_unknown_or_impossible_is_one_line(options: dict[str, Any], start: str) -> None:
    assert refusal(**options).startswith(start)


def test_a_memory_that_the_profile_does_not_price_is_named() -> None:
    """The lines below the table said "energy profile attacc" of GDDR6X and of an assumed LPDDR6 too."""
    systems = ["lp-spec", "rtx3090", "rtx3090-spec", "lp-spec-lpddr6"]
    asked = DEFAULT.replace(systems=systems, model="tinyllama", new_tokens=2, fidelity="analytic")
    (line,) = own_memory_lines(compare(asked).runs)
    assert line.endswith(": rtx3090, rtx3090-spec (GDDR6X); lp-spec-lpddr6 (LPDDR6, assumed)")
    assert list(own_memory_lines(compare(asked.replace(systems=["lp-spec", "npu"])).runs)) == []


def test_constants_that_were_fitted_are_named_beside_the_numbers() -> None:
    """LEAP's speed is fitted to its own published speed: a comparison did not say so."""
    asked = DEFAULT.replace(systems=["lp-spec", "leap", "loop-lynx"], new_tokens=2, fidelity="analytic")
    (line,) = fitted_lines(compare(asked).runs)
    assert "leap: pim_noc.tile_time, pim_noc.board_power; loop-lynx: dataflow.exposed_per_width (" in line
    assert list(fitted_lines(compare(asked.replace(systems=["lp-spec", "npu"])).runs)) == []
    told = compare(asked.replace(systems=["leap"], changes={"pim_noc.tile_time": "200 ns"}))
    assert "tile_time" not in next(fitted_lines(told.runs))
