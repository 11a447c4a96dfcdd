"""Completion by the shell itself: what it would offer behind words that were typed."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import run_command

from lpspec.cli.overview import COMMANDS


def offered(script: Path, *words: str) -> set[str]:
    """What bash offers for the last word."""
    asked = f"source {script}; COMP_WORDS=({shlex.join(words)}); COMP_CWORD={len(words) - 1}; _lpspec; "
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


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, in a folder for PATH."""
    path = tmp_path_factory.mktemp("bin") / "lpspec"
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m lpspec "$@"\n')
    path.chmod(0o755)
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


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash is installed")
@pytest.mark.parametrize(
    ("words", "expected", "other"),
    [
        (["compare", "--objective", ""], {"throughput", "energy", "edp"}, "lp-spec"),
        (["compare", "--model", "tiny"], {"tinyllama"}, "llama2-7b"),
        (
            ["compare", "--systems", "npu-spec,lp-spec-l"],
            {"npu-spec,lp-spec-lpddr5x", "npu-spec,lp-spec-lpddr6"},
            "npu",
        ),
        (["compare", "--energy-profile", ""], {"attacc", "specpim", "micron-y52p"}, "edp"),
        (["dram", "gemm", "--die", "lpddr6"], {"lpddr6-10667-16gb"}, "lp5x-pim"),
        (["compare", "--tree", "d"], {"dtp"}, "edp"),
        (["price", "--system", "lp-spec-p"], {"lp-spec-plus"}, "lp-spec"),
    ],
)
def test_bash_offers_values(script: Path, program: Path, words: list[str], expected: set[str], other: str) -> None:
    found = offered(script, str(program), *words)
    assert expected <= found
    assert other not in found


def test_a_value_that_is_no_name_may_be_a_file() -> None:
    assert "complete -o bashdefault -o default -F _lpspec lpspec" in run_command(["completion", "bash"]).out
    said = run_command(["completion", "zsh"]).out
    assert "-a _cyc_vals || _files" in said
    assert ":scenario:_files'" in said
    assert " -x -a " not in run_command(["completion", "fish"]).out


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish is installed")
def test_fish_offers_values_and_files(program: Path, tmp_path: Path) -> None:
    (tmp_path / "lpspec.fish").write_text(run_command(["completion", "fish"]).out)
    (tmp_path / "tin.toml").touch()
    asked = f"set -x PATH {program.parent} $PATH; source lpspec.fish; complete -C 'lpspec compare --model tin'"
    done = subprocess.run(["fish", "-c", asked], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert {"tinyllama", "tin.toml"} <= set(done.stdout.split())


ZSH = r"""
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell "PROMPT=; PATH=$BIN:\$PATH; fpath=($PWD \$fpath); autoload -Uz compinit && compinit -u -d $PWD/dump"
zpty -w shell 'zstyle ":completion:*" list-prompt ""; LISTMAX=1000; print READY-$((40+2))'
zpty -r shell line '*READY-42*'
zpty -w -n shell $'lpspec compare --model tiny\t'
zpty -r -m shell line '*tinyllama*' && print -r -- found
zpty -d shell
"""


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh is installed")
def test_zsh_offers_values(program: Path, tmp_path: Path) -> None:
    (tmp_path / "_lpspec").write_text(run_command(["completion", "zsh"]).out)
    environment = {**os.environ, "BIN": str(program.parent), "TERM": "dumb"}
    done = subprocess.run(
        ["zsh", "-f", "-c", ZSH],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=environment,
    )
    assert "found" in done.stdout, done


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
