"""From the bytes of a mail to an `Inbound`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email.parser import BytesParser
from email.policy import compat32
from hashlib import sha256
from typing import Any

from missive_chat.platform import Attachment, Inbound, Place, Sender
from missive_chat.platforms.email.authors import Author, author_of, doubt
from missive_chat.platforms.email.automatic import automatic
from missive_chat.platforms.email.bodies import body_of
from missive_chat.platforms.email.files import MOST_FILES, files_of
from missive_chat.platforms.email.headers import Mail, decoded, message_ids, raw
from missive_chat.platforms.email.ids import own_id, thread_of
from missive_chat.platforms.email.settings import Settings

MOST_REFERENCES = 20


@dataclass(frozen=True, slots=True)
class Fetched:
    """A mail as the server gave it."""

    validity: int
    uid: int
    octets: bytes
    size: int
    """Its whole size; `octets` are only the beginning of one that is larger."""
    arrived: float | None
    """When it came in, by the server's clock: what the mail itself says is the writer's."""

    @property
    def is_whole(self) -> bool:
        return self.size <= len(self.octets)


@dataclass(frozen=True, slots=True)
class Answering:
    """What an answer has to know of the mail that it answers; it is kept as `Place.facts`."""

    subject: str = ""
    message_id: str | None = None
    references: tuple[str, ...] = ()
    number: int = 0
    """How many answers of ours the thread has had."""

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Answering:
        return cls(
            subject=str(facts.get("subject", "")),
            message_id=facts.get("message_id"),
            references=tuple(facts.get("references", ())),
            number=int(facts.get("number", 0)),
        )

    def facts(self) -> dict[str, Any]:
        return {
            "subject": self.subject,
            "message_id": self.message_id,
            "references": list(self.references),
            "number": self.number,
        }


def parse(octets: bytes) -> Mail:
    return BytesParser(policy=compat32).parsebytes(octets)


def inbound_of(fetched: Fetched, settings: Settings) -> Inbound:
    """Return what a mail is for the bridge. It may raise anything on what is no mail at all."""
    mail = parse(fetched.octets)
    author = author_of(mail)
    unsure = author.problem if settings.trust_from else doubt(mail, author, settings.trusted_authserv)
    given = message_ids(raw(mail, "Message-ID"))
    message_id = given[0] if given else f"<{sha256(fetched.octets).hexdigest()[:32]}@no-message-id.invalid>"
    reply_to = message_ids(raw(mail, "In-Reply-To"))
    earlier = [each for each in message_ids(raw(mail, "References"), *reply_to) if each != message_id]
    thread, number = thread_of(message_id, earlier, settings.domain)
    subject = decoded(raw(mail, "Subject"))[:500]
    answering = Answering(
        subject=subject,
        message_id=given[0] if given else None,
        references=tuple(earlier[:1] + earlier[1:][-MOST_REFERENCES:]),
        number=number,
    )
    mine = author.address == settings.address
    return Inbound(
        # with what was found of its sender, so that a forgery does not take the place of the mail that it copies
        event_id=sha256(f"{message_id}\n{author.address}\n{unsure is None}".encode()).hexdigest()[:32],
        place=Place(chat=author.address, is_direct=True, thread=thread, facts=answering.facts()),
        message_id=message_id,
        sender=Sender(id=author.address, name=author.name, is_me=mine),
        text=_text(mail, subject, is_reply=bool(earlier)) + ("" if fetched.is_whole else _too_large(fetched)),
        mentions_me=True,
        reply_to=reply_to[0] if reply_to else None,
        attachments=_attachments(mail, fetched),
        sent_at=fetched.arrived,
        unauthentic=unsure,
        automatic=_automatic(mail, author, message_id, number, settings),
    )


def _automatic(mail: Mail, author: Author, message_id: str, number: int, settings: Settings) -> str | None:
    if author.address == settings.address or own_id(message_id, settings.domain):
        return "it is our own"
    if number >= settings.max_replies:
        return f"{number} answers in this thread: it looks like a mail loop (`max_replies`)"
    return automatic(mail, author)


def _text(mail: Mail, subject: str, *, is_reply: bool) -> str:
    """Return the text; that of a new thread begins with its subject, unless it is a command."""
    body = body_of(mail)
    if not body or is_reply or not subject or body.startswith("!"):
        return body or ("" if is_reply else subject)
    return f"Subject: {subject}\n\n{body}"


def _too_large(fetched: Fetched) -> str:
    return f"\n\n[this mail has {fetched.size} bytes, which is too much: only its beginning was read]"


def _attachments(mail: Mail, fetched: Fetched) -> tuple[Attachment, ...]:
    files = files_of(mail)
    last = len(files) - 1
    return tuple(
        Attachment(
            id=f"{fetched.validity}:{fetched.uid}:{file.number}",
            name=file.name,
            media_type=file.media_type,
            # of a mail that was cut, the last file is the one that was cut: as large as it may be
            size=len(file.content()) if fetched.is_whole or file.number < last else fetched.size,
        )
        for file in files[:MOST_FILES]
    )
