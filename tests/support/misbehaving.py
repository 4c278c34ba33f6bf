"""An HTTP server that answers whatever a test wants, byte by byte, over real sockets.

::

    def test_html(misbehaving):
        server = misbehaving(reply(200, b"<html>", content_type="text/html"))
        ...  # talk to server.url
        assert server.connections == 1

A handler is a plain function of one `Exchange`; it runs in the thread of its connection. When
it returns, the connection is kept and its next request is read, unless it was closed. GET on
the card's path is answered with a card that points to this server (`Misbehaving.card`), unless
``card=False``; card requests are counted, too, but are not in `Misbehaving.requests`.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CARD_PATH = "/.well-known/agent-card.json"
End = Literal["clean", "cut", "reset", "hang"]


@dataclass(frozen=True)
class Request:
    """One request that came in."""

    method: str
    target: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    connection: int
    """Number of the TCP connection, from 1."""

    def json(self) -> Any:
        return json.loads(self.body)


class Exchange:
    """One request and the raw connection to answer it on."""

    def __init__(self, request: Request, sock: socket.socket, stopping: threading.Event) -> None:
        self.request = request
        self._sock = sock
        self._stopping = stopping
        self.closed = False

    def send(self, data: bytes) -> None:
        """Send these bytes as they are."""
        self._sock.sendall(data)

    def reply(
        self,
        status: int,
        body: bytes | str | dict[str, Any] = b"",
        *,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Send a whole response; a dict is written as JSON."""
        raw = json.dumps(body).encode() if isinstance(body, dict) else body.encode() if isinstance(body, str) else body
        self.send(_head(status, {"Content-Type": content_type, "Content-Length": str(len(raw)), **(headers or {})}))
        self.send(raw)

    def start_stream(self, *, content_type: str = "text/event-stream") -> None:
        """Send the head of a chunked response."""
        self.send(_head(200, {"Content-Type": content_type, "Transfer-Encoding": "chunked"}))

    def chunk(self, data: bytes | str) -> None:
        """Send one chunk of a chunked response."""
        raw = data.encode() if isinstance(data, str) else data
        self.send(f"{len(raw):x}\r\n".encode() + raw + b"\r\n")

    def event(self, document: dict[str, Any]) -> None:
        """Send one server-sent event with this JSON in a chunk of its own."""
        self.chunk(f"data: {json.dumps(document)}\r\n\r\n")

    def end_stream(self, end: End = "clean") -> None:
        """End a chunked response: whole, or with the connection closed, reset or left hanging."""
        if end == "clean":
            self.send(b"0\r\n\r\n")
        elif end == "cut":
            self.close()
        elif end == "reset":
            self.reset()
        else:
            self.hang()

    def result(self, result: dict[str, Any]) -> None:
        """Answer a JSON-RPC request with this result."""
        self.reply(200, {"jsonrpc": "2.0", "id": self.request.json()["id"], "result": result})

    def close(self) -> None:
        """Close the connection (FIN)."""
        self.closed = True
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Reset the connection (RST)."""
        self.closed = True
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._sock.close()

    def wait(self, seconds: float) -> None:
        """Wait; the end of the test ends the wait."""
        self._stopping.wait(seconds)

    def hang(self) -> None:
        """Say nothing until the other side leaves or the test ends."""
        self._sock.settimeout(0.05)
        while not self._stopping.is_set():
            try:
                if not self._sock.recv(65536):
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        self.close()


Handler = Callable[[Exchange], None]


class Misbehaving:
    """The server. `connections` and `requests` tell what came in."""

    def __init__(self, handler: Handler, *, card: bool, binding: str, streaming: bool) -> None:
        self._handler = handler
        self._serve_card = card
        self._binding = binding
        self._streaming = streaming
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._socks: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.connections = 0
        self.card_requests = 0
        self.requests: list[Request] = []
        self.errors: list[Exception] = []
        """What handlers raised, other than that the client had left."""
        self._start(self._accept)

    def card(self) -> dict[str, Any]:
        """Return the card of an agent at this server."""
        interface = {"url": self.url, "protocolBinding": self._binding, "protocolVersion": "1.0"}
        skill = {"id": "trouble", "name": "Trouble", "description": "Makes it.", "tags": ["test"]}
        return {
            "name": "misbehaving",
            "description": "Answers what a test wants.",
            "version": "1.0.0",
            "supportedInterfaces": [interface],
            "capabilities": {"streaming": self._streaming},
            "defaultInputModes": ["text/plain"],
            "defaultOutputModes": ["text/plain"],
            "skills": [skill],
        }

    def refuse(self) -> None:
        """Take no further connections; those that are open go on."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept(); close() alone does not
        self._listener.close()

    def stop(self) -> None:
        """Stop, close all connections and wait for the threads."""
        self._stopping.set()
        self.refuse()
        with self._lock:
            socks, threads = list(self._socks), list(self._threads)
        for sock in socks:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        deadline = time.monotonic() + 5
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        assert not any(thread.is_alive() for thread in threads), "a handler does not end"

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        with self._lock:
            self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._stopping.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                self._socks.add(sock)
                number = self.connections
            self._start(self._serve, sock, number)

    def _serve(self, sock: socket.socket, number: int) -> None:
        reader = sock.makefile("rb")
        try:
            while (request := _read_request(reader, number)) is not None:
                exchange = Exchange(request, sock, self._stopping)
                if self._serve_card and request.method == "GET" and request.target == CARD_PATH:
                    with self._lock:
                        self.card_requests += 1
                    exchange.reply(200, self.card())
                else:
                    with self._lock:
                        self.requests.append(request)
                    self._handler(exchange)
                if exchange.closed:
                    return
        except OSError:
            return  # the client, or the test's end, closed the connection
        except Exception as error:  # noqa: BLE001 - kept for the test to see
            self.errors.append(error)
        finally:
            with self._lock:
                self._socks.discard(sock)
            reader.close()
            sock.close()


class _Readable(Protocol):
    def readline(self, size: int = ..., /) -> bytes: ...
    def read(self, size: int = ..., /) -> bytes: ...


def _read_request(reader: _Readable, connection: int) -> Request | None:
    first = reader.readline()
    if not first.strip():
        return None
    method, target, _ = first.decode("latin-1").split(" ", 2)
    headers: dict[str, str] = {}
    while (line := reader.readline().strip()) != b"":
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    if "chunked" in headers.get("transfer-encoding", ""):
        body = b""
        while size := int(reader.readline().split(b";")[0], 16):
            body += reader.read(size)
            reader.readline()
        reader.readline()
    else:
        body = reader.read(int(headers.get("content-length", "0")))
    return Request(method, target, headers, body, connection)


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


# --- ready-made handlers


def reply(
    status: int,
    body: bytes | str | dict[str, Any] = b"",
    *,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
    after: float = 0.0,
) -> Handler:
    """Return a handler that gives this response, `after` so many silent seconds."""

    def handle(exchange: Exchange) -> None:
        if after:
            exchange.wait(after)
        exchange.reply(status, body, content_type=content_type, headers=headers)

    return handle


def stream(*chunks: bytes | str, end: End = "clean", pause: float = 0.0) -> Handler:
    """Return a handler that streams these chunks as ``text/event-stream`` and ends as told."""

    def handle(exchange: Exchange) -> None:
        exchange.start_stream()
        for chunk in chunks:
            exchange.chunk(chunk)
            if pause:
                exchange.wait(pause)
        exchange.end_stream(end)

    return handle


def raw(data: bytes, *, close: bool = True) -> Handler:
    """Return a handler that sends these bytes as they are."""

    def handle(exchange: Exchange) -> None:
        exchange.send(data)
        if close:
            exchange.close()

    return handle


def in_turn(*handlers: Handler) -> Handler:
    """Return a handler that uses the first for the first request, and so on; the last one for all further ones."""
    lock = threading.Lock()
    left = list(handlers)

    def handle(exchange: Exchange) -> None:
        with lock:
            chosen = left.pop(0) if len(left) > 1 else left[0]
        chosen(exchange)

    return handle


class Start(Protocol):
    """What the fixture is: call it with a handler to start a server."""

    def __call__(
        self, handler: Handler, *, card: bool = True, binding: str = "JSONRPC", streaming: bool = True
    ) -> Misbehaving: ...


@pytest.fixture
def misbehaving() -> Iterator[Start]:
    """Start servers whose handler the test gives; they end with the test, which fails if a handler raised."""
    servers: list[Misbehaving] = []

    def start(handler: Handler, *, card: bool = True, binding: str = "JSONRPC", streaming: bool = True) -> Misbehaving:
        server = Misbehaving(handler, card=card, binding=binding, streaming=streaming)
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.stop()
    for server in servers:
        for error in server.errors:
            raise error
