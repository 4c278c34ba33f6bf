"""What a person has written, without the mails below it and without the signature.

Mail programs put what is answered below the answer. The agent has that already: it is its conversation. Quotes between
the lines of an answer stay, for without them it makes no sense. If nothing would be left, everything stays.
"""

from __future__ import annotations

import re

_WROTE = "(wrote|writes|schrieb|a écrit|escribió|ha scritto|schreef|skrev|escreveu|napisał)"
_INTRODUCTION = re.compile(
    rf"(on|am|le|el|il|op|den|em|w dniu)\b.{{5,300}}{_WROTE}.{{0,80}}:\s*$"
    rf"|.{{5,300}}\b{_WROTE}\s*:\s*$"
    rf"|.{{1,120}}<[^<>\s]{{1,100}}@[^<>\s]{{1,100}}>\s*{_WROTE}?\s*:\s*$",
    re.IGNORECASE | re.DOTALL,
)
_DIVIDER = re.compile(
    r"\s*(-{2,}\s*(original message|ursprüngliche nachricht|message d'origine|mensaje original|messaggio originale"
    r"|original-nachricht|oorspronkelijk bericht)\s*-{2,}|_{20,})\s*$",
    re.IGNORECASE,
)
_BLOCK_HEAD = re.compile(r"\s*\**(from|von|de|da|van)\s*:\**\s", re.IGNORECASE)
_BLOCK_LINE = re.compile(
    r"\s*\**(sent|date|gesendet|datum|envoyé|enviado|inviato|verzonden|to|an|à|para|a|aan|subject|betreff|objet|asunto"
    r"|oggetto|onderwerp|cc)\s*:\**",
    re.IGNORECASE,
)
_SIGNATURE = re.compile(r"-- ?$")
_DEVICE = re.compile(r"(sent from my \w|von meinem \w+ gesendet|envoyé de mon|get outlook for).{0,60}$", re.IGNORECASE)
_SIGNATURE_LINES = 30


def own_words(text: str) -> str:
    """Return what the writer has added."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    kept = _without_signature(_without_quote(_without_block(lines)))
    return "\n".join(kept).strip("\n ") or text.strip()


def _without_block(lines: list[str]) -> list[str]:
    """Cut where a program has put the mail that is answered, unquoted, below a line or a block of its headers."""
    for number, line in enumerate(lines):
        if _DIVIDER.match(line) and any(_BLOCK_HEAD.match(each) for each in lines[number + 1 : number + 5]):
            return lines[:number]
        if _BLOCK_HEAD.match(line) and number:
            following = [each for each in lines[number + 1 : number + 6] if each.strip()]
            if sum(bool(_BLOCK_LINE.match(each)) for each in following[:4]) >= 2:
                return lines[:number]
    return lines


def _without_quote(lines: list[str]) -> list[str]:
    """Cut the quote at the end, and the line that introduces it, which may be folded."""
    end = len(lines)
    while end and (not lines[end - 1].strip() or lines[end - 1].startswith(">")):
        end -= 1
    if not any(line.startswith(">") for line in lines[end:]):
        return lines
    while end and not lines[end - 1].strip():
        end -= 1
    for length in (1, 2, 3):
        if end >= length and _INTRODUCTION.match("\n".join(lines[end - length : end]).strip()):
            return lines[: end - length]
    return lines[:end]


def _without_signature(lines: list[str]) -> list[str]:
    while lines and not lines[-1].strip():
        lines = lines[:-1]
    for number in range(len(lines) - 1, max(-1, len(lines) - _SIGNATURE_LINES), -1):
        if _SIGNATURE.fullmatch(lines[number]):
            return lines[:number]
    if lines and _DEVICE.match(lines[-1].strip()):
        return lines[:-1]
    return lines
