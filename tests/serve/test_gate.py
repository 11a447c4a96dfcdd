"""Who is answered: this machine's loopback under its own names, and pages of this server alone."""

import asyncio
import json
from typing import Any

import pytest

pytest.importorskip("starlette")

from lpspec.serve.gate import Gate

GOOD: list[list[tuple[str, str]]] = [
    [("host", "127.0.0.1:8765")],
    [("host", "localhost:8765"), ("origin", "http://localhost:8765"), ("sec-fetch-site", "same-origin")],
    [("host", "LOCALHOST:8765")],
    [("host", "[::1]:8765"), ("sec-fetch-site", "none")],
]
BAD: list[list[tuple[str, str]]] = [
    [],
    [("host", "127.0.0.1")],
    [("host", "127.0.0.1:8766")],
    [("host", "pages.example:8765")],
    [("host", "127.0.0.1.pages.example:8765")],
    [("host", "localhost:8765"), ("host", "pages.example")],
    [("host", "192.168.0.7:8765")],
    [("host", "localhost:8765"), ("origin", "http://pages.example")],
    [("host", "localhost:8765"), ("origin", "null")],
    [("host", "localhost:8765"), ("origin", "https://localhost:8765")],
    [("host", "localhost:8765"), ("origin", "http://127.0.0.1:8765")],
    [("host", "localhost:8765"), ("origin", "http://localhost:8765"), ("origin", "http://pages.example")],
    [("host", "localhost:8765"), ("sec-fetch-site", "cross-site")],
    [("host", "localhost:8765"), ("sec-fetch-site", "same-site")],
]


def passed(headers: list[tuple[str, str]], kind: str = "http") -> tuple[bool, list[dict[str, Any]]]:
    """Whether the application is reached, and what is sent."""
    reached, sent = [], []

    async def application(_scope: Any, _receive: Any, send: Any) -> None:
        reached.append(True)
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": kind, "method": "GET", "path": "/", "headers": [(k.encode(), v.encode()) for k, v in headers]}
    asyncio.run(Gate(application, 8765)(scope, lambda: None, send))  # type: ignore[arg-type, return-value]
    return bool(reached), sent


@pytest.mark.parametrize("headers", GOOD)
def test_its_own_pages_are_answered(headers: list[tuple[str, str]]) -> None:
    reached, sent = passed(headers)
    assert reached
    found = dict(sent[0]["headers"])
    assert found[b"content-security-policy"] == b"default-src 'none'; frame-ancestors 'none'"
    assert found[b"x-content-type-options"] == b"nosniff"
    assert found[b"cross-origin-resource-policy"] == b"same-origin"


@pytest.mark.parametrize("headers", BAD)
def test_others_get_a_line_and_no_more(headers: list[tuple[str, str]]) -> None:
    reached, sent = passed(headers)
    assert not reached
    assert sent[0]["status"] == 403
    (line,) = json.loads(sent[1]["body"]).values()
    assert 0 < len(line) <= 200


def test_web_sockets_are_closed() -> None:
    assert passed(GOOD[0], "websocket") == (False, [])
