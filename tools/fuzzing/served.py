"""The roads of ``lpspec serve`` that read a scenario, asked in this process."""

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

PORT = 8765
ROADS = ("/controls", "machine=lp-spec"), ("/save", "name=kept.toml")


class _Here:
    """In place of a process that computes."""

    async def answer(self, left: Callable[[], Awaitable[bool]], what: str, *arguments: str) -> dict[str, Any]:
        answer: dict[str, Any] = resolve_name(what)(*arguments)
        return answer


@cache
def _app(folder: Path) -> Any:
    from lpspec.scenario import Scenario
    from lpspec.serve import answers
    from lpspec.serve.app import Place, make_app
    from lpspec.serve.guard import Guard

    answers._guard = Guard(folder)
    here: Any = _Here()
    return make_app(Place(folder, True, Scenario(), PORT), {"analytic": here, "command": here})


def body_of_a_request(path: Path) -> object:
    """Send what a file holds as a scenario: its controls are wanted, then it is to be kept.

    Raises:
        InputError: It is refused.
    """
    from lpspec.errors import InputError

    folder, before = path.parent.resolve(), Path.cwd()
    (folder / "kept.toml").unlink(missing_ok=True)
    os.chdir(folder)
    try:
        said = [asyncio.run(_asked(_app(folder), *road, path.read_bytes())) for road in ROADS]
    finally:
        os.chdir(before)
    for status, answer in said:
        if status != 200:
            raise InputError(answer["error"], *answer.get("faults", ()))
    return said


async def _asked(app: Any, road: str, query: str, body: bytes) -> tuple[int, Any]:
    """Status and content of an answer."""
    headers = ("host", f"127.0.0.1:{PORT}"), ("content-type", "application/json")
    scope = {
        "type": "http",
        "method": "POST",
        "path": road,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"], json.loads(b"".join(part.get("body", b"") for part in sent[1:]))
