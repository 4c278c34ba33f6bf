"""The parts of a mail: its text, and its files under names that are safe to use."""

from __future__ import annotations

import mimetypes
import re
from collections.abc import Iterator
from dataclasses import dataclass

from missive_chat.names import safe_name
from missive_chat.platforms.email.headers import Mail, decoded

MOST_FILES = 50
_KINDS = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,100}/[a-z0-9][a-z0-9!#$&^_.+-]{0,100}")


@dataclass(frozen=True, slots=True)
class File:
    """A file of a mail. Its number is its place among the files of the mail."""

    number: int
    name: str
    media_type: str | None
    part: Mail

    def content(self) -> bytes:
        if self.part.get_content_maintype() == "message" and self.part.is_multipart():
            inner = self.part.get_payload()
            return b"".join(each.as_bytes() for each in inner if not isinstance(each, str))
        return octets_of(self.part)


def leaves(mail: Mail) -> Iterator[Mail]:
    """Return the parts that hold no others. A mail in a mail is one part: it is a file."""
    if mail.get_content_maintype() == "message" or not mail.is_multipart():
        yield mail
        return
    for part in mail.get_payload():
        if not isinstance(part, str):
            yield from leaves(part)


def octets_of(part: Mail) -> bytes:
    """Return the decoded bytes of a part that is not made of others."""
    octets = part.get_payload(decode=True)
    return octets if isinstance(octets, bytes) else str(part.get_payload()).encode("utf-8", "replace")


def is_text(part: Mail) -> bool:
    """True for what is to be read, not to be saved."""
    kind = part.get_content_type()
    return (
        kind in ("text/plain", "text/html") and part.get_content_disposition() != "attachment" and not _file_name(part)
    )


def files_of(mail: Mail) -> list[File]:
    """Return the files of a mail in their order, each with a name of its own."""
    found: list[File] = []
    taken: set[str] = set()
    for part in leaves(mail):
        if is_text(part):
            continue
        kind = part.get_content_type().lower()
        name = _unique(safe_name(_file_name(part) or _invented(kind, len(found) + 1)), taken)
        found.append(File(len(found), name, kind if _KINDS.fullmatch(kind) else None, part))
    return found


def _file_name(part: Mail) -> str | None:
    try:
        name = part.get_filename()
    except Exception:  # noqa: BLE001 - a broken parameter is as good as none
        return None
    return decoded(name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")) if name else None


def _invented(kind: str, number: int) -> str:
    if kind == "message/rfc822":
        return f"mail-{number}.eml"
    return f"attachment-{number}{mimetypes.guess_extension(kind) or '.bin'}"


def _unique(name: str, taken: set[str]) -> str:
    stem, dot, extension = name.rpartition(".")
    unique, number = name, 2
    while unique.casefold() in taken:
        unique = f"{stem}-{number}.{extension}" if dot else f"{name}-{number}"
        number += 1
    taken.add(unique.casefold())
    return unique
