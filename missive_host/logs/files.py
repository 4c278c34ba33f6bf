"""The file of the log: whole lines, for its owner alone, and never larger than it may be.

Several processes may write to one file. Each line is one write to its end; who rotates holds a lock, and the others
see that the file under the name is another one now, as they do when logrotate has moved it, or somebody removed it.
"""

from __future__ import annotations

import errno
import logging
import os
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from missive_host.folders import make_folders

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOOK_SECONDS = 1.0
"""How often it is looked whether the file under the name is still ours."""
RETRY_SECONDS = 5.0
"""How long a file that cannot be opened is left alone."""


class LogFile(logging.Handler):
    """Appends to a file, and begins a new one when it is full: ``gateway.log`` becomes ``gateway.log.1``, and so on.

    It never raises: what cannot be written is counted, and `tell` is told once.
    """

    def __init__(self, path: Path, *, max_bytes: int, keep: int, tell: Callable[[str], None]) -> None:
        super().__init__()
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._tell = tell
        self._fd = -1
        self._size = 0
        self._looked = 0.0
        self._lost = 0
        self._rotates_from = 0.0
        self._closed_down = False
        self._torn = False
        """The file ends within a line, since the disk became full in the middle of it."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            data = self.format(record).encode("utf-8", "backslashreplace") + b"\n"
        except Exception:  # noqa: BLE001 - whoever logs is not to fail because of that
            return
        try:
            written = self._write(data)
        except OSError as error:
            self._failed(error)
        else:
            if self._lost and written:
                self._mended()
            if self._closed_down:  # a thread that was just logging when another handler took our place
                self._drop()

    def close(self) -> None:
        self.acquire()
        try:
            self._closed_down = True
            self._drop()
        finally:
            self.release()
        super().close()

    # ---

    def _write(self, data: bytes) -> bool:
        now = time.monotonic()
        if self._fd < 0 and self._lost and now - self._looked < RETRY_SECONDS:
            self._lost += 1
            return False
        if now - self._looked >= LOOK_SECONDS or self._fd < 0:
            self._looked = now
            if self._fd >= 0 and not self._is_ours():
                self._drop()
            if self._fd < 0:
                self._open()
        if self._size + len(data) > self._max_bytes and self._size and now >= self._rotates_from:
            self._rotate(now)
        rest = b"\n" + data if self._torn else data
        while rest:
            written = os.write(self._fd, rest)
            self._size += written
            rest = rest[written:]
            self._torn = bool(rest)
        return True

    def _open(self) -> None:
        # Without O_NONBLOCK a pipe under the name would hold us up until somebody reads it.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        for name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK"):
            flags |= getattr(os, name, 0)
        try:
            fd = os.open(self._path, flags, 0o600)
        except FileNotFoundError:
            make_folders(self._path.parent)
            fd = os.open(self._path, flags, 0o600)
        there = os.fstat(fd)
        if not stat.S_ISREG(there.st_mode):
            os.close(fd)
            raise OSError(errno.EINVAL, "this is not a file")
        self._fd = fd
        self._size = there.st_size
        with suppress(OSError):
            self._torn = self._ends_torn()

    def _ends_torn(self) -> bool:
        """Tell whether the process before us was killed, or ran out of disk, within a line."""
        if not self._size:
            return False
        with self._path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"

    def _is_ours(self) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        ours = os.fstat(self._fd)
        self._size = ours.st_size  # others may have written, or have cut it
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def _rotate(self, now: float) -> None:
        """Begin a new file. Where that cannot be, the old one goes on: a log that is too long is better than none."""
        try:
            with _Locked(self._fd):
                if self._is_ours() and self._size:
                    for number in range(self._keep, 1, -1):
                        with suppress(FileNotFoundError):
                            self._beside(number - 1).replace(self._beside(number))
                    if self._keep:
                        self._path.replace(self._beside(1))
                    else:
                        self._path.unlink()
        except OSError as error:
            if self._rotates_from == 0.0:
                reason = (error.strerror or type(error).__name__).lower()
                self._tell(f"{self._path} cannot be put aside, though it is full: {reason}")
            self._rotates_from = now + RETRY_SECONDS
        else:
            self._rotates_from = 0.0
            self._drop()
            self._open()

    def _beside(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _drop(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with suppress(OSError):
                os.close(fd)

    def _failed(self, error: OSError) -> None:
        self._lost += 1
        if self._lost == 1:
            reason = (error.strerror or type(error).__name__).lower()
            self._tell(f"the log cannot be written to {self._path}: {reason}; lines are lost until it can")

    def _mended(self) -> None:
        lost, self._lost = self._lost, 0
        text = f"the log is written again; {lost} {'line is' if lost == 1 else 'lines are'} missing"
        self._tell(text)
        fields = {"name": "missive.logs", "levelno": logging.WARNING, "levelname": "WARNING", "msg": text}
        self.emit(logging.makeLogRecord(fields))


class _Locked:
    """A lock that is held by one process at a time, on an open file; where there are none, nothing."""

    def __init__(self, fd: int) -> None:
        self._fd = os.dup(fd)

    def __enter__(self) -> None:
        with suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(self._fd, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        with suppress(ImportError, OSError):
            import fcntl

            fcntl.flock(self._fd, fcntl.LOCK_UN)
        os.close(self._fd)
