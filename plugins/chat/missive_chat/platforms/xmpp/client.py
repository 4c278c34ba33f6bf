"""The platform ``xmpp``: one account, directly and in rooms."""

from __future__ import annotations

import asyncio
import re
import uuid
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree.ElementTree import Element, SubElement

import anyio

from missive_chat.platform import (
    Attachment,
    Button,
    ChatCapabilities,
    ChatError,
    ChatLoginError,
    Check,
    Outgoing,
    Place,
    PlatformContext,
    Reaction,
    Receive,
)
from missive_chat.platforms.plain import plain
from missive_chat.platforms.xmpp import doctor, files, names as n
from missive_chat.platforms.xmpp.hearing import Hearing
from missive_chat.platforms.xmpp.inbound import Translator, stanza_id
from missive_chat.platforms.xmpp.rooms import Rooms
from missive_chat.platforms.xmpp.stream import PATIENCE, Stream, refusal

if TYPE_CHECKING:
    from slixmpp import ClientXMPP

_CAN = ChatCapabilities(
    max_text=10_000,
    edits=True,
    edit_interval=1.0,
    send_interval=0.5,
    burst=10,
    threads="flat",
    typing_ttl=30.0,
    attachments_in=100 * 1024 * 1024,
    attachments_out=10 * 1024 * 1024,
    can_find=True,
    single_owner=False,
    dialect="styling",
)
_SEARCHED = 100
"""Messages of an archive that are looked through for one of ours."""
_NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
"""A server ends the stream of who sends these."""


class XmppPlatform:
    """See `Platform`. When the connection is lost, `listen` says so; the archives tell what came in between."""

    def __init__(self, context: PlatformContext) -> None:
        options = context.options
        self._context = context
        self._options = options
        self._account = str(options["jid"]).lower()
        user, _, domain = self._account.partition("@")
        self._nick = str(options["nick"] or user)
        self._ping = float(options["ping"])
        self._hosts = files.Hosts(domain, options["file_hosts"])
        self._stream: Stream | None = None
        self._rooms: Rooms | None = None
        self._store: files.Store | None = None
        self._translator = self._new_translator()
        self._opened = anyio.Event()
        self._hearing: Hearing | None = None
        self._waiting: dict[str, tuple[asyncio.Future[None], str]] = {}
        """Messages on their way and where they go, by the id that we gave them."""

    @property
    def capabilities(self) -> ChatCapabilities:
        if self._stream is None:
            return _CAN
        limit = None if self._store is None else self._store.limit or _CAN.attachments_out
        return replace(_CAN, attachments_out=limit)

    @property
    def identity(self) -> str:
        return self._account

    # --- the connection

    async def open(self) -> None:
        if not re.fullmatch(r"[^@/\s]+@[^@/\s]+", self._account):
            raise ChatLoginError(f"`jid` is `{self._account}`, which is no address like bot@example.org")
        stream = self._stream = Stream(self._options, self._account)
        passwords = self._options["room_passwords"] or {}
        rooms = self._rooms = Rooms(stream, self._options["channels"], self._nick, passwords, self._context.log)
        self._translator = self._new_translator()
        hearing = self._hearing = Hearing(
            stream, self._account, rooms, self._translator, self._context.cursor, float(self._options["max_age"])
        )
        rooms.joined = hearing.joined
        await stream.open(self._prepare)
        try:
            self._context.alive()
            stream.client.send_presence()
            await rooms.join()
            self._store = await files.find_store(stream)
            await hearing.begin()
            self._opened.set()
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self.close()
            raise

    async def listen(self, receive: Receive) -> None:
        stream, rooms, hearing = self._stream, self._rooms, self._hearing
        assert stream is not None, "open it first"
        assert rooms is not None
        assert hearing is not None
        failure: ChatError | None = None
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._watch, stream, rooms, hearing)
                try:
                    await hearing.hand_over(receive)
                except ChatError as error:
                    failure = error
                tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            errors, others = group.split(ChatError)
            if others is not None or errors is None:
                raise
            failure = next(error for error in errors.exceptions if isinstance(error, ChatError))
        if failure is not None:
            raise failure

    async def close(self) -> None:
        stream, self._stream = self._stream, None
        self._opened = anyio.Event()
        if stream is not None:
            await stream.close()
        self._give_up()

    def _prepare(self, client: ClientXMPP) -> None:
        from slixmpp.xmlstream.handler import Callback
        from slixmpp.xmlstream.matcher import MatchXPath

        assert self._rooms is not None
        self._rooms.prepare(client)
        client.register_handler(Callback("missive", MatchXPath(f"{n.CLIENT}message"), self._on_message))
        client.add_event_handler("disconnected", self._on_end)

    def _new_translator(self) -> Translator:
        return Translator(
            account=self._account,
            nick=self._nick,
            real=lambda room, nick: self._rooms.real(room, nick) if self._rooms else None,
            our_nick=lambda room: self._rooms.our_nick(room) if self._rooms else "",
            is_open=lambda room: self._rooms is not None and self._rooms.is_open(room),
            may_fetch=self._hosts.allow,
        )

    async def _watch(self, stream: Stream, rooms: Rooms, hearing: Hearing) -> None:
        """Ask whether the server and the rooms are still there."""
        while True:
            with anyio.move_on_after(self._ping):
                await stream.ended.wait()
                raise stream.lost()
            if hearing.paused:  # it waits for us, not we for it
                continue
            try:
                await stream.ping(self._ping)
                self._context.alive()
                await rooms.keep(self._ping)
            except ChatError:
                if not hearing.paused:
                    raise

    # --- what comes in

    def _on_end(self, _: object) -> None:
        self._give_up()
        if self._hearing is not None:
            self._hearing.wake()

    def _give_up(self) -> None:
        """Whoever waits for an answer gets none any more."""
        for waiting, _ in self._waiting.values():
            if not waiting.done():
                why = self._stream.why if self._stream is not None else "it was closed"
                waiting.set_exception(ChatError(f"the connection to the XMPP server was lost: {why}", maybe_sent=True))

    def _on_message(self, message: Any) -> None:
        self._context.alive()
        waiting, chat = self._waiting.get(message["id"], (None, ""))
        sender, kind = message["from"], message["type"]
        if kind == "error":
            # not from somebody in the room, who sees the id, too
            if waiting is not None and not waiting.done() and sender == chat:
                waiting.set_exception(refusal(message, f"the message to {chat} was not taken", outside=True))
        elif waiting is not None and kind == "groupchat" and sender == self._ours_in(chat):
            if given := stanza_id(message.xml, chat):
                self._translator.ours[given] = message["id"]
            if not waiting.done():
                waiting.set_result(None)
        elif self._hearing is not None and self._stream is not None:
            self._hearing.hear(message)

    def _ours_in(self, room: str) -> str:
        return f"{room}/{self._rooms.our_nick(room)}" if self._rooms is not None else ""

    # --- what goes out

    def render(self, text: str) -> str:
        return _NOT_XML.sub("", plain(text, fences=True, strong="*", struck="~"))

    async def send(self, message: Outgoing) -> str:
        stream = self._connected(message.place)
        text, url = self.render(message.text).strip(), None
        if len(text) > _CAN.max_text:
            raise ChatError(f"a message may have {_CAN.max_text} characters", permanent=True)
        if message.file is not None:
            if self._store is None:
                raise ChatError("the XMPP server has no store for files (XEP-0363)", permanent=True)
            url = await files.upload(stream, self._store, message.file)
            text = f"{text}\n{url}".strip()
        if not text:
            raise ChatError("there is no text in the message", permanent=True)
        xml = self._stanza(stream, message.place, message.key, text)
        if url is not None:
            SubElement(SubElement(xml, n.OOB), n.OOB_URL).text = url
        if message.reply_to is not None and (theirs := self._translator.theirs.get(message.reply_to)):
            SubElement(xml, n.REPLY, id=theirs, to=message.reply_to.rpartition(" ")[0])
        await self._sent(stream, message.place, message.key, xml)
        return message.key

    async def edit(
        self,
        place: Place,
        message_id: str,
        text: str,
        *,
        buttons: tuple[Button, ...] = (),  # noqa: ARG002 - there are none
        final: bool = False,  # noqa: ARG002 - each edit is whole
    ) -> None:
        stream = self._connected(place)
        ours = uuid.uuid4().hex
        xml = self._stanza(stream, place, ours, self.render(text).strip() or "…")
        SubElement(xml, n.REPLACE, id=message_id)
        await self._sent(stream, place, ours, xml)

    async def find(self, message: Outgoing) -> str | None:
        with anyio.move_on_after(PATIENCE):  # the rooms, and with them their archives, come last
            await self._opened.wait()
        self._connected(message.place)
        name = self._account if message.place.is_direct else message.place.chat
        archive = self._hearing.archives.get(name) if self._hearing is not None else None
        if archive is None:
            return None
        of = message.place.chat if message.place.is_direct else None
        found = await archive.latest(_SEARCHED, of)
        mine = self._account if message.place.is_direct else self._ours_in(name)
        ids = {each.xml.get("id") for each in found if str(each.sender).startswith(mine)}
        return message.key if message.key in ids else None

    async def typing(self, place: Place) -> None:
        stream = self._connected(place)
        xml = self._message(stream, place, uuid.uuid4().hex)
        SubElement(xml, f"{{{n.STATES}}}composing")
        stream.client.send_xml(xml)

    async def download(self, attachment: Attachment, path: Path, *, limit: int) -> int:
        if not self._hosts.allow(attachment.id):
            raise ChatError(f"{attachment.id} is not at a host that files are fetched from", permanent=True)
        return await files.fetch(attachment, path, limit=limit)

    async def react(self, place: Place, message_id: str, reaction: Reaction, *, instead_of: Reaction | None) -> None:
        raise NotImplementedError("reactions are not declared, so the bridge never calls this")

    async def check(self) -> tuple[Check, ...]:
        stream = self._connected(None)
        assert self._rooms is not None
        assert self._hearing is not None
        await stream.ping(PATIENCE)
        return doctor.look(stream, self._rooms, self._hearing.archives.keys(), self._store)

    def _connected(self, place: Place | None) -> Stream:
        stream = self._stream
        if stream is None or stream.ended.is_set():
            raise ChatError(f"{self._account} is not connected at the moment", retry_after=2.0)
        if place is not None and not place.is_direct and self._rooms is not None:
            room = self._rooms.rooms.get(place.chat)
            if room is not None and room.refused is not None:
                raise ChatError(f"the room {place.chat} cannot be spoken in: {room.refused}", retry_after=10.0)
        return stream

    def _message(self, stream: Stream, place: Place, ours: str) -> Element:
        from slixmpp.jid import JID, InvalidJID

        try:
            to = JID(place.chat).bare
        except InvalidJID:
            raise ChatError(f"`{place.chat}` is no address on XMPP", permanent=True) from None
        in_room = not place.is_direct and self._is_room(place.chat)
        xml: Element = stream.client.make_message(mto=to, mtype="groupchat" if in_room else "chat").xml
        xml.set("id", ours)
        for child in list(xml):
            xml.remove(child)
        return xml

    def _is_room(self, chat: str) -> bool:
        return self._rooms is not None and chat in self._rooms.rooms

    def _stanza(self, stream: Stream, place: Place, ours: str, text: str) -> Element:
        xml = self._message(stream, place, ours)
        SubElement(xml, f"{n.CLIENT}body").text = text
        if place.thread is not None:
            SubElement(xml, f"{n.CLIENT}thread").text = _NOT_XML.sub("", place.thread)
        SubElement(xml, n.ORIGIN_ID, id=ours)
        SubElement(xml, f"{{{n.STATES}}}active")
        return xml

    async def _sent(self, stream: Stream, place: Place, ours: str, xml: Element) -> None:
        """Send, and wait until the room shows it, or our server has dealt with it."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[ours] = waiting, place.chat
        try:
            stream.client.send_xml(xml)
            if not place.is_direct and self._is_room(place.chat):
                with anyio.fail_after(PATIENCE):
                    await waiting
            else:
                await stream.ping(PATIENCE)
                if waiting.done():
                    waiting.result()
        except TimeoutError:
            raise ChatError(f"{place.chat} has not shown our message within {PATIENCE:g} s", maybe_sent=True) from None
        except ChatError as error:
            error.maybe_sent = not error.permanent and error.retry_after is None
            raise
        finally:
            del self._waiting[ours]
            if waiting.done() and not waiting.cancelled():
                waiting.exception()
