"""Markdown for platforms that have none, and nicks in texts: what IRC and XMPP share."""

from __future__ import annotations

import re

_FENCE = re.compile(r"^\s*(?:`{3,}|~{3,})[^\n`]*$")
_RULE = re.compile(r"^\s*([-*_])(?:\s*\1){2,}\s*$")
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(.*?)\s*#*\s*$")
_IMAGE = re.compile(r"!\[([^\[\]\n]*)\]\(<?([^()\s<>]+)>?(?:\s+\"[^\"\n]*\")?\)")
_LINK = re.compile(r"\[([^\[\]\n]+)\]\(<?([^()\s<>]+)>?(?:\s+\"[^\"\n]*\")?\)")
_STRONG = re.compile(
    r"(?<![\w*])\*\*(?=\S)([^*\n]+?)(?<=\S)\*\*(?![\w*])|(?<![\w_])__(?=\S)([^_\n]+?)(?<=\S)__(?![\w_])"
)
_STRUCK = re.compile(r"~~(?=\S)([^~\n]+?)(?<=\S)~~")
_ESCAPED = re.compile(r"\\([\\`*_{}\[\]()#+\-.!|>~])")
_CODE = re.compile(r"(`+)(?!`)(.+?)(?<!`)\1(?!`)")


def plain(text: str, *, fences: bool = False, strong: str = "", struck: str = "") -> str:
    """Return Markdown as somebody would write it who has only text.

    `fences`: keep the lines around code; `strong` and `struck`: what is put around such words. What is code stays as
    it is, in a fence and in a line.
    """
    lines: list[str] = []
    inside = False
    for line in text.split("\n"):
        if _FENCE.match(line):
            inside = not inside
            if fences:
                lines.append("```")
        elif inside:
            lines.append(line)
        elif not _RULE.match(line):
            lines.append(_line(line, strong, struck))
    return "\n".join(lines)


def _line(line: str, strong: str, struck: str) -> str:
    heading = _HEADING.match(line)
    if heading:
        line = f"{strong}{heading[1]}{strong}" if heading[1] else ""
    parts: list[str] = []
    end = 0
    for code in _CODE.finditer(line):
        parts += [_words(line[end : code.start()], strong, struck), code[0] if strong else code[2]]
        end = code.end()
    return "".join((*parts, _words(line[end:], strong, struck)))


def _words(text: str, strong: str, struck: str) -> str:
    text = _IMAGE.sub(lambda found: f"{found[1]} {found[2]}".strip(), text)
    text = _LINK.sub(lambda found: found[2] if found[1] == found[2] else f"{found[1]} ({found[2]})", text)
    text = _STRONG.sub(lambda found: f"{strong}{found[1] or found[2]}{strong}", text)
    text = _STRUCK.sub(lambda found: f"{struck}{found[1]}{struck}", text)
    return _ESCAPED.sub(r"\1", text)


def without_mention(text: str, nicks: tuple[str, ...]) -> tuple[str, bool]:
    """Return a text without the nick that it begins with, and whether one of the nicks is in it at all."""
    names = "|".join(re.escape(nick) for nick in sorted(nicks, key=len, reverse=True))
    begins = re.match(rf"@?(?:{names})(?:[:,]+|\s|$)\s*", text, re.IGNORECASE)
    if begins:
        return text[begins.end() :], True
    nick_character = r"[\w\[\]\\`^{}|-]"
    return text, bool(re.search(rf"(?<!{nick_character})(?:{names})(?!{nick_character})", text, re.IGNORECASE))
