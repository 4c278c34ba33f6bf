"""Reading the log again: the newest records from the end, all of them from the beginning, and what comes.

Nothing is loaded whole. Lines that are not missive's, broken ones, and bytes that are no text are shown as they are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from missive_host.outputs_logs import LogLine

CHUNK = 64 * 1024
LONGEST = 1024 * 1024
"""Bytes of a line; of a longer one only its length is told."""
LEVELS = ("debug", "info", "warn", "error")
_SKEW = 60.0
"""Seconds by which records may be out of order: those of two processes, or after the clock was set."""
_OWN = frozenset(("timestamp", "level", "target", "message", "exception", "trace_id", "span_id", "extra"))

_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Which records are wanted."""

    level: str | None = None
    targets: tuple[str, ...] = ()
    adapter: str | None = None
    agent: str | None = None
    ids: tuple[str, ...] = ()
    """Ids of whatever kind: each record with one of them."""
    grep: re.Pattern[str] | None = None
    since: float | None = None
    until: float | None = None

    def has(self, line: LogLine) -> bool:
        """Tell whether a record is wanted. A line that is not missive's has nothing but its text."""
        if self.grep is not None and not (
            self.grep.search(line.message) or (line.exception and self.grep.search(line.exception))
        ):
            return False
        if self.level is not None and (line.level not in LEVELS or LEVELS.index(line.level) < LEVELS.index(self.level)):
            return False
        if self.targets and not any(f"{line.target}.".startswith(f"{target}.") for target in self.targets):
            return False
        if self.adapter is not None and line.fields.get("adapter") != self.adapter:
            return False
        if self.agent is not None and line.fields.get("agent") != self.agent:
            return False
        if self.ids and not any(wanted in self.ids for wanted in (line.trace_id, line.span_id, *line.fields.values())):
            return False
        if self.since is None and self.until is None:
            return True
        at = time_of(line)
        return at is not None and (self.since is None or at >= self.since) and (self.until is None or at <= self.until)


def time_of(line: LogLine) -> float | None:
    """Return when a record was made, in seconds; None if it does not say."""
    try:
        return datetime.fromisoformat(line.timestamp).timestamp() if isinstance(line.timestamp, str) else None
    except ValueError:
        return None


def parsed(data: bytes) -> LogLine:
    """Return a line of the file as a record."""
    try:
        found = _decode(data)
        texts = {name: found[name] for name in _OWN - {"extra"} if name in found}
        if "message" in texts and "timestamp" in texts and all(isinstance(text, str) for text in texts.values()):
            fields = {name: str(value) for name, value in found.items() if name not in _OWN}
            extra = found.get("extra")
            return LogLine(**texts, fields=fields, extra=extra if extra and isinstance(extra, dict) else msgspec.UNSET)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    return LogLine(message=data.decode("utf-8", "replace"), fields={})


def _too_long(size: int) -> bytes:
    return b"(a line of %d bytes is left out)" % size


# --- the files


class LogFiles:
    """The file of a log, and the full ones beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def rotated(self) -> list[Path]:
        """Return the full files, the newest first."""
        name = re.compile(re.escape(self.path.name) + r"\.([0-9]{1,6})")
        try:
            found = {int(match[1]): each for each in self.path.parent.iterdir() if (match := name.fullmatch(each.name))}
        except OSError:
            return []
        return [found[number] for number in sorted(found)]

    def _paths(self) -> Iterator[Path]:
        yield self.path
        yield from self.rotated()  # looked up when the newest is open

    def open(self, stack: ExitStack, *, since: float | None = None) -> list[BinaryIO]:
        """Open what there is, the newest first; what was last written before `since` is left out.

        Newest first, since a file that is put aside meanwhile then comes twice and not never; twice is noticed here.
        Raises `PermissionError`.
        """
        files: list[BinaryIO] = []
        seen: set[tuple[int, int]] = set()
        for path in self._paths():
            try:
                file = path.open("rb")
            except (FileNotFoundError, IsADirectoryError):
                continue
            there = os.fstat(file.fileno())
            old = since is not None and there.st_mtime < since - _SKEW
            if old or (there.st_dev, there.st_ino) in seen:
                file.close()
                continue
            seen.add((there.st_dev, there.st_ino))
            files.append(stack.enter_context(file))
        return files


def newest(file: BinaryIO, end: int) -> Iterator[bytes]:
    """Yield the lines of a file before a position, the last one first; empty ones are left out."""
    tail: list[bytes] = []
    """The end of the line whose beginning is yet to be found: pieces of it, the last one first."""
    size = 0
    while end > 0:
        step = min(CHUNK, end)
        end -= step
        file.seek(end)
        first, *rest = file.read(step).split(b"\n")
        for piece in reversed(rest):
            if size + len(piece):
                yield _too_long(size + len(piece)) if size + len(piece) > LONGEST else piece + b"".join(reversed(tail))
            tail, size = [], 0
        size += len(first)
        tail = [*tail, first] if size <= LONGEST else []
    if size:
        yield _too_long(size) if size > LONGEST else b"".join(reversed(tail))


class Reader:
    """Reads a file from a position on, line by line."""

    def __init__(self, file: BinaryIO, position: int = 0) -> None:
        self.file = file
        self.position = position
        self._left = b""
        self._skipped = 0

    def lines(self, end: int | None = None) -> Iterator[bytes]:
        """Yield the whole lines that are there; the beginning of one is kept until the rest has come."""
        while True:
            self.file.seek(self.position)
            step = CHUNK if end is None else min(CHUNK, end - self.position)
            data = self.file.read(step) if step > 0 else b""
            if not data:
                return
            self.position += len(data)
            pieces = data.split(b"\n")
            for piece in pieces[:-1]:
                line = self._left + piece
                skipped, self._left, self._skipped = self._skipped, b"", 0
                if skipped or len(line) > LONGEST:
                    yield _too_long(skipped + len(line))
                elif line:
                    yield line
            self._left += pieces[-1]
            if len(self._left) > LONGEST:
                self._skipped += len(self._left)
                self._left = b""

    def rest(self) -> Iterator[bytes]:
        """Yield a line that was begun and will not be ended."""
        line, self._left = self._left, b""
        if self._skipped:
            yield _too_long(self._skipped + len(line))
        elif line:
            yield line


def whole(file: BinaryIO, end: int) -> int:
    """Return where the last whole line before a position ends."""
    while end > 0:
        step = min(CHUNK, end)
        file.seek(end - step)
        found = file.read(step).rfind(b"\n")
        if found >= 0:
            return end - step + found + 1
        end -= step
    return 0


def last_lines(files: list[BinaryIO], ends: list[int], count: int, chosen: Chosen) -> list[LogLine]:
    """Return the newest records that are wanted, the oldest first. `files` are the newest first."""
    found: list[LogLine] = []
    if count == 0:
        return found
    for file, end in zip(files, ends, strict=True):
        for data in newest(file, end):
            line = parsed(data)
            if chosen.has(line):
                found.append(line)
                if len(found) == count:
                    return found[::-1]
            elif chosen.since is not None and (at := time_of(line)) is not None and at < chosen.since - _SKEW:
                return found[::-1]
    return found[::-1]


def all_lines(files: list[BinaryIO], ends: list[int], chosen: Chosen) -> Iterator[LogLine]:
    """Yield every record that is wanted, the oldest first."""
    for file, end in zip(reversed(files), reversed(ends), strict=True):
        reader = Reader(file)
        for lines in (reader.lines(end), reader.rest()):
            for data in lines:
                line = parsed(data)
                if chosen.has(line):
                    yield line


class Follower:
    """What comes: also when the file is put aside, once or several times, removed, or cut."""

    def __init__(self, files: LogFiles, file: BinaryIO | None, position: int) -> None:
        self._files = files
        self._reader = None if file is None else Reader(file, position)
        self._last: Reader | None = None
        """The file before, to which somebody may still write who has it open. That it stays open keeps other files
        from getting its number."""

    def news(self) -> Iterator[bytes]:
        """Yield the lines that have come since the last call."""
        if self._last is not None:
            yield from self._last.lines()
        reader = self._reader
        if reader is None:
            yield from self._begin()
            return
        there = _identity(self._files.path)
        if os.fstat(reader.file.fileno()).st_size < reader.position:
            reader = self._reader = Reader(reader.file)  # it was cut: logrotate's copytruncate
        yield from reader.lines()
        if there is None or there == _identity_of(reader.file):
            return
        if self._last is not None and there == _identity_of(self._last.file):  # it was moved back
            self._reader, self._last = self._last, reader
            return
        yield from self._put_aside(reader)
        yield from self._begin()

    def _begin(self) -> Iterator[bytes]:
        """Read what has come after the last file, and find the present one."""
        with ExitStack() as stack:
            files = self._files.open(stack)[::-1]
            present = _identity(self._files.path)
            last = None if self._last is None else _identity_of(self._last.file)
            known = [_identity_of(file) for file in files]
            if self._last is not None and last == present:  # it was moved back
                self._reader, self._last = self._last, None
                return
            if last in known:
                files = files[known.index(last) + 1 :]
            elif self._last is not None:  # it is gone, and all before it
                ended = os.fstat(self._last.file.fileno()).st_mtime_ns
                files = [
                    file
                    for file in files
                    if os.fstat(file.fileno()).st_mtime_ns >= ended or _identity_of(file) == present
                ]
            for file in files:
                reader = Reader(os.fdopen(os.dup(file.fileno()), "rb"))
                yield from reader.lines()
                if _identity_of(file) == present:
                    self._reader = reader
                else:
                    yield from self._put_aside(reader)

    def _put_aside(self, reader: Reader) -> Iterator[bytes]:
        """Keep a file that was read as the last one."""
        last, self._last, self._reader = self._last, reader, None
        if last is not None:
            yield from last.rest()
            last.file.close()

    def close(self) -> None:
        for reader in (self._last, self._reader):
            if reader is not None:
                reader.file.close()


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        there = path.stat()
    except OSError:
        return None
    return there.st_dev, there.st_ino


def _identity_of(file: BinaryIO) -> tuple[int, int]:
    there = os.fstat(file.fileno())
    return there.st_dev, there.st_ino
