"""What the commands print and write."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import Results, Said

import lpspec as package
from lpspec.cli.main import run
from lpspec.experiments.systems import KNOWN_SYSTEMS, SYSTEMS
from lpspec.machine.loading import platform_names, profile_names
from lpspec.report.wording import carried, digits, plus_minus
from lpspec.scenario import Scenario
from lpspec.scenario.names import BASES, FIDELITIES, OBJECTIVES
from lpspec.scenario.option import options_of
from lpspec.simulation.workload import MAX_TREE_SIZE
from lpspec.speculation.rank_trace import trace_names

SYSTEM_KEYS = {
    "system",
    "platform",
    "fidelity",
    "weight_bits",
    "weight_formats",
    "weight_bytes",
    "speculates",
    "l_spec_over_run",
    "tokens_per_s",
    "tokens_per_j",
    "edp_s_mj",
    "average_power_w",
    "time_to_first_token_ms",
    "mean_acceptance_length",
    "mean_l_spec",
    "mean_heads",
    "tokens",
    "steps",
    "migrations",
    "migration_ms",
    "mj_per_token",
    "prefill_energy_mj",
    "energy_by_component_mj",
    "energy_counts",
    "error_bound",
    "tokens_per_j_memory_and_macs",
    "edp_memory_and_macs_s_mj",
    "power_memory_and_macs_w",
    "tokens_per_j_board",
    "edp_board_s_mj",
    "power_board_w",
    "l_spec_histogram",
}
ROW_KEYS = {"id", "quantity", "published", "simulated", "ratio", "unit", "basis", "source", "equal_basis", "why"}
ROW_KEYS |= {"command", "command_ratio", "command_why", "command_low", "command_high"}
ROW_KEYS |= {"on", "objective", "low", "high"}
SET_KEYS = {"concurrent_ranks", "mac_interval_ns", "bus_efficiency", "objective", "root_counts", "changes"}
IDS = [
    "speedup_vs_npu",
    "energy_vs_npu",
    "edp_vs_npu",
    "edp_vs_attacc",
    "edp_vs_rtx3090",
    "lp_spec_tokens_per_s",
    "lp_spec_tokens_per_j",
    "lp_spec_edp_s_mj",
    "npu_tokens_per_s",
    "npu_tokens_per_j",
    "energy_vs_pim_spec",
]


def leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for child in value.values() if isinstance(value, dict) else value:
            yield from leaves(child)
    else:
        yield value


def test_version(lpspec: Callable[..., Said]) -> None:
    assert lpspec("--version").out.strip() == package.__version__


def test_help_names_every_choice() -> None:
    text = " ".join(option.help for option in options_of(Scenario))
    for name in (*KNOWN_SYSTEMS, *OBJECTIVES, *BASES, *FIDELITIES, *profile_names(), *trace_names()):
        assert name in text
    assert f"1 to {MAX_TREE_SIZE}" in text


def test_comparison_has_the_promised_keys(compared: Results) -> None:
    document = compared.document
    keys = {"systems", "left_out", "model", "trace", "tree", "objective", "basis", "workload", "notes", "provenance"}
    assert keys == set(document)
    assert [system["system"] for system in document["systems"]] == list(SYSTEMS)
    for system in document["systems"]:
        assert set(system) == SYSTEM_KEYS
        assert sum(system["energy_by_component_mj"].values()) == pytest.approx(system["mj_per_token"])
        assert system["mj_per_token"] * system["tokens_per_j"] == pytest.approx(1e3)
    assert {system["weight_bits"] for system in document["systems"]} == {8, 16}  # the published basis


def test_comparison_prints_the_numbers_that_it_writes(compared: Results) -> None:
    columns = ("tokens_per_s", "tokens_per_j", "edp_s_mj", "average_power_w", "time_to_first_token_ms")
    for cells, system in zip(compared.said.numbers, compared.document["systems"], strict=True):
        assert cells[0] == system["system"]
        assert cells[1:6] == [digits(system[key]) for key in columns]
        assert cells[6:8] == [f"{system['mean_acceptance_length']:.3f}", f"{system['mean_l_spec']:.2f}"]
        both = ("tokens_per_j_memory_and_macs", "power_memory_and_macs_w", "tokens_per_j_board", "power_board_w")
        assert cells[8:] == [*(digits(system[key]) for key in both), system["fidelity"]]


def test_an_option_without_effect_is_said(lpspec: Callable[..., Said]) -> None:
    options = ["compare", "--systems", "npu", "--tree", "16", "--new-tokens", "4", "--fidelity", "analytic"]
    note = "--tree has no effect: no system here speculates"
    assert lpspec(*options).err.endswith(f"lpspec: note: {note}\n")
    said = lpspec(*options, "--json", "-")
    assert json.loads(said.out)["notes"] == [note]
    assert "note" not in said.err


def test_comparison_says_what_stands_behind_it(compared: Results) -> None:
    assert "command level: npu, npu-spec, pim, pim-spec, lp-spec;" in compared.said.out
    assert "analytic: attacc, attacc-spec, rtx3090, rtx3090-spec" in compared.said.out
    levels = {system["system"]: system["fidelity"] for system in compared.document["systems"]}
    assert levels == {name: "analytic" if name.startswith(("attacc", "rtx")) else "command" for name in SYSTEMS}
    assert "vicuna-7b: synthetic, fitted" in compared.said.out
    assert "basis   published" in compared.said.out


def test_reproduction_has_the_promised_keys(reproduced: Results) -> None:
    document = reproduced.document
    expected = {"rows", "assumption_set", "assumption_sets", "l_spec_scan", "systems", "command_levels", "provenance"}
    expected |= {"intervals", "variants", "region", "fair_systems"}
    assert expected == set(document)
    assert all(set(row) == ROW_KEYS for row in document["rows"])
    ids = [row["id"] for row in document["rows"]]
    assert set(ids) >= {f"{name}{suffix}" for name in IDS for suffix in ("", "_equal_basis", "_board_basis")}
    assert set(document["assumption_set"]) == SET_KEYS | {"worst_id", "worst_ratio"}
    keys = SET_KEYS | {"simulated", "mean_l_spec", "worst_id", "worst_ratio"}
    assert all(set(assumption_set) == keys for assumption_set in document["assumption_sets"])
    assert document["assumption_set"].items() <= document["assumption_sets"][0].items()
    assert [system["basis"] for system in document["systems"]] == ["published"] * 5 + ["equal"] * 5
    assert {basis: set(fair) for basis, fair in document["fair_systems"].items()} == {
        "equal": set(OBJECTIVES),
        "board": set(OBJECTIVES),
    }
    variants = [(variant["learning"], variant["heads"]) for variant in document["variants"]]
    assert variants == [(rule, heads) for rule in ("full-feedback", "verified-nodes") for heads in ("all", "by-depth")]
    assert document["systems"][0]["l_spec_histogram"] == {"4": 16293}


def shown(row: dict[str, Any], key: str, prefix: str = "") -> str:
    return plus_minus(row[key], (row[f"{prefix}high"] - row[f"{prefix}low"]) / 2)


def test_reproduction_prints_the_numbers_that_it_writes(reproduced: Results) -> None:
    rows = {row["id"]: row for row in reproduced.document["rows"]}
    own = [row for row in rows.values() if row["on"] == "published"]
    lines = reproduced.said.out.splitlines()
    for row in own:
        first, second = (line.strip() for line in lines if line.strip().startswith(row["quantity"]))
        cells = (
            first.removeprefix(row["quantity"])
            .removeprefix(f", {row['unit']}")
            .replace("x", "")
            .replace(" ± ", "±")
            .split()
        )
        assert float(cells[0]) == row["published"]
        numbers = [cell for cell in cells if cell != "!"]
        ratios = f"{row['command_ratio']:.2f}", f"{row['ratio']:.2f}"
        closed = carried(row["simulated"], (row["high"] - row["low"]) / 2)
        command = shown(row, "command", "command_").replace(" ± ", "±")
        assert numbers[1:5] == [command, ratios[0], closed, ratios[1]]
        assert cells.count("!") == sum(not 0.8 <= ratio <= 1.25 for ratio in (row["command_ratio"], row["ratio"]))
        twins = [rows[f"{row['id']}_{basis}_basis"] for basis in ("equal", "board")]
        fair = (
            second.removeprefix(row["quantity"])
            .removeprefix(f", {row['unit']}")
            .replace("x", "")
            .replace(" ± ", "±")
            .split()
        )
        assert fair[1:3] == [shown(twin, "command", "command_").replace(" ± ", "±") for twin in twins]
        assert fair[3] == twins[0]["objective"]


def test_every_row_out_of_range_says_why_on_the_console(reproduced: Results) -> None:
    reasons = [line.split(": ", 1) for line in reproduced.said.out.splitlines() if ": " in line]
    for row in reproduced.document["rows"]:
        for reason, level in ((row["why"], " analytically"), (row["command_why"], " at command level")):
            if reason:
                both = row["why"] == row["command_why"]
                ids = next(ids for ids, said in reasons if said == reason)
                assert f"{row['id']}{'' if both else level}" in ids.split(", ")


def test_the_console_says_where_the_scheduler_decides(reproduced: Results) -> None:
    out = reproduced.said.out
    assert "L_spec of LP-Spec: 4 in all 16,293 steps" in out
    assert "the paper's: verified nodes alone" in out
    assert "32,000 words: L_spec" in out
    rows = [line.rstrip() for line in out.splitlines() if line.startswith(" ") and not line.startswith("  ")]
    assert max(map(len, rows)) <= 120


def test_the_chosen_assumption_set_can_be_carried_to_compare(reproduced: Results, lpspec: Callable[..., Said]) -> None:
    command = next(line for line in reproduced.said.out.splitlines() if line.strip().startswith("lpspec compare"))
    argv = shlex.split(command)[1:]
    document = json.loads(lpspec(*argv, "--json", "-").out)
    systems = {system["system"]: system for system in document["systems"]}
    for published in reproduced.document["command_levels"][0]["systems"][:2]:
        assert published["fidelity"] == "command"
        again = systems[published["system"]]
        near = again["error_bound"]  # phases combined there with those of further runs
        assert 0 < near <= 1e-3
        assert again["tokens_per_s"] == pytest.approx(published["tokens_per_s"], rel=near)
        assert again["edp_s_mj"] == pytest.approx(published["edp_s_mj"], rel=2 * near)


@pytest.mark.parametrize("name", ["compared", "reproduced"])
def test_files_are_whole_and_named(name: str, request: pytest.FixtureRequest) -> None:
    results: Results = request.getfixturevalue(name)
    written = [results.folder / "result.json", results.folder / "new/figure.pdf", results.folder / "new/figure.png"]
    assert results.said.out.splitlines()[-3:] == [f"wrote {path}" for path in written]
    assert sorted(path for path in results.folder.rglob("*") if path.is_file()) == sorted(written)
    assert written[1].read_bytes().startswith(b"%PDF-")
    assert written[1].read_bytes().rstrip().endswith(b"%%EOF")
    assert written[2].read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert b"CreationDate" not in written[1].read_bytes()


@pytest.mark.parametrize("name", ["compared", "reproduced"])
def test_json_holds_plain_values(name: str, request: pytest.FixtureRequest) -> None:
    results: Results = request.getfixturevalue(name)
    assert {type(value) for value in leaves(results.document)} <= {str, int, float, bool, type(None)}
    assert "NaN" not in (results.folder / "result.json").read_text("utf-8")


@pytest.mark.parametrize(
    "argv",
    [["compare", "--systems", "lp-spec", "--new-tokens", "5"], ["inspect"], ["inspect", "attacc"]],
    ids=["compare", "list", "inspect"],
)
def test_json_on_stdout_is_one_object_and_nothing_else(lpspec: Callable[..., Said], argv: list[str]) -> None:
    said = lpspec(*argv, "--json", "-")
    assert said.code == 0
    assert isinstance(json.loads(said.out), dict)
    assert said.out.startswith("{\n")
    assert said.out.endswith("}\n")


def test_systems_may_be_listed_or_repeated(lpspec: Callable[..., Said]) -> None:
    said = lpspec("compare", "--systems", "npu, pim", "--systems", "lp-spec", "--new-tokens", "5")
    assert [cells[0] for cells in said.numbers] == ["npu", "pim", "lp-spec"]


def test_what_does_not_fit_is_named(lpspec: Callable[..., Said]) -> None:
    said = lpspec("compare", "--new-tokens", "5", "--set", "gpu.memory=4 GiB", "--json", "-")
    left_out = json.loads(said.out)["left_out"]
    assert {item["system"] for item in left_out} == {"attacc", "attacc-spec", "rtx3090", "rtx3090-spec"}
    assert all("does not fit" in item["why"] for item in left_out)


@pytest.mark.parametrize("served", [(), ("--batch", "2", "--requests", "poisson:5/s:3")])
def test_a_named_system_that_cannot_run_is_a_row_with_the_reason(
    lpspec: Callable[..., Said], served: tuple[str, ...]
) -> None:
    asked = ("compare", "--fidelity", "analytic", "--new-tokens", "5", *served)
    said = lpspec(*asked, "--systems", "ahasd,npu")
    assert said.code == 0
    assert "ahasd" in [line.split()[0] for line in said.out.splitlines() if line.rstrip().endswith("left out")]
    assert "left out  ahasd: " in said.out
    assert "llama2-7b has no" in said.out
    document = json.loads(lpspec(*asked, "--systems", "ahasd,npu", "--json", "-").out)
    assert [one["system"] for one in document["systems"]] == ["npu"]
    assert [one["system"] for one in document["left_out"]] == ["ahasd"]
    assert lpspec(*asked, "--systems", "ahasd").code == 2


@pytest.mark.parametrize("name", [*platform_names(), *profile_names(), "llama2-7b", *trace_names(), "mc_sim_7b_63"])
def test_every_value_is_shown_with_its_source(lpspec: Callable[..., Said], name: str) -> None:
    document = json.loads(lpspec("inspect", name, "--json", "-").out)
    assert document.pop("provenance")["lpspec"] == package.__version__
    assert document
    for sheet in document.values():
        assert all(len(value["source"]) >= 3 for value in sheet["values"].values())
        assert all(value["description"] for value in sheet["values"].values())


def test_inspect_gives_the_identities_of_table_ii(lpspec: Callable[..., Said]) -> None:
    sheet = json.loads(lpspec("inspect", "lp-spec", "--json", "-").out)["platform"]
    identities = {key: (value["value"], value["unit"]) for key, value in sheet["identities"].items()}
    assert identities["npu_matrix"] == (pytest.approx(32.77, abs=0.01), "TOPS")
    assert identities["off_chip_peak"] == (pytest.approx(51.2), "GB/s")
    assert identities["in_array"] == (pytest.approx(614.4), "GB/s")
    assert identities["pim_die"] == (pytest.approx(409.6), "GOPS")
    assert identities["pim_tile"] == (3072, "outputs")
    assert identities["capacity"] == (16, "GiB")


def test_inspect_lists_every_name(lpspec: Callable[..., Said]) -> None:
    out = lpspec("inspect").out
    for name in (*platform_names(), *KNOWN_SYSTEMS, *profile_names(), *trace_names(), "mc_sim_7b_63", "tinyllama"):
        assert name in out


def test_inspect_reads_files_and_changes(lpspec: Callable[..., Said], tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('extends = "lp-spec"\nname = "mine"\n')
    said = lpspec("inspect", str(tmp_path / "mine.toml"), "--set", "pim.concurrent_ranks=1", "--json", "-")
    sheet = json.loads(said.out)["platform"]
    assert sheet["name"] == "mine"
    assert sheet["values"]["pim.concurrent_ranks"]["source"] == "set by the user to 1"
    (tmp_path / "prices.toml").write_text(
        'extends = "attacc"\nname = "prices"\nio = { value = "2 pJ/b", source = "me" }\n'.replace('"me"', '"my chip"')
    )
    prices = json.loads(lpspec("inspect", str(tmp_path / "prices.toml"), "--json", "-").out)["energy_profile"]
    assert prices["identities"]["off_chip"]["value"] == pytest.approx(2.55)


def test_an_interrupt_is_one_line(lpspec: Callable[..., Said], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lpspec.experiments.compare.compare", interrupt)
    said = lpspec("compare")
    assert (said.code, said.out, said.err) == (130, "", "lpspec: interrupted\n")


@pytest.mark.skipif(not hasattr(signal, "SIGPIPE"), reason="needs pipes that break")
@pytest.mark.parametrize("argv", [["inspect", "lp-spec"], ["inspect", "lp-spec", "--json", "-"]])
def test_a_reader_that_leaves_hears_nothing(argv: list[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "lpspec", *argv], stdout=writer, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writer)
    assert done.stderr == ""


def test_run_returns_its_exit_code() -> None:
    assert run(["inspect", "nothing-of-this-name"]) == 2


def test_assumption_sets_of_the_root_and_of_learning_reach_the_systems(lpspec: Callable[..., Said]) -> None:
    def run(*options: str) -> dict[str, float]:
        document = json.loads(lpspec("compare", "--systems", "lp-spec", "--tree", "5", *options, "--json", "-").out)
        system: dict[str, float] = document["systems"][0]
        return system

    counted, free = run(), run("--no-root-counts")
    assert free["mean_l_spec"] == counted["mean_l_spec"] == 5
    assert free["tokens_per_s"] > 1.5 * counted["tokens_per_s"]  # one pass of four tokens instead of two passes
    assert run("--learning", "verified-nodes")["tokens_per_j"] != counted["tokens_per_j"]
