"""Long texts in pieces that a platform takes; a text that grows, seen from its end.

A piece is measured as it will be sent: `measure` is the platform's `render` and its unit. A code fence that has to be
cut is closed in one piece and opened again in the next, with its info string.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from missive_chat.platform import Unit

Measure = Callable[[str], int]

ELLIPSIS = "…"


def length(text: str, unit: Unit) -> int:
    """Return how long a text is in the unit that a platform counts in."""
    if unit == "characters":
        return len(text)
    if unit == "utf-16":
        return len(text) + sum(1 for character in text if character > "\uffff")
    return len(text.encode("utf-8", "surrogatepass"))


def chunks(text: str, limit: int, measure: Measure, *, most: int | None = None) -> tuple[str, ...]:
    """Cut a Markdown text into pieces of which none measures more than `limit`.

    Cut is between paragraphs, else between lines, sentences, words, and only then within a word; never within a
    character as it is seen, nor within a link that would fit into a piece. White space where it is cut is dropped,
    except within code. A text without anything to be seen has no pieces. No more than the first `most` are made.
    """
    if len(text) <= 4 * limit and measure(text) <= limit:
        return (text,) if text.strip() else ()
    return tuple(islice(_Cutter(text, limit, measure).pieces(), most))


def truncated(text: str, limit: int, measure: Measure) -> str:
    """Return the end of a growing text that fits into `limit`, with ``…`` before it if something is left out.

    A code fence that is open at its beginning or at its end is opened and closed.
    """
    return _Cutter(text, limit, measure).tail()


# --- where it may be cut

_FENCE = re.compile(r"^[ \t]*(?P<marker>`{3,16}(?!`)|~{3,16}(?!~))(?P<info>[^\n]*)$", re.MULTILINE)
_WHOLE = re.compile(r"!?\[[^\[\]\n]*\]\([^()\s]*(?: \"[^\"\n]*\")?\)|<[a-z]+:[^<>\s]+>|`[^`\n]+`")
"""What is not to be cut: links, images, addresses, code in a line."""
_SENTENCE = re.compile(r"[.!?…][\"'”’»)\]]*(?=\s)|[。！？]")
_SPACE = re.compile(r"\s*")
_TINY = 16
"""With less room than this, a fence is not opened again: there would be nothing in it."""


@dataclass(frozen=True, slots=True)
class _Fence:
    start: int
    """Where its first line begins."""
    body: int
    """Where its first line of code begins."""
    end: int
    """Where the line that closes it begins, or the end of the text."""
    stop: int
    """What comes after it."""
    marker: str
    info: str

    @property
    def open(self) -> bool:
        """The text ends before it is closed."""
        return self.end == self.stop


def _fences(text: str) -> list[_Fence]:
    found: list[_Fence] = []
    opened: re.Match[str] | None = None
    for match in _FENCE.finditer(text):
        marker, info = match["marker"], match["info"].strip()
        if opened is None:
            if marker[0] == "~" or "`" not in info:
                opened = match
        elif not info and marker.startswith(opened["marker"]):
            found.append(_fence(opened, match.start(), min(match.end() + 1, len(text)), len(text)))
            opened = None
    if opened is not None:
        found.append(_fence(opened, len(text), len(text), len(text)))
    return found


def _fence(opened: re.Match[str], end: int, stop: int, size: int) -> _Fence:
    body = min(opened.end() + 1, size)
    return _Fence(opened.start(), body, end, stop, opened["marker"], opened["info"].strip())


def _whole_before(text: str, position: int) -> int:
    """Return the last place at or before `position` that is not within a character as it is seen."""
    for place in range(position, max(0, position - 64), -1):
        if not _joined(text, place):
            return place
    return position  # endless combining marks: there is no good place


def _joined(text: str, place: int) -> bool:
    if not 0 < place < len(text):
        return False
    before, after = text[place - 1], text[place]
    if after < "\u0300":
        return before == "\r" and after == "\n"
    if before == "\u200d" or after == "\u200d" or "\U0001f3fb" <= after <= "\U0001f3ff":
        return True
    if unicodedata.category(after) in ("Mn", "Mc", "Me") or "\U000e0020" <= after <= "\U000e007f":
        return True
    if "\ud800" <= before <= "\udbff" and "\udc00" <= after <= "\udfff":
        return True
    if _regional(before) and _regional(after):  # flags are pairs
        first = place - 1
        while first > 0 and place - first < 4096 and _regional(text[first - 1]):
            first -= 1
        return (place - first) % 2 == 1
    return _hangul(before, after)


def _regional(character: str) -> bool:
    return "\U0001f1e6" <= character <= "\U0001f1ff"


def _hangul(before: str, after: str) -> bool:
    """Whether two parts of a Korean syllable belong together."""
    if "\u1160" <= after <= "\u11ff":
        return "\u1100" <= before <= "\u11ff" or "\uac00" <= before <= "\ud7a3"
    return "\u1100" <= before <= "\u115f" and ("\u1100" <= after <= "\u115f" or "\uac00" <= after <= "\ud7a3")


# --- cutting


class _Cutter:
    def __init__(self, text: str, limit: int, measure: Measure) -> None:
        self._text = text
        self._limit = max(1, limit)
        self._measure = measure
        self._fences = _fences(text) if limit >= _TINY else []
        self._fence_starts = [fence.start for fence in self._fences]
        self._wholes = [match.span() for match in _WHOLE.finditer(text)]
        self._whole_starts = [start for start, _ in self._wholes]

    def pieces(self) -> Iterator[str]:
        """Yield the pieces."""
        begin = self._next_begin(0)
        while begin < len(self._text):
            place = self._best_place(begin)
            piece = self._piece(begin, place)
            if piece.strip():
                yield piece
            begin = self._next_begin(self._after(place))

    def tail(self) -> str:
        """Return the end that fits."""
        text = self._text
        if len(text) <= 4 * self._limit:
            whole = self._tail(0)
            if self._measure(whole) <= self._limit:
                return whole
        low, high = max(0, len(text) - 4 * self._limit), len(text)
        while low < high:  # the first place from which the rest fits
            middle = (low + high) // 2
            low, high = (low, middle) if self._measure(self._tail(middle)) <= self._limit else (middle + 1, high)
        room = (len(text) - low) // 2
        for mark in ("\n", " "):
            found = text.find(mark, max(0, low - 1), low + room)
            if found >= 0 and not _joined(text, found + 1) and self._measure(self._tail(found + 1)) <= self._limit:
                return self._tail(found + 1)
        while low < len(text) and _joined(text, low):
            low += 1
        return self._tail(low)

    def _tail(self, begin: int) -> str:
        last = self._fences[-1] if self._fences else None
        closing = ""
        if last is not None and last.open:
            closing = last.marker if self._text.endswith("\n") else "\n" + last.marker
        if begin == 0:
            return self._text + closing
        fence = self._around(begin)
        if fence is not None and (fence.open or begin < fence.end):
            return f"{ELLIPSIS}\n{self._opening(fence)}{self._text[max(begin, fence.body) :]}{closing}"
        if fence is not None:
            begin = fence.stop
        between = "\n" if self._text[begin - 1] == "\n" else ""
        return f"{ELLIPSIS}{between}{self._text[begin:]}{closing}"

    # --- one piece

    def _best_place(self, begin: int) -> int:
        """Return where the piece that begins here had best end."""
        furthest = self._furthest(begin)
        if furthest == len(self._text):
            return furthest
        for place in self._places(begin, furthest):
            if place > begin and self._after(place) > begin and self._fits(begin, place):
                return place
        return furthest

    def _furthest(self, begin: int) -> int:
        """Return the end of about the longest piece that fits."""
        low, high = 0, min(self._limit, len(self._text) - begin)
        guess, tries = high, 0
        while True:
            tries += 1
            size = self._measure(self._piece(begin, begin + guess))
            if size <= self._limit:
                low = guess
            else:
                high = guess - 1
            if high - low <= high // 64:
                break
            scaled = guess * self._limit // max(1, size)
            guess = scaled if tries < 3 and low < scaled <= high else (low + high + 1) // 2
        if low:
            return begin + low
        after = begin + 1  # not even one fits: a character is sent as a whole all the same
        while after < len(self._text) and after - begin < 64 and _joined(self._text, after):
            after += 1
        return after if self._fits(begin, after) else begin + 1

    def _fits(self, begin: int, place: int) -> bool:
        return self._measure(self._piece(begin, place)) <= self._limit

    def _piece(self, begin: int, place: int) -> str:
        """Return what is sent of the text from `begin` to `place`, with the fences that this needs."""
        opened = self._around(begin)
        opening = self._opening(opened) if opened is not None and opened.body <= begin else ""
        closed = self._around(place)
        if closed is None or place <= closed.body or (closed is opened and not opening):
            return opening + self._text[begin:place].rstrip()
        code = self._text[begin : min(place, closed.end)]
        if place == len(self._text) == closed.end:  # as the text leaves it: open
            return opening + code
        return f"{opening}{code}{'' if code.endswith(chr(10)) else chr(10)}{closed.marker}"

    def _opening(self, fence: _Fence) -> str:
        info = fence.info if len(fence.info) <= self._limit // 4 else ""
        return f"{fence.marker}{info}\n"

    def _around(self, place: int) -> _Fence | None:
        """Return the fence that a place is in: after the beginning of its first line, before what follows it."""
        index = bisect_right(self._fence_starts, place - 1) - 1
        if index < 0:
            return None
        fence = self._fences[index]
        return fence if place < fence.stop or fence.open else None

    def _after(self, place: int) -> int:
        """Return where the rest begins: a fence that was closed needs no closing line any more."""
        fence = self._around(place)
        return fence.stop if fence is not None and fence.end <= place else place

    def _next_begin(self, begin: int) -> int:
        """Return the next place with something to be seen; the indentation of its line stays, and blanks in code."""
        visible = self._space_end(begin)
        fence = self._around(begin)
        if fence is not None and fence.body <= begin:
            return begin if visible < fence.end else fence.stop if fence.open else self._next_begin(fence.stop)
        newline = self._text.rfind("\n", begin, visible) + 1
        if visible == len(self._text):
            return visible
        if newline:
            return newline
        return begin if begin == 0 or self._text[begin - 1] == "\n" else visible

    def _space_end(self, begin: int) -> int:
        match = _SPACE.match(self._text, begin)
        return match.end() if match is not None else begin

    # --- places, the best first

    def _places(self, begin: int, end: int) -> Iterator[int]:
        half, quarter = begin + (end - begin) // 2, begin + (end - begin) // 4
        fence = self._around(end)
        if fence is not None and fence.start > begin and (fence.start >= quarter or end <= fence.body):
            yield fence.start  # code is kept together
        yield from self._paragraphs(half, end)
        yield from self._lines(quarter, end)
        if fence is None or begin >= fence.body:
            outside = end if fence is None else begin
            yield from self._sentences(half, outside)
            yield from self._words(begin, end)
        place = self._unlinked(begin, _whole_before(self._text, end))
        yield place
        for back in range(1, 17):  # closing a fence takes some room
            yield _whole_before(self._text, end - back)

    def _paragraphs(self, begin: int, end: int) -> Iterator[int]:
        while (found := self._text.rfind("\n\n", begin, end)) >= 0:
            fence = self._around(found + 1)
            if fence is None:
                yield found + 2
                return
            end = fence.start
            if end >= begin:
                yield end

    def _lines(self, begin: int, end: int) -> Iterator[int]:
        for _ in range(8):
            found = self._text.rfind("\n", begin, end)
            if found < 0:
                return
            fence = self._around(found + 1)
            if fence is None or found + 1 > fence.body:
                yield found + 1
            end = found

    def _sentences(self, begin: int, end: int) -> Iterator[int]:
        ends = [match.end() for match in _SENTENCE.finditer(self._text, begin, end)]
        for place in reversed(ends[-8:]):
            if self._unlinked(begin, place) == place and not _joined(self._text, place):
                yield place

    def _words(self, begin: int, end: int) -> Iterator[int]:
        for _ in range(16):
            place = max(self._text.rfind(mark, begin + 1, end) for mark in " \n\t") + 1
            if place <= 0:
                return
            apart = self._unlinked(begin, place)
            if not _joined(self._text, apart):
                yield apart
            end = apart - 1 if apart < place else place - 1

    def _unlinked(self, begin: int, place: int) -> int:
        """Return the beginning of what a place is in and that should not be cut, if that comes after `begin`."""
        index = bisect_right(self._whole_starts, place - 1) - 1
        if index < 0:
            return place
        start, stop = self._wholes[index]
        return start if begin < start and place < stop else place
