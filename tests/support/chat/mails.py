"""Mail as people, programs and forgers write it, and a mail account to read it with."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from itertools import count
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
from missive_chat import missive_adapters
from missive_chat.platform import Inbound, Outgoing, OutgoingFile, Place, PlatformContext
from missive_chat.platforms.email.inbound import Fetched, inbound_of
from missive_chat.platforms.email.platform import EmailPlatform
from missive_chat.platforms.email.settings import Settings
from support.chat.mail import DOMAIN, PASSWORD

from missive_host.security.secrets import Secret

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MX = "mx.bot.example"
"""The name of our own mail server."""
ALICE = "alice@people.example"
PASSED = f"{MX}; dmarc=pass (p=reject) header.from=people.example"
_numbers = count(1)


def mail(text: str = "Hello", *, sender: str = ALICE, results: str | None = PASSED, **headers: str) -> bytes:
    """Return a mail, as our own server has put it down. In names ``_`` is ``-``; what is empty is left out."""
    message = EmailMessage()
    fields = {
        "From": sender,
        "To": f"bot@{DOMAIN}",
        "Subject": "A question",
        "Message-ID": f"<{next(_numbers)}@people.example>",
    }
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    for name, value in fields.items():
        if value:
            message[name] = value
    message.set_content(text)
    return (f"Authentication-Results: {results}\r\n" if results else "").encode() + message.as_bytes()


def raw_mail(head: str, body: bytes | str = b"Hello\r\n") -> bytes:
    """Return a mail of exactly these lines, checked by our own server."""
    lines = [f"Authentication-Results: {PASSED}", *head.strip().splitlines()]
    octets = "".join(f"{line.strip() if ':' in line else line}\r\n" for line in lines).encode()
    return octets + b"\r\n" + (body.encode() if isinstance(body, str) else body)


def options(**given: Any) -> dict[str, Any]:
    """Return the options of an account as the host gives them to the adapter."""
    (spec,) = [spec for spec in missive_adapters() if spec.name == "email"]
    values = {option.name: [] if option.repeated else option.default for option in spec.options}
    basic = {
        "address": f"bot@{DOMAIN}",
        "password": Secret(PASSWORD),
        "trusted_authserv": [MX],
        "imap_host": "127.0.0.1",
    }
    values |= {**basic, "smtp_host": "127.0.0.1", "imap_security": "none", "smtp_security": "none", **given}
    return values


def read(octets: bytes, **given: Any) -> Inbound:
    """Return what a mail is for the bridge."""
    return inbound_of(Fetched(1, 1, octets, len(octets), 1_700_000_000.0), Settings.of(options(**given)))


def outgoing(
    text: str = "The answer", *, key: str = "0" * 24, to: Inbound | None = None, file: Path | None = None
) -> Outgoing:
    """Return an answer to a mail, or a mail to Alice out of the blue."""
    place = to.place if to is not None else Place(chat=ALICE, is_direct=True)
    attached = None if file is None else OutgoingFile(path=file, name=file.name)
    return Outgoing(key=key, place=place, text=text, file=attached, reply_to=to.message_id if to else None)


class MemoryCursor:
    """A position that a test can look at."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def get(self, name: str) -> str | None:
        return self.values.get(name)

    async def set(self, name: str, value: str) -> None:
        await anyio.lowlevel.checkpoint()
        self.values[name] = value


@dataclass
class Account:
    """What stays when the platform is made anew: its options, its position, and what was received."""

    options: dict[str, Any]
    folder: Path
    cursor: MemoryCursor = field(default_factory=MemoryCursor)
    received: list[Inbound] = field(default_factory=list)
    fail: list[Exception] = field(default_factory=list)
    """What `receive` raises next."""
    alive: int = 0
    _current: EmailPlatform | None = None

    def platform(self, **extra: Any) -> EmailPlatform:
        context = PlatformContext(
            account="mail", options=self.options, log=logging.getLogger("missive.chat.test"), data_dir=self.folder,
            cursor=self.cursor, alive=self._is_alive,
        )  # fmt: skip
        return EmailPlatform(context, **extra)

    def _is_alive(self) -> None:
        self.alive += 1

    async def receive(self, inbound: Inbound) -> bool:
        await anyio.lowlevel.checkpoint()
        if self.fail:
            raise self.fail.pop()
        known = any(each.event_id == inbound.event_id for each in self.received)
        self.received.append(inbound)
        return not known

    @asynccontextmanager
    async def open(self, **extra: Any) -> AsyncIterator[EmailPlatform]:
        before = asyncio.all_tasks()
        platform = self._current = self.platform(**extra)
        try:
            await platform.open()
            yield platform
        finally:
            await platform.close()
        left = [task for task in asyncio.all_tasks() - before if "cutting.py" not in repr(task)]
        assert not left, "it leaves nothing running"

    @asynccontextmanager
    async def listening(self, **extra: Any) -> AsyncIterator[EmailPlatform]:
        """Inside, mail comes in."""
        async with self.open(**extra) as platform, anyio.create_task_group() as group:
            group.start_soon(platform.listen, self.receive)
            yield platform
            group.cancel_scope.cancel()

    async def until(self, count: int) -> list[Inbound]:
        """Wait until so many mails were received."""
        with anyio.fail_after(100):
            while len(self.received) < count:
                await anyio.sleep(0.01)
        return self.received

    async def settled(self) -> None:
        """Wait until all that was received is dealt with, and the server is waited for."""
        with anyio.fail_after(100):
            while self._current is None or not self._current._imap._idling:
                await anyio.sleep(0.01)

    async def looked(self) -> None:
        """Wait until the server was asked once more."""
        seen = self.alive
        with anyio.fail_after(100):
            while self.alive == seen:
                await anyio.sleep(0.01)
