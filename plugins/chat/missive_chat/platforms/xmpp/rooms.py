"""The rooms that we want to be in: joining, coming back, and who is there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from logging import Logger
from typing import TYPE_CHECKING, Any

import anyio

from missive_chat.platform import ChatError
from missive_chat.platforms.xmpp.stream import PATIENCE, Stream

if TYPE_CHECKING:
    from slixmpp import ClientXMPP

_FIRST_PAUSE, _LONGEST_PAUSE = 3.0, 300.0


@dataclass
class Room:
    name: str
    nick: str
    refused: str | None = "we have not joined it yet"
    """Why we are not in it; None: we are."""
    again_at: float = 0.0
    pause: float = _FIRST_PAUSE
    features: frozenset[str] = frozenset()


class Rooms:
    """Of one connection."""

    def __init__(
        self, stream: Stream, names: Iterable[str], nick: str, passwords: Mapping[str, Any], log: Logger
    ) -> None:
        self._stream = stream
        self.joined: Callable[[Room], None] = lambda _: None
        """Called whenever we have come into a room."""
        self._passwords = passwords
        self._log = log
        self._joining: dict[str, asyncio.Future[str | None]] = {}
        self.rooms = {name.lower(): Room(name.lower(), nick) for name in names}

    def prepare(self, client: ClientXMPP) -> None:
        for name in self.rooms:
            client.add_event_handler(f"muc::{name}::self-presence", self._moved)
        client.add_event_handler("presence_error", self._refused)

    async def join(self) -> None:
        """Join all; a room that does not let us in is no reason not to be in the others."""
        async with anyio.create_task_group() as tasks:
            for room in self.rooms.values():
                tasks.start_soon(self._join, room)

    async def keep(self, seconds: float) -> None:
        """Look whether we are still where we think we are (XEP-0410), and come back where we are not."""
        for room in self.rooms.values():
            if room.refused is None and not await self._is_in(room, seconds):
                room.refused = "the room has forgotten us"
            if room.refused is not None and room.again_at <= time.monotonic():
                await self._join(room)

    def real(self, room: str, nick: str) -> str | None:
        """Return the bare JID of who has the nick; empty if the room hides it; None if nobody has it there."""
        if room not in self.rooms or not nick:
            return None
        jid = self._muc.get_jid_property(room, nick, "jid")
        return str(jid.bare) if jid else ""

    def our_nick(self, room: str) -> str:
        return self.rooms[room].nick if room in self.rooms else ""

    def is_open(self, room: str) -> bool:
        """Tell whether everybody in it sees who everybody is."""
        return room in self.rooms and "muc_nonanonymous" in self.rooms[room].features

    @property
    def _muc(self) -> Any:
        return self._stream.client.plugin["xep_0045"]

    async def _join(self, room: Room) -> None:
        from slixmpp.jid import JID

        secret: Any = self._passwords.get(room.name)
        password = secret if secret is None or isinstance(secret, str) else secret.reveal()
        room.again_at = time.monotonic() + room.pause
        room.pause = min(2 * room.pause, _LONGEST_PAUSE)
        answer: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self._joining[room.name] = answer
        try:
            muc = self._muc
            muc.rooms[None][room.name], muc.our_nicks[None][room.name] = {}, room.nick
            muc.make_join_stanza(JID(room.name), room.nick, password=password, maxstanzas=0).send()
            with anyio.fail_after(PATIENCE):
                room.refused = await answer
        except TimeoutError:
            room.refused = "the room does not answer"
        finally:
            del self._joining[room.name]
        if room.refused is None:
            room.pause = _FIRST_PAUSE
            room.features = await self._features(room.name)
            self.joined(room)
        else:
            self._log.warning("the room %s does not let us in: %s", room.name, room.refused)

    async def _features(self, name: str) -> frozenset[str]:
        iq = self._stream.client.make_iq_get(ito=name)
        iq.enable("disco_info")
        try:
            answer = await self._stream.ask(iq)
        except ChatError as error:
            self._log.warning("the room %s does not say what it can do: %s", name, error.message)
            return frozenset()
        return frozenset(answer["disco_info"]["features"])

    async def _is_in(self, room: Room, seconds: float) -> bool:
        iq = self._stream.client.make_iq_get(ito=f"{room.name}/{room.nick}")
        iq.enable("ping")
        try:
            await self._stream.ask(iq, seconds, outside=True)
        except ChatError as error:
            return error.retry_after is None  # ``not-acceptable``: we are not in it; others come from somebody in it
        return True

    def _moved(self, presence: Any) -> None:
        """It is about us."""
        room = self.rooms.get(presence["from"].bare)
        if room is None:
            return
        codes = presence["muc"]["status_codes"]
        if presence["type"] != "unavailable":
            self._answer(room, None)
        elif 303 not in codes:  # that is another nick, not another place
            reason = presence["muc"]["item"]["reason"] or "we were thrown out"
            room.refused = f"{reason} ({', '.join(map(str, sorted(codes)))})"
            room.again_at = time.monotonic() + room.pause
            self._log.warning("not in the room %s any more: %s", room.name, room.refused)

    def _refused(self, presence: Any) -> None:
        room = self.rooms.get(presence["from"].bare)
        if room is None:
            return
        error = presence["error"]
        if error["condition"] == "conflict":
            room.nick += "_"
            room.again_at = 0.0
        self._answer(room, error["text"] or error["condition"] or "without a reason")

    def _answer(self, room: Room, refused: str | None) -> None:
        waiting = self._joining.get(room.name)
        if waiting is not None and not waiting.done():
            waiting.set_result(refused)
