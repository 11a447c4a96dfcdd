"""Whatever is wrong with a command line: one line, exit code 2, nothing written."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Said, assert_refused

BAD = [
    (["compar"], "did you mean 'compare'"),
    (["--verson"], "did you mean '--version'"),
    (["compare", "stray"], "unexpected argument 'stray'"),
    (["compare", "--jsn", "x"], "--json"),
    (["compare", "--json"], "--json requires an argument"),
    (["compare", "--json", "--figure", "x"], "--json requires an argument"),
    (["compare", "--json="], "--json needs a file name"),
    (["compare", "--figure="], "--figure needs a file name"),
    (["compare", "--json", "a", "--json", "b"], "multiple times"),
    (["compare", "--objective", "through"], "did you mean 'throughput'"),
    (["compare", "--basis", "equl"], "did you mean 'equal'"),
    (["compare", "--systems", "npu,lp-spc"], "unknown system 'lp-spc': did you mean 'lp-spec'"),
    (["compare", "--systems", "npu,,lp-spec"], "empty name"),
    (["compare", "--systems", "gone.toml"], "gone.toml"),
    (["compare", "--model", "llama2-7"], "did you mean 'llama2-7b'"),
    (["compare", "--model", "gone/config.json"], "gone/config.json"),
    (["compare", "--model", "vicuna-33b"], "does not fit"),
    (["compare", "--trace", "vicuna-7"], "did you mean 'vicuna-7b'"),
    (["compare", "--trace", "gone.npz"], "gone.npz"),
    (["compare", "--trace", ""], "unknown trace ''"),
    (["compare", "--trace", "vicuna-7b", "--acceptance", "0.7"], "give one of them"),
    (["compare", "--acceptance", "3.24"], "3.24@7"),
    (["compare", "--drafter", "eagel"], "did you mean 'eagle'"),
    (["compare", "--drafter", "draft-model"], "such as draft-model:llama3.2-1b"),
    (["compare", "--drafter", "draft-model:llama9"], "unknown model 'llama9'"),
    (["compare", "--drafter", "mtp:2"], "mtp takes nothing behind its name"),
    (["compare", "--acceptance", "-1"], "neither a mean length"),
    (["acceptance", "vicuna-7"], "did you mean 'vicuna-7b'"),
    (["acceptance", "gone.csv"], "'gone.csv' cannot be read: No such file or directory"),
    (["acceptance", "gone/vllm.log"], "cannot be read: No such file or directory"),
    (["acceptance", "0.7", "--drafter", "eagle3"], "says itself what it is"),
    (["acceptance", "9@3"], "3 drafts give 1 to 4"),
    (["acceptance", "0.7", "--to", "t.csv"], "must end in .npz"),
    (["acceptance", "0.7", "--temperature", "-1"], "temperature -1 is not possible"),
    (["acceptance", "0.7", "--depth", "0"], "at least 1"),
    (["compare", "--tree", "mc_sim"], "did you mean 'mc_sim_7b_63'"),
    (["compare", "--tree", "65"], "1 to 64"),
    (["compare", "--tree", "-3"], "1 to 64"),
    (["compare", "--prompt-tokens", "0"], "at least 1"),
    (["compare", "--prompt-tokens", "1.5"], "no whole number"),
    (["compare", "--new-tokens", "-1"], "at least 1"),
    (["compare", "--new-tokens", "9" * 30], "at most"),
    (["compare", "--prompt-tokens", "100000"], "4096"),
    (["compare", "--energy-profile", "atacc"], "did you mean 'attacc'"),
    (["compare", "--set", "pim.mac_interval"], "KEY=VALUE"),
    (["compare", "--set", "a=1", "--set", "a=2"], "given twice"),
    (["compare", "--set", "pim.mac_intervall=10 ns"], "did you mean 'pim.mac_interval'"),
    (["compare", "--set", "pim.mac_interval=10 kg"], "wrong unit"),
    (["compare", "--set", "memory.channels=0"], "out of range"),
    (["compare", "--systems", "lp-spec", "--set", "allocator=dynamc"], "did you mean 'dynamic'"),
    (["compare", "--systems", "npu", "--set", "allocator=dynamic"], "needs [npu], [memory] and [pim]"),
    (["placement", "--model", "vicuna-33b"], "does not fit"),
    (["placement", "--fidelity", "commands"], "did you mean 'command'"),
    (
        ["placement", "--kv", "4"],
        "'attention' has 4-bit and 8-bit operands; allowed are other units (pim.formats), or --kv 8",
    ),
    (["placement", "--set", "allocator=static"], "this study tries every placement"),
    (["study", "beyond", "--store", ""], "a store needs the name of a folder"),
    (["results", ""], "a store needs the name of a folder"),
    (["serve", "", "--no-browser", "--port", "0"], "'' is no folder"),
    (["traffic", "--kv", "4"], "'attention' has 4-bit and 8-bit operands"),
    (["placement", "--trace", "vicuna-7"], "did you mean 'vicuna-7b'"),
    (["reproduce", "--energy-profile", "specpin"], "did you mean 'specpim'"),
    (["reproduce", "--fidelity", "analytical"], "did you mean 'analytic'"),
    (["compare", "--fidelity", "comands"], "did you mean 'command'"),
    (["compare", "--timeline", "step.json.gz", "--fidelity", "analytic"], "needs --fidelity command"),
    (["compare", "--timeline", "step.json.gz", "--systems", "rtx3090", "--new-tokens", "4"], "no command level"),
    (["reproduce", "--objective", "edp"], "--objective"),
    (["inspect", "lp-spc"], "did you mean 'lp-spec'"),
    (["inspect", ""], "unknown name ''"),
    (["inspect", "gone.toml"], "gone.toml"),
    (["inspect", "llama2-7b", "--set", "pim.alus=2"], "is a model"),
    (["inspect", "--set", "pim.alus=2"], "needs the name of a platform"),
    (["inspect", "lp-spec", "--set", "pim.concurrent_ranks=7"], "exceeds"),
]


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(("argv", "hint"), BAD, ids=[" ".join(argv)[:50] for argv, _ in BAD])
def test_bad_input_is_one_line(lpspec: Callable[..., Said], empty_folder: Path, argv: list[str], hint: str) -> None:
    outputs = [] if any(part.startswith(("--json", "--figure")) for part in argv) else ["--json", "out.json"]
    assert_refused(lpspec(*argv, *(outputs if argv[0] in ("compare", "reproduce", "inspect") else [])), hint)
    assert list(empty_folder.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"[npu", b"\xff\xfe", b"PK\x03\x04 cut short"])
@pytest.mark.parametrize("argv", ["compare --systems", "compare --energy-profile", "compare --trace", "inspect"])
def test_a_broken_file_is_one_line(lpspec: Callable[..., Said], empty_folder: Path, argv: str, content: bytes) -> None:
    name = "broken.npz" if "trace" in argv else "broken.toml"
    Path(name).write_bytes(content)
    assert_refused(lpspec(*argv.split(), name), name)
    assert [path.name for path in empty_folder.iterdir()] == [name]


@pytest.mark.parametrize("command", [["compare"], ["reproduce"], ["inspect", "lp-spec"]])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(
    lpspec: Callable[..., Said], empty_folder: Path, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (empty_folder / "file").write_text("kept")
    monkeypatch.setitem(sys.modules, "lpspec.report.documents", None)  # the work would fail on it
    for place in (".", "folder/", "file/below.json", "n" * 300):
        assert_refused(lpspec(*command, "--json", place), place[-60:])
    assert [path.name for path in empty_folder.iterdir()] == ["file"]


def test_a_figure_path_is_no_folder_and_no_other_output(lpspec: Callable[..., Said], empty_folder: Path) -> None:
    assert_refused(lpspec("compare", "--figure", "."), "folder")
    assert_refused(lpspec("compare", "--json", "a.pdf", "--figure", "a"), "both")


@pytest.mark.parametrize("name", ["f.bmp", "f.JPG", "out/f.eps", "a.b.html", "fig.json"])
def test_a_figure_has_an_ending_that_can_be_written_or_none(
    lpspec: Callable[..., Said], empty_folder: Path, name: str
) -> None:
    allowed = "allowed are .pdf, .png, .svg, or no ending for a .pdf and a .png"
    assert_refused(
        lpspec("compare", "--figure", name), f"--figure {name} ends in .{name.rpartition('.')[2]}: {allowed}"
    )
    assert list(empty_folder.iterdir()) == []
