"""Reading: chunks from a descriptor without blocking the event loop, and lines out of chunks.

Standard input may be a pipe, a socket, a terminal, a regular file or ``/dev/null``, and its open file
description may be shared with other processes, so it is never switched to non-blocking mode. A pipe, socket or
terminal is waited for, which can be cancelled, and then read. What cannot be waited for because it never makes
one wait (a regular file, ``/dev/null``) is read at once. Where neither works (Windows), a daemon thread copies
the input into a socket pair, whose other end can be waited for.
"""

from __future__ import annotations

import os
import select
import socket
import sys
import threading
from collections import deque
from stat import S_ISREG
from typing import NamedTuple

import anyio
import anyio.lowlevel

from missive_host.errors import IoError

CHUNK = 64 * 1024
"""Bytes that are asked for at once: what a pipe holds on Linux."""


class Line(NamedTuple):
    """One line that is not blank. ``data`` is without its line end; None: it was longer than the limit."""

    number: int
    """Counts from 1 and counts blank lines, too."""
    data: bytes | None


class LineSplitter:
    """Lines out of chunks, however these are cut.

    Lines end with ``\\n``; one ``\\r`` before it is taken off. Blank lines are left out. Of a line with more than
    `limit` bytes before its ``\\n``, nothing is kept but its number.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pending = bytearray()
        self._too_long = False
        self._number = 1

    def feed(self, chunk: bytes) -> list[Line]:
        """Return the lines that end in this chunk."""
        *ended, rest = chunk.split(b"\n")
        lines = []
        for part in ended:
            line = self._finish(part)
            if line is not None:
                lines.append(line)
        self._keep(rest)
        return lines

    def close(self) -> Line | None:
        """Return the last line if the input did not end with a line end."""
        return self._finish(b"")

    def _keep(self, part: bytes) -> None:
        if self._too_long:
            return
        if len(self._pending) + len(part) > self._limit:
            self._too_long = True
            self._pending.clear()
        else:
            self._pending += part

    def _finish(self, part: bytes) -> Line | None:
        data: bytes | None
        if not self._pending and not self._too_long and len(part) <= self._limit:
            data = part  # the usual case: the whole line is in one chunk, and is not copied
        else:
            self._keep(part)
            data = None if self._too_long else bytes(self._pending)
            self._pending.clear()
            self._too_long = False
        number, self._number = self._number, self._number + 1
        if data is None:
            return Line(number, None)
        return None if not data or data.isspace() else Line(number, data.removesuffix(b"\r"))


class Input:
    """The bytes of a descriptor, in chunks. The descriptor stays open and belongs to whoever opened it.

    `threaded` forces the way that Windows needs.
    """

    def __init__(self, fd: int, *, threaded: bool = sys.platform == "win32") -> None:
        self._fd = fd
        self._never_waits = False
        self._thread_failure: OSError | None = None
        self._socket: socket.socket | None = None
        self._poll: select.poll | None = None
        # With standard input closed at start (`<&-`), number 0 may by now be some other file.
        self._ended = fd == 0 and sys.__stdin__ is None
        if self._ended:
            return
        try:
            self._never_waits = S_ISREG(os.fstat(fd).st_mode)
        except OSError as error:
            raise _unreadable(error) from error
        if threaded:
            self._start_thread()
        elif hasattr(select, "poll"):
            self._poll = select.poll()
            self._poll.register(fd, select.POLLIN)

    async def read(self) -> bytes:
        """Return the next bytes, or ``b""`` at the end of input. Raises `IoError`."""
        while not self._ended:
            try:
                await self._wait()
                chunk = os.read(self._fd, CHUNK) if self._socket is None else self._socket.recv(CHUNK)
            except BlockingIOError:
                continue  # another process has made the description non-blocking, and was quicker
            except OSError as error:
                raise _unreadable(error) from error
            if self._thread_failure and not chunk:
                raise _unreadable(self._thread_failure) from self._thread_failure
            self._ended = not chunk
            return chunk
        return b""

    async def read_all(self, limit: int) -> bytes | None:
        """Return all input, or None as soon as it is longer than `limit` bytes. Raises `IoError`."""
        data = bytearray()
        while chunk := await self.read():
            data += chunk
            if len(data) > limit:
                return None
        return bytes(data)

    def close(self) -> None:
        """Let go of the thread, if there is one. It ends when its blocked read does; it keeps nobody waiting."""
        if self._socket is not None:
            self._socket.close()
        self._ended = True

    async def _wait(self) -> None:
        if self._never_waits or self._has_input():
            await anyio.lowlevel.checkpoint()
            return
        try:
            await anyio.wait_readable(self._fd if self._socket is None else self._socket)
        except PermissionError:
            self._never_waits = True  # epoll's EPERM: reading such a file never waits
        except (OSError, NotImplementedError):
            if self._socket is not None:
                raise
            self._start_thread()
            await self._wait()

    def _has_input(self) -> bool:
        """Whether something, or the end, is there already: asking is much cheaper than waiting for it."""
        return self._poll is not None and bool(self._poll.poll(0))

    def _start_thread(self) -> None:
        self._poll = None
        self._socket, ours = socket.socketpair()
        self._never_waits = False
        threading.Thread(target=self._copy, args=(ours,), name="missive-stdin", daemon=True).start()

    def _copy(self, to: socket.socket) -> None:
        with to:
            try:
                while chunk := os.read(self._fd, CHUNK):
                    to.sendall(chunk)
            except OSError as error:
                self._thread_failure = error


class Lines:
    """The lines of an `Input`, one by one."""

    def __init__(self, source: Input, limit: int) -> None:
        self._source = source
        self._splitter = LineSplitter(limit)
        self._ready: deque[Line] = deque()
        self._ended = False

    async def next(self) -> Line | None:
        """Return the next line that is not blank, or None at the end of input. Raises `IoError`."""
        while not self._ready and not self._ended:
            chunk = await self._source.read()
            if chunk:
                self._ready += self._splitter.feed(chunk)
                continue
            self._ended = True
            last = self._splitter.close()
            if last is not None:
                self._ready.append(last)
        return self._ready.popleft() if self._ready else None


def _unreadable(error: OSError) -> IoError:
    return IoError(f"while reading standard input: {error.strerror or error}", help="give it a pipe or a file to read")
