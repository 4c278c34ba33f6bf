"""What was published stays: the shapes of all documents, as ``promised.txt`` beside the schemas has them, and today's.

Two promises are kept. What missive reads, it goes on to read: whatever was accepted still is. What missive writes only
grows: every field is still there with its type, and documents that were written before still keep to the schema.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from missive_host.contracts.shapes import READ, Field, Shape, Type, lines, read, shapes
from missive_host.contracts.shaping import Schema

PROMISED = "promised.txt"


class Break(msgspec.Struct, frozen=True):
    """A promise that is not kept. ``document`` is as in ``missive.output.v1/doctor``."""

    document: str
    place: str
    """Within the document, as in ``data.checks[].id``; nothing: all of it."""
    message: str

    def sentence(self) -> str:
        return f"{self.document}: {self.place} {self.message}" if self.place else f"{self.document}: {self.message}"


class Kept(msgspec.Struct, frozen=True):
    """What became of the promises."""

    stale: tuple[str, ...]
    """Files that do not say all that is there now."""
    breaks: tuple[Break, ...]


def keep(folder: Path, made: Mapping[str, Schema], *, write: bool, unreleased: Iterable[str] = ()) -> Kept:
    """Compare the schemas of today with what is promised in `folder`, and with `write` promise what is new, too.

    What is broken stays promised as it was. The documents in `unreleased` were in no release, and are taken anew.
    """
    today = shapes(made)
    forgotten = set(unreleased)
    there = _promised(folder)
    stale: list[str] = []
    found: list[Break] = []
    for version in sorted({*today, *there}):
        promised = {
            name: shape for name, shape in read(there.get(version, "")).items() if _name(version, name) not in forgotten
        }
        breaks = list(broken(version, promised, today.get(version, {})))
        found += breaks
        documents = {each.document for each in breaks}
        kept = {name: shape for name, shape in promised.items() if _name(version, name) in documents}
        text = "".join(f"{line}\n" for line in lines(dict(sorted({**today.get(version, {}), **kept}.items()))))
        if text != there.get(version, ""):
            stale.append(f"{version}/{PROMISED}")
            if write:
                (folder / version / PROMISED).write_text(text, "utf-8")
    return Kept(tuple(stale), tuple(found))


def promised_documents(folder: Path) -> set[str]:
    """Return the documents of which something is promised, as in ``missive.output.v1/doctor``."""
    return {_name(version, name) for version, text in _promised(folder).items() for name in read(text)}


def _promised(folder: Path) -> dict[str, str]:
    return {file.parent.name: file.read_text("utf-8") for file in folder.glob(f"*/{PROMISED}")}


def broken(version: str, promised: Mapping[str, Shape], today: Mapping[str, Shape]) -> Iterator[Break]:
    """Yield what the documents of today do not keep of what was promised."""
    for name, before in promised.items():
        document = _name(version, name)
        now = today.get(name)
        if now is None:
            what = "command is not taken any more" if name[0] == READ else "kind went away"
            yield Break(document, "", f"this {what}")
            continue
        inner = f"{name[2:]}."
        for place, message in (_reading if name[0] == READ else _writing)(before, now):
            yield Break(document, place.removeprefix(inner) if place != name[2:] else "", message)


def advice(breaks: Iterable[Break]) -> str:
    """Return what to do about these."""
    documents = sorted({each.document for each in breaks})
    versions = sorted({document.partition("/")[0] for document in documents})
    return (
        f"What {' and '.join(versions)} had once, it keeps. Undo the change, or make a new version "
        "(contracts/README.md, Versions).\n"
        "If no release has had the document yet, take it anew:\n"
        f"  python -m missive_host.contracts --unreleased {' '.join(documents)}\n"
    )


def _name(version: str, document: str) -> str:
    return f"{version}/{document[2:]}"


# --- the two promises


def _reading(before: Shape, now: Shape) -> Iterator[tuple[str, str]]:
    """What was accepted is accepted."""
    for place in _gone(before, now):
        yield place, f"is refused now: whoever sends it gets an error{_renamed(place, before, now)}"
    for place in before.keys() & now.keys():
        if now[place].required and not before[place].required:
            yield place, "must be given now: requests of before may not have it"
        yield from ((place, message) for message in _narrower(before[place], now[place], _READ_WORDS))
    for place in _new(before, now):
        if now[place].required:
            yield place, "is new and must be given: requests of before do not have it; let it be optional"


def _writing(before: Shape, now: Shape) -> Iterator[tuple[str, str]]:
    """What was there is there, and what was written before is still valid."""
    for place in _gone(before, now):
        yield place, f"went away: programs read it{_renamed(place, before, now)}"
    for place in before.keys() & now.keys():
        if before[place].required and not now[place].required:
            yield place, "may be left out now: programs count on it"
        if now[place].required and not before[place].required:
            yield place, "is always there now: documents of before may not have it; leave it optional"
        narrower = list(_narrower(before[place], now[place], _WRITTEN_WORDS))
        # A new word of a choice is more of the same; a new type or a wider limit is not.
        wider = [] if narrower else list(_narrower(_wordless(now[place]), _wordless(before[place]), _WIDER_WORDS))
        yield from ((place, message) for message in (*narrower, *wider))
    for place in _new(before, now):
        if now[place].required:
            yield place, "is new and always there: documents of before do not have it; let it be optional"


def _gone(before: Shape, now: Shape) -> list[str]:
    """Return the places that are not there any more, without those below them."""
    gone = [place for place in before if place not in now]
    return [place for place in gone if _above(place) not in gone]


def _new(before: Shape, now: Shape) -> list[str]:
    """Return the new fields of objects that were there."""
    return [
        place
        for place in now
        if place not in before
        and (above := before.get(_above(place))) is not None
        and any(type_["type"] == "object" for type_ in above.types)
        and not place.endswith(("[]", "{}"))
    ]


_LAST = re.compile(r"(\[\]|\{\}|\.[^.\[\]{}]+)$")


def _above(place: str) -> str:
    return _LAST.sub("", place)


def _renamed(place: str, before: Shape, now: Shape) -> str:
    """Return a question, if there is a new field of the same types beside it."""
    beside = [
        other
        for other in now
        if other not in before and _above(other) == _above(place) and now[other].types == before[place].types
    ]
    return f" (is it `{beside[0].rpartition('.')[2]}` now?)" if len(beside) == 1 else ""


# --- types

_READ_WORDS = ("was {}, is {}", "does not take {} any more", "takes nothing now but {}")
_WRITTEN_WORDS = ("was {}, is {}", "does not say {} any more", "was any text, and is a choice now: {}")
_WIDER_WORDS = ("was {1}, is {0}", "", "")

_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties")
_UPPER = ("maximum", "maxLength", "maxItems")


def _wordless(field: Field) -> Field:
    return Field(
        field.required, tuple({key: child for key, child in type_.items() if key != "words"} for type_ in field.types)
    )


def _narrower(before: Field, now: Field, words: tuple[str, str, str]) -> Iterator[str]:
    """Yield in what way `now` does not allow all that `before` did."""
    for type_ in before.types:
        like = [other for other in now.types if _fits(type_["type"], other["type"])]
        if not like:
            yield words[0].format(_names(before), _names(now))
            return
        faults = [list(_stricter(type_, other, words)) for other in like]
        yield from min(faults, key=len)


def _fits(name: str, into: str) -> bool:
    return into in (name, "any") or (name, into) == ("integer", "number")


def _names(field: Field) -> str:
    return " or ".join(dict.fromkeys(type_["type"] for type_ in field.types))


def _stricter(before: Type, now: Type, words: tuple[str, str, str]) -> Iterator[str]:
    had, has = before.get("words"), now.get("words")
    if has is not None:
        missing = [str(word) for word in had or () if word not in has]
        if had is None:
            yield words[2].format(", ".join(map(str, has)))
        elif missing:
            yield words[1].format(", ".join(missing))
    for limit in (*_LOWER, *_UPPER):
        old, new = before.get(limit), now.get(limit)
        if new is not None and (old is None or (new > old if limit in _LOWER else new < old)):
            yield _changed(limit, old, new)
    if "pattern" in now and now["pattern"] != before.get("pattern") and not _all_match(had, now["pattern"]):
        yield "has another pattern: no program can tell whether it still allows all that the old one did"
    if now.get("uniqueItems") and not before.get("uniqueItems"):
        yield "may not have an item twice any more"
    if set(now.get("rules", ())) - set(before.get("rules", ())):
        yield "has a new rule, or another one: no program can tell whether it still allows all that was allowed"
    if before.get("open") and not now.get("open"):
        yield "was open for any field, and is closed now"
    if before.get("document") != now.get("document"):
        yield f"was a document of {before.get('document')}, is one of {now.get('document')}"


def _changed(limit: str, old: Any, new: Any) -> str:
    return f"has a {limit} of {new}, which was {'not there' if old is None else old}"


def _all_match(words: list[Any] | None, pattern: str) -> bool:
    return words is not None and all(isinstance(word, str) and re.search(pattern, word) for word in words)
