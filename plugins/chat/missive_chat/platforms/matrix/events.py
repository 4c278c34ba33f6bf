"""An event of a room becomes an `Inbound`. Whatever an event has in it was put there by a stranger."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from missive_chat.platform import Attachment, Inbound, Place, Sender

FILES = ("m.image", "m.file", "m.audio", "m.video")


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What must be known of a room to read what is said in it."""

    id: str
    is_direct: bool
    encrypted: bool
    me: str
    my_name: str
    """What this account is called there."""
    sender_name: str = ""


def read(event: Mapping[str, Any], room: Room, *, decrypted: bool = False) -> Inbound | None:
    """Return what an event says to us, or None if it is nothing for anybody to answer: state, reactions, our own."""
    event_id, sender = event.get("event_id"), event.get("sender")
    if not isinstance(event_id, str) or not isinstance(sender, str) or sender == room.me or "state_key" in event:
        return None
    content = table(event.get("content"))
    stamp = event.get("origin_server_ts")
    common: dict[str, Any] = {
        "event_id": event_id,
        "sender": Sender(id=sender, name=room.sender_name),
        "sent_at": stamp / 1000 if isinstance(stamp, int) else None,
    }
    kind = event.get("type")
    if kind == "m.room.redaction":
        gone = content.get("redacts", event.get("redacts"))
        if not isinstance(gone, str):
            return None
        return Inbound(kind="delete", place=Place(chat=room.id, is_direct=room.is_direct), message_id=gone, **common)
    if kind != "m.room.message" or not isinstance(content.get("msgtype"), str):
        return None
    relation = table(content.get("m.relates_to"))
    related = _text(relation.get("event_id"))
    if relation.get("rel_type") == "m.replace" and related:
        return _message(table(content.get("m.new_content")), room, common, decrypted, kind="edit", message_id=related)
    return _message(content, room, common, decrypted, kind="message", message_id=event_id)


def _message(content: Mapping[str, Any], room: Room, common: dict[str, Any], decrypted: bool, **what: Any) -> Inbound:
    relation = table(content.get("m.relates_to"))
    thread = _text(relation.get("event_id")) if relation.get("rel_type") == "m.thread" else None
    replied = _text(table(relation.get("m.in_reply_to")).get("event_id"))
    reply_to = None if thread and relation.get("is_falling_back") is True else replied
    text = _text(content.get("body")) or ""
    if replied:
        text = _without_quote(text)
    attachments: tuple[Attachment, ...] = ()
    if content.get("msgtype") in FILES:
        text, attachments = _file(content, text)
    mentioned, text = _mention(content, text, room)
    return Inbound(
        **common, **what,
        place=Place(chat=room.id, is_direct=room.is_direct, thread=thread),
        text=text, mentions_me=mentioned, reply_to=reply_to, attachments=attachments,
        automatic="it is a notice (m.notice), as programs send them" if content.get("msgtype") == "m.notice" else None,
        unauthentic="it was sent in the clear in an encrypted room" if room.encrypted and not decrypted else None,
    )  # fmt: skip


def _without_quote(text: str) -> str:
    """Return a reply without what older clients put before it: the lines that it replies to."""
    lines = text.split("\n")
    if not lines[0].startswith("> <"):
        return text
    while lines and lines[0].startswith("> "):
        del lines[0]
    return "\n".join(lines[1:] if lines and not lines[0].strip() else lines)


def _file(content: Mapping[str, Any], text: str) -> tuple[str, tuple[Attachment, ...]]:
    """Return the caption and the file."""
    name = _text(content.get("filename"))
    caption = text if name and name != text else ""
    info = table(content.get("info"))
    sealed = table(content.get("file"))
    url = _text(sealed.get("url")) or _text(content.get("url"))
    if url is None:
        return text, ()
    known: dict[str, Any] = {"url": url}
    if sealed:
        key, digest = table(sealed.get("key")).get("k"), table(sealed.get("hashes")).get("sha256")
        known |= {"key": key, "hash": digest, "iv": sealed.get("iv")}
    size = info.get("size")
    return caption, (
        Attachment(
            id=json.dumps(known), name=name or text or "file", media_type=_text(info.get("mimetype")),
            size=size if isinstance(size, int) and size >= 0 else None,
        ),
    )  # fmt: skip


def _mention(content: Mapping[str, Any], text: str, room: Room) -> tuple[bool, str]:
    """Tell whether we are spoken to, and return the text without that.

    What the client says (`m.mentions`) counts, a link to our id, and our id or name at the beginning, as people write
    by hand. Our name in the middle counts only for clients that say nothing.
    """
    said = content.get("m.mentions")
    listed = table(said).get("user_ids")
    html = unquote(_text(content.get("formatted_body")) or "")
    names = "|".join(re.escape(name) for name in (room.me, room.my_name, room.me[1:].partition(":")[0]) if name)
    address = re.compile(rf"^\s*@?(?:{names})(?!\w)[ \t]*(?:[:,][ \t]*)?", re.IGNORECASE)
    called = re.compile(rf"^\s*@?(?:{names})[ \t]*[:,]|(?<!\S)@(?:{names})(?!\w)", re.IGNORECASE)
    mentioned = (
        (isinstance(listed, list) and room.me in listed)
        or f"https://matrix.to/#/{room.me}" in html
        or called.search(text) is not None
        or room.me in text
        or (said is None and re.search(rf"(?<!\w)(?:{names})(?!\w)", text, re.IGNORECASE) is not None)
    )
    if not mentioned:
        return False, text
    rest = address.sub("", text, count=1)
    return True, re.sub(rf"[ \t]*{re.escape(room.me)}(?!\w)", "", rest).strip()


def table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
