"""Who is answered: pages of this server alone, asked for under a name of this machine's loopback."""

from collections.abc import Iterator

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
"""Names that a page of this machine is asked for under; any other is a trick of names that change their address."""

CLOSED = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Sent with every answer."""

NOTHING = "default-src 'none'; frame-ancestors 'none'"
"""What an answer that is no page may load."""


class Gate:
    """Stands before an application."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        """Guard an application that listens on a port of the loopback."""
        self._app = app
        self._hosts = {f"{name}:{port}" for name in LOOPBACK} | (set(LOOPBACK) if port == 80 else set())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or say in one line why not."""
        if scope["type"] != "http":
            return  # a web socket is closed so

        async def send_closed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in CLOSED.items():
                    headers[name] = value
                headers.setdefault("Content-Security-Policy", NOTHING)
            await send(message)

        fault = next(self._faults(scope), None)
        if fault is None:
            await self._app(scope, receive, send_closed)
        else:
            await JSONResponse({"error": fault}, 403)(scope, receive, send_closed)

    def _faults(self, scope: Scope) -> Iterator[str]:
        headers = Headers(scope=scope)
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            yield "Host must be this machine's loopback: open the page under the address that lpspec serve printed"
        if any(origin.lower() != f"http://{hosts[0].lower()}" for origin in origins):
            yield "Origin must be this page itself: other pages get no answer"
        if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
            yield "a page of another site asks: it gets no answer"
