"""What becomes of an update of the Bot API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from missive_chat.platform import Attachment, Inbound, Place, Press, Sender
from missive_chat.platforms.telegram.markup import Entity, to_markdown

Update = Mapping[str, Any]
Message = Mapping[str, Any]

UPDATES = ("message", "edited_message", "callback_query")
"""What we ask for. Posts in channels have no author, so nobody could be answered."""
TELEGRAM = 777000
"""The account by which Telegram forwards posts of a channel into its group."""
_NAMES = {
    "audio": ("audio", ".mp3"), "voice": ("voice", ".ogg"), "video": ("video", ".mp4"),
    "video_note": ("video", ".mp4"), "animation": ("animation", ".mp4"),
}  # fmt: skip


class Reader:
    """Reads the updates of one bot."""

    def __init__(self, me: Mapping[str, Any], commands: Sequence[str]) -> None:
        self._id = int(me["id"])
        self._name = str(me.get("username", "")).lower()
        self._commands = {f"/{command}" for command in commands}

    def read(self, update: Update) -> Inbound | None:
        """Return what happened, or None if it is nothing that anybody says."""
        event_id = str(update["update_id"])
        if query := update.get("callback_query"):
            return self._press(event_id, query)
        if message := update.get("message"):
            return self._message(event_id, message, edit=False)
        if message := update.get("edited_message"):
            return self._message(event_id, message, edit=True)
        return None

    def _message(self, event_id: str, message: Message, *, edit: bool) -> Inbound | None:
        place, sender = place_of(message), self._sender(message)
        if place is None or sender is None:
            return None
        raw, entities = _text(message)
        text, mentioned = self._read_text(raw, entities)
        command = _command(raw, entities)
        if command is not None:
            name, _, other = command.partition("@")
            if other and other.lower() != self._name:
                return None  # of another bot in the same group
            mentioned = mentioned or place.is_direct or bool(other) or name.lower() in self._commands
            if name.lower() == "/start":  # what Telegram's own button says, for whoever meets the bot first
                text = "/help"
        attachments = attachments_of(message)
        if not text and not attachments and not mentioned:
            return None
        reply = _replied_to(message)
        return Inbound(
            event_id=event_id,
            kind="edit" if edit else "message",
            place=place,
            message_id=message_id(message),
            sender=sender,
            text=text,
            mentions_me=mentioned or (reply is not None and reply.get("from", {}).get("id") == self._id),
            reply_to=None if reply is None else message_id({"chat": message["chat"], **reply}),
            attachments=attachments,
            sent_at=float(message.get("edit_date" if edit else "date") or 0) or None,
            automatic=_automatic(message),
        )

    def _press(self, event_id: str, query: Mapping[str, Any]) -> Inbound | None:
        message = query.get("message")
        if message is None or query.get("data") is None:
            return None
        place, pressed = place_of(message), message_id(message)
        if place is None:
            return None
        return Inbound(
            event_id=event_id,
            kind="press",
            place=place,
            message_id=pressed,
            sender=self._user(query["from"]),
            press=Press(value=str(query["data"]), message_id=pressed),
        )

    def _user(self, user: Mapping[str, Any]) -> Sender:
        name = " ".join(part for part in (user.get("first_name"), user.get("last_name")) if part)
        return Sender(id=str(user["id"]), name=name, is_bot=bool(user.get("is_bot")), is_me=int(user["id"]) == self._id)

    def _sender(self, message: Message) -> Sender | None:
        """Return who wrote. An administrator may hide behind the group, and anybody behind his channel."""
        if chat := message.get("sender_chat"):
            return Sender(id=str(chat["id"]), name=str(chat.get("title", "")))
        return self._user(message["from"]) if "from" in message else None

    def _read_text(self, raw: str, entities: Sequence[Entity]) -> tuple[str, bool]:
        """Return the text without the mention of the bot, and whether there was one."""
        mentioned = False
        first = True

        def leave_out(inner: str, entity: Entity) -> tuple[int, int] | None:
            nonlocal mentioned, first
            leading, first = first and entity["offset"] == 0, False
            if entity["type"] == "bot_command":
                name, at, _ = inner.partition("@")
                return (len(name), entity["length"]) if leading and at else None
            is_name = entity["type"] == "mention" and inner.lower() == f"@{self._name}"
            if is_name or (entity["type"] == "text_mention" and entity.get("user", {}).get("id") == self._id):
                mentioned = True
                return 0, entity["length"]
            return None

        text = to_markdown(raw, entities, leave_out)
        return (text.lstrip(" ,:") if mentioned else text).strip(), mentioned


def message_id(message: Message) -> str:
    """Return an id that no two messages share: Telegram's own number is one for each chat."""
    return f"{message['chat']['id']}:{message['message_id']}"


def number_of(message: str) -> int:
    """Return Telegram's number of a message."""
    return int(message.rpartition(":")[2])


def place_of(message: Message) -> Place | None:
    chat = message["chat"]
    if chat.get("type") not in ("private", "group", "supergroup"):
        return None
    topic = message.get("message_thread_id") if message.get("is_topic_message") else None
    return Place(
        chat=str(chat["id"]), is_direct=chat["type"] == "private", thread=None if topic is None else str(topic)
    )


def _text(message: Message) -> tuple[str, Sequence[Entity]]:
    if "text" in message:
        return message["text"], message.get("entities", ())
    if "caption" in message:
        return message["caption"], message.get("caption_entities", ())
    if sticker := message.get("sticker"):
        return str(sticker.get("emoji", "")), ()
    if place := message.get("location"):
        return f"geo:{place['latitude']},{place['longitude']}", ()
    return "", ()


def _command(raw: str, entities: Sequence[Entity]) -> str | None:
    for entity in entities:
        if entity["type"] == "bot_command" and entity["offset"] == 0:
            return raw[: entity["length"]]  # a command is ASCII
    return None


def _replied_to(message: Message) -> Message | None:
    """Return the message that is replied to. In a topic all that is no reply is one to the topic's beginning."""
    reply: Message | None = message.get("reply_to_message")
    if reply is None or "forum_topic_created" in reply:
        return None
    if message.get("is_topic_message") and reply.get("message_id") == message.get("message_thread_id"):
        return None
    return reply


def _automatic(message: Message) -> str | None:
    if bot := message.get("via_bot"):
        return f"made by the bot @{bot.get('username', '')}"
    if message.get("is_automatic_forward") or message.get("from", {}).get("id") == TELEGRAM:
        return "a post of the group's channel"
    return None


def attachments_of(message: Message) -> tuple[Attachment, ...]:
    """Return the files of a message; of a photo the largest."""
    if photos := message.get("photo"):
        best = max(photos, key=lambda photo: photo["width"] * photo["height"])
        name = f"photo-{message['message_id']}.jpg"
        return (Attachment(id=best["file_id"], name=name, media_type="image/jpeg", size=best.get("file_size")),)
    for kind, (stem, suffix) in _NAMES.items():
        if file := message.get(kind):
            return (_file(file, f"{stem}-{message['message_id']}{suffix}"),)
    if file := message.get("document"):
        return (_file(file, f"document-{message['message_id']}"),)
    return ()


def _file(file: Mapping[str, Any], name: str) -> Attachment:
    return Attachment(
        id=file["file_id"],
        name=str(file.get("file_name") or name),
        media_type=file.get("mime_type"),
        size=file.get("file_size"),
    )
