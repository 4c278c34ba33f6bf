"""From an `Outgoing` to the bytes of a mail."""

from __future__ import annotations

import mimetypes
import re
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import TYPE_CHECKING

from missive_chat.platform import ChatError, Outgoing
from missive_chat.platforms.email.authors import address_of
from missive_chat.platforms.email.headers import one_line
from missive_chat.platforms.email.ids import OwnId, thread_id
from missive_chat.platforms.email.inbound import Answering
from missive_chat.platforms.email.settings import Settings

if TYPE_CHECKING:
    from datetime import datetime

_ANSWER = re.compile(r"\s*(re|aw|sv|antw|ref|rv|odp)(\[\d+\])?\s*:", re.IGNORECASE)
_POLICY = SMTP.clone(cte_type="7bit", max_line_length=78)


@dataclass(frozen=True, slots=True)
class Composed:
    message_id: str
    recipient: str
    octets: bytes


def message_id_of(message: Outgoing, settings: Settings) -> str:
    """Return the message id that every attempt to send a message has."""
    answering = Answering.of(message.place.facts)
    thread = message.place.thread or thread_id(message.key)
    return OwnId(message.key, thread, answering.number + 1).text(settings.domain)


def compose(message: Outgoing, settings: Settings, now: datetime) -> Composed:
    """Return a message as a mail. It reads the file, and takes a second for one of 20 MB."""
    answering = Answering.of(message.place.facts)
    recipient = address_of(message.place.chat)
    if recipient is None or not recipient.isascii():
        raise ChatError(
            f"cannot write to {message.place.chat!r}: it is no address that every server takes", permanent=True
        )
    message_id = message_id_of(message, settings)
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = Address(settings.name, addr_spec=settings.address)
    mail["To"] = Address(addr_spec=recipient)
    mail["Subject"] = _subject(answering, message.text)
    mail["Date"] = format_datetime(now)
    # what makes other machines leave it alone: RFC 3834, and Microsoft's own word
    mail["Auto-Submitted"] = "auto-replied" if answering.message_id else "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    _fill(mail, message, settings)
    return Composed(message_id, recipient, _threading(message_id, answering) + mail.as_bytes())


def _threading(message_id: str, answering: Answering) -> bytes:
    """Return the headers that hold ids: the library would encode long ones, so that nobody knew them again."""
    lines = [f"Message-ID: {message_id}"]
    if answering.message_id:
        lines += [f"In-Reply-To: {answering.message_id}"]
        lines += ["References: " + "\r\n ".join((*answering.references, answering.message_id))]
    return "".join(f"{line}\r\n" for line in lines).encode("ascii")


def _fill(mail: EmailMessage, message: Outgoing, settings: Settings) -> None:
    text = plain(message.text) or (message.file.name if message.file else "")
    encoding = "quoted-printable" if _is_mostly_ascii(text) else "base64"
    mail.set_content(text, cte=encoding)
    if settings.html and message.text:
        from missive_chat.platforms.email.html_out import html_of

        mail.add_alternative(html_of(text), subtype="html", cte=encoding)
    if message.file is None:
        return
    try:
        octets = message.file.path.read_bytes()
    except OSError as error:
        raise ChatError(f"the file {message.file.name} cannot be read: {error.strerror}", permanent=True) from None
    kind = message.file.media_type or mimetypes.guess_type(message.file.name)[0] or ""
    main, _, sub = kind.partition(";")[0].strip().lower().partition("/")
    if not re.fullmatch(r"[a-z0-9-]+/[a-z0-9.+_-]+", f"{main}/{sub}") or main in ("multipart", "message"):
        main, sub = "application", "octet-stream"
    mail.add_attachment(octets, maintype=main, subtype=sub, filename=one_line(message.file.name))


def plain(text: str) -> str:
    """Return a text as the plain part has it: Markdown is read easily enough as it is."""
    clean = text.encode("utf-8", "replace").decode("utf-8").replace("\r\n", "\n").replace("\r", "\n")
    return re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", clean)


def _is_mostly_ascii(text: str) -> bool:
    octets = text.encode()
    return sum(octet > 127 for octet in octets) * 6 <= len(octets)


def _subject(answering: Answering, text: str) -> str:
    subject = one_line(answering.subject)
    if not answering.message_id and not subject:
        words = one_line(re.sub(r"[*_`#>]", "", text))
        return (words[:60] + "…" if len(words) > 61 else words) or "A message"
    return subject if _ANSWER.match(subject) else f"Re: {subject}".strip()
