"""Headers as they are: strangers write them, so nothing here fails on what it finds, and nothing is slow on it."""

from __future__ import annotations

import re
from email.header import decode_header
from email.message import Message
from typing import Any, TypeAlias

# the type checker knows it as generic, Python does not
Mail: TypeAlias = "Message[Any, Any]"

LONGEST = 16_384
"""A longer value is cut: of a header that long nothing good is to be expected."""
_IDS = re.compile(r"<[!-;=?-~]{1,250}>")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]+")


def raw_values(mail: Mail, name: str) -> list[str]:
    """Return the values of a header from top to bottom, unfolded, not decoded; bytes that are no ASCII as UTF-8."""
    name = name.lower()
    found = []
    for key, value in mail.raw_items():
        if key.lower() == name:
            octets = str(value)[:LONGEST].encode("utf-8", "surrogateescape")
            found.append(re.sub(r"\r?\n", "", octets.decode("utf-8", "replace")).strip())
    return found


def raw(mail: Mail, name: str) -> str:
    """Return the first value of a header, or an empty text."""
    values = raw_values(mail, name)
    return values[0] if values else ""


def decoded(value: str) -> str:
    """Return a value with its encoded words decoded, on one line."""
    try:
        pieces = decode_header(value)
    except Exception:  # noqa: BLE001 - a broken encoded word stays as it is
        return one_line(value)
    text = ""
    for piece, charset in pieces:
        if isinstance(piece, str):
            text += piece
        elif charset is None:  # the library gives what is not encoded as Latin-1 if something else is
            text += piece.decode("raw-unicode-escape", "replace") if b"\\u" in piece else _as(piece, "utf-8")
        else:
            text += _as(piece, charset)
    return one_line(text)


def one_line(text: str) -> str:
    """Return a text without line ends, control characters and what turns the direction of writing."""
    return re.sub(r"\s+", " ", _CONTROLS.sub(" ", text)).strip()


def message_ids(*values: str) -> list[str]:
    """Return the message ids in headers such as ``References``, in their order, each once."""
    return list(dict.fromkeys(each for value in values for each in _IDS.findall(value)))


def _as(octets: bytes, charset: str) -> str:
    for each in (charset, "utf-8"):
        try:
            return octets.decode(each)
        except (LookupError, ValueError):
            continue
    return octets.decode("cp1252", "replace")
