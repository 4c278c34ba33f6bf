"""An agent that is reached by a transport of a plugin: A2A's JSON-RPC documents, carried by whatever that is."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from missive_host.a2a.binding import Headers
from missive_host.a2a.cards import DEFAULT_MAX_AGE, FetchedCard, parse_card, stamp
from missive_host.a2a.faults import broken_answer
from missive_host.a2a.jsonrpc import JsonRpcDocuments
from missive_host.a2a.shapes import Json
from missive_host.errors import MissiveError, TransportError, ValidationError
from missive_host.ids import new_id
from missive_host.outputs import SelectedInterface

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from missive_host.a2a.codec import Codec
    from missive_host.protocols import AgentTransport, Answers

OWN_SCHEMES = ("http", "https", "file")
"""Those of URLs that need no plugin."""


def scheme_of(url: str) -> str | None:
    """Return the name of the transport that a URL needs; None if missive itself speaks to it."""
    scheme = urlsplit(url).scheme
    return scheme if "://" in url and scheme not in OWN_SCHEMES else None


def selected(alias: str, scheme: str, url: str, binding: str | None) -> SelectedInterface:
    """Return the one interface of an agent behind a transport. Raises `ValidationError` if `binding` is another."""
    if binding not in (None, scheme):
        raise ValidationError(f"agent '{alias}' is reached by `{scheme}`, so there is no binding to choose")
    return SelectedInterface(
        binding=scheme, protocol_binding="JSONRPC", url=url, protocol_version="1.0", source="transport"
    )


class TransportBinding(JsonRpcDocuments):
    """A `Binding`."""

    def __init__(self, transport: AgentTransport, url: str, codec: Codec, *, where: str, tenant: str | None) -> None:
        self._transport = transport
        self._url = url
        self._codec = codec
        self._where = where
        self._tenant = tenant

    async def call(self, operation: str, request: Json, headers: Headers) -> Json:
        async with self._exchange(self._document(operation, request), headers) as exchange:
            answer = await exchange.answer()
        return self._result(operation, answer, msgspec.json.encode(answer))

    def stream(self, operation: str, request: Json, headers: Headers) -> Exchange:
        def decode(answer: Json) -> Json:
            return self._result(operation, answer, msgspec.json.encode(answer))

        exchange = self._exchange(self._document(operation, request), headers)
        exchange.decode = decode
        return exchange

    async def card(self, headers: Headers) -> FetchedCard:
        """Ask the agent for its card."""
        document = {"jsonrpc": "2.0", "id": new_id(), "method": "GetExtendedAgentCard", "params": {}}
        async with self._exchange(document, headers) as exchange:
            answer = await exchange.answer()
        body = msgspec.json.encode(self._checked(answer, msgspec.json.encode(answer)))
        fetched = datetime.now(UTC)
        return FetchedCard(
            url=self._url,
            card=parse_card(body, where=f"the card of {self._where}"),
            fetched_at=stamp(fetched),
            expires_at=stamp(fetched + timedelta(seconds=DEFAULT_MAX_AGE)),
        )

    def _exchange(self, document: Json, headers: Headers) -> Exchange:
        return Exchange(self._transport, self._url, document, headers, self._where)


def _as_it_is(answer: Json) -> Json:
    return answer


class Exchange(AbstractAsyncContextManager["Exchange"]):
    """One request and its answers; an `EventSource`, too. What a plugin raises comes out as a `MissiveError`."""

    def __init__(self, transport: AgentTransport, url: str, document: Json, headers: Headers, where: str) -> None:
        self._transport = transport
        self._url = url
        self._document = document
        self._headers = headers
        self._where = where
        self._open: AbstractAsyncContextManager[Answers] | None = None
        self._answers: Answers | None = None
        self.decode: Callable[[Json], Json] = _as_it_is

    async def __aenter__(self) -> Exchange:
        try:
            self._open = self._transport.exchange(self._url, self._document, self._headers)
            self._answers = await self._open.__aenter__()
        except Exception as error:
            raise self._told(error) from error
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        assert self._open is not None
        try:
            await self._open.__aexit__(exc_type, exc, tb)
        except Exception as error:
            if error is not exc:
                raise self._told(error) from error

    async def next(self) -> Json | None:
        assert self._answers is not None
        try:
            answer: Any = await self._answers.receive()
        except Exception as error:
            raise self._told(error) from error
        if answer is None:
            return None
        if not isinstance(answer, dict):
            raise broken_answer("it is no object", msgspec.json.encode(answer), None, where=self._where)
        return self.decode(answer)

    async def answer(self) -> Json:
        """Return the one answer."""
        answer = await self.next()
        if answer is None:
            raise TransportError(
                f"{self._where} hung up without an answer", sent=True, help="see the agent's log: it may have crashed"
            )
        return answer

    def _told(self, error: Exception) -> MissiveError:
        if isinstance(error, MissiveError):
            return error
        return TransportError(
            f"the transport to {self._where} has failed: {type(error).__name__}",
            help="this is a fault of the plugin; --trace shows where",
            sources=(str(error),),
        )
