"""What the three bindings have in common: calls and event streams of one agent interface."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from missive_host.a2a.faults import broken_answer, http_error
from missive_host.a2a.shapes import Json
from missive_host.a2a.sse import SseEvent, SseParser
from missive_host.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from missive_host.a2a.codec import Codec
    from missive_host.a2a.http import HttpClient, StreamingResponse

Headers = list[tuple[str, str]]

MAX_ANSWER = 256 * 1024 * 1024
"""Bytes of one answer; beyond it is an error rather than an exhausted memory."""


class EventSource(Protocol):
    """The events of one stream, as canonical StreamResponse dicts."""

    async def next(self) -> Json | None:
        """Return the next event, or None when the stream has ended cleanly. Raises `MissiveError`."""
        ...


class Binding(Protocol):
    """One way to speak to one interface."""

    async def call(self, operation: str, request: Json, headers: Headers) -> Json:
        """Do a unary operation: ``send``, ``get``, ``list``, ``cancel``, or ``push_`` and what to do."""
        ...

    def stream(self, operation: str, request: Json, headers: Headers) -> AbstractAsyncContextManager[EventSource]:
        """Open ``stream`` or ``subscribe``."""
        ...


def decode_json(body: bytes, content_type: str | None, where: str) -> Any:
    """Parse an answer's JSON, or raise the one error for a broken answer."""
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise broken_answer(str(error), body, content_type, where=where) from None


class HttpBinding:
    """Base of JSON-RPC and HTTP+JSON."""

    content_type = "application/json"
    accept = "application/json"

    def __init__(self, http: HttpClient, url: str, codec: Codec, *, where: str, tenant: str | None) -> None:
        self._http = http
        self._url = url
        self._codec = codec
        self._where = where
        self._tenant = tenant

    def _decoded(self, operation: str, answer: Any, body: bytes, *, rest: bool) -> Json:
        try:
            return self._codec.decode(operation, answer, rest=rest)
        except (ValueError, TypeError) as error:
            raise broken_answer(str(error), body, None, where=self._where) from None

    def _headers(self, headers: Headers, accept: str, *, body: bool) -> Headers:
        own = [("Accept", accept), *headers]
        if body:
            own.append(("Content-Type", self.content_type))
        return own

    async def _request(self, method: str, url: str, headers: Headers, body: bytes | None) -> tuple[bytes, str | None]:
        response = await self._http.request(
            method,
            url,
            headers=self._headers(headers, self.accept, body=body is not None),
            body=body,
            max_body=MAX_ANSWER,
        )
        if not 200 <= response.status < 300:
            raise http_error(response.status, response.body, response.header, where=self._where)
        return response.body, response.header("content-type")


class HttpStream(AbstractAsyncContextManager["HttpStream"]):
    """An SSE answer being read. ``decode`` turns an event into a StreamResponse, or raises."""

    def __init__(
        self,
        http: HttpClient,
        method: str,
        url: str,
        headers: Sequence[tuple[str, str]],
        body: bytes | None,
        decode: Callable[[SseEvent], Json | None],
        decode_whole: Callable[[bytes, str | None], Json],
        where: str,
    ) -> None:
        self._open = http.stream(method, url, headers=headers, body=body)
        self._decode = decode
        self._decode_whole = decode_whole
        self._where = where
        self._parser = SseParser()
        self._ready: list[SseEvent] = []
        self._whole: Json | None = None
        self._response: StreamingResponse | None = None

    async def __aenter__(self) -> HttpStream:
        response = await self._open.__aenter__()
        try:
            content_type = response.header("content-type")
            if not 200 <= response.status < 300:
                body = await response.read(1024 * 1024)
                raise http_error(response.status, body, response.header, where=self._where)
            if not (content_type or "").lower().startswith("text/event-stream"):
                # A JSON-RPC error before the stream, or an agent that answers without streaming.
                self._whole = self._decode_whole(await response.read(MAX_ANSWER), content_type)
            self._response = response
        except BaseException as error:
            await self._open.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._open.__aexit__(exc_type, exc, tb)

    async def next(self) -> Json | None:
        if self._whole is not None:
            whole, self._whole, self._response = self._whole, None, None
            return whole
        while self._response is not None:
            while self._ready:
                event = self._decode(self._ready.pop(0))
                if event is not None:
                    return event
            chunk = await self._response.receive()
            if chunk:
                self._ready = self._parser.feed(chunk)
                continue
            self._response = None
            if self._parser.pending:
                raise TransportError(f"{self._where} broke the stream off in the middle of an event")
        return None
