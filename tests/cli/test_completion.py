"""Completion by the shell itself: what it would offer behind words that were typed."""

import shutil
import subprocess
from pathlib import Path

import pytest
from command_line import run_command

from lpspec.cli.overview import COMMANDS


def offered(script: Path, *words: str) -> set[str]:
    """What bash offers for the last word."""
    asked = f"source {script}; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _lpspec; "
    done = subprocess.run(
        ["bash", "-c", asked + 'printf "%s\\n" "${COMPREPLY[@]}"'], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    said = run_command(["completion", "bash"])
    assert (said.code, said.err) == (0, "")
    path = tmp_path_factory.mktemp("completion") / "lpspec.bash"
    path.write_text(said.out)
    return path


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash is installed")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["lpspec", "comp"], {"compare", "completion"}),
        (["lpspec", "compare", "--obj"], {"--objective"}),
        (["lpspec", "compare", "--model", "tinyllama", "--scen"], {"--scenario"}),
        (["lpspec", "completion", "z"], {"zsh"}),
    ],
)
def test_bash_offers_what_can_follow(script: Path, words: list[str], expected: set[str]) -> None:
    assert offered(script, *words) == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_knows_every_command(shell: str) -> None:
    said = run_command(["completion", shell])
    assert said.code == 0
    assert all(name in said.out for name in COMMANDS)
    if program := shutil.which(shell):
        assert subprocess.run([program, "-n"], input=said.out, text=True, check=False).returncode == 0


def test_another_shell_is_refused_in_a_line() -> None:
    said = run_command(["completion", "tcsh"])
    assert (said.code, said.out) == (2, "")
    assert said.err.count("\n") == 1
