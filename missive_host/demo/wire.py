"""One request as the transport saw it, and the HTTP side of it.

The SDK hides the connection from an agent on purpose. Two demo behaviours need it all
the same: one must break a stream off, and one must tell which headers came in. So each
request gets a `Wire`; the transport makes it, the SDK's call context carries it to the
behaviour (``call_context.state["wire"]``).
"""

from __future__ import annotations

import hmac
import json
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    End = Literal["break", "cut"]

WIRE = "wire"
"""Key of the `Wire` in an ASGI scope and in the state of the SDK's call context."""


class Wire:
    """The headers of one request, and how its stream shall end."""

    def __init__(self, headers: Iterable[tuple[str, str]]) -> None:
        self.headers = tuple((name.lower(), value) for name, value in headers)
        self._end: End | None = None
        self._left = 0

    def header(self, name: str) -> str | None:
        """Return the first value of the header `name` (lower case), or None."""
        return next((value for key, value in self.headers if key == name), None)

    def arm(self, end: End, *, after: int) -> None:
        """Let the stream end after `after` events: ``break`` cuts the connection, ``cut`` ends it cleanly."""
        self._end = end
        self._left = after

    def passed(self) -> End | None:
        """Count one event that has gone out; return how the stream must end now, or None."""
        if self._end is None:
            return None
        self._left -= 1
        return self._end if self._left <= 0 else None


def bearer_accepted(header: str | None, token: str) -> bool:
    """Return True if the ``Authorization`` value `header` carries `token` as a bearer token."""
    scheme, _, value = (header or "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(value.strip().encode(), token.encode())


class _StreamEndsError(Exception):
    """Leaves the SDK's response in the middle of a stream."""

    def __init__(self, end: End) -> None:
        super().__init__(end)
        self.end = end


class WireMiddleware:
    """Gives each HTTP request its `Wire`, asks for the bearer token, and ends streams early on demand.

    `legacy` hides an ``A2A-Version: 1.x`` header from the SDK, as an agent that is older than
    this header would not look at it: its answers to a client of 1.0 are then those of 0.3.
    """

    def __init__(self, app: ASGIApp, *, token: str | None, legacy: bool) -> None:
        self._app = app
        self._token = token
        self._legacy = legacy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        wire = Wire((name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"])
        public = scope["path"].startswith("/.well-known/")
        if self._token is not None and not public and not bearer_accepted(wire.header("authorization"), self._token):
            await _refuse(send)
            return
        headers = scope["headers"]
        if self._legacy:
            headers = [(k, v) for k, v in headers if not (k.lower() == b"a2a-version" and v.startswith(b"1"))]

        async def watched(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.body" and message.get("body") and message.get("more_body"):
                end = wire.passed()
                if end is not None:
                    raise _StreamEndsError(end)

        try:
            await self._app({**scope, "headers": headers, WIRE: wire}, receive, watched)
        except _StreamEndsError as stop:
            # Returning without the last body message makes the server close the TCP connection
            # in the middle of the chunked body: just what a break is.
            if stop.end == "cut":
                await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _refuse(send: Send) -> None:
    document: dict[str, Any] = {
        "error": {"code": 401, "status": "UNAUTHENTICATED", "message": "A bearer token is needed."}
    }
    body = json.dumps(document).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"www-authenticate", b'Bearer realm="missive demo"'),
    ]
    await send({"type": "http.response.start", "status": 401, "headers": headers})
    await send({"type": "http.response.body", "body": body})
