"""What a signal leaves behind: nothing that is half written."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from whole_files import write_all

from lpspec.cli import signals
from lpspec.cli.main import run

PATIENCE_S = 300.0
"""Time that a loaded machine may take to start the program."""


@pytest.fixture
def caught() -> Iterator[None]:
    """Signals become exceptions until the test is done."""
    before = [(number, signal.getsignal(number)) for number in signals.ENDING]
    for number in signals.ENDING:  # a shell that starts the tests in the background has them ignore some
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    signals.catch_signals()
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.mark.usefixtures("caught")
@pytest.mark.parametrize("number", signals.ENDING)
def test_a_signal_waits_for_files_to_be_moved(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    def umask() -> int:
        signal.raise_signal(number)
        return 0o022

    monkeypatch.setattr("lpspec.cli.outputs._umask", umask)
    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else signals.Ended):
        write_all([(tmp_path / "a", b"1"), (tmp_path / "new" / "b", b"2")])
    assert {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == {"a": b"1", "b": b"2"}


@pytest.mark.usefixtures("caught")
@pytest.mark.parametrize("number", signals.ENDING)
def test_a_signal_while_files_are_written_leaves_none(number: int, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"before")

    def contents() -> Iterator[tuple[Path, bytes]]:
        yield tmp_path / "a", b"1"
        yield tmp_path / "new" / "deep" / "b", b"2"
        signal.raise_signal(number)

    with pytest.raises(KeyboardInterrupt if number == signal.SIGINT else signals.Ended):
        write_all(contents())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"a": b"before"}


def test_what_the_caller_ignores_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        signals.catch_signals()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_the_exit_code_names_the_signal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def end(_argv: object) -> int:
        raise signals.Ended(signal.SIGTERM)

    monkeypatch.setattr("lpspec.cli.main._answer", end)
    assert run([]) == 128 + signal.SIGTERM
    assert capsys.readouterr().err == "lpspec: ended by SIGTERM\n"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs a pipe that never ends")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_program_that_is_ended_leaves_nothing(number: int, tmp_path: Path) -> None:
    """The requests never come to an end, so the commands are being written when the signal comes."""
    os.mkfifo(tmp_path / "requests")
    argv = ["dram", "run", "requests", "--commands", "new/commands.csv", "--json", "result.json"]
    argv += ["--format", "json"]  # else the first line is waited for before anything is written
    process = subprocess.Popen(
        [sys.executable, "-m", "lpspec", *argv], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        until = time.monotonic() + PATIENCE_S
        while not list(tmp_path.glob("new/.commands.csv.*")) and time.monotonic() < until and process.poll() is None:
            time.sleep(0.05)
        assert list(tmp_path.glob("new/.commands.csv.*")), "it never began to write"
        process.send_signal(number)
        out, said = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert process.returncode == 128 + number
    assert (out, said.count(b"\n")) == (b"", 1 + said.count(b"compiling"))
    assert [path.name for path in tmp_path.iterdir()] == ["requests"]
