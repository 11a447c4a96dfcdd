"""A note is true: without the option the numbers are the same; and no option that matters gets one."""

import json
from functools import cache
from typing import Any

import pytest

from lpspec.experiments.compare import Comparison, compare
from lpspec.experiments.notes import DEFAULT_NODES, drafting_notes, recording_notes
from lpspec.experiments.serving import serve_requests
from lpspec.report.documents import run_document
from lpspec.scenario.scenario import DEFAULT
from lpspec.speculation.rank_trace import load_trace

SMALL: dict[str, Any] = {"model": "tinyllama", "new_tokens": 12, "prompt_tokens": 64, "fidelity": "analytic"}


@cache
def _compared(options: str) -> Comparison:
    return compare(DEFAULT.replace(**SMALL | json.loads(options)))


def compared(**options: Any) -> Comparison:
    return _compared(json.dumps(options))


def numbers(comparison: Comparison) -> list[dict[str, Any]]:
    return [run_document(run) for run in comparison.runs]


NPU, GPU, SPEC = ["npu"], ["rtx3090"], ["npu-spec"]


@pytest.mark.parametrize(
    ("systems", "option", "name"),
    [
        (NPU, {"tree": "16"}, "--tree"),
        (["npu", "pim", "attacc"], {"tree": "mc_sim_7b_63"}, "--tree"),
        (NPU, {"objective": "energy"}, "--objective"),
        (NPU, {"learning": "verified-nodes"}, "--learning"),
        (NPU, {"heads": "all"}, "--heads"),
        (NPU, {"root_counts": False}, "--no-root-counts"),
        (["npu", "pim"], {"changes": {"draft_cache": "scratchpad"}}, "--set draft_cache"),
        (NPU, {"basis": "published"}, "--basis published"),
        (SPEC, {"new_tokens": 5000}, "--new-tokens 5000"),
        (GPU, {"changes": {"gpu.matrix_fp16": "1 TFLOPS"}}, "--set gpu.matrix_fp16"),
        (["lp-spec", "npu"], {"tree": "1", "objective": "energy"}, "--objective"),
        (["lp-spec"], {"tree": "1", "learning": "verified-nodes"}, "--learning"),
        (["lp-spec"], {"tree": "1", "heads": "all"}, "--heads"),
        (["lp-spec"], {"tree": "1", "root_counts": False}, "--no-root-counts"),
        (GPU, {"basis": "published", "changes": {"gpu.matrix_int8": "1 TOPS"}}, "--set gpu.matrix_int8"),
    ],
)
def test_an_option_with_a_note_changes_nothing(systems: list[str], option: dict[str, Any], name: str) -> None:
    option = option if "new_tokens" not in option else option | {"model": "llama2-7b"}
    without = {key: value for key, value in option.items() if key == "model"} | (
        {"basis": option["basis"]} if "changes" in option and "basis" in option else {}
    )
    if "tree" in option and name != "--tree":
        without["tree"] = option["tree"]
    if "new_tokens" in option:
        without["new_tokens"] = None
    with_it = compared(systems=systems, **option)
    assert [note for note in with_it.notes if note.startswith(f"{name} has no effect: ")]
    assert len(with_it.notes) == 1
    assert len(with_it.notes[0]) <= 180
    assert numbers(with_it) == numbers(compared(systems=systems, **without))


def test_a_root_alone_has_no_drafts_that_could_wait() -> None:
    """In blocks it does: what is accepted waits there, too."""
    plain, waits, blocks = (
        compared(systems=["lp-spec"], tree="1", **({"changes": {"draft_cache": where}} if where else {}))
        for where in ("", "scratchpad", "scratchpad-blocks")
    )
    assert waits.notes == ("--set draft_cache has no effect: --tree 1 is the root alone",)
    assert waits.runs[0].edp_s_mj == pytest.approx(plain.runs[0].edp_s_mj, rel=1e-12)
    assert blocks.notes == ()
    assert blocks.runs[0].edp_s_mj < 0.999 * plain.runs[0].edp_s_mj


@pytest.mark.parametrize(
    ("tree", "option", "value"),
    [
        ("8x1", "objective", "throughput"),
        ("2", "objective", "throughput"),
        ("mc_sim_7b_63", "objective", "throughput"),
        ("mc_sim_7b_63", "learning", "verified-nodes"),
        ("mc_sim_7b_63", "heads", "all"),
    ],
)
def test_what_a_given_tree_makes_idle_has_a_note(tree: str, option: str, value: str) -> None:
    with_it = compared(systems=SPEC, tree=tree, **{option: value})
    assert [note.partition(" has")[0] for note in with_it.notes] == [f"--{option}"]
    assert numbers(with_it) == numbers(compared(systems=SPEC, tree=tree))


@pytest.mark.parametrize("tree", ["8", "8x2"])
def test_a_size_leaves_the_depth_to_the_objective_unless_all_heads_run(tree: str) -> None:
    assert compared(systems=SPEC, tree=tree, objective="throughput").notes == ()
    together = compared(systems=SPEC, tree=tree, heads="all", objective="throughput")
    assert [note.partition(" has")[0] for note in together.notes] == ["--objective"]
    assert numbers(together) == numbers(compared(systems=SPEC, tree=tree, heads="all"))


@pytest.mark.parametrize(
    "option",
    [
        {"tree": "16"},
        {"objective": "throughput"},
        {"root_counts": False},
        {"heads": "all"},
        {"basis": "published", "systems": ["attacc-spec"]},
        {"changes": {"memory.data_rate": "5000 Mbps"}},
        {"changes": {"gpu.matrix_int8": "1 TOPS"}, "systems": ["attacc-spec"]},
        {"changes": {"memory.bus_efficiency": "0.5"}},
        {"tree": "16", "systems": ["npu", "npu-spec"]},
    ],
)
def test_an_option_that_matters_has_no_note(option: dict[str, Any]) -> None:
    systems = option.get("systems", SPEC)
    with_it = compared(**{"systems": systems} | option)
    assert with_it.notes == ()
    assert numbers(with_it) != numbers(compared(systems=systems))


def test_nothing_is_said_where_nothing_is_set() -> None:
    assert compared().notes == ()


@pytest.mark.slow
def test_times_that_are_no_whole_ck_are_said() -> None:
    """CK of LPDDR5-6400 is 1.25 ns: 6 ns are 5 CK, 10 ns are 8."""
    plain = {"systems": ["lp-spec"], "fidelity": "command", "new_tokens": 4}
    assert compared(**plain, changes={"pim.mac_interval": "10 ns"}).notes == ()
    assert compared(**plain, changes={"pim.mac_interval": "6 ns"}).notes == (
        "pim.mac_interval of lp-spec is 6 ns: commands keep whole CK, 5 CK, 6.25 ns",
    )
    assert compared(**plain, changes={"memory.timing.nRCD": "18.5 ns", "memory.timing.nFAW": "25 ns"}).notes == (
        "memory.timing.nRCD of lp-spec is 18.5 ns rounded up to whole CK: 15 CK, 18.75 ns",
    )
    assert compared(**plain | {"fidelity": "analytic"}, changes={"pim.mac_interval": "6 ns"}).notes == ()


def test_notes_of_real_decoding() -> None:
    nothing = dict.fromkeys(("--tree", "--objective", "--heads", "--seed"), False)
    everything = dict.fromkeys(nothing, True)
    assert list(drafting_notes("none", nothing)) == []
    assert [note.split()[0] for note in drafting_notes("none", everything)] == list(nothing)
    assert [note.split()[0] for note in drafting_notes("prompt-lookup", everything)] == [
        "--objective",
        "--heads",
        "--seed",
    ]
    assert list(drafting_notes("eagle", nothing | {"--objective": True})) == []
    assert list(drafting_notes("eagle", nothing | {"--tree": True})) == []
    assert [note.split()[0] for note in drafting_notes("medusa", everything)] == ["--seed"]


def test_notes_of_recordings() -> None:
    assert list(recording_notes("medusa", "heads", DEFAULT_NODES)) == []
    assert list(recording_notes("eagle", "heads", 5)) == []
    assert [note.split()[0] for note in recording_notes("medusa", None, 5)] == ["--nodes"]
    assert [note.split()[0] for note in recording_notes("prompt-lookup", "heads", 5)] == ["--heads"]


@pytest.mark.parametrize("served", [False, True])
def test_what_is_not_simulated_of_a_machine_is_said(served: bool) -> None:
    asked = DEFAULT.replace(**SMALL, systems=("cosine", "a100-spec"))
    notes = serve_requests(asked.replace(requests="poisson:5/s:4", batch=2)).notes if served else compare(asked).notes
    (said,) = (note for note in notes if "not simulated" in note)
    assert said.startswith("cosine: not simulated: several drafters")
    assert "an upper bound of fusion" in said


def test_requests_that_are_served_have_the_notes_of_single_ones() -> None:
    """Of another drafter than the trace's, and of a limit beyond every turn."""
    other = DEFAULT.replace(**SMALL, systems=("npu-spec",), drafter="eagle3", trace="vicuna-7b")
    mine = [note for note in serve_requests(other.replace(batch=2)).notes if note.startswith("trace")]
    assert mine == [note for note in compare(other).notes if note.startswith("trace")]
    assert len(mine) == 1
    asked = DEFAULT.replace(systems=("npu-spec",), fidelity="analytic", prompt_tokens=64, batch=16)
    assert serve_requests(asked).notes == ()
    longest = int(load_trace("vicuna-7b").turn_lengths.max())
    (said,) = serve_requests(asked.replace(new_tokens=longest)).notes
    assert said == f"--new-tokens {longest} has no effect: the longest turn of trace 'vicuna-7b' has {longest}"
    assert serve_requests(asked.replace(new_tokens=longest - 1)).notes == ()


@pytest.mark.parametrize("batch", [1, 2])
def test_exact_says_so_where_there_are_no_commands(batch: int) -> None:
    """The analytic level has none to time, whether singly or combined."""
    asked = DEFAULT.replace(model="tinyllama", prompt_tokens=64, new_tokens=4, batch=batch, exact=True)
    run = serve_requests if batch > 1 else compare
    assert run(asked.replace(systems=("cd-pim",))).notes == ("--exact has no effect: no system here has commands",)
    assert run(asked.replace(systems=("cd-pim", "npu"))).notes == ()
