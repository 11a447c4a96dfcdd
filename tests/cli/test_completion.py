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


ASKED_OF_ZSH = """fpath=($PWD $fpath); autoload -Uz _lpspec
_arguments() { print -r -- "$@"; }
_lpspec"""


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh is installed")
def test_zsh_finds_what_completes_in_the_file_that_help_names(tmp_path: Path) -> None:
    """Whose name is that of the function: else the first Tab, and every other, brings nothing."""
    (tmp_path / "_lpspec").write_text(run_command(["completion", "zsh"]).out)
    asked = ["zsh", "-f", "-c", ASKED_OF_ZSH]
    done = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "--version[" in done.stdout


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish is installed")
def test_fish_offers_what_can_follow(tmp_path: Path) -> None:
    (tmp_path / "lpspec.fish").write_text(run_command(["completion", "fish"]).out)
    asked = "source lpspec.fish; complete -C 'lpspec comp'; complete -C 'lpspec compare --obj'"
    done = subprocess.run(["fish", "-c", asked], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert {"compare", "completion", "--objective"} <= set(done.stdout.split())


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
