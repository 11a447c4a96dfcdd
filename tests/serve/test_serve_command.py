"""``lpspec serve`` where it cannot begin: one line, exit code 2."""

import importlib.util
import socket
from pathlib import Path

import pytest
from command_line import run_command

pytest.importorskip("starlette")


def refusal(*arguments: str) -> str:
    said = run_command(["serve", "--no-browser", *arguments])
    assert (said.code, said.out) == (2, "")
    assert said.err.count("\n") == 1
    assert len(said.err) <= 201
    return said.err


def test_a_port_in_use_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert (
            refusal("--port", port)
            == f"lpspec: port {port} is in use: choose another by --port, or 0 for any that is free\n"
        )


def test_ports_that_are_none_are_refused() -> None:
    assert "port 70000 is not possible" in refusal("--port", "70000")
    assert "port -1 is not possible" in refusal("--port", "-1")


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    assert "is no folder" in refusal(str(tmp_path / "gone"))


def test_a_scenario_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "given").mkdir()
    (tmp_path / "mine.toml").write_text('model = "config.json"\n')
    assert "lies outside" in refusal(str(tmp_path / "given"), "--scenario", str(tmp_path / "mine.toml"))


def test_requests_that_are_served_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("[workload]\nbatch = 4\n")
    assert "one request at a time" in refusal("--scenario", str(tmp_path / "mine.toml"))


def test_a_missing_package_is_named_with_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "uvicorn" else found(name))
    assert refusal() == "lpspec: lpspec serve needs uvicorn: pip install 'lpspec[serve]'\n"
