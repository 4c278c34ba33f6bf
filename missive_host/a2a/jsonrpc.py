"""The JSON-RPC binding (A2A spec section 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from missive_host.a2a.binding import Headers, HttpBinding, HttpStream, decode_json
from missive_host.a2a.faults import broken_answer, jsonrpc_error
from missive_host.a2a.shapes import Json
from missive_host.a2a.sse import SseEvent
from missive_host.ids import new_id

if TYPE_CHECKING:
    from missive_host.a2a.codec import Codec


class JsonRpcDocuments:
    """Requests and answers as JSON-RPC has them, whatever carries them."""

    _codec: Codec
    _where: str
    _tenant: str | None

    def _document(self, operation: str, request: Json) -> Json:
        if self._tenant:
            request = {"tenant": self._tenant, **request}
        return {
            "jsonrpc": "2.0",
            "id": new_id(),
            "method": self._codec.method(operation, self._where),
            "params": self._codec.encode(operation, request, rest=False),
        }

    def _checked(self, answer: Any, body: bytes) -> Any:
        """Return the result that an answer has, or raise the error that it is."""
        if not isinstance(answer, dict) or ("result" not in answer and "error" not in answer):
            raise broken_answer("it is no JSON-RPC response", body, None, where=self._where)
        if answer.get("error") is not None or "result" not in answer:
            raise jsonrpc_error(answer["error"], where=self._where)
        return answer["result"]

    def _result(self, operation: str, answer: Any, body: bytes) -> Json:
        if operation == "push_delete" and isinstance(answer, dict) and answer.get("error") is None:
            return {}  # its result says nothing; agents of 0.3 leave it out
        result = self._checked(answer, body)
        try:
            return self._codec.decode(operation, result, rest=False)
        except (ValueError, TypeError) as error:
            raise broken_answer(str(error), body, None, where=self._where) from None


class JsonRpcBinding(JsonRpcDocuments, HttpBinding):
    async def call(self, operation: str, request: Json, headers: Headers) -> Json:
        body, content_type = await self._request("POST", self._url, headers, self._body(operation, request))
        return self._result(operation, decode_json(body, content_type, self._where), body)

    def stream(self, operation: str, request: Json, headers: Headers) -> HttpStream:
        def decode(event: SseEvent) -> Json | None:
            if not event.data:
                return None
            return self._result(operation, decode_json(event.data, None, self._where), event.data)

        def decode_whole(body: bytes, content_type: str | None) -> Json:
            return self._result(operation, decode_json(body, content_type, self._where), body)

        return HttpStream(
            self._http,
            "POST",
            self._url,
            self._headers(headers, "text/event-stream, application/json", body=True),
            self._body(operation, request),
            decode,
            decode_whole,
            self._where,
        )

    def _body(self, operation: str, request: Json) -> bytes:
        return msgspec.json.encode(self._document(operation, request))
