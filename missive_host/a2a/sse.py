"""Server-sent events, parsed from bytes as they come (WHATWG HTML, section 9.2, "Server-sent events").

Lines end at LF, CR or CR LF and nowhere else: U+2028, U+2029 and U+0085 are text like any other, and agents
send them raw inside JSON. That is why this works on bytes, whose ``splitlines`` knows no other line ends.
"""

from __future__ import annotations

from typing import NamedTuple

from missive_host.errors import ProtocolError

MAX_EVENT = 64 * 1024 * 1024
_BOM = b"\xef\xbb\xbf"


class SseEvent(NamedTuple):
    """One event. ``id`` is the last event id seen so far on the stream, None if there was none."""

    event: str
    data: bytes
    id: str | None


class SseParser:
    """Feed it a ``text/event-stream`` in pieces of any size; each call returns the events that became whole.

    `max_event` bounds the bytes of one event, a line that has not ended included.
    """

    __slots__ = ("_after_cr", "_data", "_event", "_first", "_id", "_max_event", "_partial", "_size")

    def __init__(self, *, max_event: int = MAX_EVENT) -> None:
        self._max_event = max_event
        self._partial: list[bytes] = []
        """Pieces of the line that has not ended; joined once, so that a line of megabytes costs one copy."""
        self._data: list[bytes] = []
        self._event = ""
        self._id: str | None = None
        self._size = 0
        """Bytes held in ``_partial`` and ``_data``."""
        self._first = True
        self._after_cr = False

    @property
    def pending(self) -> bool:
        """Whether an event has begun and not ended: at the end of the body, that the stream was cut inside one."""
        if self._data or self._event:
            return True
        partial = b"".join(self._partial)
        if self._first:
            partial = partial.removeprefix(_BOM)
        return bool(partial) and not partial.startswith(b":")

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """Take the next bytes of the body. Raises `ProtocolError` for an event larger than `max_event`."""
        if not chunk:
            return []
        if self._after_cr and chunk[0] == 0x0A:
            chunk = chunk[1:]  # the second half of a CR LF that was cut in two
        self._after_cr = chunk.endswith(b"\r")
        lines = chunk.splitlines()
        rest = lines.pop() if lines and chunk[-1] not in b"\r\n" else b""
        events: list[SseEvent] = []
        for line in lines:
            if self._partial:
                self._partial.append(line)
                line = b"".join(self._partial)  # noqa: PLW2901 - the line that ended here
                self._size -= len(line) - len(self._partial[-1])
                self._partial.clear()
            if self._first:
                self._first = False
                line = line.removeprefix(_BOM)  # noqa: PLW2901 - a byte order mark is not part of the first field
            if not line:
                if self._data:
                    data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
                    events.append(SseEvent(self._event or "message", data, self._id))
                    self._data.clear()
                self._event = ""
                self._size = 0
            else:
                self._field(line)
        if rest:
            self._partial.append(rest)
            self._grow(len(rest))
        return events

    def _field(self, line: bytes) -> None:
        if line.startswith(b"data: "):  # as nearly every line is written
            self._data.append(line[6:])
            self._grow(len(line))
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
            self._grow(len(line))
        elif name == b"event":
            self._event = value.decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        # Comments have an empty name; `retry` and names unknown to the standard are passed over.

    def _grow(self, count: int) -> None:
        self._size += count
        if self._size > self._max_event:
            raise ProtocolError(
                f"an event of the stream is larger than {self._max_event} bytes",
                help="the agent should send large artifacts in several chunks, or as a URL",
            )
