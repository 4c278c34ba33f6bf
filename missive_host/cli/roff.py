"""The language of manual pages, man(7), as far as they need it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from textwrap import wrap

_CODE = str.maketrans({"\\": r"\e", "-": r"\-", "'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"})
_PROSE = str.maketrans({"\\": r"\e"})
_LITERAL = re.compile(r"`([^`\n]+)`|(?<![\w-])(--?[A-Za-z][\w-]*)")


def code(text: str) -> str:
    """Return text that is to be seen, and copied, character by character."""
    return _ascii(text.translate(_CODE))


def bold(text: str) -> str:
    """Return text as it is typed."""
    return rf"\fB{code(text)}\fR"


def italic(text: str) -> str:
    """Return text that stands for another one."""
    return rf"\fI{code(text)}\fR"


def prose(text: str) -> str:
    """Return a sentence or more. What is between back quotes, and what looks like a flag, is what one types."""
    words = " ".join(text.split())
    pieces, end = [], 0
    for match in _LITERAL.finditer(words):
        pieces += [_ascii(words[end : match.start()].translate(_PROSE)), bold(match[1] or match[2])]
        end = match.end()
    text = "".join([*pieces, _ascii(words[end:].translate(_PROSE))])
    return "\n".join(map(line, wrap(text, 78, break_long_words=False, break_on_hyphens=False)))


def line(text: str) -> str:
    """Return a line that is text, and no request: those begin with a dot or an apostrophe."""
    return rf"\&{text}" if text.startswith((".", "'")) else text


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs of a docstring."""
    found = [prose(part) for part in re.split(r"\n\s*\n", text.strip()) if part.strip()]
    return [each for part in found for each in (".PP", part)][1:]


def literal(lines: Iterable[str]) -> list[str]:
    """Return lines that are shown as they are."""
    return [".RS 4", ".nf", *(line(code(text)) for text in lines), ".fi", ".RE"]


def item(term: str, *text: str) -> list[str]:
    """Return a term, formatted already, and what is said of it."""
    return [".TP", line(term), *text]


def argument(text: str) -> str:
    """Return text as an argument of a request."""
    return '"' + code(text).replace('"', r"\(dq") + '"'


def _ascii(text: str) -> str:
    return "".join(char if char.isascii() else rf"\[u{ord(char):04X}]" for char in text)
