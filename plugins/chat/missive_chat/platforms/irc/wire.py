"""IRC's lines: what may be sent in them, what is said in them, and names compared as the server compares them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping

from irctokens.line import Line, build, tokenise

from missive_chat.platform import ChatError

LINE = 510
"""Bytes of a line without its CR LF, with everything that the server puts before the text."""
TEXT = 400
"""Bytes of text that we put into a line: room for the longest prefix that is met in practice."""

_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_TARGET = re.compile(r"[^\s,:\x00-\x20\x7f][^\s,\x00-\x20\x7f]*")
_RFC1459 = str.maketrans("[]\\~", "{}|^")
_STRICT = str.maketrans("[]\\", "{}|")


def command(name: str, *params: str, tags: Mapping[str, str] | None = None) -> bytes:
    """Return a line as bytes. Nothing in it can end it early and begin another one: that is refused."""
    text = build(name, list(params), tags=dict(tags) if tags else None).format()
    if any(character in text for character in "\r\n\0"):
        raise ChatError("a line of IRC must not hold a line break or NUL", permanent=True)
    return text.encode("utf-8", "replace") + b"\r\n"


def target(name: str) -> str:
    """Return the name of a channel or person, if it can be one: never two, never more than a name."""
    if not _TARGET.fullmatch(name):
        raise ChatError(f"`{name}` is not the name of a channel or of a person on IRC", permanent=True)
    return name


def fold(name: str, mapping: str = "rfc1459") -> str:
    """Return a name so that two are the same exactly if the server takes them for the same."""
    lower = "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in name)
    if mapping == "ascii":
        return lower
    return lower.translate(_STRICT if mapping == "rfc1459-strict" else _RFC1459)


# --- what we send


def clean(text: str) -> str:
    """Take out what is no text: with control characters a line could be a CTCP request, or coloured."""
    lines = (_CONTROL.sub("", line.replace("\t", "  ")).rstrip() for line in text.splitlines())
    return "\n".join(line for line in lines if line)


def pieces(text: str, width: int = TEXT) -> Iterator[str]:
    """Cut a text into lines of at most `width` bytes: between words, else between characters as they are seen."""
    for line in clean(text).split("\n"):
        rest = line
        while len(rest.encode("utf-8", "replace")) > width:
            end = _fitting(rest, width)
            space = rest.rfind(" ", 0, end + 1)
            if space > end // 2:
                yield rest[:space].rstrip()
                rest = rest[space + 1 :].lstrip()
            else:
                yield rest[:end]
                rest = rest[end:]
        if rest:
            yield rest


def _fitting(text: str, width: int) -> int:
    """Return how many characters fit into `width` bytes, without tearing off an accent or a part of an emoji."""
    size = 0
    end = 0
    for end, character in enumerate(text):  # noqa: B007 - where it stops is what is asked for
        size += len(character.encode("utf-8", "replace"))
        if size > width:
            break
    whole = end
    while whole > 1 and _clings(text, whole):
        whole -= 1
    return whole if whole > end // 2 else end


def _clings(text: str, at: int) -> bool:
    """Tell whether the character at this place belongs to the one before."""
    here = text[at]
    return (
        unicodedata.combining(here) != 0
        or here in "\u200d\ufe0e\ufe0f"
        or "\U0001f3fb" <= here <= "\U0001f3ff"
        or text[at - 1] == "\u200d"
    )


# --- what is said to us

_MIRC = re.compile(
    r"\x03(?:\d{1,2}(?:,\d{1,2})?)?|\x04(?:[0-9a-fA-F]{6}(?:,[0-9a-fA-F]{6})?)?|[\x00-\x08\x0b-\x1f\x7f]"
)


def without_codes(text: str) -> str:
    """Take the colours, the bold and whatever else is no text out of a line."""
    return _MIRC.sub("", text).strip()


class Decoder:
    """Bytes as they come, cut into lines. What is no line of IRC is passed over; what never ends is an error."""

    LIMIT = 16 * 1024
    """Tags may have 8191 bytes, a line 512."""

    def __init__(self) -> None:
        self._rest = b""

    def push(self, data: bytes) -> list[Line]:
        *whole, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > self.LIMIT:
            raise ChatError("the server sends a line without end; is it an IRC server?")
        return [line for raw in whole if (line := _line(raw.strip(b"\r"))) is not None]


def _line(raw: bytes) -> Line | None:
    try:
        return tokenise(raw)
    except (ValueError, IndexError):
        return None
