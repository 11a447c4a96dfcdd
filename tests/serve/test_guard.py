"""The guard of a process: while it is on, files elsewhere are not opened, whatever the way there is."""

import subprocess
import sys
from pathlib import Path

import pytest

TRY = """
import os, socket, subprocess, sys
from pathlib import Path
import numpy
from lpspec.serve.guard import Guard
folder = Path(sys.argv[1])
guard = Guard(folder.resolve())

def outcome(act):
    try:
        act()
    except PermissionError as error:
        return error.strerror
    except OSError as error:
        return type(error).__name__
    return "done"

def write(name):
    (folder / name).write_text("x")

actions = {
    "read inside": lambda: (folder / "inside.txt").read_text(),
    "package": lambda: Path(numpy.__file__).read_bytes(),
    "read outside": lambda: (folder.parent / "outside.txt").read_text(),
    "through a link": lambda: (folder / "link.txt").read_text(),
    "with dots": lambda: open(f"{folder}/../outside.txt"),
    "by descriptor": lambda: os.open(folder.parent / "outside.txt", os.O_RDONLY),
    "as bytes": lambda: open(os.fsencode(folder.parent / "outside.txt")),
    "list": lambda: os.listdir(folder.parent),
    "array": lambda: numpy.load(folder.parent / "outside.txt"),
    "write inside": lambda: write("new.txt"),
    "program": lambda: subprocess.run([sys.executable, "-c", "1"], check=True),
    "connect": lambda: socket.create_connection(("127.0.0.1", 9), 1),
    "remove": lambda: (folder / "inside.txt").unlink(),
}
with guard.on():
    for name, act in actions.items():
        print(name, "|", outcome(act))
print("afterwards | ", outcome(actions["read outside"]))
"""
OUTSIDE, NEVER = "outside the folder that lpspec serve was given", "lpspec serve does no such thing"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    top = tmp_path_factory.mktemp("guard")
    (top / "given").mkdir()
    (top / "outside.txt").write_text("x")
    (top / "given" / "inside.txt").write_text("x")
    (top / "given" / "link.txt").symlink_to(top / "outside.txt")
    done = subprocess.run([sys.executable, "-c", TRY, str(top / "given")], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (top / "given" / "new.txt").exists()
    assert (top / "given" / "inside.txt").exists()
    return {name.strip(): what.strip() for name, _, what in (line.partition("|") for line in done.stdout.splitlines())}


@pytest.mark.parametrize("name", ["read inside", "package", "afterwards"])
def test_what_is_needed_is_let_through(outcomes: dict[str, str], name: str) -> None:
    assert outcomes[name] == "done"


@pytest.mark.parametrize(
    "name",
    ["read outside", "through a link", "with dots", "by descriptor", "as bytes", "list", "array", "write inside"],
)
def test_files_elsewhere_are_refused(outcomes: dict[str, str], name: str) -> None:
    assert outcomes[name] == OUTSIDE


@pytest.mark.parametrize("name", ["program", "connect", "remove"])
def test_programs_and_hosts_are_refused(outcomes: dict[str, str], name: str) -> None:
    assert outcomes[name] == NEVER


def test_the_module_needs_no_folder(tmp_path: Path) -> None:
    """An empty folder stands for none: what lies beside it is as far away."""
    code = "import sys; from pathlib import Path; from lpspec.serve.guard import Guard; g = Guard(Path(sys.argv[1]))\n"
    code += "with g.on():\n    open(sys.argv[2])"
    (tmp_path / "empty").mkdir()
    (tmp_path / "beside").write_text("x")
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "empty"), str(tmp_path / "beside")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert OUTSIDE in done.stderr
