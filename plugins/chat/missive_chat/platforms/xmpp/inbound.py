"""What is said over XMPP, as the bridge takes it."""

from __future__ import annotations

import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit
from xml.etree.ElementTree import Element

from missive_chat.platform import Attachment, Inbound, Place, Sender
from missive_chat.platforms.plain import without_mention
from missive_chat.platforms.xmpp import names as n

if TYPE_CHECKING:
    from slixmpp import JID

_HIDDEN = "the room hides who its members are, and a nick may be anybody's"
_REMEMBERED = 2000


class Memory(OrderedDict[str, str]):
    """The last things, and no more."""

    def __setitem__(self, key: str, value: str) -> None:
        super().__setitem__(key, value)
        if len(self) > _REMEMBERED:
            self.popitem(last=False)


class Translator:
    """Makes `Inbound` of messages, those that come now and those of an archive."""

    def __init__(
        self,
        *,
        account: str,
        nick: str,
        real: Callable[[str, str], str | None],
        our_nick: Callable[[str], str],
        is_open: Callable[[str], bool],
        may_fetch: Callable[[str], bool],
    ) -> None:
        """`account`: our bare JID; `real`: who has a nick in a room now; `our_nick`: ours in a
        room; `is_open`: whether the room shows everybody who everybody is."""
        self._account = account
        self._nick = nick
        self._real = real
        self._our_nick = our_nick
        self._is_open = is_open
        self._may_fetch = may_fetch
        self.ours = Memory()
        """Id that a room gave to a message of ours: the id that we gave it."""
        self.theirs = Memory()
        """`Inbound.message_id`: the id by which a reply names it."""

    def inbound(
        self, xml: Element, sender: JID, *, archive_id: str | None = None, stamp: float | None = None
    ) -> Inbound | None:
        """Return what a person said; None for everything else. `archive_id` and `stamp` are those of an archive."""
        kind = xml.get("type", "normal")
        body = xml.findtext(f"{n.CLIENT}body")
        if (
            kind not in {"chat", "normal", "groupchat"}
            or not body
            or any(xml.find(tag) is not None for tag in n.COPIES)
        ):
            return None
        if kind != "groupchat" and self._our_nick(str(sender.bare)):
            return None  # privately through a room: who has the nick when it is answered?
        return self._said(xml, sender, body, archive_id, stamp, is_room=kind == "groupchat")

    def _said(
        self, xml: Element, sender: JID, body: str, archive_id: str | None, stamp: float | None, *, is_room: bool
    ) -> Inbound | None:
        archive = str(sender.bare) if is_room else self._account
        person, unauthentic = self._sender(xml, sender, is_room=is_room, archived=archive_id is not None)
        if person.is_me:
            return None
        their_id = xml.get("id") or uuid.uuid4().hex
        archive_id = archive_id or stanza_id(xml, archive)
        message_id = f"{person.id} {their_id}"
        edited = xml.find(n.REPLACE)
        if edited is not None:
            message_id = f"{person.id} {edited.get('id')}"
        elif archive_id or not is_room:
            self.theirs[message_id] = archive_id if is_room and archive_id else their_id
        text, attachments = self._content(xml, body, person.name)
        reply_to, replies_to_us = self._reply(xml, sender, is_room=is_room)
        mentioned = False
        if is_room:
            text, mentioned = without_mention(text, (self._our_nick(archive), self._nick))
        thread = xml.findtext(f"{n.CLIENT}thread")
        encrypted = any(xml.find(tag) is not None for tag in n.ENCRYPTED)
        return Inbound(
            event_id=f"xmpp:{archive}:{archive_id}" if archive_id else f"xmpp:{sender}:{their_id}",
            kind="message" if edited is None else "edit",
            place=Place(chat=str(sender.bare), is_direct=not is_room, thread=thread if is_room else None),
            message_id=message_id,
            sender=person,
            text=text,
            mentions_me=not is_room or mentioned or replies_to_us,
            reply_to=reply_to,
            attachments=attachments,
            sent_at=stamp or _delayed(xml) or time.time(),
            unauthentic=unauthentic,
            automatic="it is encrypted (OMEMO), which is not understood here" if encrypted else None,
        )

    def _sender(self, xml: Element, sender: JID, *, is_room: bool, archived: bool) -> tuple[Sender, str | None]:
        if not is_room:
            bare = str(sender.bare)
            return Sender(id=bare, name=sender.user or bare, is_me=bare == self._account), None
        nick, real = str(sender.resource), None
        if archived:  # who had the nick then, as the room wrote it down; never who has it now
            real = _real_then(xml) if self._is_open(str(sender.bare)) else None
        elif nick:
            real = self._real(str(sender.bare), nick)
        if real:
            return Sender(id=real, name=nick, is_me=real == self._account), None
        is_me = not nick or nick == self._our_nick(str(sender.bare))
        return Sender(id=str(sender), name=nick, is_me=is_me), _HIDDEN

    def _content(self, xml: Element, body: str, name: str) -> tuple[str, tuple[Attachment, ...]]:
        text = _without_fallback(xml, body)
        if text.startswith("/me "):
            text = f"* {name} {text[4:]}"
        url = xml.findtext(f"{n.OOB}/{n.OOB_URL}")
        if url is None or not self._may_fetch(url):
            return text, ()
        file = Attachment(id=url, name=PurePosixPath(unquote(urlsplit(url).path)).name or "file")
        return text.replace(url, "").strip(), (file,)

    def _reply(self, xml: Element, sender: JID, *, is_room: bool) -> tuple[str | None, bool]:
        reply = xml.find(n.REPLY)
        if reply is None:
            return None, False
        named = reply.get("id") or ""
        if not is_room:
            return named or None, False
        ours = f"{sender.bare}/{self._our_nick(str(sender.bare))}"
        return self.ours.get(named, named) or None, reply.get("to") == ours


def stanza_id(xml: Element, by: str) -> str | None:
    """Return the id that this archive gave it.

    Anybody may write one into his message. An archive takes those in its name out, and adds its own behind the others;
    some forget the first, so the last one counts.
    """
    return next((each.get("id") for each in reversed(xml.findall(n.STANZA_ID)) if each.get("by") == by), None)


def _real_then(xml: Element) -> str | None:
    """Return who the archive of a room says it was.

    Servers let people write such a note into their own messages, and add theirs to it. So where there are two, nobody
    knows who it was.
    """
    notes = [item.get("jid") or "" for item in xml.iterfind(f"{n.MUC_USER}/{n.MUC_ITEM}")]
    return notes[0].partition("/")[0] or None if len(notes) == 1 else None


def _without_fallback(xml: Element, body: str) -> str:
    """Take out the quotation for clients that do not know replies."""
    for fallback in xml.iterfind(n.FALLBACK):
        part = fallback.find(n.FALLBACK_BODY)
        if fallback.get("for") == "urn:xmpp:reply:0" and part is not None:
            start, end = part.get("start", ""), part.get("end", "")
            if start.isdecimal() and end.isdecimal() and int(start) <= int(end):
                return (body[: int(start)] + body[int(end) :]).strip()
    return body.strip()


def seconds(stamp: str | None) -> float | None:
    try:
        return datetime.fromisoformat(stamp).timestamp() if stamp else None
    except ValueError:
        return None


def _delayed(xml: Element) -> float | None:
    delay = xml.find(n.DELAY)
    return seconds(delay.get("stamp")) if delay is not None else None
