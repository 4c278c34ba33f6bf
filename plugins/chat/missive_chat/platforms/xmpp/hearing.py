"""What one connection hears, in order: first what was missed, from the archives, then what comes."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from contextlib import aclosing
from typing import Any

from missive_chat.platform import ChatError, Cursor, Inbound, Receive
from missive_chat.platforms.xmpp import names as n
from missive_chat.platforms.xmpp.archive import Archive
from missive_chat.platforms.xmpp.inbound import Translator
from missive_chat.platforms.xmpp.rooms import Room, Rooms
from missive_chat.platforms.xmpp.stream import Stream

_MUCH, _LITTLE = 10_000, 1000
"""So many messages may wait before the server has to, and what we send, too; so few before it may go on."""


class Hearing:
    def __init__(
        self, stream: Stream, account: str, rooms: Rooms, translator: Translator, cursor: Cursor, max_age: float
    ) -> None:
        self._stream = stream
        self._account = account
        self._rooms = rooms
        self._translator = translator
        self._cursor = cursor
        self._max_age = max_age
        self.archives: dict[str, Archive] = {}
        self._behind: deque[str] = deque([account])
        """Whose archives are to be looked through for what we missed."""
        self._heard: deque[tuple[Inbound, bool]] = deque()
        """With each message whether the server had kept it for us."""
        self._more = asyncio.Event()
        self._caught_up = False
        self.paused = False
        """Nothing is read: too much waits already."""

    def joined(self, room: Room) -> None:
        """We have come into a room: something may have been said before."""
        self._behind.append(room.name)
        self._more.set()

    def wake(self) -> None:
        """The connection has ended."""
        self._more.set()

    async def begin(self) -> None:
        """Find the archives, and where we are in them."""
        for name in list(self._behind):
            await self.archive_of(name)

    def hear(self, message: Any) -> None:
        """Take in a message that comes now."""
        inbound = self._translator.inbound(message.xml, message["from"])
        if inbound is None:
            return
        self._heard.append((inbound, message.xml.find(n.DELAY) is not None))
        self._more.set()
        transport = self._stream.client.transport
        if len(self._heard) >= _MUCH and transport is not None and self._caught_up and not self.paused:
            self.paused = True
            transport.pause_reading()

    async def hand_over(self, receive: Receive) -> None:
        """Hand over until the connection is lost. Raises `ChatError`."""
        known: set[str] = set()
        while True:
            while self._behind:
                archive = await self.archive_of(self._behind.popleft())
                if archive is not None:
                    await self._catch_up(archive, receive, known)
            self._caught_up = True
            while self._heard and not self._behind:
                inbound, kept = self._heard.popleft()
                self._go_on()
                if inbound.event_id in known or (kept and self._is_archived(inbound)):
                    continue
                await receive(inbound)
                await self._passed(inbound)
            if self._behind:
                continue
            if self._stream.ended.is_set():
                raise self._stream.lost()
            self._more.clear()
            await self._more.wait()

    async def archive_of(self, name: str) -> Archive | None:
        """Return the archive of a room, or with our own address ours, if there is one."""
        if name in self.archives:
            return self.archives[name]
        is_room = name != self._account
        has = n.MAM in self._rooms.rooms[name].features if is_room else await self._has_archive()
        if not has:
            return None
        archive = self.archives[name] = Archive(self._stream, name, self._cursor, is_room=is_room)
        await archive.begin()
        return archive

    async def _has_archive(self) -> bool:
        iq = self._stream.client.make_iq_get(ito=self._account)
        iq.enable("disco_info")
        try:
            return n.MAM in (await self._stream.ask(iq))["disco_info"]["features"]
        except ChatError as error:
            if error.permanent:
                return False
            raise

    async def _catch_up(self, archive: Archive, receive: Receive, known: set[str]) -> None:
        async with aclosing(archive.pages(self._max_age)) as pages:
            async for page in pages:
                for found in page:
                    inbound = self._translator.inbound(found.xml, found.sender, archive_id=found.id, stamp=found.stamp)
                    if inbound is not None:
                        known.add(inbound.event_id)
                        await receive(inbound)
                    await archive.passed(found.id, found.stamp or time.time())

    def _go_on(self) -> None:
        if self.paused and len(self._heard) <= _LITTLE and self._stream.client.transport is not None:
            self.paused = False
            self._stream.client.transport.resume_reading()

    def _is_archived(self, inbound: Inbound) -> bool:
        """What is kept for us is in the archive, too, and was said before we were there for the first time, if not."""
        return not inbound.place.is_direct or self._account in self.archives

    async def _passed(self, inbound: Inbound) -> None:
        name = self._account if inbound.place.is_direct else inbound.place.chat
        archive = self.archives.get(name)
        prefix = f"xmpp:{name}:"
        if archive is not None and inbound.event_id.startswith(prefix):
            await archive.passed(inbound.event_id.removeprefix(prefix), inbound.sent_at or time.time())
