"""A TCP proxy in front of an agent, whose connections a test can cut."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class CuttingProxy:
    """Forwards to the target, ``host:port``. `reset` cuts all that is open with a TCP reset; `freeze` silences it."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing: set[asyncio.Event] = set()
        self._answering: set[asyncio.Event] = set()
        self.connections = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.reset()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    def freeze(self) -> None:
        """Keep everything that is open, and forward nothing of it any more. New connections are not concerned."""
        for flowing in self._flowing | self._answering:
            flowing.clear()

    def mute(self) -> None:
        """Forward nothing any more of what the target says on connections that are open."""
        for flowing in self._answering:
            flowing.clear()

    def reset(self) -> None:
        for flowing in self._flowing | self._answering:
            flowing.set()
        for writer in self._writers:
            sock: socket.socket = writer.get_extra_info("socket")
            with suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        self._writers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        self._writers.add(writer)
        try:
            there, back = await asyncio.open_connection(self._host, self._port)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(back)
        flowing, answering = asyncio.Event(), asyncio.Event()
        flowing.set()
        answering.set()
        self._flowing.add(flowing)
        self._answering.add(answering)
        try:
            await asyncio.gather(_pump(reader, back, flowing), _pump(there, writer, answering))
        finally:
            self._flowing.discard(flowing)
            self._answering.discard(answering)
            for each in (writer, back):
                self._writers.discard(each)
                each.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, flowing: asyncio.Event) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            await flowing.wait()
            writer.write(data)
            await writer.drain()
        writer.write_eof()
