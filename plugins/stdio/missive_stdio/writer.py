"""Writing: whole frames, one after the other, at once, and never faster than they are read.

Standard output's open file description may be shared with other processes, so it is never switched to
non-blocking mode. A write is made only when ``poll`` says that there is room, and then of at most ``PIPE_BUF``
bytes, which is what POSIX promises to fit: so the event loop is never blocked by a reader that does not read.
"""

from __future__ import annotations

import errno
import os
import select
import sys
from stat import S_ISREG
from typing import TYPE_CHECKING

import anyio
import anyio.lowlevel
import anyio.to_thread

from missive_host.errors import IoError

if TYPE_CHECKING:
    from collections.abc import Callable

_CLOSED = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ESHUTDOWN})


class FrameWriter:
    """Frames to a descriptor. The descriptor stays open and belongs to whoever opened it.

    A frame of which the first byte is out is finished before any other, also if its sender was cancelled: the
    rest waits in here for the next `write` or `flush`. `on_broken` is called once, when nothing more can be
    written. `threaded` forces the way that Windows needs, where a pipe cannot be polled.
    """

    def __init__(self, fd: int, *, on_broken: Callable[[], None], threaded: bool = sys.platform == "win32") -> None:
        self.broken = False
        """True: nothing more can be written."""
        self.failure: IoError | None = None
        """Why, unless the reader simply went away."""
        self._fd = fd
        self._on_broken = on_broken
        self._lock = anyio.Lock(fast_acquire=True)
        self._rest = memoryview(b"")
        self._threaded = threaded
        self._chunk = 1
        if fd == 1 and sys.__stdout__ is None:
            # It was closed at start (`>&-`), so that number 1 may by now be some other file.
            self.broken = True
            return
        try:
            self._chunk = sys.maxsize if S_ISREG(os.fstat(fd).st_mode) else getattr(select, "PIPE_BUF", 512)
        except OSError as error:
            raise _unwritable(error) from error
        if not threaded:
            self._poll = select.poll()
            self._poll.register(fd, select.POLLOUT)

    async def write(self, make: Callable[[], bytes]) -> None:
        """Write the frame that `make` returns; wait for room first.

        `make` is called only when there is room, so a sender that is cancelled while it waits has made no frame,
        and used up no sequence number. Raises `IoError` when nothing more can be written.
        """
        async with self._lock:
            await self._drain()
            await self._room()
            self._rest = memoryview(make())
            await self._drain()

    async def flush(self) -> None:
        """Finish a frame whose sender was cancelled half-way. Raises `IoError`."""
        self._check()
        if self._rest:
            async with self._lock:
                await self._drain()

    async def _room(self) -> None:
        self._check()
        if self._threaded:
            await anyio.lowlevel.checkpoint()
            return
        while not self._poll.poll(0):
            await anyio.wait_writable(self._fd)
            self._check()

    async def _drain(self) -> None:
        self._check()
        if self._threaded:
            await self._drain_in_thread()
            return
        while self._rest:
            await self._room()
            try:
                written = os.write(self._fd, self._rest[: self._chunk])
            except BlockingIOError:
                # Somebody made the description non-blocking, and there is room, but too little for this chunk.
                await anyio.sleep(0.005)
                continue
            except OSError as error:
                raise self._break(error) from error
            self._rest = self._rest[written:]

    async def _drain_in_thread(self) -> None:
        frame, self._rest = self._rest, memoryview(b"")
        if not frame:
            return
        whole = False
        try:
            await anyio.to_thread.run_sync(_write_all, self._fd, frame, abandon_on_cancel=True)
            whole = True
        except OSError as error:
            raise self._break(error) from error
        finally:
            if not whole and not self.broken:
                self._break(BrokenPipeError())  # the thread is still at it; nothing may come in between

    def _check(self) -> None:
        if self.broken:
            raise self.failure or IoError("while writing standard output: it was closed")

    def _break(self, error: OSError) -> IoError:
        self.broken = True
        self._rest = memoryview(b"")
        if error.errno not in _CLOSED and not isinstance(error, BrokenPipeError):
            self.failure = _unwritable(error)
        self._on_broken()
        return self.failure or IoError("while writing standard output: it was closed")


def _write_all(fd: int, data: memoryview) -> None:
    while data:
        data = data[os.write(fd, data) :]


def _unwritable(error: OSError) -> IoError:
    return IoError(f"while writing standard output: {error.strerror or error}")
