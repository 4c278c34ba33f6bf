"""The text of a mail that is HTML only, as Markdown. What a reader would not see is left out."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_NOT_TEXT = {"script", "style", "head", "title", "template", "noscript", "object", "svg"}
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
_BLOCKS = {
    "address", "article", "aside", "blockquote", "dd", "div", "dl", "dt", "fieldset", "figure", "footer", "form",
    "header", "main", "nav", "ol", "section", "table", "tr", "ul",
}  # fmt: skip
_PARAGRAPHS = {"p", "h1", "h2", "h3", "h4", "h5", "h6"}
_MARKS = {"b": "**", "strong": "**", "i": "*", "em": "*", "code": "`"}
_HIDDEN = re.compile(
    r"display\s*:\s*none|visibility\s*:\s*hidden|(font-size|opacity)\s*:\s*0(?![.\d])|mso-hide\s*:\s*all"
)
_QUOTES = ("gmail_quote", "gmail_extra", "yahoo_quoted", "moz-cite-prefix", "protonmail_quote")
_EDGE, _GAP, _SPACE, _LINE = "\x01", "\x02", "\x03", "\x04"
"""The edge of a block, that of a paragraph, and what stays as it is: a space and the end of a line."""
_EDGE, _GAP, _SPACE, _LINE = "\x01", "\x02", "\x03", "\x04"
"""The edge of a block, that of a paragraph, and what stays as it is: a space and the end of a line."""
LONGEST = 2_000_000
DEEPEST = 500


def text_of_html(html: str) -> str:
    """Return the text of a document; quotes of earlier mails are left out if anything else is there."""
    for quotes in (False, True):
        reader = _Reader(quotes=quotes)
        reader.feed(re.sub(r"[\x01-\x04]", " ", html[:LONGEST]))
        reader.close()
        if text := reader.text():
            return text
    return ""


class _Reader(HTMLParser):
    def __init__(self, *, quotes: bool) -> None:
        super().__init__(convert_charrefs=True)
        self._quotes = quotes
        self._pieces: list[str] = []
        self._open: list[tuple[str, bool]] = []
        """The elements that are open, and whether each hides what is in it."""
        self._hidden = 0
        self._preformatted = 0
        self._links: list[str] = []

    def text(self) -> str:
        text = re.sub(r"[ \t\n\x01\x02]*[\n\x01\x02][ \t\n\x01\x02]*", _line_ends, "".join(self._pieces))
        return text.strip().translate({ord(_SPACE): " ", ord(_LINE): "\n", 0xA0: " "})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _VOID:
            if tag in ("br", "hr"):
                self._put("\n" if tag == "br" else f"{_GAP}---{_GAP}")
            elif tag == "img":
                self._put(dict(attrs).get("alt") or "")
            return
        if len(self._open) >= DEEPEST:
            return
        hides = self._hides(tag, dict(attrs))
        self._open.append((tag, hides))
        self._hidden += hides
        if tag == "a":
            self._links.append(dict(attrs).get("href") or "")
            self._put("[")
        elif tag == "pre":
            self._preformatted += 1
            self._put(f"{_EDGE}```{_LINE}")
        else:
            self._edge(tag, begins=True)

    def handle_endtag(self, tag: str) -> None:
        if not any(name == tag for name, _ in self._open):
            return
        while self._open:
            name, hides = self._open.pop()
            if name == "a":
                self._end_link()
            elif name == "pre":
                self._preformatted -= 1
                self._put(f"{_LINE}```{_EDGE}")
            else:
                self._edge(name, begins=False)
            self._hidden -= hides
            if name == tag:
                return

    def handle_data(self, data: str) -> None:
        if self._preformatted:
            self._put(data.replace("\r\n", "\n").replace(" ", _SPACE).replace("\n", _LINE))
        else:
            self._put(re.sub(r"[ \t\r\n\f]+", " ", data))

    def _put(self, text: str) -> None:
        if not self._hidden:
            self._pieces.append(text)

    def _hides(self, tag: str, attrs: dict[str, str | None]) -> bool:
        if tag in _NOT_TEXT or "hidden" in attrs or _HIDDEN.search((attrs.get("style") or "").lower()):
            return True
        if self._quotes:
            return False
        marks = f"{attrs.get('class') or ''} {attrs.get('id') or ''}"
        cites = tag == "blockquote" and (attrs.get("type") == "cite" or "gmail" in marks)
        return cites or any(name in marks for name in _QUOTES)

    def _edge(self, tag: str, *, begins: bool) -> None:
        if tag in _PARAGRAPHS:
            heading = "#" * int(tag[1]) + " " if tag != "p" and begins else ""
            self._put(_GAP + heading)
        elif tag == "li":
            self._put(f"{_EDGE}- " if begins else _EDGE)
        elif tag in ("td", "th"):
            self._put("" if begins else " ")
        elif tag in _BLOCKS:
            self._put(_EDGE)
        elif tag in _MARKS:
            self._put(_MARKS[tag])

    def _end_link(self) -> None:
        """``[words](url)``; the address alone where the words are the address."""
        url = self._links.pop() if self._links else ""
        if self._hidden:
            return
        start = next((number for number in reversed(range(len(self._pieces))) if self._pieces[number] == "["), None)
        if start is None:
            return
        words = "".join(self._pieces[start + 1 :]).strip()
        shown = url.removeprefix("mailto:").rstrip("/")
        if not re.match(r"(https?|mailto):", url) or words.rstrip("/") in ("", shown) or not words.isprintable():
            self._pieces[start:] = [words or (url if url.startswith("http") else "")]
        else:
            self._pieces[start:] = [f"[{words}]({url})"]


def _line_ends(found: re.Match[str]) -> str:
    """Edges of blocks that meet are one end of a line, and one after a ``<br>`` is none."""
    run = re.sub(r"[ \t]", "", found[0])
    if _GAP in run:
        return "\n\n"
    return "\n" * min(2, max(1, run.count("\n") + run.startswith(_EDGE)))
