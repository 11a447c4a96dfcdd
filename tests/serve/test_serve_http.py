"""What a server answers, asked as a page asks it, and as others might."""

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import run_command
from served import Served, served

from lpspec.scenario.scenario import DEFAULT

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {"model": "tinyllama", "systems": ["lp-spec"], "workload": {"new_tokens": 4}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    top = tmp_path_factory.mktemp("serve")
    folder = top / "given"
    folder.mkdir()
    (top / "secret.toml").write_text('name = "secret"\n')
    (folder / "own.toml").write_text(
        'extends = "lp-spec"\nname = "own"\n[pim]\nalus = { value = 2, source = "mine" }\n'
    )
    (folder / "leaves.toml").write_text('extends = "../secret.toml"\nname = "leaves"\n')
    (folder / "code.toml").write_text('extends = "lp-spec"\nname = "code"\nallocator = "code.py:Mine"\n')
    (folder / "code.py").write_text("from pathlib import Path\nPath('was-run').touch()\nMine = None\n")
    with served(folder) as found:
        yield found


def is_a_line(answer: dict[str, Any]) -> bool:
    assert set(answer) <= {"error", "faults"}
    for line in [answer["error"], *answer.get("faults", [])]:
        assert 0 < len(line) <= 200
        assert "\n" not in line
        assert "Traceback" not in line
    return True


def test_the_page_may_run_its_script_and_ask_this_server_alone(server: Served) -> None:
    page = server.ask("GET", "/")
    assert page.status == 200
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert b"http" not in page.body.replace(b"http://www.w3.org/2000/svg", b"")
    assert page.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("level", ["analytic", "command"])
def test_figures_are_those_of_the_command_line(server: Served, level: str) -> None:
    scenario = {**SMALL, "systems": ["npu-spec", "lp-spec", "own.toml"], "changes": {"pim.mac_interval": "10 ns"}}
    answer = server.post(f"/table/{level}", scenario)
    assert answer.status == 200
    name = f"{level}.toml"
    assert server.post(f"/save?name={name}", scenario).json == {"wrote": name}
    file = server.folder / name
    assert file.read_text() == answer.json["toml"]
    asked = ["compare", "--scenario", str(file), "--json", "-"]
    said = run_command(asked if level == "command" else [*asked, "--fidelity", "analytic"])
    expected = json.loads(said.out)["systems"]
    shown = answer.json["systems"]
    for one in shown:
        del one["cells"]
    assert shown == expected
    assert [one["system"] for one in shown] == ["npu-spec", "lp-spec", "own"]


def test_pictures_are_svg_and_load_nothing(server: Served) -> None:
    found = server.post("/drawings", SMALL).json["figures"]
    assert {one["name"] for one in found} >= {"throughput", "energy", "energy-delay", "passes"}
    for one in found:
        assert "<svg" in one["svg"]
        assert "<script" not in one["svg"]
        assert "<image" not in one["svg"]


@pytest.mark.parametrize(
    "scenario",
    [
        {**SMALL, "model": "/etc/hostname"},
        {**SMALL, "systems": ["../secret.toml"]},
        {**SMALL, "systems": ["leaves.toml"]},
        {**SMALL, "systems": ["code.toml"]},
        {**SMALL, "trace": "/proc/self/environ"},
        {**SMALL, "tree": "code.py:Mine"},
    ],
)
def test_no_file_outside_the_folder_is_read_and_no_code_run(server: Served, scenario: dict[str, Any]) -> None:
    answer = server.post("/table/analytic", scenario)
    assert answer.status == 400
    assert is_a_line(answer.json)
    assert "secret" not in answer.json["error"].replace("secret.toml", "")
    assert not (server.folder / "was-run").exists()
    assert server.post("/controls?machine=" + scenario["systems"][0], SMALL).status in (200, 400)


@pytest.mark.parametrize("machine", ["../secret.toml", "/etc/hostname", "leaves.toml", "nothing", ""])
def test_constants_of_no_other_file_are_shown(server: Served, machine: str) -> None:
    answer = server.post(f"/controls?machine={machine}", SMALL)
    assert answer.status == 400
    assert is_a_line(answer.json)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"{", 400),
        (b'{"model": "tinyllama", "model": "llama2-7b"}', 400),
        (b'{"tree": 1e999}', 400),
        (b"[" * 60_000, 400),
        (b'{"a": ' * 10_000, 400),
        (b'{"workload": {"prompt_tokens": ' + b"9" * 5000 + b"}}", 400),
        (b"\xff\xfe", 400),
        (b'{"model": "' + b"x" * 70_000 + b'"}', 413),
        (json.dumps({**SMALL, "workload": {"batch": 4}}).encode(), 400),
        (json.dumps({**SMALL, "workload": {"prompt_tokens": 10**9}}).encode(), 400),
        (json.dumps({**SMALL, "systems": ["lp-spec"] * 3, "modle": "x", "tree": 3}).encode(), 400),
        (json.dumps({**SMALL, "changes": {"pim.alus": "-1"}}).encode(), 400),
    ],
)
def test_what_is_no_scenario_is_said_in_lines(server: Served, body: bytes, status: int) -> None:
    answer = server.post("/table/analytic", body)
    assert answer.status == status
    assert is_a_line(answer.json)


def test_other_ways_to_ask_are_refused_in_lines(server: Served) -> None:
    def status(method: str, path: str, body: bytes | None = None, **headers: str) -> int:
        answer = server.ask(method, path, body, headers)
        assert is_a_line(answer.json)
        return answer.status

    text = json.dumps(SMALL).encode()
    assert status("GET", "/table/analytic") == 405
    assert status("GET", "/etc/hostname") == 404
    assert status("GET", "/..%2f..%2fetc/hostname") == 404
    assert status("POST", "/table/no-level", text) == 404
    assert server.post("/table/analytic", SMALL, **{"Content-Type": "text/plain"}).status == 415
    assert server.post("/table/analytic", SMALL, Origin="http://pages.example").status == 403
    assert server.post("/save?name=x.toml", SMALL, Origin="null").status == 403
    assert server.ask("GET", "/", headers={"Host": "pages.example"}).status == 403
    assert server.post("/save?name=../x.toml", SMALL).status == 400
    assert not (server.folder.parent / "x.toml").exists()
    assert not (server.folder / "x.toml").exists()


def test_it_listens_on_the_loopback_alone(server: Served) -> None:
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:] if Path("/proc/net/tcp").exists() else []
    listening = [line.split()[1] for line in lines if line.split()[3] == "0A"]
    ours = [one for one in listening if int(one.split(":")[1], 16) == server.port]
    assert ours in ([], [f"0100007F:{server.port:04X}"])


def test_without_a_folder_nothing_is_saved_and_signals_end_it(tmp_path: Path) -> None:
    with served(tmp_path, gives_folder=False) as found:
        assert found.post("/save?name=x.toml", SMALL).status == 403
        assert is_a_line(found.post("/table/analytic", {**SMALL, "model": "./config.json"}).json)
        assert found.end() == (130, "lpspec: interrupted\n")
    assert list(tmp_path.iterdir()) == []
    with served(tmp_path) as found:
        assert found.end(signal.SIGTERM)[0] == 143


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_the_caller_has_ignored_ends_it_with_its_code(tmp_path: Path, number: signal.Signals) -> None:
    """A script that starts it in the background has it ignore SIGINT; it ends all the same, and says by what."""
    with served(tmp_path, ignores=[number]) as found:
        code, said = found.end(number)
    assert code == 128 + number
    assert said.startswith("lpspec: ")


def test_an_ignored_signal_is_not_lost_as_soon_as_the_page_is_said_to_be_there(tmp_path: Path) -> None:
    from lpspec.serve.app import Place, listen, serve

    opened = listen(0)
    place = Place(tmp_path, False, DEFAULT, opened.getsockname()[1])
    otherwise = threading.Timer(20.0, os.kill, (os.getpid(), signal.SIGTERM))
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGTERM)}
    otherwise.start()
    try:
        assert serve(place, opened, lambda: os.kill(os.getpid(), signal.SIGINT)) == signal.SIGINT
    finally:
        otherwise.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)
