"""Files are written whole or not at all."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import Said
from whole_files import write_all

from lpspec import __version__
from lpspec.cli.options import parse_changes, split_names
from lpspec.cli.outputs import plan_outputs
from lpspec.errors import InputError


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("fig", ["fig.pdf", "fig.png"]),
        ("fig.pdf", ["fig.pdf"]),
        ("fig.PNG", ["fig.PNG"]),
        ("fig.svg", ["fig.svg"]),
    ],
)
def test_a_figure_is_the_file_that_is_named_or_two(tmp_path: Path, given: str, written: list[str]) -> None:
    figures = plan_outputs(None, str(tmp_path / "new" / given)).figures
    assert [path.name for path in figures] == written
    assert not (tmp_path / "new").exists()


def test_parts_of_a_figure_have_its_suffix(tmp_path: Path) -> None:
    figures = plan_outputs(None, str(tmp_path / "fig.svg"), ("a", "b")).figures
    assert [path.name for path in figures] == ["fig-a.svg", "fig-b.svg"]


def test_a_folder_is_made_only_below_one_that_exists(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        plan_outputs(str(tmp_path / "no" / "such" / "result.json"))


def test_a_dot_in_a_figure_name_is_no_suffix(tmp_path: Path) -> None:
    assert [path.name for path in plan_outputs(None, str(tmp_path / "v1.2")).figures] == ["v1.2.pdf", "v1.2.png"]


def test_standard_output_is_no_file() -> None:
    outputs = plan_outputs("-")
    assert outputs.json_to_stdout
    assert outputs.paths == ()


def test_a_failure_leaves_every_file_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old")
    with pytest.raises(InputError, match="cannot be written"):
        write_all([(tmp_path / "a", b"new"), (tmp_path / "a" / "b", b"new")])
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_all([(tmp_path / "link", b"new")])
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_modes_are_those_of_other_files(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    (tmp_path / "private").touch(mode=0o600)
    write_all([(tmp_path / "new", b""), (tmp_path / "private", b"")])
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="needs /dev/null")
def test_a_device_is_written_to_and_not_replaced() -> None:
    write_all([(Path(os.devnull), b"gone")])
    assert not Path(os.devnull).is_file()


def test_changes_are_keys_and_values() -> None:
    assert parse_changes(["a.b = 10 ns", "c=x=y"]) == {"a.b": "10 ns", "c": "x=y"}


def test_names_come_from_lists() -> None:
    assert split_names("--systems", ()) is None
    assert split_names("--systems", ["a, b", "c"]) == ["a", "b", "c"]
    for option in ("--systems", "--compare"):
        with pytest.raises(InputError, match=f"{option} a,,b has an empty name"):
            split_names(option, ["a,,b"])


@pytest.mark.parametrize("columns", ["0", "-3", "wide"])
def test_columns_that_are_none_are_as_if_unsaid(columns: str) -> None:
    expected = tables({})
    assert tables({"COLUMNS": columns}) == expected != ""
    assert tables({"COLUMNS": "60"}) != expected


def tables(environment: dict[str, str]) -> str:
    command = [sys.executable, "-m", "lpspec", "inspect", "lpddr5-pim"]
    inherited = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    return subprocess.run(command, env=inherited | environment, capture_output=True, check=True, text=True).stdout


def test_a_closed_output_is_no_fault() -> None:
    shell = f"{sys.executable} -m lpspec inspect lpddr5-pim >&- 2>&-"
    assert subprocess.run(["bash", "-c", shell], check=False).returncode == 0


@pytest.mark.parametrize(
    "asked",
    [
        "inspect lp-spec",
        "inspect attacc",
        "inspect llama2-7b",
        "inspect lpddr5-6400-8gb",
        "acceptance vicuna-7b",
        "price --m 4",
        "compare --systems npu --new-tokens 1 --fidelity analytic",
        "compare --systems npu --new-tokens 1 --fidelity analytic --batch 2",
        "dram gemm --m 1 --k 64 --n 64",
    ],
)
def test_every_result_says_which_version_made_it(lpspec: Callable[..., Said], asked: str) -> None:
    result = json.loads(lpspec(*asked.split(), "--json", "-").out)
    assert result["provenance"]["lpspec"] == __version__
