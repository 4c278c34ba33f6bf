"""The gateway's HTTP listener: one socket, one server, and paths that adapters put on it and take off again."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Any

import anyio
import uvicorn
from anyio.abc import TaskStatus

from missive_host.errors import ConfigError
from missive_host.gateway.protocol import GuardedProtocol, Limits
from missive_host.telemetry import TraceContext, about, current_fields, given_trace
from missive_host.telemetry.spans import SERVER, entering

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]

log = logging.getLogger("missive.listener")

BACKLOG = 2048


class HttpListener:
    """A `missive_host.protocols.Listener`. Bound when it is made; `serve` answers.

    ::

        listener = HttpListener("127.0.0.1:7347")
        async with anyio.create_task_group() as group:
            await group.start(listener.serve)
            with listener.mount("/adapter/http", app):
                ...
            listener.stop()  # answers what is under way, for `graceful` seconds
            await listener.stopped()
    """

    def __init__(self, bind: str, *, limits: Limits | None = None, graceful: float = 5) -> None:
        """Bind to an IP address and a port (``[::1]:7347``; port 0: a free one). Raises `ConfigError`."""
        host, _, port = bind.rpartition(":")
        self._host = ip_address(host.strip("[]"))
        self._socket = _bind(bind, str(self._host), int(port))
        self._port: int = self._socket.getsockname()[1]
        self._mounted: dict[str, tuple[Any, Mapping[str, str]]] = {}
        """The applications, and what the log says of those who have mounted them."""
        self._resting: set[str] = set()
        """Paths that were served: an adapter that is started again, or stopped, has not vanished."""
        self._on_stop: dict[str, Callable[[], None]] = {}
        self._graceful = graceful
        self._served = anyio.Event()
        self._server = _Server(self._config(limits or Limits(), graceful))

    @property
    def url(self) -> str:
        host = f"[{self._host}]" if isinstance(self._host, IPv6Address) else str(self._host)
        return f"http://{host}:{self._port}"

    @property
    def is_loopback(self) -> bool:
        return self._host.is_loopback

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._server.server_state.connections)

    @contextmanager
    def mount(self, path: str, app: Any, *, on_stop: Callable[[], None] | None = None) -> Iterator[None]:
        path = path.rstrip("/")
        if path in self._mounted:
            raise ConfigError(
                f"the path {path or '/'} of the listener is taken", help="two adapters of this kind cannot share it"
            )
        self._mounted[path] = (app, current_fields())
        self._resting.discard(path)
        if on_stop is not None:  # also after it is taken off: what was begun on it goes on
            self._on_stop[path] = on_stop
        try:
            yield
        finally:
            del self._mounted[path]
            self._resting.add(path)

    async def serve(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Answer until `stop`. Cancelled, it ends all connections at once."""
        self._server.on_started = task_status.started
        try:
            await self._server.serve(sockets=[self._socket])
        finally:
            self._server.take_no_more()  # before the socket is closed: the event loop must forget it first
            self.close()
            with anyio.CancelScope(shield=True):
                await self._server.end_now()
            self._served.set()

    def stop(self) -> None:
        """Take no new connections, answer what is under way, and let `serve` return."""
        for call in self._on_stop.values():
            call()
        self._server.stop()

    async def stopped(self) -> None:
        """Wait until `serve` has ended, after `stop`: for `graceful` seconds at the most, and a moment."""
        with anyio.move_on_after(self._graceful + 1):
            await self._served.wait()

    def close(self) -> None:
        """Close the socket; for a listener that was never served."""
        self._socket.close()

    def _config(self, limits: Limits, graceful: float) -> uvicorn.Config:
        protocol = type("Protocol", (GuardedProtocol,), {"limits": limits})
        return uvicorn.Config(
            self._answer,
            http=protocol,
            interface="asgi3",
            ws="none",
            lifespan="off",
            access_log=False,
            log_config=None,
            log_level="critical",  # what matters is logged in `_answer`
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=limits.keep_alive_seconds,  # type: ignore[arg-type] # handed to call_later
            timeout_graceful_shutdown=graceful,  # type: ignore[arg-type] # handed to wait_for
        )

    async def _answer(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Hand a request to whom its path belongs: the longest one that is mounted."""
        path: str = scope["path"]
        while True:
            found = self._mounted.get(path)
            if found is not None:
                app, fields = found
                try:
                    with about(None, **fields):
                        await (_traced(app, path, scope, receive, send) if path else app(scope, receive, send))
                except Exception as error:
                    log.error("unexpected %s in the answer to a request", type(error).__name__)  # noqa: TRY400
                    raise  # uvicorn answers 500, or ends the connection
                return
            if path in self._resting:
                await _refuse(send, 503, "Service Unavailable", "this is not served at the moment")
                return
            if not path:
                await _refuse(send, 404, "Not Found", "nothing is served under this path")
                return
            path = path.rpartition("/")[0]


async def _traced(app: Any, route: str, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
    """Answer a request in the trace that it names, or in one of its own."""
    attributes = {"http.request.method": scope["method"], "http.route": route, "url.scheme": scope["scheme"]}

    async def answer(message: Message) -> None:
        if message["type"] == "http.response.start":
            status: int = message["status"]
            serving.note("http.response.status_code", status)
            if status >= 500:
                serving.fail(str(status))
        await send(message)

    with entering(f"{scope['method']} {route}", SERVER, _trace_of(scope["headers"]), attributes) as serving:
        await app(scope, receive, answer)


def _trace_of(headers: Sequence[tuple[bytes, bytes]]) -> TraceContext | None:
    """Return the trace that a request names: W3C Trace Context takes one ``traceparent``, and any ``tracestate``."""
    parents = [value for name, value in headers if name == b"traceparent"]
    if len(parents) != 1:
        return None
    states = [value for name, value in headers if name == b"tracestate"]
    return given_trace(parents[0].decode("latin-1"), b",".join(states).decode("latin-1"))


class _Server(uvicorn.Server):
    """Leaves the signals to us, and does not wake up ten times a second to see whether it has to end."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.on_started: Callable[[], None] = _nothing
        self._ending: anyio.Event | None = None

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending = anyio.Event()
        await super().startup(sockets=sockets)
        await self.on_tick(0)  # the Date of answers
        self.on_started()

    async def main_loop(self) -> None:
        assert self._ending is not None
        while not await self.on_tick(0):
            with anyio.move_on_after(1):
                await self._ending.wait()

    def stop(self) -> None:
        self.should_exit = True
        if self._ending is not None:
            self._ending.set()

    def take_no_more(self) -> None:
        for server in getattr(self, "servers", ()):
            server.close()

    async def end_now(self) -> None:
        """End every connection and what answers on it."""
        tasks = set(self.server_state.tasks)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1)


def _nothing() -> None:
    pass


def _bind(bind: str, host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY only where it reads IPPROTO_TCP, and a connection has it
    # from its listener. Without it each answer waits 40 ms for the client's delayed acknowledgement.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise ConfigError(
            f"cannot listen on {bind}: {error.strerror}", help="set gateway.bind_address to an address that is free"
        ) from None
    return sock


async def _refuse(send: Send, status: int, title: str, detail: str) -> None:
    body = json.dumps({"title": title, "status": status, "detail": detail}).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    if status == 503:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
