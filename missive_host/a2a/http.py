"""A lean HTTP/1.1 client: keep-alive connections, no limit of its own on how many calls run at once.

Why not httpx: its import alone costs 105 ms of a command's start, and with 64 calls in flight its pool opens a new
connection for nearly each of them. Deadlines are the caller's, by cancellation (`anyio.fail_after`); a cancelled call
closes its connection.

::

    client = HttpClient()
    response = await client.request("POST", url, headers=[("Content-Type", "application/json")], body=b"{}")
    async with client.stream("POST", url, headers=headers, body=b"{}") as response:
        while chunk := await response.receive():
            ...
    await client.aclose()
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Self

import anyio

from missive_host.a2a.connecting import connect
from missive_host.a2a.connection import Connection, Exchange, find_header
from missive_host.a2a.http_head import Url, parse_url, request_head
from missive_host.a2a.proxy import Proxies, Route
from missive_host.a2a.tls import Tls
from missive_host.errors import TransportError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    Headers = Sequence[tuple[str, str]]

MAX_BODY = 64 * 1024 * 1024
MAX_REDIRECTS = 5
_SAFE = frozenset({"GET", "HEAD"})
STALE_SECONDS = 2.0
"""A reused connection that dies this soon, without a byte of an answer, was closed by the server while it was idle.
One that dies later more likely died with the agent at work, and is not tried again behind the caller's back."""
IDLE_SECONDS = 4.0
"""How long an idle connection is kept: less than the five seconds after which uvicorn and Node, on which most agents
run, close theirs. A message sent while that happens may or may not have arrived, and cannot be sent again."""
_REMEMBERED = 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class HttpResponse:
    """A whole response. ``headers`` are as received, in order; ``url`` is the address that answered."""

    __slots__ = ("body", "headers", "status", "url")

    def __init__(self, exchange: Exchange, url: str, body: bytes) -> None:
        self.status = exchange.status
        self.headers = exchange.headers
        self.url = url
        self.body = body

    def header(self, name: str) -> str | None:
        """Return a header's value, case of the name ignored, several joined by commas; None if it is absent."""
        return find_header(self.headers, name)


class StreamingResponse:
    """A response whose body is still coming. Only valid inside its ``async with``."""

    __slots__ = ("_exchange", "headers", "status", "url")

    def __init__(self, exchange: Exchange, url: str) -> None:
        self._exchange = exchange
        self.status = exchange.status
        self.headers = exchange.headers
        self.url = url

    def header(self, name: str) -> str | None:
        """Return a header's value, case of the name ignored, several joined by commas; None if it is absent."""
        return find_header(self.headers, name)

    async def receive(self) -> bytes:
        """Return the next bytes of the body as soon as there are any, ``b""`` at its clean end.

        Raises `TransportError` when the connection breaks before the end.
        """
        return await self._exchange.receive()

    async def read(self, max_body: int = MAX_BODY) -> bytes:
        """Return all that is left. Raises `TransportError` when it is cut short or exceeds `max_body` bytes."""
        return await self._exchange.read(max_body)


class _Streaming(AbstractAsyncContextManager[StreamingResponse]):
    """The context manager behind `HttpClient.stream`. A class: a generator would hold scopes open across yields."""

    __slots__ = ("_body", "_client", "_exchange", "_headers", "_method", "_url")

    def __init__(self, client: HttpClient, method: str, url: str, headers: Headers, body: bytes | None) -> None:
        self._client = client
        self._method = method
        self._url = url
        self._headers = headers
        self._body = body
        self._exchange: Exchange | None = None

    async def __aenter__(self) -> StreamingResponse:
        client = self._client
        exchange = await client._start(self._method, client._parse(self._url), self._headers, self._body)
        self._exchange = exchange
        return StreamingResponse(exchange, self._url)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is None:
            return
        # A cancelled call must end now; any other may wait a moment for the last bytes and keep the connection.
        hurried = error is not None and not isinstance(error, Exception)
        await self._client._finish(exchange, drain=not hurried)


class HttpClient:
    """Calls agents over kept-alive connections. Made once and used by any number of tasks of one event loop.

    `connect_timeout` (seconds) holds for name look-up, TCP, proxy and TLS together. At most `max_idle_per_host`
    connections to one place are kept, none longer than `idle_timeout` seconds (checked whenever a call ends or begins).
    `environ` is read for proxies and CA files; ``os.environ`` by default.
    """

    def __init__(
        self,
        *,
        connect_timeout: float = 10.0,
        max_idle_per_host: int = 256,
        idle_timeout: float = IDLE_SECONDS,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        environ = os.environ if environ is None else environ
        self._connect_timeout = connect_timeout
        self._max_idle = max_idle_per_host
        self._idle_timeout = idle_timeout
        self._proxies = Proxies(environ)
        self._tls = Tls(environ)
        self._closed = False
        self._idle: dict[Route, OrderedDict[Connection, None]] = {}
        """Idle connections by route, the latest last: it is the one taken, so that surplus ones grow old."""
        self._ages: OrderedDict[Connection, Route] = OrderedDict()
        """All idle connections, the one that has been idle longest first."""
        self._urls: dict[str, Url] = {}
        self._routes: dict[tuple[str, str, int], Route] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Headers = (),
        body: bytes | None = None,
        max_body: int = MAX_BODY,
        follow: bool = False,
    ) -> HttpResponse:
        """Make one call and return its whole response, whatever its status.

        `follow` lets a GET or HEAD follow up to five redirects, never from https to http; another origin
        gets only the ``Accept`` headers. Raises `TransportError`, `ValidationError` for an address or header that
        cannot be sent, `ConfigError` for unusable proxy or CA settings.
        """
        parsed = self._parse(url)
        if follow and method not in {"GET", "HEAD"}:
            raise ValidationError(f"redirects of {method} are not followed", help="call the new address yourself")
        hops = 0
        while True:
            exchange = await self._start(method, parsed, headers, body)
            location = exchange.header("location") if follow and exchange.status in _REDIRECTS else None
            if location is None:
                break
            await self._finish(exchange, drain=True)
            hops += 1
            url, target = self._redirected(url, parsed, location, hops)
            if target.origin != parsed.origin:
                headers = [item for item in headers if item[0].lower().startswith("accept")]
            parsed = target
        try:
            data = await exchange.read(max_body)
        except BaseException:
            await exchange.connection.aclose()
            raise
        await self._finish(exchange, drain=False)
        return HttpResponse(exchange, url, data)

    def stream(
        self, method: str, url: str, *, headers: Headers = (), body: bytes | None = None
    ) -> AbstractAsyncContextManager[StreamingResponse]:
        """Make one call whose body is read as it comes. Entering waits for the head of the response.

        Left before the end, the rest is read if it is small and there at once; else the connection is closed.
        Raises as `request`, on entering.
        """
        return _Streaming(self, method, url, headers, body)

    async def aclose(self) -> None:
        """Close the idle connections, and each other one when its call ends. Later calls fail."""
        self._closed = True
        idle = list(self._ages)
        self._ages.clear()
        self._idle.clear()
        await _close(idle)

    # ------------------------------------------------------------------ one call

    async def _start(self, method: str, url: Url, headers: Headers, body: bytes | None) -> Exchange:
        """Send a request on an idle or a new connection; return when the head of the response is there."""
        if self._closed:
            raise TransportError(f"the client is closed; {url.origin} was not called", sent=False)
        route = self._route(url)
        head = request_head(
            method,
            url,
            headers,
            body,
            absolute=route.proxy is not None and url.scheme == "http",
            proxy_authorization=route.proxy.authorization if route.proxy and url.scheme == "http" else None,
        )
        sent = False
        connection = await self._take(route)
        if connection is not None:
            began = time.monotonic()
            exchange = Exchange(connection, head_only=method == "HEAD")
            try:
                await exchange.start(head, body)
            except TransportError:
                await connection.aclose()
                # What is not safe to repeat (RFC 9110 section 9.2.1) may have arrived: the caller decides.
                if method not in _SAFE or exchange.started or time.monotonic() - began > STALE_SECONDS:
                    raise
                sent = True
            except BaseException:
                await connection.aclose()
                raise
            else:
                return exchange
        try:
            connection = await connect(route, self._tls, self._connect_timeout)
        except TransportError as error:
            error.sent = error.sent or sent
            raise
        exchange = Exchange(connection, head_only=method == "HEAD")
        try:
            await exchange.start(head, body)
        except BaseException:
            await connection.aclose()
            raise
        return exchange

    async def _finish(self, exchange: Exchange, *, drain: bool) -> None:
        """Give the connection of an exchange back, or close it."""
        if exchange.complete:
            reusable = exchange.reusable
        else:
            try:
                reusable = drain and await exchange.drain()
            except BaseException:
                await exchange.connection.aclose()
                raise
        if reusable and not self._closed:
            await self._keep(exchange.connection)
        else:
            await exchange.connection.aclose()

    def _redirected(self, url: str, parsed: Url, location: str, hops: int) -> tuple[str, Url]:
        from urllib.parse import urljoin

        if hops > MAX_REDIRECTS:
            raise TransportError(f"{parsed.origin} redirects more than {MAX_REDIRECTS} times", help="check the address")
        try:
            following = urljoin(url, location)
            target = self._parse(following)
        except (ValueError, ValidationError) as error:
            raise TransportError(
                f"{parsed.origin} redirects to something that is no address", help="check the address"
            ) from error
        if parsed.scheme == "https" and target.scheme == "http":
            raise TransportError(
                f"{parsed.origin} redirects from https to http, which is not followed", help="check the address"
            )
        return following, target

    # ------------------------------------------------------------------ the pool

    async def _take(self, route: Route) -> Connection | None:
        """Return the idle connection that was used last, if it is still good; close those that are not."""
        await self._close_expired()
        waiting = self._idle.get(route)
        while waiting:
            connection, _ = waiting.popitem()
            del self._ages[connection]
            if connection.usable():
                return connection
            await connection.aclose()
        return None

    async def _keep(self, connection: Connection) -> None:
        route = connection.route
        waiting = self._idle.setdefault(route, OrderedDict())
        connection.idle_since = time.monotonic()
        waiting[connection] = None
        self._ages[connection] = route
        if len(waiting) > self._max_idle:
            oldest, _ = waiting.popitem(last=False)
            del self._ages[oldest]
            await oldest.aclose()
        await self._close_expired()

    async def _close_expired(self) -> None:
        limit = time.monotonic() - self._idle_timeout
        expired = []
        while self._ages and (oldest := next(iter(self._ages))).idle_since <= limit:
            route = self._ages.pop(oldest)
            waiting = self._idle[route]
            del waiting[oldest]
            if not waiting:
                del self._idle[route]
            expired.append(oldest)
        if expired:
            await _close(expired)

    # ------------------------------------------------------------------ addresses, remembered

    def _parse(self, text: str) -> Url:
        url = self._urls.get(text)
        if url is None:
            url = parse_url(text)
            if len(self._urls) >= _REMEMBERED:
                self._urls.clear()
            self._urls[text] = url
        return url

    def _route(self, url: Url) -> Route:
        key = (url.scheme, url.host, url.port)
        route = self._routes.get(key)
        if route is None:
            route = Route(*key, self._proxies.proxy_for(url))
            if len(self._routes) >= _REMEMBERED:
                self._routes.clear()
            self._routes[key] = route
        return route


async def _close(connections: Sequence[Connection]) -> None:
    with anyio.CancelScope(shield=True):  # closing does not wait for anybody, and all of them must be closed
        for connection in connections:
            await connection.aclose()
