"""Telegram: a bot that asks for its updates, and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from logging import Logger
from pathlib import Path
from typing import Any

import anyio

from missive_chat.platform import (
    Attachment,
    Button,
    ChatCapabilities,
    ChatError,
    Check,
    Inbound,
    Outgoing,
    OutgoingFile,
    Place,
    PlatformContext,
    Reaction,
    Receive,
)
from missive_chat.platforms.telegram.api import UPLOAD_TIMEOUT, BadRequestError, BotApi
from missive_chat.platforms.telegram.checks import look
from missive_chat.platforms.telegram.inbound import UPDATES, Reader, Update, message_id, number_of
from missive_chat.platforms.telegram.markup import from_markdown, units
from missive_chat.words import WORDS

MAX_TEXT = 4096
MAX_CAPTION = 1024
MAX_PHOTO = 10_000_000
PHOTOS = ("image/jpeg", "image/png", "image/webp")
POLL = 50
"""Seconds for which Telegram holds a request for updates."""
ALBUM_PAUSE = 0.7
"""Seconds after which the rest of an album is there. Asked again sooner, Telegram gives one update only."""
PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0)
"""Seconds before updates are asked for again after the connection broke; after the last one it is the bridge's turn."""
MAX_MET = 1000
"""People and groups whose ids are logged, once each."""
REACTIONS: Mapping[Reaction, str] = {"seen": "👀", "done": "👍", "failed": "👎"}
"""Of those that Telegram lets bots use; groups that allow only some allow these most often."""
_PARSING = ("can't parse", "ENTITY", "ENTITIES", "entities")
_NOT_MODIFIED = "message is not modified"


class Telegram:
    """A `missive_chat.platform.Platform`."""

    capabilities = ChatCapabilities(
        max_text=MAX_TEXT,
        unit="utf-16",
        edits=True,
        edit_interval=3.0,
        send_interval=1.0,
        burst=4,
        buttons=True,
        reactions=True,
        typing_ttl=5.0,
        attachments_in=20_000_000,
        attachments_out=50_000_000,
        command_prefix="/",
        dialect="entities",
    )

    def __init__(self, context: PlatformContext) -> None:
        self._context = context
        self._log = context.log
        self._api = BotApi(context.options["token"].reveal(), context.options["api_url"])
        self._me: Mapping[str, Any] = {}
        self._met: set[str] = set()
        self._moved: dict[str, str] = {}
        """Groups that became supergroups since, and what their ids are now."""
        self._begun: dict[str, str] = {}
        """Keys of messages with a file whose long text was sent already, and the id of that text."""

    @property
    def identity(self) -> str:
        return str(self._me.get("id", ""))

    # --- the connection

    async def open(self) -> None:
        await self._api.open()
        self._me = await self._api.call("getMe")
        self._log.info("this is @%s", self._me.get("username"))

    async def close(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._api.close()

    async def listen(self, receive: Receive) -> None:
        await self._tell_commands()
        reader = Reader(self._me, tuple(WORDS))
        cursor = f"offset.{self.identity}"
        offset = int(self._context.cursor.get(cursor) or 0)
        while True:
            updates = await self._updates(offset)
            for event, queries in _events(reader, updates, self._log):
                if event is not None:
                    self._introduce(event)
                    await receive(event)
                for query in queries:
                    await self._answer_query(query)
            if updates:
                offset = int(updates[-1]["update_id"]) + 1
                await self._context.cursor.set(cursor, str(offset))

    def _introduce(self, event: Inbound) -> None:
        """Say once who writes, and where: ids are what the configuration wants, and Telegram's apps show none."""
        place, sender = event.place, event.sender
        met = sender.id if place.is_direct else place.chat
        if met in self._met or len(self._met) >= MAX_MET:
            return
        self._met.add(met)
        name = repr(sender.name[:64])
        if place.is_direct:
            self._log.info("%s writes directly: the id for `users` is %s", name, sender.id)
        else:
            self._log.info("%s (%s) writes in a group: the id for `channels` is %s", name, sender.id, place.chat)

    async def _updates(self, offset: int) -> Sequence[Update]:
        """Return the next updates; albums are whole. Asking with an offset forgets what is before it, nothing else."""
        updates = await self._poll(offset, POLL)
        if updates and len(updates) < 100 and "media_group_id" in updates[-1].get("message", {}):
            await anyio.sleep(ALBUM_PAUSE)
            updates = await self._poll(offset, 0)
        return updates

    async def _poll(self, offset: int, seconds: int) -> Sequence[Update]:
        failures = 0
        while True:
            try:
                updates: Sequence[Update] = await self._api.call(
                    "getUpdates", wait=seconds + 20.0, offset=offset or None, timeout=seconds, allowed_updates=UPDATES
                )
            except ChatError as error:
                if error.permanent or type(error) is not ChatError or failures == len(PAUSES):
                    raise
                pause = error.retry_after or PAUSES[failures]
                self._log.info("no updates, next try in %g s: %s", pause, error.message)
                await anyio.sleep(pause)
                failures += 1
            else:
                self._context.alive()
                return updates

    async def _tell_commands(self) -> None:
        """Have the commands in the menu of Telegram's apps. It is no harm if they are not."""
        if not self._context.options["commands"]:
            return
        commands = [{"command": name, "description": meaning[:256]} for name, meaning in WORDS.items()]
        try:
            await self._api.call("setMyCommands", commands=commands)
        except ChatError as error:
            self._log.info("the menu of commands is as it was: %s", error.message)

    async def _answer_query(self, query: str) -> None:
        """Tell Telegram that a press has arrived, once; a press that comes again was answered before, perhaps."""
        try:
            await self._api.call("answerCallbackQuery", wait=10.0, callback_query_id=query)
        except ChatError as error:
            self._log.debug("a press was not acknowledged: %s", error.message)

    # --- messages

    def render(self, text: str) -> str:
        return from_markdown(text)[0]

    async def send(self, message: Outgoing) -> str:
        text, entities = from_markdown(message.text)
        more = {
            "reply_parameters": _reply_to(message),
            "reply_markup": _keyboard(message.buttons),
            "message_thread_id": _topic(message.place),
        }
        if message.file is None:
            return await self._send_text(message.place, text, entities, more)
        if units(text) <= MAX_CAPTION:
            return await self._send_file(message.place, message.file, text, entities, more)
        if message.key not in self._begun:
            first = {**more, "reply_markup": None}
            self._begun[message.key] = await self._send_text(message.place, text, entities, first)
        sent = await self._send_file(message.place, message.file, "", [], {**more, "reply_parameters": None})
        self._begun.pop(message.key, None)
        return sent

    async def _send_text(self, place: Place, text: str, entities: list[dict[str, Any]], more: Mapping[str, Any]) -> str:
        if not text:
            raise ChatError("there is no text to be sent", permanent=True)
        return await self._send(
            "sendMessage", place, entities, text=text, link_preview_options={"is_disabled": True}, **more
        )

    async def _send_file(
        self, place: Place, file: OutgoingFile, text: str, entities: list[dict[str, Any]], more: Mapping[str, Any]
    ) -> str:
        try:
            size = file.path.stat().st_size
        except OSError as error:
            raise ChatError(f"{file.name} cannot be read: {error.strerror}", permanent=True) from None
        most = self.capabilities.attachments_out or 0
        if size > most:
            raise ChatError(f"{file.name} has {size} bytes; Telegram takes {most}", permanent=True)
        if file.media_type in PHOTOS and size <= MAX_PHOTO:
            try:
                return await self._send("sendPhoto", place, entities, file=file, caption=text or None, **more)
            except BadRequestError as error:
                if not error.says("PHOTO", "IMAGE", "file is too big"):
                    raise
        return await self._send("sendDocument", place, entities, file=file, caption=text or None, **more)

    async def _send(
        self,
        method: str,
        place: Place,
        entities: list[dict[str, Any]],
        *,
        file: OutgoingFile | None = None,
        **fields: Any,
    ) -> str:
        """Send, without the entities if Telegram does not take them, and to where the group has moved."""
        chat = self._moved.get(place.chat, place.chat)
        named = "entities" if file is None else "caption_entities"
        try:
            sent = await self._post(method, file, chat_id=_number(chat), **{named: entities or None}, **fields)
        except BadRequestError as error:
            if error.migrated_to is not None and place.chat not in self._moved:
                self._moved[place.chat] = str(error.migrated_to)
                self._log.warning("the group %s is %s now: change its id in `channels`", place.chat, error.migrated_to)
                return await self._send(method, place, entities, file=file, **fields)
            if entities and error.says(*_PARSING):
                self._log.warning("sent as plain text: %s", error.message)
                return await self._send(method, place, [], file=file, **fields)
            raise
        return message_id(sent)

    async def _post(self, method: str, file: OutgoingFile | None, **fields: Any) -> Any:
        if file is None:
            return await self._api.call(method, **fields)
        media_type = file.media_type or "application/octet-stream"
        with file.path.open("rb") as content:
            part = {method.removeprefix("send").lower(): (file.name, content, media_type)}
            return await self._api.call(method, wait=UPLOAD_TIMEOUT, files=part, **fields)

    async def edit(
        self,
        place: Place,
        message_id: str,
        text: str,
        *,
        buttons: tuple[Button, ...] = (),
        final: bool = False,  # noqa: ARG002
    ) -> None:
        text, entities = from_markdown(text)
        where: dict[str, Any] = {**self._message(place, message_id), "reply_markup": _keyboard(buttons)}
        plain: dict[str, Any] = {"text": text, "link_preview_options": {"is_disabled": True}}
        try:
            try:
                await self._api.call("editMessageText", entities=entities or None, **plain, **where)
            except BadRequestError as error:
                if error.says("no text in the message"):  # it has a file, and the text is below that
                    await self._api.call("editMessageCaption", caption=text, caption_entities=entities or None, **where)
                elif entities and error.says(*_PARSING):
                    await self._api.call("editMessageText", **plain, **where)
                else:
                    raise
        except BadRequestError as error:
            if not error.says(_NOT_MODIFIED):
                raise

    def _message(self, place: Place, message: str) -> dict[str, Any]:
        return {"chat_id": _number(self._moved.get(place.chat, place.chat)), "message_id": number_of(message)}

    async def find(self, message: Outgoing) -> str | None:  # noqa: ARG002 - bots cannot read what they have sent
        return None

    async def react(self, place: Place, message_id: str, reaction: Reaction, *, instead_of: Reaction | None) -> None:  # noqa: ARG002
        emoji = [{"type": "emoji", "emoji": REACTIONS[reaction]}]
        await self._api.call("setMessageReaction", reaction=emoji, **self._message(place, message_id))

    async def typing(self, place: Place) -> None:
        chat = _number(self._moved.get(place.chat, place.chat))
        await self._api.call("sendChatAction", chat_id=chat, message_thread_id=_topic(place), action="typing")

    async def download(self, attachment: Attachment, path: Path, *, limit: int) -> int:
        if attachment.size is not None and attachment.size > limit:
            raise ChatError(f"the file has {attachment.size} bytes; at most {limit} are taken", permanent=True)
        file = await self._api.call("getFile", file_id=attachment.id)
        file_path = str(file.get("file_path") or "")
        if not file_path or file_path.startswith("/") or ".." in file_path.split("/"):
            raise ChatError("the Bot API server keeps its files to itself", permanent=True)
        return await self._api.download(file_path, path, limit=limit)

    async def check(self) -> tuple[Check, ...]:
        return await look(self._api, await self._api.call("getMe"), self._context.options)


def _events(reader: Reader, updates: Sequence[Update], log: Logger) -> list[tuple[Inbound | None, list[str]]]:
    """Return what happened, in order, with the presses to be acknowledged after it. An album is one message."""
    events: list[tuple[Inbound | None, list[str]]] = []
    album: tuple[str, str] | None = None
    for update in updates:
        try:
            event = reader.read(update)
        except (AttributeError, KeyError, TypeError, ValueError):  # the next one must not wait for it for ever
            log.exception("an update of Telegram's cannot be read; it has %s", sorted(update))
            event = None
        message = update.get("message", {})
        group = (
            (str(message.get("chat", {}).get("id")), str(message["media_group_id"]))
            if "media_group_id" in message
            else None
        )
        last = events[-1][0] if events else None
        if event is not None and last is not None and group is not None and group == album:
            events[-1] = (_joined(last, event), [])
        else:
            query = update.get("callback_query")
            events.append((event, [str(query["id"])] if query else []))
        album = group
    return events


def _joined(first: Inbound, other: Inbound) -> Inbound:
    """Return an album so far with one more of its files. Its event id names its last part: what comes late is new."""
    return replace(
        first,
        event_id=f"{first.event_id.partition('-')[0]}-{other.event_id}",
        text=first.text or other.text,
        mentions_me=first.mentions_me or other.mentions_me,
        attachments=(*first.attachments, *other.attachments),
    )


def _number(chat: str) -> int:
    """Return the id of a chat as the Bot API wants it."""
    if not chat.removeprefix("-").isdecimal():
        raise ChatError(f"{chat!r} is no chat of Telegram's: ids are numbers", permanent=True)
    return int(chat)


def _topic(place: Place) -> int | None:
    if place.thread is not None and not place.thread.isdecimal():
        raise ChatError(f"{place.thread!r} is no topic: ids of topics are numbers", permanent=True)
    return None if place.thread is None else int(place.thread)


def _keyboard(buttons: tuple[Button, ...]) -> dict[str, Any] | None:
    """Return the buttons in one row, or None: an edit without them takes away those that were there."""
    if not buttons:
        return None
    row = []
    for button in buttons:
        if not 1 <= len(button.value.encode()) <= 64:
            raise ChatError(
                f"a button's value has {len(button.value.encode())} bytes; 1 to 64 are possible", permanent=True
            )
        style = {} if button.style is None else {"style": button.style}
        row.append({"text": button.label, "callback_data": button.value, **style})
    return {"inline_keyboard": [row]}


def _reply_to(message: Outgoing) -> dict[str, Any] | None:
    if message.reply_to is None:
        return None
    return {"message_id": number_of(message.reply_to), "allow_sending_without_reply": True}
