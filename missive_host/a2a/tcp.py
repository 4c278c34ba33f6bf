"""TCP: dialling all addresses of a host (RFC 8305), and the stream of one connection.

Why not anyio's socket stream: it turns reading on and off around each `receive` and passes through the event loop
once more before each `send`. With one message after another that was a fifteenth of a message's CPU.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from ipaddress import ip_address
from typing import Any, cast

import anyio
import anyio.lowlevel
from anyio import BrokenResourceError, ClosedResourceError, EndOfStream
from anyio.abc import ByteStream

ATTEMPT_DELAY = 0.25
"""Seconds until the next address is tried beside the one that has not answered yet (RFC 8305 section 8)."""
BUFFER = 512 * 1024
"""Bytes that may wait to be received; then nothing more is read from the socket, and TCP slows the sender down."""

Address = tuple[socket.AddressFamily, Any]


class TcpStream(ByteStream, asyncio.Protocol):
    """A connected socket. One task at a time may send, one may receive.

    Unlike most streams it reads ahead, up to `BUFFER`. Made by `dial`; must be closed.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._chunks: list[bytes] = []
        self._held = 0
        self._paused = False
        self._ended = False
        self._closed = False
        self._failure: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._full = False

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {}

    @property
    def silent(self) -> bool:
        """Whether nothing has come that was not received, not even the end."""
        return not (self._chunks or self._ended or self._closed)

    async def send(self, item: bytes) -> None:
        """Hand bytes to the kernel; wait while too many are waiting to go out."""
        self._check_open()
        assert self._transport is not None
        self._transport.write(item)
        if self._full:
            self._writer = asyncio.get_running_loop().create_future()
            try:
                await self._writer
            finally:
                self._writer = None
            self._check_open()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return what has come, or wait for it. Raises `EndOfStream`, `BrokenResourceError`, `ClosedResourceError`."""
        while not self._chunks:
            if self._ended and self._failure is None and not self._closed:
                raise EndOfStream
            self._check_open()
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        if len(data) > max_bytes:
            self._chunks.append(data[max_bytes:])
            data = data[:max_bytes]
        self._held -= len(data)
        if self._paused and self._held < BUFFER and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def send_eof(self) -> None:
        """Say that nothing more will be sent."""
        if self._transport is not None:
            with suppress(OSError):
                self._transport.write_eof()

    async def aclose(self) -> None:
        """Close at once, also while being cancelled. What has not gone out is dropped."""
        self._closed = True
        if self._transport is not None:
            self._transport.abort()
            await anyio.lowlevel.cancel_shielded_checkpoint()  # the loop closes the socket in its next turn

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedResourceError
        if self._failure is not None:
            raise BrokenResourceError from self._failure
        if self._transport is None or self._transport.is_closing():
            raise BrokenResourceError

    # ------------------------------------------------------------------ called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        self._chunks.append(data)
        self._held += len(data)
        if self._held >= BUFFER and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()
        _wake(self._reader)

    def eof_received(self) -> bool:
        self._ended = True
        _wake(self._reader)
        return True  # we may still send

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = True
        self._failure = self._failure or exc
        self._full = False
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        _wake(self._writer)


def _wake(waiting: asyncio.Future[None] | None) -> None:
    if waiting is not None and not waiting.done():
        waiting.set_result(None)


async def dial(host: str, port: int) -> tuple[TcpStream, socket.socket]:
    """Connect to the first address of a host that answers. Returns the stream and its socket, for options only.

    Raises `OSError`, of several addresses with an `ExceptionGroup` as its cause; `socket.gaierror`, `UnicodeError`.
    """
    sock = await _race(await _addresses(host, port))
    try:
        _, stream = await asyncio.get_running_loop().create_connection(TcpStream, sock=sock)
    except BaseException:
        sock.close()
        raise
    return stream, sock


async def _addresses(host: str, port: int) -> list[Address]:
    """Return the addresses in the order in which to try them: the system's, the two families in turn."""
    try:
        literal = ip_address(host)
    except ValueError:
        found = await anyio.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    else:
        return [(socket.AF_INET6 if literal.version == 6 else socket.AF_INET, (host, port))]
    addresses: list[Address] = [(item[0], item[4]) for item in found]
    first = [item for item in addresses if item[0] == addresses[0][0]]
    second = [item for item in addresses if item[0] != addresses[0][0]]
    mixed = [item for pair in zip(first, second, strict=False) for item in pair]
    return mixed + first[len(second) :] + second[len(first) :]


async def _race(addresses: list[Address]) -> socket.socket:
    """Return a connected socket: each attempt begins when the one before has failed, or after `ATTEMPT_DELAY`."""
    winner: list[socket.socket] = []
    errors: list[OSError] = []

    async def attempt(family: socket.AddressFamily, address: Any, failed: anyio.Event) -> None:
        try:
            sock = await _connected(family, address)
        except OSError as error:
            errors.append(error)
            failed.set()
            return
        winner.append(sock)
        group.cancel_scope.cancel()

    try:
        async with anyio.create_task_group() as group:
            for family, address in addresses:
                failed = anyio.Event()
                group.start_soon(attempt, family, address, failed)
                with anyio.move_on_after(ATTEMPT_DELAY):
                    await failed.wait()
        if winner:
            return winner.pop(0)
    finally:
        for late in winner:
            late.close()
    raise OSError("no address answered") from (errors[0] if len(errors) == 1 else ExceptionGroup("attempts", errors))


async def _connected(family: socket.AddressFamily, address: Any) -> socket.socket:
    # The protocol is named because asyncio sets TCP_NODELAY only where it reads IPPROTO_TCP.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock
