"""Markdown of an agent becomes the HTML that Matrix has. All of the text is escaped; only what is made here is a tag.

It is made for what agents write: a text that is cut in the middle of a construct comes out as it stands. Each pattern
is bounded, so that no text takes long.
"""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_DEPTH = 6
"""Quotes and lists deeper than this are shown as text."""

_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[ \t]*([\w+#.-]{0,40})[^`\n]*$")
_HEADING = re.compile(r"^ {0,3}(#{1,6})[ \t]+(.*?)[ \t]*#*$")
_RULE = re.compile(r"^ {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$")
_QUOTE = re.compile(r"^ {0,3}> ?")
_ITEM = re.compile(r"^( *)([-*+]|\d{1,9}[.)])([ \t]+)(?=\S)")
_DIVIDER = re.compile(r"^ *\|?(?: *:?-+:? *\|)+(?: *:?-+:? *)?$")
_OWN_LINES = re.compile(r"<br>|</?p>")
_EVERYBODY = re.compile(r"@(?=room)", re.IGNORECASE)
_INLINE = re.compile(
    r"""
    \\(?P<literal>[!-/:-@\[-`{-~])
    | (?P<ticks>`+)(?!`)(?P<code>.{1,4000}?)(?<!`)(?P=ticks)(?!`)
    | !?\[(?P<label>[^\[\]\n]{1,500})\]\((?P<target>[^\s()<>"]{1,1000}(?:\([^\s()<>"]{0,200}\)[^\s()<>"]{0,500})?)
        (?:[ \t]+"[^"\n]{0,200}")?\)
    | <(?P<auto>(?:https?://|mailto:)[^\s<>"]{1,1000})>
    | (?P<bare>https?://[^\s<>"'`*|\\)\]]{1,1000})
    | \*\*(?=\S)(?P<strong>.{1,400}?)(?<=\S)\*\*(?!\*)
    | (?<!\w)__(?=\S)(?P<strong2>.{1,400}?)(?<=\S)__(?!\w)
    | ~~(?=\S)(?P<gone>.{1,400}?)(?<=\S)~~
    | \*(?=[^\s*])(?P<em>.{1,400}?)(?<=[^\s*])\*(?!\*)
    | (?<!\w)_(?=[^\s_])(?P<em2>.{1,400}?)(?<=[^\s_])_(?!\w)
    """,
    re.VERBOSE | re.DOTALL,
)
_TAGS = {"strong": "strong", "strong2": "strong", "gone": "del", "em": "em", "em2": "em"}
_SAFE = ("https://", "http://", "mailto:")


def harmless(text: str) -> str:
    """Return the text so that it rings nobody's bell: ``@room`` is no word any more, and looks the same."""
    return _EVERYBODY.sub("@\u200b", text)


def to_html(markdown: str) -> str:
    """Return the HTML of a text, or an empty string if that would say no more than the text itself."""
    made = _blocks(harmless(markdown).split("\n"), MAX_DEPTH)
    if "<" not in _OWN_LINES.sub("", made):
        return ""
    return made[3:-4] if made.startswith("<p>") and made.endswith("</p>") and made.count("<p>") == 1 else made


def _blocks(lines: list[str], depth: int) -> str:
    made: list[str] = []
    index = 0
    while index < len(lines):
        line = lines[index]
        if not line.strip():
            index += 1
        elif fence := _FENCE.match(line):
            index, code = _fenced(lines, index, fence)
            made.append(code)
        elif heading := _HEADING.match(line):
            level = len(heading[1])
            made.append(f"<h{level}>{_inline(heading[2])}</h{level}>")
            index += 1
        elif _RULE.match(line):
            made.append("<hr>")
            index += 1
        elif depth and _QUOTE.match(line):
            end = _while(lines, index, lambda text: _QUOTE.match(text) is not None)
            inner = [_QUOTE.sub("", text, count=1) for text in lines[index:end]]
            made.append(f"<blockquote>{_blocks(inner, depth - 1)}</blockquote>")
            index = end
        elif depth and _ITEM.match(line):
            index, items = _list(lines, index, depth)
            made.append(items)
        elif "|" in line and index + 1 < len(lines) and _DIVIDER.match(lines[index + 1]):
            end = _while(lines, index + 2, lambda text: "|" in text)
            made.append(_table(line, lines[index + 2 : end]))
            index = end
        else:
            end = index + 1
            while end < len(lines) and not _begins(lines[end], depth):
                end += 1
            text = "\n".join(part.strip() for part in lines[index:end])
            made.append(f"<p>{_inline(text)}</p>")
            index = end
    return "".join(made)


def _begins(line: str, depth: int) -> bool:
    """Tell whether a paragraph ends before this line."""
    blocks = (_FENCE, _HEADING, _RULE, *((_QUOTE, _ITEM) if depth else ()))
    return not line.strip() or any(pattern.match(line) for pattern in blocks)


def _while(lines: list[str], index: int, more: Callable[[str], bool]) -> int:
    while index < len(lines) and more(lines[index]):
        index += 1
    return index


def _fenced(lines: list[str], index: int, fence: re.Match[str]) -> tuple[int, str]:
    closing = re.compile(rf"^ {{0,3}}{re.escape(fence[1][0])}{{{len(fence[1])},}}[ \t]*$")
    end = index + 1
    while end < len(lines) and not closing.match(lines[end]):
        end += 1
    language = f' class="language-{escape(fence[2])}"' if fence[2] else ""
    code = "\n".join(lines[index + 1 : end])
    return end + 1, f"<pre><code{language}>{escape(code, quote=False)}\n</code></pre>"


def _list(lines: list[str], index: int, depth: int) -> tuple[int, str]:
    first = _ITEM.match(lines[index])
    assert first is not None
    indent, ordered = len(first[1]), first[2][0].isdigit()
    items: list[list[str]] = []
    while index < len(lines):
        line = lines[index]
        item = _ITEM.match(line)
        if item and indent <= len(item[1]) < indent + 2:
            if item[2][0].isdigit() != ordered:
                break
            width = len(item[0])
            items.append([line[width:]])
        elif line.strip() and len(line) - len(line.lstrip(" ")) > indent:
            items[-1].append(line[min(width, len(line) - len(line.lstrip(" "))) :])
        elif not line.strip() and index + 1 < len(lines) and _goes_on(lines[index + 1], indent):
            items[-1].append("")
        elif line.strip() and items[-1][-1].strip() and not _begins(line, depth):
            items[-1].append(line)
        else:
            break
        index += 1
    start = first[2][:-1] if ordered else ""
    opening = f'<ol start="{int(start)}">' if ordered and int(start) != 1 else "<ol>" if ordered else "<ul>"
    body = "".join(f"<li>{_tight(_blocks(item, depth - 1))}</li>" for item in items)
    return index, opening + body + ("</ol>" if ordered else "</ul>")


def _goes_on(line: str, indent: int) -> bool:
    """Tell whether a list goes on after an empty line."""
    return bool(line.strip()) and (len(line) - len(line.lstrip(" ")) > indent or _ITEM.match(line) is not None)


def _tight(made: str) -> str:
    """Return an item without the paragraph around its text, if there is one only."""
    if made.startswith("<p>") and made.count("<p>") == 1:
        return made[3:].replace("</p>", "", 1)
    return made


def _table(head: str, rows: list[str]) -> str:
    def cells(row: str, tag: str) -> str:
        parts = re.split(r"(?<!\\)\|", row.strip().removeprefix("|").removesuffix("|"))
        inner = "".join(f"<{tag}>{_inline(part.strip().replace(chr(92) + '|', '|'))}</{tag}>" for part in parts)
        return f"<tr>{inner}</tr>"

    body = "".join(cells(row, "td") for row in rows)
    return f"<table><thead>{cells(head, 'th')}</thead><tbody>{body}</tbody></table>"


def _inline(text: str) -> str:
    made: list[str] = []
    end = 0
    for found in _INLINE.finditer(text):
        made.append(_plain(text[end : found.start()]))
        made.append(_construct(found))
        end = found.end()
    made.append(_plain(text[end:]))
    return "".join(made)


def _construct(found: re.Match[str]) -> str:
    kind = found.lastgroup
    assert kind is not None
    if kind == "literal":
        return _plain(found["literal"])
    if kind == "code":
        code = found["code"]
        if code.startswith(" ") and code.endswith(" ") and code.strip():
            code = code[1:-1]
        return f"<code>{_plain(code).replace('<br>', ' ')}</code>"
    if kind == "target":
        if found["target"].lower().startswith(_SAFE):
            return f'<a href="{escape(found["target"])}">{_inline(found["label"])}</a>'
        return _plain(found[0])
    if kind in ("auto", "bare"):
        address = found[kind]
        return f'<a href="{escape(address)}">{_plain(address)}</a>' if kind == "auto" else _plain(address)
    tag = _TAGS[kind]
    return f"<{tag}>{_inline(found[kind])}</{tag}>"


def _plain(text: str) -> str:
    return escape(text, quote=False).replace("\n", "<br>")
