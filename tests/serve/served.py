"""A server of pages in a process of its own, as a user starts it, and what it answers."""

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PATIENCE_S = 240


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Served:
    """A server that runs."""

    process: subprocess.Popen[str]
    port: int
    folder: Path

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            given = {"Host": self.host, **headers}
            if body is not None:
                given = {"Content-Type": "application/json", "Content-Length": str(len(body)), **given}
            for name, value in given.items():
                connection.putheader(name, value)
            connection.endheaders(body)
            found = connection.getresponse()
            return Answer(found.status, {k.lower(): v for k, v in found.getheaders()}, found.read())
        finally:
            connection.close()

    def post(self, path: str, content: Any, **headers: str) -> Answer:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        return self.ask("POST", path, body, headers)

    def end(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str]:
        self.process.send_signal(number)
        _, said = self.process.communicate(timeout=60)
        return self.process.returncode, said


@contextlib.contextmanager
def served(
    folder: Path, arguments: Sequence[str] = (), gives_folder: bool = True, ignores: Sequence[signal.Signals] = ()
) -> Iterator[Served]:
    command = [sys.executable, "-m", "lpspec", "serve", "--no-browser", "--port", "0", *arguments]
    if ignores:
        names = " ".join(number.name.removeprefix("SIG") for number in ignores)
        command = ["/bin/sh", "-c", f"trap '' {names}; exec \"$@\"", "sh", *command]
    process = subprocess.Popen(
        [*command, *([str(folder)] if gives_folder else [])],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert process.stdout is not None
    try:
        address = process.stdout.readline()
        assert address.startswith("http://127.0.0.1:"), process.communicate(timeout=10)
        yield Served(process, int(address.split("/")[2].partition(":")[2]), folder)
    finally:
        process.kill()
        process.communicate()
