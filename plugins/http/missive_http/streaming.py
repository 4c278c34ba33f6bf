"""Answers that go on: event streams (WHATWG HTML, server-sent events) and NDJSON, with signs of life."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from starlette.responses import Response

from missive_http.documents import encode
from missive_http.negotiation import EVENTS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.types import Receive, Scope, Send

    from missive_http.delivery import Waiting
    from missive_http.documents import Json

    Write = Callable[[Json, int | None], Awaitable[None]]

_EVENT_OF = {
    "http_command_output": "output",
    "http_receipt": "receipt",
    "http_result": "result",
    "http_error": "error",
}
_RETRY = b"retry: 2000\n\n"
_HEARTBEAT = b": still here\n\n"


def event(document: Json, position: int | None) -> bytes:
    """Return a document as one event. JSON has no line ends, so it is one line of data."""
    number = b"" if position is None else b"id: %d\n" % position
    return number + b"event: " + _EVENT_OF[document["kind"]].encode() + b"\ndata: " + encode(document) + b"\n\n"


class StreamResponse(Response):
    """Runs `produce`, which writes documents, for as long as the client is there.

    A client that reads slowly holds up `produce`, which is a viewer of its own: nobody else waits for it.
    """

    def __init__(
        self,
        media_type: str,
        produce: Callable[[Write], Awaitable[None]],
        *,
        heartbeat: float,
        waiting: Waiting,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.status_code = 200
        self.background = None
        self.media_type = media_type
        self._events = media_type == EVENTS
        self._produce = produce
        self._heartbeat = heartbeat
        self._waiting = waiting
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no", **(headers or {})})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        quiet = anyio.Event()

        async def body(data: bytes) -> None:
            await send({"type": "http.response.body", "body": data, "more_body": True})

        async def write(document: Json, position: int | None) -> None:
            nonlocal quiet
            quiet.set()
            quiet = anyio.Event()
            await body(event(document, position) if self._events else encode(document) + b"\n")

        async def live() -> None:
            while True:
                with anyio.move_on_after(self._heartbeat) as silent:
                    await quiet.wait()
                if silent.cancelled_caught:
                    await body(_HEARTBEAT)

        async def watch() -> None:
            while (await receive())["type"] != "http.disconnect":
                pass
            group.cancel_scope.cancel()

        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async with anyio.create_task_group() as group:
            group.start_soon(watch)
            if self._events:
                await body(_RETRY)
                group.start_soon(live)
            with self._waiting.until(group.cancel_scope.cancel):
                await self._produce(write)
            group.cancel_scope.cancel()
        await send({"type": "http.response.body", "body": b"", "more_body": False})
