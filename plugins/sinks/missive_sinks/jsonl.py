"""``jsonl``: a file with one JSON object a line.

The file is opened for each write, so that one that was moved or removed by another program is made anew. What is there
after a write is whole lines; half a line that a crash has left is taken away, since its event comes again.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread

from missive_host.errors import IoError
from missive_sinks.documents import document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from missive_host.protocols import JournalEvent, SinkContext

_OURS = b'{"id":"evt/'
"""How each of our lines begins."""
_TAIL = 1024 * 1024


class JsonLinesSink:
    """An `EventSink`."""

    def __init__(self, context: SinkContext) -> None:
        self._path = Path(context.options["path"])
        self._max_size: int = context.options["max_size"]
        self._keep: int = context.options["keep"]
        self._profile = context.profile
        self._mended = False

    async def write(self, events: Sequence[JournalEvent]) -> None:
        await anyio.to_thread.run_sync(self._write, events)

    async def aclose(self) -> None:
        """There is nothing to close."""

    def _write(self, events: Sequence[JournalEvent]) -> None:
        lines = [self._line(event) for event in events]
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            while lines:
                lines = self._append(lines)
        except OSError as error:
            raise IoError(f"while writing {self._path}: {error.strerror}") from None

    def _line(self, event: JournalEvent) -> bytes:
        text = json.dumps(document(event, self._profile), ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "replace") + b"\n"

    def _append(self, lines: list[bytes]) -> list[bytes]:
        """Write as many lines as the file has room for, at least one, and return the others."""
        with open(self._path, "r+b" if self._path.exists() else "x+b", opener=_private) as file:
            size = self._end(file.fileno())
            count, room = 0, self._max_size - size
            while count < len(lines) and len(lines[count]) <= room:
                room -= len(lines[count])
                count += 1
            if count or not size:
                _append_whole(file.fileno(), b"".join(lines[: max(count, 1)]), size)
                lines = lines[max(count, 1) :]
        if lines:
            self._rotate()
        return lines

    def _end(self, file: int) -> int:
        """Return the file's size, without the half line that a crash may have left."""
        size = os.fstat(file).st_size
        if self._mended or not size:
            return size
        tail = os.pread(file, min(size, _TAIL), max(0, size - _TAIL))
        if not tail.endswith(b"\n"):
            half = tail[tail.rfind(b"\n") + 1 :]
            if _OURS.startswith(half[: len(_OURS)]) or half.startswith(_OURS):
                size -= len(half)
                os.ftruncate(file, size)
            else:  # not ours: what is there stays there
                size += os.pwrite(file, b"\n", size)
        self._mended = True
        return size

    def _rotate(self) -> None:
        if not self._keep:
            self._path.unlink(missing_ok=True)
            return
        for number in range(self._keep, 0, -1):
            older = self._path if number == 1 else self._numbered(number - 1)
            with suppress(FileNotFoundError):
                older.replace(self._numbered(number))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")


def _append_whole(file: int, data: bytes, size: int) -> None:
    """Write all or, as far as the disk lets us, nothing."""
    try:
        written = 0
        while written < len(data):
            written += os.pwrite(file, data[written:], size + written)
        os.fsync(file)
    except OSError:
        with suppress(OSError):
            os.ftruncate(file, size)
        raise


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
