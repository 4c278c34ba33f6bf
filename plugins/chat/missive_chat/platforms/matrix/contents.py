"""A message becomes the content of an event.

An event has at most 65,536 bytes on the wire. The server puts up to 4 kB around our content (earlier events, hashes,
signatures), and encryption makes 4 bytes of 3. A text of `MAX_TEXT` bytes, as text and as HTML and escaped for JSON, is
below that with every relation, encrypted or not.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from missive_chat.platform import ChatError
from missive_chat.platforms.matrix.html import harmless, to_html

if TYPE_CHECKING:
    from missive_chat.platform import Outgoing, Place

MAX_TEXT = 40_000
FALLBACK = 500
"""So much of a changed text is shown by programs that know of no edits, where the whole has no room twice."""

Content = dict[str, Any]


def render(text: str) -> str:
    """Return what the text takes in an event: what it says, and the HTML of it if it has any."""
    body = _body(text)
    return _escaped(body["body"]) + _escaped(body.get("formatted_body", ""))


def message(outgoing: Outgoing) -> Content:
    """Return the content of a text."""
    content = {"msgtype": "m.text", **_checked(outgoing.text), "m.mentions": {}}
    return _related(content, outgoing.place, outgoing.reply_to)


def edit(message_id: str, text: str) -> Content:
    """Return the content of an event that gives a message another text."""
    new = {"msgtype": "m.text", **_checked(text), "m.mentions": {}}
    shown = text if 2 * len(render(text).encode()) <= MAX_TEXT else text[:FALLBACK] + "…"
    return {
        "msgtype": "m.text", **_body(f"* {shown}"), "m.mentions": {}, "m.new_content": new,
        "m.relates_to": {"rel_type": "m.replace", "event_id": message_id},
    }  # fmt: skip


def file(outgoing: Outgoing, where: Content, size: int) -> Content:
    """Return the content of a file that was uploaded; `where` says where, and with which keys."""
    assert outgoing.file is not None
    media_type = outgoing.file.media_type or "application/octet-stream"
    family = media_type.partition("/")[0]
    content: Content = {
        "msgtype": f"m.{family}" if family in ("image", "audio", "video") else "m.file",
        "body": outgoing.file.name, "filename": outgoing.file.name, **where,
        "info": {"mimetype": media_type, "size": size}, "m.mentions": {},
    }  # fmt: skip
    if outgoing.text:
        content.update(_checked(outgoing.text))
    return _related(content, outgoing.place, outgoing.reply_to)


def reaction(message_id: str, emoji: str) -> Content:
    return {"m.relates_to": {"rel_type": "m.annotation", "event_id": message_id, "key": emoji}}


def _body(text: str) -> dict[str, str]:
    content = {"body": harmless(text)}
    if html := to_html(text):
        content |= {"format": "org.matrix.custom.html", "formatted_body": html}
    return content


def _checked(text: str) -> Content:
    if (size := len(render(text).encode())) > MAX_TEXT:
        raise ChatError(f"the text has {size:,} bytes as it is sent, and at most {MAX_TEXT:,} go", permanent=True)
    return _body(text)


def _escaped(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _related(content: Content, place: Place, reply_to: str | None) -> Content:
    if place.thread is not None:
        relation: Content = {"rel_type": "m.thread", "event_id": place.thread, "is_falling_back": True}
        relation["m.in_reply_to"] = {"event_id": reply_to or place.thread}
    elif reply_to is not None:
        relation = {"m.in_reply_to": {"event_id": reply_to}}
    else:
        return content
    return {**content, "m.relates_to": relation}
