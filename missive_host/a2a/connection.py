"""One connection, and one exchange of request and response on it (RFC 9112).

The bytes are parsed by llhttp (through httptools), TLS is anyio's; what is ours is the glue: when a
response ends, whether the connection can carry another one, and what exactly went wrong if it broke.
"""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

import anyio
from anyio import BrokenResourceError, BusyResourceError, ClosedResourceError, EndOfStream
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from missive_host.errors import TransportError

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from anyio.abc import ByteStream

    from missive_host.a2a.proxy import Route
    from missive_host.a2a.tcp import TcpStream

MAX_HEAD = 64 * 1024
"""Bytes that may pass without any of the body: bounds the head, interim responses, trailers, chunk extensions."""
SMALL = 64 * 1024
"""A request body up to this size is sent in one write with the head, before the answer is read."""
DRAIN_BYTES = 64 * 1024
DRAIN_SECONDS = 0.05
REFUSAL_SECONDS = 1.0
"""How long to read an answer that came before a large request had been sent."""
_READ = 256 * 1024
_FAILURES = (OSError, BrokenResourceError, ClosedResourceError, BusyResourceError)


class Connection:
    """An open stream to an origin. It carries one exchange at a time; its owner closes it.

    ``name`` is how messages call the other end. ``idle_since`` (seconds, monotonic) is the pool's.
    """

    __slots__ = ("_fd", "_poll", "_ssl", "_tcp", "idle_since", "name", "route", "stream")

    def __init__(
        self,
        stream: ByteStream,
        tcp: TcpStream,
        fd: int,
        route: Route,
        name: str,
        ssl_object: ssl.SSLObject | None = None,
    ) -> None:
        self.stream = stream
        self.route = route
        self.name = name
        self.idle_since = 0.0
        self._tcp = tcp
        self._ssl = ssl_object
        self._fd = fd
        self._poll: select.poll | None = None
        if hasattr(select, "poll"):  # select() cannot take descriptors above 1023; Windows has nothing else
            self._poll = select.poll()
            self._poll.register(fd, select.POLLIN)

    def usable(self) -> bool:
        """Whether an idle connection is still open and silent. Anything to be read now, data or end, spoils it."""
        if not self._tcp.silent:
            return False
        if self._poll is not None:
            if self._poll.poll(0):
                return False
        elif select.select([self._fd], [], [], 0)[0]:
            return False
        return self._ssl is None or _silent(self._ssl)

    async def aclose(self) -> None:
        """Close at once, also while being cancelled. No TLS farewell: nobody waits for it."""
        await self._tcp.aclose()


def _silent(ssl_object: ssl.SSLObject) -> bool:
    """Whether TLS holds no byte that was received but never asked for."""
    import ssl

    try:
        ssl_object.read(1)
    except ssl.SSLWantReadError:
        return True
    except ssl.SSLError:
        return False
    return False


def find_header(headers: Sequence[tuple[str, str]], name: str) -> str | None:
    """Return a header's value, several of one name joined by commas (RFC 9110, 5.3), None if it is not there."""
    low = name.lower()
    values = [value for key, value in headers if key.lower() == low]
    return ", ".join(values) if values else None


class Exchange:
    """One request and its response. Also the parser's delegate: the ``on_…`` methods are called by httptools."""

    __slots__ = (
        "_chunks",
        "_fault",
        "_head_only",
        "_interim",
        "_parser",
        "_send_error",
        "_since_body",
        "_stream",
        "complete",
        "connection",
        "headers",
        "received",
        "reusable",
        "started",
        "status",
    )

    def __init__(self, connection: Connection, *, head_only: bool = False) -> None:
        self.connection = connection
        self._stream = connection.stream
        self._head_only = head_only
        self._parser: HttpResponseParser | None = HttpResponseParser(self)
        self._chunks: list[bytes] = []
        self._since_body = 0
        self._interim = False
        self._fault: str | None = None
        self._send_error: BaseException | None = None
        self.status = 0
        """0 until the head of the final response is there."""
        self.headers: list[tuple[str, str]] = []
        self.received = 0
        """Bytes of the body that have come so far."""
        self.started = False
        """Whether any byte of a response has come."""
        self.complete = False
        self.reusable = False
        """Whether the connection can carry another exchange. Only means something when ``complete``."""

    # ------------------------------------------------------------------ the road of a call

    async def start(self, head: bytes, body: bytes | None) -> None:
        """Send the request and wait for the head of the final response. Raises `TransportError`."""
        if body is None or len(body) <= SMALL:
            await self._send(head + body if body else head)
            while not self.status:
                await self._pull()
        else:
            await self._start_large(head, body)
        if self._send_error is not None:
            self.reusable = False

    async def receive(self) -> bytes:
        """Return the next bytes of the body, ``b""`` once it is whole. Raises `TransportError` when it is cut short."""
        while not self._chunks:
            if self.complete:
                return b""
            await self._pull()
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        return data

    async def read(self, limit: int) -> bytes:
        """Return all that is left. Raises `TransportError` when it is cut short or exceeds `limit` bytes."""
        announced = self.header("content-length")
        if announced is not None and announced.isdigit() and int(announced) > limit and not self._head_only:
            raise self._too_large(limit)
        held = sum(map(len, self._chunks))
        before = self.received - held
        while not self.complete:
            if self.received - before > limit:
                raise self._too_large(limit)
            await self._pull()
        if self.received - before > limit:
            raise self._too_large(limit)
        data = b"".join(self._chunks)
        self._chunks.clear()
        return data

    async def drain(self) -> bool:
        """Read the little that may be left of a body nobody wants; return whether the connection can be used again."""
        if not self.reusable:
            return False
        if not self.complete:
            start = self.received
            with anyio.move_on_after(DRAIN_SECONDS):
                try:
                    while not self.complete and self.received - start <= DRAIN_BYTES:
                        self._chunks.clear()
                        await self._pull()
                except TransportError:
                    return False
        self._chunks.clear()
        return self.complete and self.reusable

    def header(self, name: str) -> str | None:
        """Return a header's value, several of one name joined by commas (RFC 9110, 5.3), None if it is not there."""
        return find_header(self.headers, name)

    # ------------------------------------------------------------------ sending

    async def _send(self, data: bytes) -> None:
        try:
            await self._stream.send(data)
        except _FAILURES as error:
            # A server may refuse a request before reading all of it and hang up: its answer, if any, says more.
            self._send_error = error

    async def _start_large(self, head: bytes, body: bytes) -> None:
        """Send and read side by side: a server that refuses a large body answers first and never reads the rest."""
        failure: TransportError | None = None
        sent = False

        async def upload() -> None:
            nonlocal sent
            await self._send(head)
            if self._send_error is None:
                await self._send(body)
            sent = True

        async with anyio.create_task_group() as group:
            group.start_soon(upload)
            try:
                while not self.status:
                    await self._pull()
                if not sent and self.status >= 300:
                    # TLS cannot be read any more once a write was cancelled, so the refusal is read before that.
                    with anyio.move_on_after(REFUSAL_SECONDS):
                        while not self.complete and self.received <= DRAIN_BYTES:
                            await self._pull()
            except TransportError as error:
                failure = error  # raised in here it would come out wrapped in a group
            if failure is not None or (self.status >= 300 and not sent):
                self._send_error = self._send_error or BrokenResourceError()
                group.cancel_scope.cancel()
        if failure is not None:
            raise failure

    # ------------------------------------------------------------------ receiving

    async def _pull(self) -> None:
        """Read once from the socket and feed the parser."""
        parser = self._parser
        if parser is None:
            raise self._broken(None)
        try:
            data = await self._stream.receive(_READ)
        except EndOfStream:
            self._end_of_stream()
            return
        except _FAILURES as error:
            raise self._broken(error) from error
        self.started = True
        self._since_body += len(data)
        try:
            parser.feed_data(data)
        except HttpParserUpgrade:
            raise self._not_http("it switched to another protocol") from None
        except HttpParserError as error:
            if not self.complete:
                raise self._not_http(self._fault or str(error)) from None
            self.reusable = False  # something came after the end of the response
        if self.complete:
            self._parser = None  # it refers to us, we to it: do not leave that to the garbage collector
        elif self._since_body > MAX_HEAD:
            raise self._not_http(f"its headers are larger than {MAX_HEAD} bytes")

    def _end_of_stream(self) -> None:
        if not self.status or not self._until_close():
            raise self._broken(self._send_error)
        self.complete = True
        self.reusable = False
        self._parser = None

    def _until_close(self) -> bool:
        """Whether the end of the connection is the end of the body (RFC 9112, 6.3, items 4 and 8)."""
        coding = self.header("transfer-encoding")
        if coding is not None:
            return coding.rpartition(",")[2].strip().lower() != "chunked"
        return self.header("content-length") is None

    def on_message_begin(self) -> None:
        if self.complete:
            raise ValueError  # stops the parser: a response nobody asked for

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:  # afterwards come trailers
            self.headers.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        parser = self._parser
        if parser is None:
            return
        status = parser.get_status_code()
        if status < 200:
            if status == 101:
                self._fault = "it switched to another protocol"
                raise ValueError
            self._interim = True
            self.headers.clear()
            return
        self.status = status
        self.reusable = parser.should_keep_alive()
        if self._head_only:
            self.complete = True

    def on_body(self, data: bytes) -> None:
        if self.complete:
            self.reusable = False
            return
        self._chunks.append(data)
        self.received += len(data)
        self._since_body = 0

    def on_message_complete(self) -> None:
        if self._interim:
            self._interim = False
        else:
            self.complete = True

    # ------------------------------------------------------------------ what went wrong

    def _broken(self, error: BaseException | None) -> TransportError:
        name = self.connection.name
        if self.status:
            message = f"the connection to {name} broke after {self.received} bytes of the answer's body"
            advice = "the agent got the request and may have acted on it: look at the task before sending again"
        elif self.started:
            message = f"the connection to {name} broke in the headers of the answer"
            advice = "see the agent's log: it may have crashed while answering"
        else:
            message = f"the connection to {name} was closed before an answer came"
            advice = "see the agent's log: it may have crashed or been restarted; check also that it speaks http here"
        sources = tuple(reasons(error)) if error is not None else ()
        return TransportError(message, sent=True, help=advice, sources=sources)

    def _not_http(self, why: str) -> TransportError:
        return TransportError(
            f"{self.connection.name} did not answer in HTTP/1.1",
            sent=True,
            help="check the port and the scheme: an https or a gRPC port, or another program, may be listening there",
            sources=(why,),
        )

    def _too_large(self, limit: int) -> TransportError:
        return TransportError(
            f"the answer from {self.connection.name} is larger than {limit} bytes",
            sent=True,
            help="ask for less at once, for example without artifacts or with a smaller page",
        )


def reasons(error: BaseException) -> Sequence[str]:
    """Return what the operating system or TLS said, each reason once, without addresses and error numbers."""
    import os
    import ssl

    found: list[str] = []

    def look(item: BaseException) -> None:
        if isinstance(item, BaseExceptionGroup):
            for part in item.exceptions:
                look(part)
            return
        if isinstance(item, ssl.SSLCertVerificationError):
            text = item.verify_message or str(item)
        elif isinstance(item, ssl.SSLError):
            text = (item.reason or str(item)).replace("_", " ").lower()
        elif isinstance(item, OSError) and item.errno is not None and item.errno > 0:
            text = os.strerror(item.errno).lower()
        elif isinstance(item, OSError) and item.strerror:
            text = item.strerror.lower()  # getaddrinfo's numbers are negative
        else:
            text = ""
        if text and text not in found:
            found.append(text)
        cause = item.__cause__ or item.__context__
        if not text and cause is not None:
            look(cause)

    look(error)
    return found
