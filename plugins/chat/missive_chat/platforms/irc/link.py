"""One connection to an IRC server: the socket, what the server has told about itself, and who is waiting for it."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
from anyio.abc import ByteStream

from missive_chat.platform import ChatError, ChatLoginError
from missive_chat.platforms.irc.wire import Decoder, fold

if TYPE_CHECKING:
    from irctokens.line import Line

LOST = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream, ssl.SSLError)
LOOPBACK = re.compile(r"localhost|127(\.\d{1,3}){3}|::1")


async def connect(server: str, port: int, *, tls: bool, ca_file: Path | None, seconds: float) -> ByteStream:
    """Open the socket. The name in the server's certificate is checked."""
    where = f"{server}:{port}"
    if not tls and not LOOPBACK.fullmatch(server):
        raise ChatLoginError(
            f"{where} would be spoken to without TLS",
            help="remove `tls = false`: only this machine itself is spoken to so",
        )
    try:
        context = ssl.create_default_context(cafile=ca_file) if tls else None
    except OSError as error:
        raise ChatLoginError(f"the file of `ca_file` cannot be used: {error}") from None
    try:
        with anyio.fail_after(seconds):
            if context is None:
                return await anyio.connect_tcp(server, port)
            return await anyio.connect_tcp(
                server, port, tls=True, ssl_context=context, tls_hostname=server, tls_standard_compatible=False
            )
    except TimeoutError:
        raise ChatError(f"{where} did not take the connection within {seconds:g} s") from None
    except ssl.SSLCertVerificationError as error:
        raise ChatLoginError(
            f"the certificate of {where} cannot be trusted: {error.verify_message}",
            help="for an authority of your own set `ca_file`",
        ) from None
    except (ssl.SSLError, anyio.EndOfStream, anyio.BrokenResourceError) as error:
        raise ChatError(f"{where} does not speak TLS: {error or 'it hung up'}", help="check `port`") from None
    except OSError as error:
        raise ChatError(f"{where} cannot be reached: {error}", help="check `server` and `port`") from None


class Pace:
    """A burst of lines, then one line at a time: a server throws out who is faster."""

    def __init__(self, interval: float, burst: int) -> None:
        self._interval = interval
        self._room = interval * burst
        self._free_at = 0.0
        self._turn = anyio.Lock()

    def slower(self) -> None:
        """The server may not have liked the pace."""
        self._interval = max(self._interval, min(2 * self._interval + 0.5, 8.0))
        self._room = self._interval

    async def take(self) -> None:
        async with self._turn:
            now = time.monotonic()
            self._free_at = max(self._free_at, now) + self._interval
            await anyio.sleep(max(0.0, self._free_at - now - self._room))


@dataclass
class Fence:
    """A PING behind some lines. When its PONG is there, the server has said all that it had to say to them."""

    token: str
    about: str
    """Whom the lines are for, folded: answers name him."""
    answers: list[Line] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    """The msgids that our own messages got."""
    written: bool = False
    error: ChatError | None = None
    passed: anyio.Event = field(default_factory=anyio.Event)


class Link:
    """A connection and what is known of it. It reads only when `read` is called."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._decoder = Decoder()
        self._writing = anyio.Lock()
        self.heard = time.monotonic()
        self.lost: str | None = None
        self.cut_while_sending = False
        self.nick = ""
        self.mask = ""
        """``nick!user@host`` of ours, as others see it; empty while it is not known."""
        self.caps: frozenset[str] = frozenset()
        self.account: str | None = None
        self.mapping = "rfc1459"
        self.channel_signs = "#&"
        self.bot_mode: str | None = None
        """The user mode by which a bot tells others that it is one."""
        self.joined: set[str] = set()
        """Folded names."""
        self.refused: dict[str, str] = {}
        """Folded name of a channel that does not let us in: the server's words."""
        self.batches: dict[str, str] = {}
        self.fences: list[Fence] = []
        self._tokens = 0

    async def read(self) -> list[Line]:
        """Return the lines that have come. Raises `ChatError` when the connection is gone."""
        try:
            lines = self._decoder.push(await self._stream.receive())
        except LOST as error:
            raise self.lose(self.lost or f"the connection broke: {error or 'it was closed'}") from None
        self.heard = time.monotonic()
        return lines

    async def write(self, *lines: bytes, seconds: float = 30) -> None:
        """Send lines together. After a failure, or when it is cancelled in the middle, the connection is of no use."""
        if self.lost is not None:
            raise ChatError(f"not connected to the IRC server: {self.lost}")
        async with self._writing:
            whole = False
            try:
                with anyio.fail_after(seconds):
                    await self._stream.send(b"".join(lines))
                whole = True
            except TimeoutError:
                raise self.lose(f"the server takes nothing in, {seconds:g} s long") from None
            except LOST as error:
                whole = self.cut_while_sending = True  # the reader ends it: the server may have said why
                raise ChatError(f"the connection to the IRC server broke: {error or 'it was closed'}") from None
            finally:
                if not whole and self.lost is None:
                    self.lose("a line was cut off in the middle")

    def lose(self, why: str) -> ChatError:
        """The connection is gone; whoever waits for an answer learns it."""
        if self.lost is None:
            self.lost = why
            self.cut_while_sending |= any(fence.written for fence in self.fences) or "flood" in why.lower()
        for fence in self.fences:
            fence.error = fence.error or ChatError(f"the IRC server was lost: {self.lost}", maybe_sent=fence.written)
            fence.passed.set()
        return ChatError(f"the IRC server was lost: {self.lost}")

    async def close(self) -> None:
        """Give the socket back; never waits for the server."""
        self.lose("it was closed")
        await anyio.aclose_forcefully(self._stream)

    # --- names

    def fold(self, name: str) -> str:
        return fold(name, self.mapping)

    def is_me(self, nick: str) -> bool:
        return self.fold(nick) == self.fold(self.nick)

    def is_channel(self, name: str) -> bool:
        return name[:1] in self.channel_signs

    # --- who waits

    @contextmanager
    def fence(self, about: str) -> Iterator[Fence]:
        self._tokens += 1
        fence = Fence(token=f"missive-{self._tokens}", about=self.fold(about))
        self.fences.append(fence)
        try:
            yield fence
        finally:
            self.fences.remove(fence)

    def pass_fence(self, token: str) -> None:
        for fence in self.fences:
            if fence.token == token:
                fence.passed.set()

    def fence_of(self, label: str | None, about: str | None) -> Fence | None:
        """Return who waits for an answer with this label, or, where the server labels nothing, about this name."""
        for fence in self.fences:
            if label is not None:
                if label.partition(".")[0] == fence.token:
                    return fence
            elif about is not None and self.fold(about) == fence.about:
                return fence
        return None

    # --- what the server says of itself

    def learn(self, line: Line) -> None:
        """Take in what does not depend on who we are talking to."""
        match line.command:
            case "005":
                for token in line.params[1:-1]:
                    key, _, value = token.partition("=")
                    if key == "CASEMAPPING":
                        self.mapping = value
                    elif key == "CHANTYPES":
                        self.channel_signs = value
                    elif key == "BOT":
                        self.bot_mode = value
            case "BATCH" if line.params:
                reference = line.params[0]
                if reference.startswith("+") and len(line.params) > 1:
                    label = (line.tags or {}).get("label")
                    self.batches[reference[1:]] = f"label:{label}" if label else line.params[1]
                else:
                    self.batches.pop(reference[1:], None)
            case "NICK" if line.source and line.params and self.is_me(line.hostmask.nickname):
                self.nick = line.params[0]
                self.mask = ""
            case "396":
                self.mask = ""
            case "CAP" if len(line.params) > 2 and line.params[1].upper() == "DEL":
                self.caps -= set(line.params[2].split())

    def batch_of(self, line: Line) -> str | None:
        """Return the type of the batch that a line is a part of, or ``label:…`` of an answer in several lines."""
        return self.batches.get((line.tags or {}).get("batch") or "")

    def label_of(self, line: Line) -> str | None:
        label = (line.tags or {}).get("label") or self.batch_of(line) or ""
        return label.removeprefix("label:") if label.startswith(("label:", "missive-")) else None
