"""Raw servers for the tests of the HTTP client: every byte on the wire is the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    import ssl

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter


class Request(NamedTuple):
    line: str
    headers: dict[str, str]
    """Names in lower case."""
    body: bytes
    connection: int
    """Which connection it came on, counted from 1."""


Handler = Callable[["RawServer", int, Reader, Writer], Awaitable[None]]


class RawServer:
    """Listens on a port of 127.0.0.1 and runs `handle` for each connection."""

    def __init__(self, handle: Handler, *, tls: ssl.SSLContext | None = None) -> None:
        self._handle = handle
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections = 0
        self.open = 0
        self.requests: list[Request] = []
        self.closed = asyncio.Event()
        """Set when a connection has ended; clear it to wait for another."""

    @property
    def url(self) -> str:
        return f"{'http' if self._tls is None else 'https'}://localhost:{self.port}/rpc"

    async def __aenter__(self) -> Self:
        self.server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls, backlog=512)
        self.port: int = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self.open += 1
        try:
            await self._handle(self, self.connections, reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client went away, or the test is over
        finally:
            self.open -= 1
            try:
                writer.transport.abort() if task.cancelling() else writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()  # under TLS it waits for the client's farewell
            except asyncio.CancelledError:
                writer.transport.abort()
            self.closed.set()

    async def read(self, number: int, reader: Reader) -> Request | None:
        """Read one request; None at the end of the connection."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return None
        line, *rest = head.decode("ascii").rstrip("\r\n").split("\r\n")
        headers: dict[str, str] = {}
        for item in rest:
            name, _, value = item.partition(": ")
            assert name.lower() not in headers
            headers[name.lower()] = value
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        request = Request(line, headers, body, number)
        self.requests.append(request)
        return request


def ok(body: bytes = b"ok", *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n"


def answering(*answers: bytes, close_after: bool = False) -> Handler:
    """Answer the requests of each connection with `answers` in turn, the last one for ever."""

    async def handle(server: RawServer, number: int, reader: Reader, writer: Writer) -> None:
        left = list(answers)
        while await server.read(number, reader) is not None:
            writer.write(left.pop(0) if len(left) > 1 else left[0])
            await writer.drain()
            if close_after:
                return

    return handle


class Certificate(NamedTuple):
    certificate: Path
    key: Path


def make_certificate(folder: Path, name: str = "localhost") -> Certificate:
    """Make a self-signed certificate for one DNS name, with the `openssl` command."""
    made = Certificate(folder / f"{name}.pem", folder / f"{name}.key")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}"]
    command += ["-keyout", str(made.key), "-out", str(made.certificate)]
    subprocess.run(command, check=True, capture_output=True)
    return made
