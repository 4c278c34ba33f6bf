"""Markdown as Telegram has it: a plain text, and entities that say which part of it is bold, code or a link.

Nothing is escaped, so nothing can be escaped wrongly, and the text is exactly what counts for Telegram's limit. All
offsets are in UTF-16 units. Reading is linear, whatever is written: an agent's text may be long and hostile.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Entity = Mapping[str, Any]

MAX_ENTITIES = 100

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*([\w+#.-]*)[^`]*$")
_HEADING = re.compile(r" {0,3}#{1,6}[ \t]+(?=\S)")
_BULLET = re.compile(r"([ \t]*)[-*+][ \t]+(?=\S)")
_QUOTE = re.compile(r" {0,3}> ?")
_RULE = re.compile(r" {0,3}(?:(?:-[ \t]*){3,}|(?:\*[ \t]*){3,}|(?:_[ \t]*){3,})$")
_TABLE_LINE = re.compile(r" {0,3}\|?[ \t]*:?-{3,}:?[ \t]*(?:\|[ \t]*:?-{3,}:?[ \t]*)*\|?[ \t]*$")
_TOKEN = re.compile(
    r"\\(?P<escaped>[\\`*_{}\[\]()#+\-.!~|<>])"
    r"|(?P<ticks>`+)"
    r"|<(?P<address>https?://[^\s<>]{1,2000})>"
    r"|(?P<open>!?\[)"
    r"|\]\((?P<target>(?:https?://|mailto:)[^\s()]{1,2000}(?:\([^\s()]{0,200}\)[^\s()]{0,2000})?)\)"
    r"|(?P<mark>\*{1,3}|_{1,2}|~~)"
)
_KINDS = {"**": "bold", "__": "bold", "*": "italic", "_": "italic", "~~": "strikethrough"}


def units(text: str) -> int:
    """Return the length of a text as Telegram counts."""
    return len(text.encode("utf-16-le")) // 2


@dataclass(slots=True)
class _Built:
    """A text that grows, with what is known of it."""

    parts: list[str] = field(default_factory=list)
    length: int = 0
    entities: list[dict[str, Any]] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.parts.append(text)
        self.length += units(text)

    def mark(self, kind: str, since: int, **more: Any) -> None:
        if self.length > since:
            self.entities.append({"type": kind, "offset": since, "length": self.length - since, **more})


def from_markdown(markdown: str) -> tuple[str, list[dict[str, Any]]]:
    """Return the text and its entities. What is no whole Markdown stays as it is written."""
    markdown = markdown.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").replace("\0", "")
    built = _Built()
    lines = markdown.replace("\r\n", "\n").split("\n")
    at = 0
    while at < len(lines):
        if at:
            built.add("\n")
        at = _block(built, lines, at)
    text = "".join(built.parts)
    if not text.strip():
        return markdown.strip(), []
    return _trimmed(text, built.entities)


def _block(built: _Built, lines: Sequence[str], at: int) -> int:
    """Add the block that begins at a line; return the number of the line after it."""
    line = lines[at]
    if fence := _FENCE.match(line):
        end = at + 1
        closing = re.compile(rf" {{0,3}}{re.escape(fence[1][0])}{{{len(fence[1])},}}[ \t]*$")
        while end < len(lines) and not closing.match(lines[end]):
            end += 1
        since = built.length
        built.add("\n".join(lines[at + 1 : end]))
        built.mark("pre", since, **({"language": fence[2]} if fence[2] else {}))
        return end + 1
    if "|" in line and at + 1 < len(lines) and "|" in lines[at + 1] and _TABLE_LINE.match(lines[at + 1]):
        end = at + 2
        while end < len(lines) and "|" in lines[end]:
            end += 1
        since = built.length
        built.add("\n".join(lines[at:end]))
        built.mark("pre", since)
        return end
    if _QUOTE.match(line):
        since = built.length
        end = at
        while end < len(lines) and (mark := _QUOTE.match(lines[end])):
            if end > at:
                built.add("\n")
            _inline(built, lines[end][mark.end() :])
            end += 1
        built.mark("blockquote", since)
        return end
    since = built.length
    if _RULE.match(line):
        built.add("———")
    elif heading := _HEADING.match(line):
        _inline(built, line[heading.end() :].rstrip(" \t#"))
        built.mark("bold", since)
    elif bullet := _BULLET.match(line):
        built.add(f"{bullet[1]}• ")
        _inline(built, line[bullet.end() :])
    else:
        _inline(built, line)
    return at + 1


def _trimmed(text: str, entities: list[dict[str, Any]]) -> tuple[str, list[dict[str, Any]]]:
    """Take away white space at both ends, as Telegram does, and what entities are left without a text."""
    gone = units(text) - units(text.lstrip())
    text = text.strip()
    length = units(text)
    kept = []
    for entity in sorted(entities, key=lambda entity: (entity["offset"], -entity["length"])):
        start = max(0, entity["offset"] - gone)
        end = min(length, entity["offset"] + entity["length"] - gone)
        if end > start:
            kept.append({**entity, "offset": start, "length": end - start})
    return text, kept[:MAX_ENTITIES]


def _inline(built: _Built, line: str) -> None:
    """Add a line with its bold, italic, struck, code and linked parts."""
    read = _Line(line)
    at = 0
    while match := _TOKEN.search(line, at):
        read.pieces.append(line[at : match.start()])
        at = read.take(match)
    read.pieces.append(line[at:])
    starts = [0]
    for piece in read.pieces:
        starts.append(starts[-1] + units(piece))
    for first, last, entity in read.spans:
        if starts[last] > starts[first]:
            offset = built.length + starts[first]
            built.entities.append({**entity, "offset": offset, "length": starts[last] - starts[first]})
    built.add("".join(read.pieces))


class _Line:
    """A line that is read: its pieces, and which of them belong together. Marks are emptied when they are paired."""

    def __init__(self, line: str) -> None:
        self.line = line
        self.pieces: list[str] = []
        self.spans: list[tuple[int, int, dict[str, Any]]] = []
        self._open: list[tuple[int, str]] = []
        """Marks that may begin something: which piece each is, and what."""
        self._waiting: dict[str, int] = {}
        """How many of each are open: so nothing is looked for that is not there."""
        self._ticks = _Ticks(line)

    def take(self, match: re.Match[str]) -> int:
        """Take a token; return where the next one may begin."""
        if match["ticks"]:
            return self._code(match)
        if match["mark"]:
            self._mark(match)
        elif match["target"]:
            self._link(match)
        else:
            self.pieces.append(match["escaped"] or match["address"] or match["open"])
            if match["open"]:
                self._push("[")
        return match.end()

    def _code(self, match: re.Match[str]) -> int:
        ticks = match["ticks"]
        end = self._ticks.next(len(ticks), match.start())
        if end is None:
            self.pieces.append(ticks)
            return match.end()
        code = self.line[match.end() : end]
        self.pieces.append(code[1:-1] if code[:1] == code[-1:] == " " and code.strip() else code)
        self._span(len(self.pieces) - 1, {"type": "code"})
        return end + len(ticks)

    def _link(self, match: re.Match[str]) -> None:
        begun = self._close("[")
        if begun is None:
            self.pieces.append(match[0])
        else:
            self.pieces[begun] = ""
            self._span(begun, {"type": "text_link", "url": match["target"]})

    def _mark(self, match: re.Match[str]) -> None:
        before, after = self.line[match.start() - 1 : match.start()], self.line[match.end() : match.end() + 1]
        both = bool(self._waiting.get("*") and self._waiting.get("**"))
        for mark in _single(match["mark"], closing=both):
            self.pieces.append(mark)
            begun = self._close(mark) if _can_close(mark, before, after) else None
            if begun is not None:
                self.pieces[begun] = self.pieces[-1] = ""
                self._span(begun, {"type": _KINDS[mark]})
            elif _can_open(mark, before, after):
                self._push(mark)

    def _span(self, first: int, entity: dict[str, Any]) -> None:
        self.spans.append((first, len(self.pieces), entity))

    def _push(self, mark: str) -> None:
        self._open.append((len(self.pieces) - 1, mark))
        self._waiting[mark] = self._waiting.get(mark, 0) + 1

    def _close(self, mark: str) -> int | None:
        """Return the piece of the last mark of this kind that is open; those after it were none."""
        if not self._waiting.get(mark):
            return None
        while True:
            piece, found = self._open.pop()
            self._waiting[found] -= 1
            if found == mark:
                return piece


def _single(mark: str, *, closing: bool) -> tuple[str, ...]:
    if mark != "***":
        return (mark,)
    return ("*", "**") if closing else ("**", "*")


def _can_open(mark: str, before: str, after: str) -> bool:
    if not after or after.isspace():
        return False
    return mark[0] != "_" or not before.isalnum()


def _can_close(mark: str, before: str, after: str) -> bool:
    if not before or before.isspace():
        return False
    return mark[0] != "_" or not after.isalnum()


class _Ticks:
    """Where runs of backticks are: for each length from a place on the next one. Each is looked at once."""

    def __init__(self, line: str) -> None:
        self._places: dict[int, list[int]] = {}
        for run in reversed(list(re.finditer("`+", line))):
            self._places.setdefault(len(run[0]), []).append(run.start())

    def next(self, length: int, after: int) -> int | None:
        left = self._places[length]
        while left and left[-1] <= after:
            left.pop()
        return left[-1] if left else None


# --- the other way


def to_markdown(
    text: str, entities: Sequence[Entity], leave_out: Callable[[str, Entity], tuple[int, int] | None]
) -> str:
    """Return what a person wrote as Markdown. `leave_out` says of an entity which part of it is not to be seen."""
    raw = text.encode("utf-16-le")
    inserts: list[tuple[int, int, int, str]] = []
    gone: list[tuple[int, int]] = []

    def part(start: int, end: int) -> str:
        return raw[2 * start : 2 * end].decode("utf-16-le", "replace")

    for number, entity in enumerate(entities):
        start, end = int(entity["offset"]), int(entity["offset"]) + int(entity["length"])
        inner = part(start, end)
        if span := leave_out(inner, entity):
            gone.append((start + span[0], start + span[1]))
            continue
        if marks := _marks(inner, entity, part(start - 1, start), part(end, end + 1)):
            inserts.append((start, 1, number, marks[0]))
            inserts.append((end, 0, -number, marks[1]))
    pieces = []
    at = 0
    for start, end in sorted(gone):
        inserts.append((start, 2, 0, ""))
        inserts.append((end, -1, 0, ""))
    skipping = 0
    for place, rank, _, insert in sorted(inserts, key=lambda each: each[:3]):
        if not skipping:
            pieces.append(part(at, place))
        at = place
        skipping += {2: 1, -1: -1}.get(rank, 0)
        pieces.append(insert)
    pieces.append(part(at, len(raw) // 2))
    result = "".join(pieces)
    return re.sub(r"(?<=\S)  +(?=\S)", " ", result).strip() if gone else result


def _marks(inner: str, entity: Entity, before: str, after: str) -> tuple[str, str] | None:
    """Return what stands before and after a part in Markdown."""
    match entity["type"]:
        case "pre":
            opening = f"{'' if before in ('', chr(10)) else chr(10)}```{entity.get('language', '')}\n"
            return (
                opening,
                f"{'' if inner.endswith(chr(10)) else chr(10)}```{'' if after in ('', chr(10)) else chr(10)}",
            )
        case "code":
            ticks = "``" if "`" in inner else "`"
            return ticks, ticks
        case "bold":
            return "**", "**"
        case "italic":
            return "_", "_"
        case "strikethrough":
            return "~~", "~~"
        case "text_link":
            return "[", f"]({entity.get('url', '')})"
        case _:
            return None
