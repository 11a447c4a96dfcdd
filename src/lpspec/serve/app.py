"""Routes of the page: itself, its controls, a scenario's table and pictures, and a scenario to be kept."""

import re
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lpspec.errors import InputError
from lpspec.scenario import Scenario
from lpspec.scenario.names import FIDELITIES
from lpspec.serve.folder import check_inside, save
from lpspec.serve.gate import Gate
from lpspec.serve.page import page_bytes
from lpspec.serve.worker import GoneError, Worker

MOST_BYTES = 65_536
"""Of a scenario that is sent."""

ANALYTIC_LIMIT_S, COMMAND_LIMIT_S = 120.0, 900.0
"""How long an answer may take; the first ones of an installation compile loops, which takes a minute."""

SUPERSEDED = 499
"""Status for who has gone; nobody reads it."""

Answer = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Place:
    """What a server is for.

    Attributes:
        folder: Resolved; where relative paths of scenarios start.
        saves: Whether scenarios may be written into it.
        scenario: What the page shows first.
        port: Of the loopback.
    """

    folder: Path
    saves: bool
    scenario: Scenario
    port: int


def make_app(place: Place, workers: dict[str, Worker]) -> Gate:
    """The application.

    Args:
        place: What it is for.
        workers: Who computes each level; all else is the analytic level's too.
    """
    handlers = _Handlers(place, workers)
    routes = [
        Route("/", _said(handlers.page)),
        Route("/controls", _said(handlers.controls), methods=["POST"]),
        Route("/table/{level}", _said(handlers.table), methods=["POST"]),
        Route("/drawings", _said(handlers.drawings), methods=["POST"]),
        Route("/save", _said(handlers.save), methods=["POST"]),
    ]
    faults: dict[Any, Any] = {HTTPException: _http_fault}
    return Gate(Starlette(routes=routes, exception_handlers=faults), place.port)


def _said(handler: Answer) -> Answer:
    """A handler whose faults are answers: a line of JSON."""

    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except InputError as error:
            first, *faults = str(error).splitlines()
            return JSONResponse({"error": first, **({"faults": faults} if faults else {})}, 400)
        except (GoneError, ClientDisconnect):
            return Response(status_code=SUPERSEDED)

    return answer


async def _http_fault(_request: Request, error: HTTPException) -> Response:
    return JSONResponse({"error": str(error.detail)}, error.status_code, headers=error.headers)


class _Handlers:
    """What is answered where."""

    def __init__(self, place: Place, workers: dict[str, Worker]) -> None:
        self._place, self._workers = place, workers
        self._page, self._policy = page_bytes(place.scenario, place.saves)

    async def page(self, _request: Request) -> Response:
        """The page itself."""
        headers = {"Content-Security-Policy": self._policy}
        return Response(self._page, media_type="text/html", headers=headers)

    async def controls(self, request: Request) -> Response:
        """Controls with the values of a scenario, for the constants of one machine."""
        text = await _scenario_text(request)
        machine = request.query_params.get("machine", "lp-spec")
        return await self._computed(request, "analytic", "lpspec.serve.answers:controls", text, machine)

    async def table(self, request: Request) -> Response:
        """Figures of a scenario's systems at a level."""
        level = request.path_params["level"]
        if level not in FIDELITIES:
            raise HTTPException(404, f"no level '{level[:20]}': there are {' and '.join(FIDELITIES)}")
        return await self._computed(request, level, "lpspec.serve.answers:table", await _scenario_text(request), level)

    async def drawings(self, request: Request) -> Response:
        """Pictures of a scenario at the analytic level."""
        return await self._computed(
            request, "analytic", "lpspec.serve.answers:drawings", await _scenario_text(request), "analytic"
        )

    async def save(self, request: Request) -> Response:
        """Write a scenario into the folder."""
        if not self._place.saves:
            raise HTTPException(403, "lpspec serve was given no folder to write into")
        scenario = Scenario.from_json(await _scenario_text(request))
        check_inside(scenario, self._place.folder)
        name = request.query_params.get("name", "")
        save(scenario, name, self._place.folder)
        return JSONResponse({"wrote": name})

    async def _computed(self, request: Request, level: str, what: str, *arguments: str) -> Response:
        answer = await self._workers[level].answer(request.is_disconnected, what, *arguments)
        return JSONResponse(answer, 400 if "error" in answer else 200)


async def _scenario_text(request: Request) -> str:
    """The body of a request, which is a scenario as JSON.

    Raises:
        HTTPException: It is of another kind, too long, or no text.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise HTTPException(415, "send a scenario as application/json")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MOST_BYTES:
            raise HTTPException(413, f"a scenario has at most {MOST_BYTES} bytes")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise HTTPException(400, "a scenario is a text in UTF-8") from None


def listen(port: int) -> socket.socket:
    """A socket of the loopback that nobody else listens on.

    Args:
        port: Of it; 0 for any that is free.

    Raises:
        InputError: It is in use, or none may be opened there.
    """
    if not 0 <= port < 2**16:
        raise InputError(f"port {port} is not possible: allowed is 0 (any that is free) to {2**16 - 1}")
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(("127.0.0.1", port))
        found.listen(64)
    except OSError as error:
        found.close()
        why = re.sub(r"^Address already in use$", "is in use", error.strerror or "")
        raise InputError(f"port {port} {why}: choose another by --port, or 0 for any that is free") from None
    return found


def serve(place: Place, opened: socket.socket, ready: Callable[[], None]) -> int | None:
    """Answer until a signal ends it.

    Args:
        place: What the server is for.
        opened: What it listens on.
        ready: Called once, when requests are answered and signals end it.

    Returns:
        The number of the signal, where the caller has it ignored, so that it raised nothing.
    """
    import uvicorn

    class Server(uvicorn.Server):
        ended_by: int | None = None

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            self.ended_by = sig
            super().handle_exit(sig, frame)

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            ready()  # not before signals are taken: one that the caller ignores would be lost

    limits = {"analytic": ANALYTIC_LIMIT_S, "command": COMMAND_LIMIT_S}
    workers = {level: Worker(place.folder, limit_s) for level, limit_s in limits.items()}
    config = uvicorn.Config(
        make_app(place, workers),
        log_level="critical",
        access_log=False,
        lifespan="off",
        server_header=False,
        limit_concurrency=64,
        timeout_graceful_shutdown=1,
        ws="none",
        proxy_headers=False,
    )
    try:
        for worker in workers.values():
            worker.warm()
        server = Server(config)
        server.run(sockets=[opened])
        return server.ended_by
    finally:
        for worker in workers.values():
            worker.close()
        opened.close()
