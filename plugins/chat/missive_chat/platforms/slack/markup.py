"""Slack's `mrkdwn` and Markdown.

Messages go out as Markdown, in a block that Slack renders; `mrkdwn` is for what Slack sends, and for the text that
notifications and screen readers show.
"""

from __future__ import annotations

import re

HIDDEN = "\u200b"
"""Takes a mention its effect, and is not seen."""

_MENTION = re.compile(
    r"<(?=!(?:channel|here|everyone|group)\b|!subteam\^)|(?<=<)(?=(?-i:@[UWBS][A-Z0-9]{2,}))"
    r"|(?<![\w.])@(?=(?:channel|here|everyone|group)\b)",
    re.IGNORECASE,
)
_CODE = re.compile(r"(```.*?```|`[^`\n]+`)", re.DOTALL)
_TOKEN = re.compile(r"<([^<>\n]+)>")
_BOLD = re.compile(r"(?<![\w*])\*(?=\S)([^*\n]+?)(?<=\S)\*(?![\w*])")
_STRUCK = re.compile(r"(?<![\w~])~(?=\S)([^~\n]+?)(?<=\S)~(?![\w~])")


def harmless(text: str) -> str:
    """Return Markdown in which nothing pings anybody."""
    return _MENTION.sub(lambda match: match[0] + HIDDEN, text)


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def unescape(text: str) -> str:
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def to_mrkdwn(markdown: str) -> str:
    """Return Markdown, made harmless, as `mrkdwn`: bold, struck, headings and links; all else as it is."""
    pieces = _CODE.split(escape(markdown))
    return "".join(piece if index % 2 else _piece_to_mrkdwn(piece) for index, piece in enumerate(pieces))


def _piece_to_mrkdwn(text: str) -> str:
    text = re.sub(r"(?m)^#{1,6} +(.+?) *#*$", r"*\1*", text)
    text = re.sub(r"\*\*(?=\S)(.+?)(?<=\S)\*\*", r"*\1*", text)
    text = re.sub(r"~~(?=\S)(.+?)(?<=\S)~~", r"~\1~", text)
    return re.sub(r"!?\[([^\]\n|]+)\]\((https?://[^\s)|]+)\)", r"<\2|\1>", text)


def to_markdown(mrkdwn: str, *, me: str) -> str:
    """Return what a person wrote as Markdown, without the mentions of `me`."""
    mention = rf"<@{re.escape(me)}(?:\|[^<>]*)?>"
    text = re.sub(rf"(?m)^[ \t]*{mention}[,:]?[ \t]*|[ \t]*{mention}", "", mrkdwn)
    pieces = _CODE.split(text)
    return "".join(
        unescape(_TOKEN.sub(_plain_token, piece))
        if index % 2
        else unescape(_TOKEN.sub(_token, _STRUCK.sub(r"~~\1~~", _BOLD.sub(r"**\1**", piece))))
        for index, piece in enumerate(pieces)
    ).strip()


def _plain_token(match: re.Match[str]) -> str:
    return _token(match, plain=True)


def _token(match: re.Match[str], *, plain: bool = False) -> str:
    target, _, label = match[1].partition("|")
    kind, name = target[0], target[1:]
    if kind in "@#":
        return kind + (label or name).removeprefix(kind)
    if kind == "!":
        if name.startswith("date^"):
            return label or name
        return "@" + (label or name.removeprefix("subteam^")).removeprefix("@")
    if target.startswith("mailto:"):
        return label or target.removeprefix("mailto:")
    if not label or label in target:  # Slack makes links of bare addresses
        return target
    return label if plain else f"[{label}]({target})"


def bare(text: str) -> str:
    """Return the letters and digits of a text: what is left of it however it is written down."""
    return "".join(filter(str.isalnum, unescape(text)))


def cut(text: str, limit: int) -> str:
    """Return a text of at most `limit` bytes."""
    raw = text.encode()
    if len(raw) <= limit:
        return text
    return raw[: limit - 3].decode(errors="ignore") + "…"
