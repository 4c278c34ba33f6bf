"""The event journal: append-only, numbered, never changed.

Triggers in the schema refuse every UPDATE, and every DELETE of what `Events.prune` has not written down first.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Unpack

from missive_host.ids import new_id
from missive_host.store.rows import EventRow
from missive_host.store.selection import Selectors, globs, last_sequence, note_disorder, select
from missive_host.store.values import from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Connection

_COLUMNS = (
    "sequence, event_id, timestamp, source, event_type, agent_alias, context_id, task_id, message_id, work_id,"
    " payload_json, metadata_json"
)
_SELECT = f"SELECT {_COLUMNS} FROM events"  # noqa: S608 - a text of ours
_INSERT = """
    INSERT INTO events (event_id, timestamp, source, event_type, agent_alias, context_id, task_id, message_id, work_id,
                        payload_json, metadata_json)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_SPAN = 10_000
"""How many events `follow` looks at, at the most: whoever waits for a rare type must hold up nobody."""
_LATE = timedelta(minutes=1)
"""How far the time in an event's id is from its own, usually."""


def new_event_id(event_type: str) -> str:
    """Return ``evt/<type>/<uuid>``."""
    return f"evt/{event_type}/{new_id()}"


class Events:
    """The journal, by sequence."""

    def __init__(self, connection: Connection) -> None:
        self._execute = connection.execute
        self._newest: str | None = None
        """The newest time in the journal; None: not known in this transaction yet."""

    def begin(self) -> None:
        """A transaction begins: others may have written since the last one."""
        self._newest = None

    def append(self, event: EventRow) -> int:
        """Write one event and return its sequence. ``event.sequence`` is ignored."""
        if self._newest is None:
            self._newest = self._execute("SELECT MAX(timestamp) FROM events").fetchone()[0] or ""
        if event.timestamp >= self._newest:
            self._newest = event.timestamp
        else:
            note_disorder(self._execute, event.timestamp, self._newest)
        sequence = self._execute(
            _INSERT,
            (
                event.event_id, event.timestamp, event.source, event.event_type, event.agent_alias, event.context_id,
                event.task_id, event.message_id, event.work_id, to_json(event.payload), to_json(event.metadata),
            ),
        ).lastrowid  # fmt: skip
        return sequence or 0

    def list(self, *, limit: int | None = None, **chosen: Unpack[Selectors]) -> tuple[EventRow, ...]:
        """Return events in order; with `limit` the newest of them. Raises `ValidationError` for what is no time."""
        rows = select(self._execute, _COLUMNS, chosen, newest_first=True, limit=limit)
        rows.reverse()
        return tuple(map(_event, rows))

    def first(self, limit: int | None, **chosen: Unpack[Selectors]) -> int | None:
        """Return the sequence of the first of the events that `list` would return, None if there are none."""
        rows = select(self._execute, "sequence", chosen, newest_first=True, limit=limit)
        return int(rows[-1][0]) if rows else None

    def tail(self, seen: int, *, limit: int = 1000, **chosen: Unpack[Selectors]) -> tuple[EventRow, ...]:
        """Return the events that follow `seen`, the oldest first, so that a reader that goes on misses none."""
        chosen["after"] = max(seen, chosen.get("after") or 0)
        return tuple(map(_event, select(self._execute, _COLUMNS, chosen, newest_first=False, limit=limit)))

    def find(self, key: str) -> EventRow | None:
        """Return the event with this number or this id."""
        if key.isascii() and key.isdigit():
            row = self._execute(f"{_SELECT} WHERE sequence = ?", (min(int(key), 2**63 - 1),)).fetchone()
        else:
            row = self._by_id(key)
        return _event(row) if row else None

    def _by_id(self, event_id: str) -> tuple[Any, ...] | None:
        """Return an event by its id, which says the type and when it was made: it needs no index of its own."""
        _, event_type, uuid = [*event_id.split("/"), "", ""][:3]
        row = None
        try:
            made = datetime.fromtimestamp(int(uuid[:8] + uuid[9:13], 16) / 1000, UTC)
            times = [f"{moment:%Y-%m-%dT%H:%M:%S}" for moment in (made - _LATE, made + _LATE)]
        except (ValueError, OverflowError, OSError):
            return None
        query = f"{_SELECT} INDEXED BY events_by_time WHERE timestamp BETWEEN ? AND ? AND event_id = ?"
        row = self._execute(query, (*times, event_id)).fetchone()
        if row is None:  # the clock was somewhere else
            query = f"{_SELECT} INDEXED BY events_by_kind WHERE event_type = ? AND event_id = ?"
            row = self._execute(query, (event_type, event_id)).fetchone()
        found: tuple[Any, ...] | None = row
        return found

    def follow(self, after: int, patterns: Sequence[str], *, limit: int) -> tuple[tuple[EventRow, ...], int]:
        """Return the next events whose type is one of `patterns` (``missive.job.*``), and where to go on after them."""
        newest = min(self.last_sequence(), after + _SPAN)
        found = self._execute(
            f"{_SELECT} WHERE sequence > ? AND sequence <= ? AND ({globs(patterns)}) ORDER BY sequence LIMIT ?",
            (after, newest, *patterns, limit),
        ).fetchall()
        rows = tuple(_event(row) for row in found)
        return rows, rows[-1].sequence if len(rows) == limit else max(newest, after)

    def count(self, **chosen: Unpack[Selectors]) -> int:
        """Return how many events there are."""
        return sum(count for (count,) in select(self._execute, "COUNT(*)", chosen, newest_first=False))

    def last_sequence(self) -> int:
        """Return the sequence of the newest event that was ever written, 0 if there was none."""
        return last_sequence(self._execute)

    def prune(self, before_sequence: int, *, at: str) -> int:
        """Delete the events before a sequence and keep a record of that. Return how many went.

        Sequences are never used again.
        """
        self._execute(
            "INSERT INTO event_prunings (before_sequence, pruned_at) VALUES (?, ?)"
            " ON CONFLICT (before_sequence) DO UPDATE SET pruned_at = excluded.pruned_at",
            (before_sequence, at),
        )
        return self._execute("DELETE FROM events WHERE sequence < ?", (before_sequence,)).rowcount


def _event(row: tuple[Any, ...]) -> EventRow:
    return EventRow(
        sequence=row[0],
        event_id=row[1],
        timestamp=row[2],
        source=row[3],
        event_type=row[4],
        agent_alias=row[5],
        context_id=row[6],
        task_id=row[7],
        message_id=row[8],
        work_id=row[9],
        payload=from_json(row[10]),
        metadata=from_json(row[11]),
    )
