"""The platform as the bridge sees it."""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from typing import TYPE_CHECKING
from urllib.parse import quote

import anyio

from missive_chat.platform import ChatCapabilities, ChatError
from missive_chat.platforms.matrix import contents, doctor, media
from missive_chat.platforms.matrix.connection import V3, Connection
from missive_chat.platforms.matrix.keys import Keys, Lock, require_encryption
from missive_chat.platforms.matrix.sync import Sync

if TYPE_CHECKING:
    from pathlib import Path

    from missive_chat.platform import (
        Attachment,
        Button,
        Check,
        Outgoing,
        Place,
        PlatformContext,
        Reaction,
        Receive,
    )
    from missive_chat.platforms.matrix.contents import Content

EMOJI: dict[Reaction, str] = {"seen": "👀", "done": "✅", "failed": "❌"}
TYPING_SECONDS = 20.0
MOST_REACTIONS = 1000
"""The ids of so many of our reactions are remembered, to take them back; those of others are asked for."""


class Matrix:
    """A platform of `missive_chat.platform`."""

    def __init__(self, context: PlatformContext) -> None:
        self._context = context
        self._log = context.log
        self._encryption = bool(context.options.get("encryption"))
        self._lock = Lock(context.data_dir)
        self._connection = Connection(context)
        self._keys = Keys(self._connection, wanted=self._encryption, here=False)
        self._keys_here = False
        self._largest = media.DEFAULT_LIMIT
        self._reactions: OrderedDict[tuple[str, Reaction], str] = OrderedDict()
        self._reacting = anyio.Lock()
        self._typing: dict[str, float] = {}

    @property
    def capabilities(self) -> ChatCapabilities:
        interval = float(self._context.options.get("edit_interval", 5.0))
        return ChatCapabilities(
            max_text=contents.MAX_TEXT, unit="bytes", edits=True, edit_interval=interval,
            send_interval=interval, burst=5, threads="flat", reactions=True, typing_ttl=TYPING_SECONDS,
            attachments_in=self._largest, attachments_out=self._largest, idempotent_send=True, single_owner=True,
            command_prefix="!", dialect="html",
        )  # fmt: skip

    @property
    def identity(self) -> str:
        return self._connection.user_id

    async def open(self) -> None:
        if self._encryption:
            require_encryption()
            self._keys_here = self._lock.take()
        await self._connection.open(encryption=self._keys_here)
        self._keys = Keys(self._connection, wanted=self._encryption, here=self._keys_here)
        self._largest = await media.server_limit(self._connection)
        await self._keys.begin()

    async def listen(self, receive: Receive) -> None:
        if self._encryption and not self._keys_here:
            raise ChatError("another process has the keys of this device open: is there a second gateway?")
        await Sync(self._context, self._connection, self._keys).run(receive)

    async def close(self) -> None:
        try:
            await self._connection.close()
        except Exception as error:  # noqa: BLE001 - what is given back is given back
            self._log.warning("while closing: %s", error)
        finally:
            self._lock.give_back()

    def render(self, text: str) -> str:
        return contents.render(text)

    async def send(self, message: Outgoing) -> str:
        room = message.place.chat
        if message.file is not None:
            content = await self._file(message)
        else:
            content = contents.message(message)
        kind, sealed = await self._keys.seal(room, "m.room.message", content)
        event_id = await self._connection.put_event(room, kind, sealed, message.key)
        if not message.progress:
            await self._stop_typing(room)
        return event_id

    async def edit(
        self,
        place: Place,
        message_id: str,
        text: str,
        *,
        buttons: tuple[Button, ...] = (),  # noqa: ARG002 - there are none
        final: bool = False,
    ) -> None:
        kind, sealed = await self._keys.seal(place.chat, "m.room.message", contents.edit(message_id, text))
        await self._connection.put_event(place.chat, kind, sealed, uuid.uuid4().hex)
        if final:
            await self._stop_typing(place.chat)

    async def find(self, message: Outgoing) -> str | None:  # noqa: ARG002 - sending it again finds it
        return None

    async def react(self, place: Place, message_id: str, reaction: Reaction, *, instead_of: Reaction | None) -> None:
        async with self._reacting:  # one that takes the place of another must find it there
            if instead_of is not None:
                await self._take_back(place, message_id, instead_of)
            await self._react(place, message_id, reaction)

    async def typing(self, place: Place) -> None:
        await self._say_typing(place.chat, {"typing": True, "timeout": int(TYPING_SECONDS * 1000)})
        self._typing[place.chat] = time.monotonic() + TYPING_SECONDS

    async def download(self, attachment: Attachment, path: Path, *, limit: int) -> int:
        return await media.download(self._connection, attachment, path, limit=limit)

    async def check(self) -> tuple[Check, ...]:
        return await doctor.examine(
            self._connection, self._keys, encryption=self._encryption, keys_here=self._keys_here
        )

    # --- parts of the above

    async def _file(self, message: Outgoing) -> Content:
        assert message.file is not None
        size = message.file.path.stat().st_size
        if size > self._largest:
            raise ChatError(
                f"the file '{message.file.name}' has {size:,} bytes, and the server takes {self._largest:,}",
                permanent=True,
            )
        encrypt = await self._keys.encrypted(message.place.chat)
        where, size = await media.upload(self._connection, message.file, encrypt=encrypt)
        return contents.file(message, where, size)

    async def _react(self, place: Place, message_id: str, reaction: Reaction) -> None:
        content = contents.reaction(message_id, EMOJI[reaction])
        try:
            # reactions are never encrypted: servers count them
            event_id = await self._connection.put_event(place.chat, "m.reaction", content, uuid.uuid4().hex)
        except ChatError as error:
            if "M_DUPLICATE_ANNOTATION" in error.message:
                return
            raise
        self._reactions[message_id, reaction] = event_id
        if len(self._reactions) > MOST_REACTIONS:
            self._reactions.popitem(last=False)

    async def _take_back(self, place: Place, message_id: str, reaction: Reaction) -> None:
        ours = self._reactions.pop((message_id, reaction), None) or await self._find_reaction(
            place, message_id, reaction
        )
        if ours is not None:
            path = f"{_room(place.chat)}/redact/{quote(ours, safe='')}/{uuid.uuid4().hex}"
            await self._connection.call("PUT", path, {}, doing="take a reaction back")

    async def _find_reaction(self, place: Place, message_id: str, reaction: Reaction) -> str | None:
        room, message = quote(place.chat, safe=""), quote(message_id, safe="")
        path = f"/_matrix/client/v1/rooms/{room}/relations/{message}/m.annotation/m.reaction?limit=100"
        answer = await self._connection.call("GET", path, doing="look for a reaction")
        for event in answer.get("chunk", []):
            relation = event.get("content", {}).get("m.relates_to", {})
            if event.get("sender") == self._connection.user_id and relation.get("key") == EMOJI[reaction]:
                return str(event["event_id"])
        return None

    async def _stop_typing(self, room: str) -> None:
        """End the notice, if there is one: the answer is there."""
        if self._typing.pop(room, 0.0) > time.monotonic():
            try:
                await self._say_typing(room, {"typing": False})
            except ChatError as error:
                self._log.debug("%s", error)

    async def _say_typing(self, room: str, what: dict[str, object]) -> None:
        path = f"{_room(room)}/typing/{quote(self._connection.user_id, safe='')}"
        await self._connection.call("PUT", path, what, doing="say that an answer is written")


def _room(room_id: str) -> str:
    return f"{V3}/rooms/{quote(room_id, safe='')}"
