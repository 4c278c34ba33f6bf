"""A reverse proxy before a homeserver, in which a test lets things go wrong."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import ClientSession, ClientTimeout, web

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

DROPPED_HEADERS = {"content-length", "transfer-encoding", "connection", "content-encoding", "keep-alive"}


class MatrixProxy:
    """Passes everything on. What it is told to do, it does to the next message that is sent through it."""

    def __init__(self, target: str) -> None:
        self._target = target
        self.limit: float | None = None
        """Refuse the next message: it may come again after so many seconds."""
        self.loses_answers = 0
        """Let the server have so many messages, and cut the connection instead of answering. The HTTP client sends a
        request of a kind that may come twice a second time by itself, if the connection was not new."""
        self.holds_answers = False
        """Let the server have messages, and never answer."""
        self.held = asyncio.Event()
        """An answer is held."""

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=2**26)
        app.router.add_route("*", "/{path:.*}", self._pass)
        self._session = ClientSession(timeout=ClientTimeout(total=None), auto_decompress=False)
        self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        assert site._server is not None
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self.port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._runner.cleanup()
        await self._session.close()

    def drop(self) -> None:
        """Cut all connections."""
        assert self._runner.server is not None
        for connection in list(self._runner.server.connections):
            if connection.transport is not None:
                connection.transport.abort()

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        sends = request.method == "PUT" and "/send/m.room." in request.raw_path
        if sends and self.limit is not None:
            wait, self.limit = self.limit, None
            body = {"errcode": "M_LIMIT_EXCEEDED", "error": "Too Many Requests", "retry_after_ms": int(wait * 1000)}
            return web.json_response(body, status=429)
        headers = {key: value for key, value in request.headers.items() if key.lower() not in {"host", "connection"}}
        async with self._session.request(
            request.method, self._target + request.raw_path, data=await request.read(), headers=headers
        ) as answer:
            content = await answer.read()
            kept = {key: value for key, value in answer.headers.items() if key.lower() not in DROPPED_HEADERS}
        if sends and self.holds_answers:
            self.held.set()
            await asyncio.Event().wait()
        if sends and self.loses_answers:
            self.loses_answers -= 1
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=answer.status, body=content, headers=kept)
