"""``unix``: lines of JSON-RPC over a Unix socket. One connection is one exchange.

::

    missive ─► {"jsonrpc": "2.0", "id": …, "method": "SendMessage", "params": {…}, "serviceParameters": {…}}
    agent   ─► {"jsonrpc": "2.0", "id": …, "result": {…}}      once; of a stream once for each event, then it hangs up
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

from missive_host.errors import ProtocolError, TransportError, ValidationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from types import TracebackType

    from anyio.abc import SocketStream

    from missive_host.protocols import TransportContext

MAX_LINE = 64 * 1024 * 1024
"""Bytes of one answer; beyond it is an error rather than an exhausted memory."""
_BROKEN = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError)


class UnixTransport:
    """An `AgentTransport`."""

    def __init__(self, context: TransportContext) -> None:
        self._connect_timeout = context.connect_timeout

    def exchange(self, url: str, request: Mapping[str, Any], headers: Sequence[tuple[str, str]]) -> _Exchange:
        parts = urlsplit(url)
        if parts.netloc or not parts.path.strip("/"):
            raise ValidationError(f"{url!r} names no socket", help="give an absolute path: unix:///run/agent.sock")
        line = json.dumps({**request, "serviceParameters": dict(headers)}, separators=(",", ":")).encode() + b"\n"
        return _Exchange(url2pathname(parts.path), line, self._connect_timeout)

    async def aclose(self) -> None:
        """Nothing is kept between exchanges."""


class _Exchange:
    def __init__(self, path: str, line: bytes, connect_timeout: float) -> None:
        self._path = path
        self._line = line
        self._connect_timeout = connect_timeout
        self._stream: SocketStream
        self._lines: BufferedByteReceiveStream

    async def __aenter__(self) -> _Exchange:
        self._stream = await self._connect()
        try:
            await self._stream.send(self._line)
        except _BROKEN:
            await anyio.aclose_forcefully(self._stream)
            raise TransportError(
                f"the agent at {self._path} hung up while it was sent to",
                sent=True,
                help="see the agent's log: it may have crashed or been restarted",
            ) from None
        except BaseException:
            await anyio.aclose_forcefully(self._stream)
            raise
        self._lines = BufferedByteReceiveStream(self._stream)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await anyio.aclose_forcefully(self._stream)

    async def receive(self) -> Any:
        try:
            line = await self._lines.receive_until(b"\n", MAX_LINE)
        except (anyio.IncompleteRead, anyio.EndOfStream):
            if self._lines.buffer:
                raise TransportError(f"the agent at {self._path} broke off in the middle of a line") from None
            return None
        except anyio.DelimiterNotFound:
            raise ProtocolError(f"a line from the agent at {self._path} is longer than {MAX_LINE} bytes") from None
        except _BROKEN:
            raise TransportError(f"the connection to the agent at {self._path} broke") from None
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            raise ProtocolError(
                f"the agent at {self._path} answered a line that is not JSON",
                help="does it speak lines of JSON-RPC on this socket?",
            ) from None

    async def _connect(self) -> SocketStream:
        try:
            with anyio.fail_after(self._connect_timeout):
                return await anyio.connect_unix(self._path)
        except TimeoutError:
            reason = f"no connection within {self._connect_timeout:g} s"
        except OSError as error:
            reason = os.strerror(error.errno).lower() if error.errno else str(error)
        raise TransportError(
            f"could not connect to {self._path}: {reason}", sent=False, help="start the agent, or correct the path"
        )
