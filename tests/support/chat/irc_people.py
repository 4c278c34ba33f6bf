"""A person on IRC, as a client of the tests: it does what it is told, and keeps what it hears."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
from anyio.abc import ByteStream
from irctokens.line import Line
from irctokens.stateful import StatefulDecoder

CAPS = "message-tags server-time echo-message account-tag batch labeled-response"


class Person:
    def __init__(self, nick: str, stream: ByteStream) -> None:
        self.nick = nick
        self.lines: list[Line] = []
        self.raw = b""
        self._stream = stream
        self._decoder = StatefulDecoder()
        self._changed = anyio.Event()

    async def say(self, *lines: str | bytes) -> None:
        for line in lines:
            await self._stream.send((line.encode() if isinstance(line, str) else line) + b"\r\n")

    async def tell(self, target: str, text: str) -> None:
        await self.say(f"PRIVMSG {target} :{text}")

    async def join(self, channel: str) -> None:
        """Join a first channel."""
        await self.say(f"JOIN {channel}")
        await self.until(lambda line: line.command == "366")

    async def until(self, found: Callable[[Line], bool], seconds: float = 60) -> Line:
        with anyio.fail_after(seconds):
            while True:
                changed = self._changed
                for line in self.lines:
                    if found(line):
                        return line
                await changed.wait()

    async def hears(self, text: str, seconds: float = 60) -> Line:
        return await self.until(lambda line: line.command == "PRIVMSG" and line.params[-1] == text, seconds)

    def heard(self, sender: str) -> list[str]:
        """Return what somebody has said, in order."""
        return [
            line.params[-1] for line in self.lines
            if line.command == "PRIVMSG" and line.source and line.hostmask.nickname == sender
        ]  # fmt: skip

    async def sync(self) -> None:
        """Wait until the server has dealt with all that was said before."""
        token = f"sync{len(self.lines)}"
        await self.say(f"PING {token}")
        await self.until(lambda line: line.command == "PONG" and line.params[-1] == token)

    async def read(self) -> None:
        while True:
            try:
                data = await self._stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                return
            self.raw += data
            for line in self._decoder.push(data) or ():
                self.lines.append(line)
                if line.command == "PING":
                    await self.say(f"PONG :{line.params[-1]}")
            self._changed.set()
            self._changed = anyio.Event()


@asynccontextmanager
async def person(
    port: int, nick: str, *channels: str, account: tuple[str, str] | None = None, caps: bool = True, password: str = ""
) -> AsyncIterator[Person]:
    """Be on IRC. With `account`, logged in by SASL first; without `caps`, as clients were in 1999."""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream, anyio.create_task_group() as tasks:
        someone = Person(nick, stream)
        tasks.start_soon(someone.read)
        if caps:
            await someone.say("CAP LS 302", f"CAP REQ :{CAPS}{' sasl' if account else ''}")
        if password:
            await someone.say(f"PASS {password}")
        await someone.say(f"NICK {nick}", f"USER {nick} 0 * :{nick}")
        if account:
            await someone.until(lambda line: line.command == "CAP" and "ACK" in line.params)
            name, secret = account
            await someone.say("AUTHENTICATE PLAIN")
            await someone.until(lambda line: line.command == "AUTHENTICATE")
            await someone.say("AUTHENTICATE " + base64.b64encode(f"{name}\0{name}\0{secret}".encode()).decode())
            await someone.until(lambda line: line.command == "903")
        if caps:
            await someone.say("CAP END")
        await someone.until(lambda line: line.command in ("376", "422"))
        for channel in channels:
            await someone.join(channel)
        yield someone
        tasks.cancel_scope.cancel()
