"""HTTP/1.1 on one connection, with limits: a client that is slow, silent or never-ending costs its connection.

uvicorn has no time limit for the head of a request, none for its body, and none for a client that does not read its
answer. ::

    connected ─ head_seconds ─► head is complete ─ body_rate ─► body is complete ─► answer ─ write_seconds
        ▲                                                                              │
        └──────────────────────────────── keep_alive_seconds ──────────────────────────┘
"""

from __future__ import annotations

import json
from asyncio import TimerHandle
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


_CHUNK = 16
"""What a chunk may cost beside its data."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one client may cost."""

    connections: int = 4096
    head_bytes: int = 32 * 1024
    head_seconds: float = 10
    """How long the head of a request may take, from its first byte; also how long a new connection may be silent."""
    body_seconds: float = 10
    """In each such period a body must go on by `body_bytes`, or end."""
    body_bytes: int = 1024
    keep_alive_seconds: float = 75
    write_seconds: float = 60
    """How long a client may leave its answer unread."""
    linger_seconds: float = 2
    """How long is read on, into nothing, after an answer that did not wait for the end of the request."""
    linger_bytes: int = 4 * 1024 * 1024
    """How much of it."""


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol with `limits`."""

    limits = Limits()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head = 0
        """Bytes of the head that is being read; -1 while a body is."""
        self._body = 0
        """Bytes of the body since the timer was set."""
        self._around = 0
        """Bytes around the body: sizes of chunks, and trailers, which are kept as headers are."""
        self._timer: TimerHandle | None = None
        self._write_timer: TimerHandle | None = None
        self._deaf = False
        """True: nothing more is read, the connection ends."""

    # --- connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            self._refuse(503, "there are too many connections", "retry-after: 1")
        else:
            self._after(self.limits.head_seconds, self._head_is_late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        self._writing_goes_on()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            self._body += len(data)
            if self._body > self.limits.linger_bytes:
                self._end()
            return
        if self._head >= 0:
            if self._timer is None:
                self._after(self.limits.head_seconds, self._head_is_late)
            self._head += len(data)
        else:
            self._body += len(data)
            self._around += len(data)
        super().data_received(data)
        if max(self._head, self._around) > self.limits.head_bytes and not self._deaf:
            self._head_is_too_big()

    # --- request

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._timer is None:  # it came in one piece with the request before it
            self._after(self.limits.head_seconds, self._head_is_late)

    def on_headers_complete(self) -> None:
        if self._deaf:
            return
        self._stop_timer()
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > self.limits.head_bytes:
            self._head_is_too_big()
            return
        self._head, self._body, self._around = -1, 0, self._head - size
        super().on_headers_complete()
        self._after(self.limits.body_seconds, self._body_check)

    def on_body(self, body: bytes) -> None:
        if not self._deaf:
            self._around -= len(body) + _CHUNK
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._deaf:
            return
        self._stop_timer()
        self._head = self._around = 0
        super().on_message_complete()

    def on_response_complete(self) -> None:
        if not self.pipeline and self.cycle.more_body and not self.transport.is_closing():
            self.server_state.total_requests += 1
            self._linger()
            return
        super().on_response_complete()

    # --- limits

    def _after(self, seconds: float, call: Callable[[], None]) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(seconds, call)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _head_is_late(self) -> None:
        self._timer = None
        if self._head:
            self._refuse(408, "the head of the request did not come in time")
        elif self.cycle is None or self.cycle.response_complete:
            self._end()

    def _head_is_too_big(self) -> None:
        self._refuse(431, f"the head of the request is longer than {self.limits.head_bytes} bytes")

    def _body_check(self) -> None:
        self._timer = None
        waits_for_us = self.flow.read_paused or self.cycle.waiting_for_100_continue
        if self._body < self.limits.body_bytes and not waits_for_us:
            self._refuse(408, "the body of the request did not come in time")
            return
        self._body = 0
        self._after(self.limits.body_seconds, self._body_check)

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's sentence
        if not self._deaf:
            self._refuse(400, "this is not HTTP/1.1")

    def _refuse(self, status: int, detail: str, *headers: str) -> None:
        """Answer with problem details, if no answer has begun, and end the connection."""
        self._stop_timer()
        cycle = self.cycle
        busy = cycle is not None and not cycle.response_complete
        if not (busy and (cycle.response_started or self.pipeline)) and not self.transport.is_closing():
            self.transport.write(_problem(status, detail, headers, self.server_state.default_headers))
        if busy:
            # The application is told that the client has gone.
            cycle.disconnected = True
            cycle.message_event.set()
        self._linger()

    def _linger(self) -> None:
        """End the connection so that the client sees the answer: a close with unread data would take it away again."""
        self._deaf = True
        self._body = 0
        self._stop_timer()
        self.flow.resume_reading()
        with suppress(OSError, RuntimeError, NotImplementedError):  # gone already, or of a kind that has no half close
            self.transport.write_eof()
        self._after(self.limits.linger_seconds, self._end)

    def eof_received(self) -> bool | None:  # type: ignore[override]
        if self._deaf:
            self._end()
        return None

    def _end(self) -> None:
        self._stop_timer()
        if not self.transport.is_closing():
            self.transport.close()

    # --- a client that does not read

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(self.limits.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._writing_goes_on()
        super().resume_writing()

    def _writing_goes_on(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


def _problem(status: int, detail: str, headers: tuple[str, ...], default: list[tuple[bytes, bytes]]) -> bytes:
    title = HTTPStatus(status).phrase
    body = json.dumps({"title": title, "status": status, "detail": detail}).encode()
    lines = [
        f"HTTP/1.1 {status} {title}",
        *(f"{name.decode()}: {value.decode()}" for name, value in default),
        "content-type: application/problem+json",
        f"content-length: {len(body)}",
        "connection: close",
        *headers,
        "\r\n",
    ]
    return "\r\n".join(lines).encode() + body
