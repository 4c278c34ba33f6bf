"""Schedules: by which times jobs are started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from missive_host.store.rows import ScheduleRow
from missive_host.store.values import from_json, to_json

if TYPE_CHECKING:
    from sqlite3 import Connection

_SELECT = """
    SELECT schedule_id, kind, expression, time_zone, request_json, command, enabled, next_run_at, last_run_at,
           last_work_id, created_at, updated_at
    FROM schedules
"""
_INSERT = """
    INSERT INTO schedules (schedule_id, kind, expression, time_zone, request_json, command, enabled, next_run_at,
                           last_run_at, last_work_id, created_at, updated_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""


class Schedules:
    """Schedules by id."""

    def __init__(self, connection: Connection) -> None:
        self._execute = connection.execute

    def put(self, row: ScheduleRow) -> None:
        self._execute(
            _INSERT,
            (
                row.schedule_id, row.kind, row.expression, row.time_zone, to_json(row.request), row.command,
                row.enabled, row.next_run_at, row.last_run_at, row.last_work_id, row.created_at, row.updated_at,
            ),
        )  # fmt: skip

    def get(self, schedule_id: str) -> ScheduleRow | None:
        row = self._execute(f"{_SELECT} WHERE schedule_id = ?", (schedule_id,)).fetchone()
        return _schedule(row) if row else None

    def list(self) -> tuple[ScheduleRow, ...]:
        """Return all of them in the order in which they were made."""
        return tuple(map(_schedule, self._execute(f"{_SELECT} ORDER BY created_at, schedule_id").fetchall()))

    def delete(self, schedule_id: str) -> bool:
        return bool(self._execute("DELETE FROM schedules WHERE schedule_id = ?", (schedule_id,)).rowcount)

    def due(self, at: str) -> tuple[ScheduleRow, ...]:
        """Return those whose time has come."""
        rows = self._execute(f"{_SELECT} WHERE enabled = 1 AND next_run_at <= ? ORDER BY next_run_at", (at,))
        return tuple(map(_schedule, rows.fetchall()))

    def from_the_future(self, at: str) -> tuple[ScheduleRow, ...]:
        """Return those that were made or last ran after a time that has not come yet: the clock was set back."""
        rows = self._execute(f"{_SELECT} WHERE enabled = 1 AND COALESCE(last_run_at, created_at) > ?", (at,))
        return tuple(map(_schedule, rows.fetchall()))

    def next_due(self) -> str | None:
        """Return when the next of them is due, or None."""
        (at,) = self._execute("SELECT MIN(next_run_at) FROM schedules WHERE enabled = 1").fetchone()
        found: str | None = at
        return found

    def move(self, schedule_id: str, next_run_at: str | None, *, at: str, enabled: bool = True) -> None:
        """Set when it is due next, and whether it is at all."""
        self._execute(
            "UPDATE schedules SET next_run_at = ?, enabled = ?, updated_at = ? WHERE schedule_id = ?",
            (next_run_at, enabled, at, schedule_id),
        )

    def begin_anew(self, schedule_id: str, *, at: str) -> None:
        """Take it as made now, and as not having run yet."""
        self._execute(
            "UPDATE schedules SET created_at = ?, last_run_at = NULL WHERE schedule_id = ?", (at, schedule_id)
        )

    def ran(self, schedule_id: str, work_id: str | None, *, at: str) -> None:
        """Write down that its time has come, and which job was started for it, if any."""
        self._execute(
            "UPDATE schedules SET last_run_at = ?, last_work_id = COALESCE(?, last_work_id) WHERE schedule_id = ?",
            (at, work_id, schedule_id),
        )


def _schedule(row: tuple[Any, ...]) -> ScheduleRow:
    return ScheduleRow(
        schedule_id=row[0], kind=row[1], expression=row[2], time_zone=row[3], request=from_json(row[4]),
        command=row[5], enabled=bool(row[6]), next_run_at=row[7], last_run_at=row[8], last_work_id=row[9],
        created_at=row[10], updated_at=row[11],
    )  # fmt: skip
