"""Forgetting what is old, and nothing that is still referred to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host.store.events import Events
from missive_host.store.values import to_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Connection

COUNTED = (
    "events", "messages", "tasks", "artifacts", "contexts", "sessions", "work", "work_outputs", "operations",
    "push_configs",
)  # fmt: skip
"""The tables from which something may go."""

_ENDED_WORK = """
    DELETE FROM work
    WHERE finished_at < :answers AND work_id NOT IN (SELECT last_work_id FROM schedules WHERE last_work_id IS NOT NULL)
        AND (
            kind = 'job' OR adapter NOT IN (SELECT value FROM json_each(:adapters))
            OR (state <> 'dead' AND (delivered_at IS NOT NULL OR reply_to_json IS NULL))
        )
"""
_OPEN_WORK = """(
    state IN ('queued', 'ready', 'running', 'dead')
    OR (kind = 'delivery' AND delivered_at IS NULL AND reply_to_json IS NOT NULL)
)"""
# Whatever text a command has may be the id of something. An id that is none is in nobody's way.
_REFERRED = f"""
    INSERT OR IGNORE INTO temp.referred
    SELECT json_tree.atom FROM work, json_tree(request_json) WHERE json_tree.type = 'text' AND {_OPEN_WORK}
    UNION ALL SELECT context_id FROM work WHERE {_OPEN_WORK}
    UNION ALL SELECT task_id FROM work WHERE {_OPEN_WORK}
    UNION ALL SELECT json_tree.atom FROM schedules, json_tree(request_json) WHERE json_tree.type = 'text'
    UNION ALL SELECT context_id FROM operations WHERE finished_at IS NULL
    UNION ALL SELECT task_id FROM operations JOIN operation_members USING (operation_id) WHERE finished_at IS NULL
    UNION ALL SELECT request_message_id FROM operations JOIN operation_members USING (operation_id)
        WHERE finished_at IS NULL
    UNION ALL SELECT response_message_id FROM operations JOIN operation_members USING (operation_id)
        WHERE finished_at IS NULL
"""  # noqa: S608 - texts of ours
_OLD_TASKS = """
    state IN ('completed', 'failed', 'cancelled', 'rejected') AND updated_at < :since
    AND task_id NOT IN (SELECT id FROM temp.referred)
    AND task_id NOT IN (SELECT task_id FROM work WHERE task_id IS NOT NULL)
"""
_STEPS = (
    "DELETE FROM operations WHERE finished_at < :before AND context_id NOT IN (SELECT id FROM temp.referred)",
    f"""
    DELETE FROM push_configs WHERE deleted_at < :before
        OR (agent_alias, task_id) IN (SELECT agent_alias, task_id FROM tasks WHERE {_OLD_TASKS})
    """,  # noqa: S608
    f"DELETE FROM tasks WHERE {_OLD_TASKS}",  # noqa: S608
    """
    DELETE FROM messages
    WHERE updated_at < :since AND status <> 'pending' AND message_id NOT IN (SELECT id FROM temp.referred)
        AND (context_id IS NULL OR context_id NOT IN (SELECT id FROM temp.referred))
        AND NOT EXISTS (
            SELECT 1 FROM tasks WHERE tasks.agent_alias = messages.agent_alias AND tasks.task_id = messages.task_id
        )
    """,
    """
    DELETE FROM sessions
    WHERE last_active_at < :before AND source_id NOT IN (SELECT id FROM temp.referred)
        AND (context_id IS NULL OR context_id NOT IN (SELECT id FROM temp.referred))
    """,
)
# One that has a name and is open is somebody's, who may come back to it by that name.
_CONTEXTS = """
    DELETE FROM contexts
    WHERE updated_at < :before AND (state <> 'open' OR name IS NULL)
        AND context_id NOT IN (SELECT id FROM temp.referred)
        AND context_id NOT IN (SELECT context_id FROM messages WHERE context_id IS NOT NULL)
        AND context_id NOT IN (SELECT context_id FROM tasks WHERE context_id IS NOT NULL)
        AND context_id NOT IN (SELECT context_id FROM work WHERE context_id IS NOT NULL)
        AND context_id NOT IN (SELECT context_id FROM sessions WHERE context_id IS NOT NULL)
        AND context_id NOT IN (SELECT context_id FROM operations)
        AND context_id NOT IN (SELECT parent_context_id FROM contexts WHERE parent_context_id IS NOT NULL)
"""


class Pruning:
    """All tables at once."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._execute = connection.execute

    def prune(self, before: str, *, answers: str, adapters: Sequence[str], at: str) -> dict[str, int]:
        """Delete what has been at rest since before a time, and return how many rows went from each table.

        Deliveries and jobs that have ended since `answers` are kept: somebody may ask again with the same key.
        `adapters` are those of the config: the answers that others still owe nobody can deliver any more.
        What was written since the oldest work that has begun and not ended came in is kept: it may be looked for.
        """
        rows = self._counts()
        self._execute(_ENDED_WORK, {"answers": min(answers, before), "adapters": to_json(list(adapters))})
        self._execute("CREATE TEMP TABLE IF NOT EXISTS referred (id TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID")
        self._execute("DELETE FROM temp.referred")
        self._execute(_REFERRED)
        begun = "SELECT MIN(accepted_at) FROM work WHERE state IN ('queued', 'ready', 'running') AND begun > 0"
        since = min(before, self._execute(begun).fetchone()[0] or before)
        for step in _STEPS:
            self._execute(step, {"before": before, "since": since})
        while self._execute(_CONTEXTS, {"before": before}).rowcount:
            pass  # those that were forked from others first, then the others
        self._prune_events(since, at)
        left = self._counts()
        return {table: rows[table] - left[table] for table in COUNTED}

    def _prune_events(self, since: str, at: str) -> None:
        events = Events(self._connection)
        kept = self._execute("SELECT MIN(sequence) FROM events WHERE timestamp >= ?", (since,)).fetchone()[0]
        until = events.last_sequence() + 1 if kept is None else int(kept)
        if self._execute("SELECT 1 FROM events WHERE sequence < ? LIMIT 1", (until,)).fetchone():
            events.prune(until, at=at)

    def _counts(self) -> dict[str, int]:
        count = "SELECT COUNT(*) FROM "
        return {table: int(self._execute(count + table).fetchone()[0]) for table in COUNTED}
