"""The names of files: which are requests, what a claim is called, how a name that is taken is numbered.

::

    in/a.json                           a request that is ready
    in/.a.json.claim-OWNER-UID          taken by OWNER; UID is its own for ever
    in/.missive-OWNER.lock              held for as long as the process OWNER lives
    out/.a.json.answer-UID              its answer, being written
    out/a.result.json, a-1.result.json  its answer

OWNER begins with ``p`` for a process, which lives and dies, and with ``h`` for a home, which keeps what it took in.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass

MAX_NAME = 160
"""In bytes. With what is added to it, a name stays below the 255 of most file systems."""

_CLAIM = re.compile(r"\.(?P<name>.+)\.claim-(?P<owner>[ph][0-9a-f]{12})-(?P<uid>[0-9a-f]{22})", re.DOTALL)
_ANSWER = re.compile(r"\.(?P<name>.+)\.answer-(?P<uid>[0-9a-f]{22})", re.DOTALL)
_LOCK = re.compile(r"\.missive-(?P<owner>p[0-9a-f]{12})\.lock")
SESSION = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?")
"""The name of a session (``source.resume_name``)."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A request that somebody took. ``folder`` is that of its session, in the inbox, or empty."""

    folder: str
    name: str
    owner: str
    uid: str

    @property
    def file(self) -> str:
        """Its path in the inbox."""
        hidden = f".{self.name}.claim-{self.owner}-{self.uid}"
        return f"{self.folder}/{hidden}" if self.folder else hidden

    @property
    def answer(self) -> str:
        """The hidden name of its answer in the outbox. It does not say who writes it: there is one for ever."""
        return f".{self.name}.answer-{self.uid}"

    @classmethod
    def parse(cls, folder: str, file: str) -> Claim | None:
        match = _CLAIM.fullmatch(file)
        return cls(folder, match["name"], match["owner"], match["uid"]) if match else None


def answer_of(file: str) -> tuple[str, str] | None:
    """Return the name and the UID of an answer that is being written."""
    match = _ANSWER.fullmatch(file)
    return (match["name"], match["uid"]) if match else None


def lock_name(owner: str) -> str:
    return f".missive-{owner}.lock"


def owner_of_lock(file: str) -> str | None:
    match = _LOCK.fullmatch(file)
    return match["owner"] if match else None


def new_owner(kind: str) -> str:
    return kind + secrets.token_hex(6)


def new_uid(tag: str) -> str:
    """Return an id for one request; it begins with the 6 characters that stand for its inbox."""
    return tag + secrets.token_hex(8)


def is_ready(name: str) -> bool:
    """True if a file of this name is a request. A name that is not UTF-8 is none."""
    if name[0] == "." or name[-1] == "~" or not name.endswith(".json"):
        return False
    return name.isascii() or is_text(name)


def is_text(name: str) -> bool:
    """True if a name that came from the system is UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def shortened(name: str) -> str:
    """Return a request's name, cut if it leaves no room for what is added to it."""
    if len(name.encode()) <= MAX_NAME:
        return name
    return name.encode()[: MAX_NAME - len(".json")].decode(errors="ignore") + ".json"


def stem_of(name: str) -> str:
    return name.removesuffix(".json")


def numbered(name: str, number: int) -> str:
    """Return ``a-1.json`` or ``a-1.result.json`` for 1; the name as it is for 0."""
    if not number:
        return name
    stem, dot, end = name.rpartition(".")
    for inner in (".result", ".error"):
        if end == "json" and stem.endswith(inner):
            stem, end = stem.removesuffix(inner), f"{inner[1:]}.json"
    return f"{stem}-{number}.{end}" if dot else f"{end}-{number}"


def first_free(taken: Callable[[int], bool]) -> int:
    """Return a number from 0 that is free, in few questions even if thousands are taken."""
    if not taken(0):
        return 0
    high = 1
    while taken(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        if taken(middle):
            low = middle
        else:
            high = middle
    return high


def shown(name: str) -> str:
    """Return a name as it may be shown to people: in one line, without control characters."""
    return "".join(char if char.isprintable() else "?" for char in name)
