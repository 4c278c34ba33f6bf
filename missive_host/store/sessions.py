"""Sessions: who a conversation is from, which agent or group it is with, and the context that it goes on in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from missive_host.errors import ValidationError
from missive_host.store.rows import SessionRow
from missive_host.store.values import Where

if TYPE_CHECKING:
    from sqlite3 import Connection

_SELECT = """
    SELECT session_id, adapter, source_id, target, resume_name, context_id, display_name, created_at, last_active_at,
           last_reset_at, reset_reason
    FROM sessions
"""
_PUT = """
    INSERT INTO sessions (session_id, adapter, source_id, target, resume_name, context_id, display_name, created_at,
                          last_active_at, last_reset_at, reset_reason)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (session_id) DO UPDATE SET context_id = excluded.context_id, display_name = excluded.display_name,
        last_active_at = excluded.last_active_at, last_reset_at = excluded.last_reset_at,
        reset_reason = excluded.reset_reason
"""


class Sessions:
    """Sessions by id, and by what they are: adapter, source, target and resume name."""

    def __init__(self, connection: Connection) -> None:
        self._execute = connection.execute

    def find(self, adapter: str, source_id: str, target: str, resume_name: str) -> SessionRow | None:
        row = self._execute(
            f"{_SELECT} WHERE adapter = ? AND source_id = ? AND target = ? AND resume_name = ?",
            (adapter, source_id, target, resume_name),
        ).fetchone()
        return _session(row) if row else None

    def get(self, session_id: str) -> SessionRow:
        """Return a session. Raises `ValidationError` if it is unknown."""
        row = self._execute(f"{_SELECT} WHERE session_id = ?", (session_id,)).fetchone()
        if row is None:
            raise ValidationError(f"no session has the id '{session_id}'", help="`missive session list` shows all")
        return _session(row)

    def put(self, session: SessionRow) -> None:
        """Write a session as it is now. Who it is from and with, and when it began, never changes."""
        self._execute(
            _PUT,
            (
                session.session_id, session.adapter, session.source_id, session.target, session.resume_name,
                session.context_id, session.display_name, session.created_at, session.last_active_at,
                session.last_reset_at, ",".join(session.reset_reasons) or None,
            ),
        )  # fmt: skip

    def touch(self, adapter: str, source_id: str, target: str, resume_name: str, *, at: str) -> None:
        """Note that a session is in use, if there is such a one."""
        self._execute(
            "UPDATE sessions SET last_active_at = max(last_active_at, ?)"
            " WHERE adapter = ? AND source_id = ? AND target = ? AND resume_name = ?",
            (at, adapter, source_id, target, resume_name),
        )

    def count(self) -> int:
        (count,) = self._execute("SELECT COUNT(*) FROM sessions").fetchone()
        return int(count)

    def list(
        self,
        *,
        session_id: str | None = None,
        adapter: str | None = None,
        source_id: str | None = None,
        target: str | None = None,
    ) -> tuple[SessionRow, ...]:
        """Return sessions, the last active first."""
        where = Where().given("session_id = ?", session_id).given("adapter = ?", adapter)
        where.given("source_id = ?", source_id).given("target = ?", target)
        tail = "ORDER BY last_active_at DESC, session_id"
        return tuple(_session(row) for row in self._execute(where.sql(_SELECT, tail), where.values))


def _session(row: tuple[Any, ...]) -> SessionRow:
    return SessionRow(
        session_id=row[0],
        adapter=row[1],
        source_id=row[2],
        target=row[3],
        resume_name=row[4],
        context_id=row[5],
        display_name=row[6],
        created_at=row[7],
        last_active_at=row[8],
        last_reset_at=row[9],
        reset_reasons=tuple(row[10].split(",")) if row[10] else (),
    )
