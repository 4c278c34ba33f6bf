"""Which events are meant, and the way to them that costs the same however long the journal is.

The index is named in each query, since SQLite cannot know which one is short. What a message, a piece of work, a task
or a context is about is looked up by that. Types, sources and agents are a few hundred *kinds* of events, whatever the
length of the journal: those that are meant are read side by side, each in the order of the journal, and merged. A time
becomes a place in the journal.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypedDict

from missive_host.store.values import Where, normal_time

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Cursor

Execute = Callable[..., "Cursor"]
Kind = tuple[str, str, str | None]
"""Type, source, agent."""

NEAR = 200
"""So few events are read as they come: that is quicker than to look up their kinds."""
_BY = {"message": "message_id", "work": "work_id", "task": "task_id", "context": "context_id"}
"""The selectors that are looked up by an index of their own, the one that finds least first."""
_FIRST_KIND = "SELECT event_type, source, agent_alias FROM events INDEXED BY events_by_kind WHERE"
_NEXT = tuple(
    f"{_FIRST_KIND} {beyond} ORDER BY event_type, source, agent_alias LIMIT 1"
    for beyond in (
        "event_type > ?",
        "event_type = ? AND source > ?",
        "event_type = ? AND source = ? AND agent_alias > ?",
    )
)
"""The first kind of the next type, source, agent. (With a comparison of rows SQLite would read all in between.)"""


class Selectors(TypedDict, total=False):
    """What events may be selected by; what is None does not count."""

    agent: str | None
    context: str | None
    task: str | None
    message: str | None
    """The message to an agent that they belong to; empty: none."""
    work: str | None
    """The delivery or job that they happened for."""
    source: str | None
    types: Sequence[str]
    """Patterns such as ``a2a.stream.*``: one of them."""
    since: str | None
    """An RFC 3339 time: then or later."""
    until: str | None
    """An RFC 3339 time: then or earlier."""
    after: int | None
    """A sequence: later ones."""
    upto: int | None
    """A sequence: this one and earlier ones."""


def select(
    execute: Execute, columns: str, chosen: Selectors, *, newest_first: bool, limit: int | None = None
) -> list[Any]:
    """Return rows of events; `columns` begins with ``sequence``, or is a count, of which there may be several.

    Raises `ValidationError` for what is no time.
    """
    with ExitStack() as cursors:
        rows = _rows(execute, columns, chosen, newest_first=newest_first, cursors=cursors)
        return list(islice(rows, limit))


def globs(patterns: Sequence[str]) -> str:
    """Return the condition that a type is like one of some patterns."""
    return " OR ".join("event_type GLOB ?" for _ in patterns) or "0"


def _rows(
    execute: Execute, columns: str, chosen: Selectors, *, newest_first: bool, cursors: ExitStack
) -> Iterator[Any]:
    low, high = _bounds(execute, chosen)
    order = f"ORDER BY sequence {'DESC' if newest_first else ''}"

    def read(index: str, where: Where) -> Cursor:
        for bound, sequence in (("sequence > ?", low), ("sequence <= ?", high)):
            where.add(bound, sequence)
        for sign, time in ((">=", chosen.get("since")), ("<=", chosen.get("until"))):
            where.given(f"timestamp {sign} ?", None if time is None else normal_time(time))
        query = where.sql(f"SELECT {columns} FROM events {index}", order)  # noqa: S608 - texts of this package
        return cursors.enter_context(closing(execute(query, where.values)))

    by = next((name for name in _BY if chosen.get(name)), None)
    kinds = any(chosen.get(name) for name in ("agent", "source", "types"))
    if by is None and kinds and high - low > NEAR:
        return heapq.merge(
            *(
                read(
                    "INDEXED BY events_by_kind",
                    Where().add("event_type = ? AND source = ? AND agent_alias IS ?", *kind),
                )
                for kind in kinds_of(execute, chosen)
            ),
            key=itemgetter(0),
            reverse=newest_first,
        )
    where = Where()
    for name, column in (*_BY.items(), ("source", "source"), ("agent", "agent_alias")):
        where.given(f"{column} = ?", chosen.get(name) or None)
    if chosen.get("message") == "":
        where.add("COALESCE(message_id, '') = ''")
    types = chosen.get("types")
    if types:
        where.add(f"({globs(types)})", *types)
    return read("NOT INDEXED" if by is None else f"INDEXED BY events_by_{by}", where)


def kinds_of(execute: Execute, chosen: Selectors) -> list[Kind]:
    """Return the kinds of events that are meant, without reading more than one event of each."""
    from fnmatch import fnmatchcase

    types, source, agent = chosen.get("types") or ("*",), chosen.get("source"), chosen.get("agent")
    found: list[Kind] = []
    kind: Kind | None = execute(_NEXT[0], ("",)).fetchone()
    while kind is not None:
        meant = source in (None, kind[1]) and any(fnmatchcase(kind[0], pattern) for pattern in types)
        if meant:
            found.append(kind if agent is None else (*kind[:2], agent))
        place = (*kind[:2], kind[2] or "")
        length = 3 if meant and agent is None else 2
        kind = None
        while kind is None and length:
            kind = execute(_NEXT[length - 1], place[:length]).fetchone()
            length -= 1
    return found


# --- times


def _bounds(execute: Execute, chosen: Selectors) -> tuple[int, int]:
    """Return between which sequences the events are: after the one, up to the other."""
    after, upto = chosen.get("after"), chosen.get("upto")
    low = 0 if after is None else after
    high = last_sequence(execute) if upto is None else upto
    since, until = chosen.get("since"), chosen.get("until")
    if since is None and until is None:
        return low, high
    (disorder,) = execute("SELECT disorder FROM journal").fetchone()
    if since is not None:
        # Nothing of that time or later was written before an event that is older than that by more than the disorder.
        place = "SELECT sequence FROM events WHERE timestamp < ? ORDER BY timestamp DESC LIMIT 1"
        row = execute(place, (_moved(since, -disorder),)).fetchone()
        low = max(low, row[0]) if row else low
    if until is not None:
        place = "SELECT sequence FROM events WHERE timestamp > ? ORDER BY timestamp LIMIT 1"
        row = execute(place, (_moved(until, disorder),)).fetchone()
        high = min(high, row[0]) if row else high
    return low, high


def _moved(time: str, seconds: int) -> str:
    try:
        moved = datetime.fromisoformat(normal_time(time)) + timedelta(seconds=seconds)
    except OverflowError:
        return "" if seconds < 0 else "9999-13"  # before and after all times
    return normal_time(moved.isoformat())


def note_disorder(execute: Execute, time: str, newest: str) -> None:
    """Keep that an event is written whose time is before that of an earlier one."""
    late = (datetime.fromisoformat(newest) - datetime.fromisoformat(time)).total_seconds()
    execute("UPDATE journal SET disorder = ?1 WHERE disorder < ?1", (int(late) + 1,))


def last_sequence(execute: Execute) -> int:
    """Return the sequence of the newest event that was ever written, 0 if there was none."""
    row = execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
    return int(row[0]) if row else 0
