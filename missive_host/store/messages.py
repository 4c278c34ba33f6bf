"""Messages that went out and came in, in the order in which they did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from missive_host.store.rows import Json, MessageRow
from missive_host.store.values import Where, from_json, to_json

if TYPE_CHECKING:
    from sqlite3 import Connection

_SELECT = """
    SELECT agent_alias, message_id, direction, context_id, task_id, role, status, content_json, metadata_json,
           error_json, created_at, updated_at, ordinal, response_id
    FROM messages
"""
_INSERT = """
    INSERT INTO messages (agent_alias, message_id, direction, context_id, task_id, role, status, content_json,
                          metadata_json, error_json, created_at, updated_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (agent_alias, message_id, direction) DO NOTHING
"""
_TRY_AGAIN = """
    UPDATE messages SET status = 'pending', error_json = NULL, updated_at = ?
    WHERE agent_alias = ? AND message_id = ? AND direction = 'request' AND status <> 'sent'
"""
_SETTLE = """
    UPDATE messages SET status = ?, error_json = ?, updated_at = ?, task_id = COALESCE(?, task_id),
                        context_id = COALESCE(?, context_id), response_id = COALESCE(?, response_id)
    WHERE agent_alias = ? AND message_id = ? AND direction = 'request'
"""
_REPLACE = """
    UPDATE messages SET content_json = ?, metadata_json = ?, task_id = COALESCE(?, task_id),
                        context_id = COALESCE(?, context_id), updated_at = ?
    WHERE agent_alias = ? AND message_id = ? AND direction = ? AND (content_json <> ? OR metadata_json <> ?)
"""
_NEXT_ALIAS = "SELECT agent_alias FROM messages WHERE agent_alias > ? ORDER BY agent_alias LIMIT 1"


class Messages:
    """Messages by agent, message id and direction."""

    def __init__(self, connection: Connection) -> None:
        self._execute = connection.execute

    def add_request(self, message: MessageRow) -> bool:
        """Write a request down as ``pending``, before the first attempt. Return False if it was known already.

        A known one is being tried again: it is pending again, unless it is known to have been sent.
        """
        if self._insert(message, "request", "pending"):
            return True
        self._execute(_TRY_AGAIN, (message.updated_at, message.agent_alias, message.message_id))
        return False

    def settle_request(
        self,
        agent_alias: str,
        message_id: str,
        status: str,
        *,
        at: str,
        error: Json | None = None,
        task_id: str | None = None,
        context_id: str | None = None,
        response_id: str | None = None,
    ) -> None:
        """Write down what became of a request: ``sent``, ``failed``, or ``unknown`` if it may have arrived.

        `task_id` is the task that the agent made of it, `response_id` the message that it answered with instead,
        `context_id` the local context that it turned out to be in.
        """
        error_json = None if error is None else to_json(error)
        self._execute(_SETTLE, (status, error_json, at, task_id, context_id, response_id, agent_alias, message_id))

    def add_response(self, message: MessageRow) -> bool:
        """Store a message that came in (or a local one). Return False if it was known; its content is then renewed."""
        if self._insert(message, message.direction, message.status):
            return True
        content, metadata = to_json(message.content), to_json(message.metadata)
        self._execute(
            _REPLACE,
            (
                content, metadata, message.task_id, message.context_id, message.updated_at,
                message.agent_alias, message.message_id, message.direction, content, metadata,
            ),
        )  # fmt: skip
        return False

    def find(self, agent_alias: str, message_id: str, direction: str = "request") -> MessageRow | None:
        row = self._execute(
            f"{_SELECT} WHERE agent_alias = ? AND message_id = ? AND direction = ?",
            (agent_alias, message_id, direction),
        ).fetchone()
        return _message(row) if row else None

    def with_id(self, message_id: str) -> tuple[MessageRow, ...]:
        """Return the messages with this id, and the requests that were answered with it."""
        found = self._execute(f"{_SELECT} WHERE response_id = ?", (message_id,)).fetchall()
        alias = self._execute(_NEXT_ALIAS, ("",)).fetchone()
        while alias is not None:  # the index begins with the alias
            found += self._execute(f"{_SELECT} WHERE agent_alias = ? AND message_id = ?", (*alias, message_id))
            alias = self._execute(_NEXT_ALIAS, alias).fetchone()
        return tuple(sorted({row.ordinal: row for row in map(_message, found)}.values(), key=lambda row: row.ordinal))

    def list(
        self,
        *,
        context: str | None = None,
        agent: str | None = None,
        task: str | None = None,
        status: str | None = None,
        limit: int | None = None,
    ) -> tuple[MessageRow, ...]:
        """Return messages in the order of arrival; with `limit` the newest. A `task` needs its `agent`, too."""
        where = Where().given("context_id = ?", context).given("agent_alias = ?", agent).given("task_id = ?", task)
        if status is not None:
            # The literal lets SQLite use the index of what is pending.
            where.add("status = 'pending'") if status == "pending" else where.add("status = ?", status)
        tail = "ORDER BY ordinal DESC LIMIT ?"
        rows = self._execute(where.sql(_SELECT, tail), (*where.values, -1 if limit is None else limit)).fetchall()
        rows.reverse()
        return tuple(_message(row) for row in rows)

    def _insert(self, message: MessageRow, direction: str, status: str) -> bool:
        cursor = self._execute(
            _INSERT,
            (
                message.agent_alias, message.message_id, direction, message.context_id, message.task_id, message.role,
                status, to_json(message.content), to_json(message.metadata),
                None if message.error is None else to_json(message.error), message.created_at, message.updated_at,
            ),
        )  # fmt: skip
        return cursor.rowcount == 1


def _message(row: tuple[Any, ...]) -> MessageRow:
    return MessageRow(
        agent_alias=row[0],
        message_id=row[1],
        direction=row[2],
        context_id=row[3],
        task_id=row[4],
        role=row[5],
        status=row[6],
        content=from_json(row[7]),
        metadata=from_json(row[8]),
        error=None if row[9] is None else from_json(row[9]),
        created_at=row[10],
        updated_at=row[11],
        ordinal=row[12],
        response_id=row[13],
    )
