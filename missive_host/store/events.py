"""The event journal: append-only, numbered, never changed.

Triggers in the schema refuse every UPDATE, and every DELETE of what `Events.prune` has not written down first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from missive_host.ids import new_id
from missive_host.store.rows import EventRow
from missive_host.store.values import Where, from_json, normal_time, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Connection

_SELECT = """
    SELECT event_id, timestamp, source, event_type, agent_alias, context_id, task_id, message_id, payload_json,
           metadata_json, sequence
    FROM events
"""
_INSERT = """
    INSERT INTO events (event_id, timestamp, source, event_type, agent_alias, context_id, task_id, message_id,
                        payload_json, metadata_json)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_SPAN = 10_000
"""How many events `follow` looks at, at the most: whoever waits for a rare type must hold up nobody."""


def new_event_id(event_type: str) -> str:
    """Return ``evt/<type>/<uuid>``."""
    return f"evt/{event_type}/{new_id()}"


class Events:
    """The journal, by sequence."""

    def __init__(self, connection: Connection) -> None:
        self._execute = connection.execute

    def append(self, event: EventRow) -> int:
        """Write one event and return its sequence. ``event.sequence`` is ignored."""
        sequence = self._execute(
            _INSERT,
            (
                event.event_id, event.timestamp, event.source, event.event_type, event.agent_alias, event.context_id,
                event.task_id, event.message_id, to_json(event.payload), to_json(event.metadata),
            ),
        ).lastrowid  # fmt: skip
        return sequence or 0

    def list(
        self,
        *,
        agent: str | None = None,
        context: str | None = None,
        task: str | None = None,
        source: str | None = None,
        event_type: str | None = None,
        types: Sequence[str] = (),
        since: str | None = None,
        after: int | None = None,
        limit: int | None = None,
    ) -> tuple[EventRow, ...]:
        """Return events in order; with `limit` the newest of them.

        `types` are patterns as `follow` knows them, `since` is any RFC 3339 time (at or later), `after` a sequence
        (later only). Raises `ValidationError` for a time that cannot be read.
        """
        where = _filter(agent, context, task, source, event_type, types, since, after)
        rows = self._execute(
            where.sql(_SELECT, "ORDER BY sequence DESC LIMIT ?"), (*where.values, -1 if limit is None else limit)
        ).fetchall()
        rows.reverse()
        return tuple(_event(row) for row in rows)

    def tail(
        self,
        after: int,
        *,
        limit: int = 1000,
        agent: str | None = None,
        context: str | None = None,
        task: str | None = None,
        source: str | None = None,
        event_type: str | None = None,
        types: Sequence[str] = (),
        since: str | None = None,
        until: int | None = None,
    ) -> tuple[EventRow, ...]:
        """Return the events that follow `after`, the oldest first, so that a reader that goes on misses none.

        `until` is a sequence: it looks no further than that.
        """
        where = _filter(agent, context, task, source, event_type, types, since, after)
        where.given("sequence <= ?", until)
        rows = self._execute(where.sql(_SELECT, "ORDER BY sequence LIMIT ?"), (*where.values, limit))
        return tuple(_event(row) for row in rows)

    def find(self, key: str) -> EventRow | None:
        """Return the event with this number or this id."""
        if key.isascii() and key.isdigit():
            row = self._execute(f"{_SELECT} WHERE sequence = ?", (min(int(key), 2**63 - 1),)).fetchone()
        else:
            row = self._execute(f"{_SELECT} WHERE event_id = ?", (key,)).fetchone()
        return _event(row) if row else None

    def of_messages(self, message_ids: Sequence[str]) -> tuple[EventRow, ...]:
        """Return the events of messages to agents. This reads the whole journal."""
        within = "WHERE message_id IN (SELECT value FROM json_each(?)) ORDER BY sequence"
        rows = self._execute(f"{_SELECT} {within}", (to_json(list(message_ids)),))
        return tuple(_event(row) for row in rows) if message_ids else ()

    def of_work(self, work_id: str, *, since: str) -> tuple[EventRow, ...]:
        """Return the events that name a delivery or a job in their payload. This reads the whole journal."""
        rows = self._execute(
            f"{_SELECT} WHERE timestamp >= ? AND event_type GLOB 'missive.*'"
            " AND ? IN (json_extract(payload_json, '$.work_id'), json_extract(payload_json, '$.job_id'))"
            " ORDER BY sequence",
            (since, work_id),
        )
        return tuple(_event(row) for row in rows)

    def follow(self, after: int, patterns: Sequence[str], *, limit: int) -> tuple[tuple[EventRow, ...], int]:
        """Return the next events whose type is one of `patterns` (``missive.job.*``), and where to go on after them."""
        newest = min(self.last_sequence(), after + _SPAN)
        found = self._execute(
            f"{_SELECT} WHERE sequence > ? AND sequence <= ? AND ({_globs(patterns)}) ORDER BY sequence LIMIT ?",
            (after, newest, *patterns, limit),
        ).fetchall()
        rows = tuple(_event(row) for row in found)
        return rows, rows[-1].sequence if len(rows) == limit else max(newest, after)

    def count_between(self, after: int, until: int, patterns: Sequence[str]) -> int:
        """Return how many events after one sequence, up to and with another, have a type as `follow` knows them."""
        count = f"SELECT COUNT(*) FROM events WHERE sequence > ? AND sequence <= ? AND ({_globs(patterns)})"  # noqa: S608
        return int(self._execute(count, (after, until, *patterns)).fetchone()[0])

    def count(
        self,
        *,
        agent: str | None = None,
        context: str | None = None,
        task: str | None = None,
        source: str | None = None,
        event_type: str | None = None,
        types: Sequence[str] = (),
        since: str | None = None,
        after: int | None = None,
    ) -> int:
        where = _filter(agent, context, task, source, event_type, types, since, after)
        return int(self._execute(where.sql("SELECT COUNT(*) FROM events"), where.values).fetchone()[0])

    def last_sequence(self) -> int:
        """Return the sequence of the newest event that was ever written, 0 if there was none."""
        row = self._execute("SELECT seq FROM sqlite_sequence WHERE name = 'events'").fetchone()
        return int(row[0]) if row else 0

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


def _globs(patterns: Sequence[str]) -> str:
    return " OR ".join("event_type GLOB ?" for _ in patterns) or "0"


def _filter(
    agent: str | None,
    context: str | None,
    task: str | None,
    source: str | None,
    event_type: str | None,
    types: Sequence[str],
    since: str | None,
    after: int | None,
) -> Where:
    where = Where().given("agent_alias = ?", agent).given("context_id = ?", context).given("task_id = ?", task)
    where.given("source = ?", source).given("event_type = ?", event_type).given("sequence > ?", after)
    if types:
        where.add(f"({_globs(types)})", *types)
    return where.given("timestamp >= ?", None if since is None else normal_time(since))


def _event(row: tuple[Any, ...]) -> EventRow:
    return EventRow(
        event_id=row[0],
        timestamp=row[1],
        source=row[2],
        event_type=row[3],
        agent_alias=row[4],
        context_id=row[5],
        task_id=row[6],
        message_id=row[7],
        payload=from_json(row[8]),
        metadata=from_json(row[9]),
        sequence=row[10],
    )
