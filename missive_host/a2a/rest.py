"""The HTTP+JSON binding (A2A spec section 11)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from missive_host.a2a.binding import Headers, HttpBinding, HttpStream, decode_json
from missive_host.a2a.faults import broken_answer, rest_error
from missive_host.a2a.shapes import Json
from missive_host.a2a.sse import SseEvent
from missive_host.errors import ProtocolError


class RestBinding(HttpBinding):
    content_type = "application/a2a+json"
    accept = "application/a2a+json, application/json"

    async def call(self, operation: str, request: Json, headers: Headers) -> Json:
        method, url, body = self._target(operation, request)
        answer, content_type = await self._request(method, url, headers, body)
        if operation == "push_delete":
            return {}  # its answer says nothing, and often has no body
        return self._decoded(operation, decode_json(answer, content_type, self._where), answer, rest=True)

    def stream(self, operation: str, request: Json, headers: Headers) -> HttpStream:
        method, url, body = self._target(operation, request)

        def decode(event: SseEvent) -> Json | None:
            if not event.data:
                return None
            value = decode_json(event.data, None, self._where)
            if event.event == "error" or _is_error(value):
                raise rest_error(value, where=self._where) or ProtocolError(
                    f"{self._where} ended the stream with an error: {_message(value)}"
                )
            return self._decoded(operation, value, event.data, rest=True)

        def decode_whole(answer: bytes, content_type: str | None) -> Json:
            value = decode_json(answer, content_type, self._where)
            if _is_error(value):
                raise rest_error(value, where=self._where) or broken_answer("an error", answer, None, where=self._where)
            return self._decoded(operation, value, answer, rest=True)

        headers = self._headers(headers, "text/event-stream, application/a2a+json", body=body is not None)
        return HttpStream(self._http, method, url, headers, body, decode, decode_whole, self._where)

    def _target(self, operation: str, request: Json) -> tuple[str, str, bytes | None]:
        method, path, query = self._codec.rest_path(operation, request)
        prefix = "/" + quote(self._tenant, safe="/:@!$&'()*+,;=~") if self._tenant else ""
        url = self._url.removesuffix("/") + prefix + path
        if query:
            url += "?" + urlencode(
                {key: str(value).lower() if isinstance(value, bool) else value for key, value in query.items()}
            )
        if method in ("GET", "DELETE"):
            return method, url, None
        if self._tenant:
            request = {"tenant": self._tenant, **request}
        return method, url, msgspec.json.encode(self._codec.encode(operation, request, rest=True))


def _is_error(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("error"), dict)


def _message(value: Any) -> str:
    error = value.get("error", value) if isinstance(value, dict) else value
    return str(error.get("message", error) if isinstance(error, dict) else error)[:300]
