"""Tasks as they were last seen, keyed by agent and task id."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from missive_host.errors import ValidationError
from missive_host.store.rows import TERMINAL_STATES, Json, TaskPage, TaskRow
from missive_host.store.values import Where, from_json, normal_time, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Connection

_SELECT = """
    SELECT t.agent_alias, t.task_id, t.context_id, t.remote_context_id, t.state, t.source, t.protocol_version,
           t.task_json, t.last_message_id, t.status_message_id, t.status_timestamp, t.created_at, t.updated_at,
           t.completed_at, h.history_json
    FROM tasks t LEFT JOIN task_histories h USING (agent_alias, task_id)
"""
_STORED = """
    SELECT context_id, remote_context_id, state, source, protocol_version, task_json, last_message_id,
           status_message_id, status_timestamp, updated_at, completed_at
    FROM tasks WHERE agent_alias = ? AND task_id = ?
"""
_INSERT = """
    INSERT INTO tasks (context_id, remote_context_id, state, source, protocol_version, task_json, last_message_id,
                       status_message_id, status_timestamp, updated_at, completed_at, agent_alias, task_id, created_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_UPDATE = """
    UPDATE tasks SET context_id = ?, remote_context_id = ?, state = ?, source = ?, protocol_version = ?, task_json = ?,
                     last_message_id = ?, status_message_id = ?, status_timestamp = ?, updated_at = ?, completed_at = ?
    WHERE agent_alias = ? AND task_id = ?
"""
_PUT_HISTORY = """
    INSERT INTO task_histories (agent_alias, task_id, history_json) VALUES (?, ?, ?)
    ON CONFLICT (agent_alias, task_id) DO UPDATE SET history_json = excluded.history_json
"""


class Tasks:
    """Tasks by agent and task id."""

    def __init__(self, connection: Connection) -> None:
        self._execute = connection.execute

    def upsert(self, observed: TaskRow) -> bool:
        """Store what was seen of a task. Return True if its state or content changed.

        ``task`` may be a part of the Task only (a status update): members that it does not name, and links that
        are None, keep what is stored. A history is joined with the stored one by message id; artifacts are left
        out, they belong in `Artifacts`. A task that has ended is not put back by an older observation, which
        is told by the status timestamps. ``created_at`` counts for a new task, ``updated_at`` is the time of the
        observation.
        """
        key = (observed.agent_alias, observed.task_id)
        body = {name: value for name, value in observed.task.items() if name not in ("artifacts", "history")}
        history = observed.task.get("history")
        completed_at = observed.updated_at if observed.state in TERMINAL_STATES else None
        stored = self._execute(_STORED, key).fetchone()
        if stored is None:
            self._execute(
                _INSERT,
                (
                    observed.context_id, observed.remote_context_id, observed.state, observed.source,
                    observed.protocol_version, to_json(body), observed.last_message_id, observed.status_message_id,
                    observed.status_timestamp, observed.updated_at, observed.completed_at or completed_at, *key,
                    observed.created_at,
                ),
            )  # fmt: skip
            if history:
                self._execute(_PUT_HISTORY, (*key, to_json(history)))
            return True
        (context_id, remote_context_id, state, _source, protocol_version, text, last_message_id,
         status_message_id, status_timestamp, updated_at, stored_completed_at) = stored  # fmt: skip
        if is_stale(observed.state, observed.status_timestamp, state=state, status_timestamp=status_timestamp):
            return False
        new_text = to_json(body)
        if new_text != text:
            new_text = to_json({**from_json(text), **body})
        changed: bool = new_text != text or observed.state != state
        if history and self._merge_history(key, history):
            changed = True
        if "status" not in body:
            status_message_id = observed.status_message_id or status_message_id
            status_timestamp = observed.status_timestamp or status_timestamp
        else:
            status_message_id, status_timestamp = observed.status_message_id, observed.status_timestamp
        values = (
            observed.context_id or context_id,
            observed.remote_context_id or remote_context_id,
            observed.state,
            observed.source,
            observed.protocol_version or protocol_version,
            new_text,
            observed.last_message_id or last_message_id,
            status_message_id,
            status_timestamp,
            observed.updated_at if changed else updated_at,
            observed.completed_at or (completed_at and (stored_completed_at or completed_at)),
        )
        if values != stored:
            self._execute(_UPDATE, (*values, *key))
        return changed

    def ensure(self, agent_alias: str, task_id: str, *, at: str, context_id: str | None = None) -> None:
        """Make sure that there is a row, in state ``unknown`` if the task has not been seen yet."""
        self._execute(
            "INSERT INTO tasks (agent_alias, task_id, context_id, state, source, task_json, created_at, updated_at)"
            " VALUES (?1, ?2, ?3, 'unknown', 'remote', ?4, ?5, ?5) ON CONFLICT (agent_alias, task_id) DO NOTHING",
            (agent_alias, task_id, context_id, to_json({"id": task_id}), at),
        )

    def find(self, agent_alias: str, task_id: str) -> TaskRow | None:
        row = self._execute(f"{_SELECT} WHERE t.agent_alias = ? AND t.task_id = ?", (agent_alias, task_id)).fetchone()
        return _task(row) if row else None

    def get(self, task_id: str, agent: str | None = None) -> TaskRow:
        """Return a task. Raises `ValidationError` if it is unknown, or if several agents have one with this id."""
        where = Where().add("t.task_id = ?", task_id).given("t.agent_alias = ?", agent)
        found = self._execute(where.sql(_SELECT, "ORDER BY t.agent_alias"), where.values).fetchall()
        if not found:
            of_agent = f" of agent '{agent}'" if agent else ""
            raise ValidationError(
                f"no task '{task_id}'{of_agent} is known here",
                help="`missive task list` shows all; with `--remote --agent ALIAS` the agent itself is asked",
            )
        if len(found) > 1:
            agents = ", ".join(row[0] for row in found)
            raise ValidationError(
                f"task id '{task_id}' is used by several agents: {agents}", help="say which one with `agent`"
            )
        return _task(found[0])

    def state(self, agent_alias: str, task_id: str) -> str | None:
        """Return a task's state, None if it is unknown."""
        row = self._execute(
            "SELECT state FROM tasks WHERE agent_alias = ? AND task_id = ?", (agent_alias, task_id)
        ).fetchone()
        return row[0] if row else None

    def owners(self, task_id: str) -> tuple[str, ...]:
        """Return the agents that have a task with this id."""
        rows = self._execute("SELECT agent_alias FROM tasks WHERE task_id = ? ORDER BY agent_alias", (task_id,))
        return tuple(row[0] for row in rows)

    def open(self, *, untouched_since: str | None = None) -> tuple[tuple[str, str], ...]:
        """Return agent and id of each task of a registered agent that goes on and does not wait for us."""
        where = Where().add("state IN ('submitted', 'working', 'unknown')")
        where.add("agent_alias IN (SELECT alias FROM agents)").given("updated_at <= ?", untouched_since)
        rows = self._execute(where.sql("SELECT agent_alias, task_id FROM tasks", "ORDER BY updated_at"), where.values)
        return tuple(rows.fetchall())

    def list(
        self,
        *,
        agent: str | None = None,
        context: str | None = None,
        state: str | None = None,
        updated_after: str | None = None,
        source: str | None = None,
        page_size: int | None = None,
        page_token: str | None = None,
    ) -> TaskPage:
        """Return tasks, the last changed first, all of them unless `page_size` is given.

        `updated_after` is any RFC 3339 time. Raises `ValidationError` for a time or a token that cannot be read.
        """
        where = Where().given("t.agent_alias = ?", agent).given("t.context_id = ?", context)
        where.given("t.state = ?", state).given("t.source = ?", source)
        if updated_after is not None:
            where.add("t.updated_at > ?", normal_time(updated_after))
        total = self._execute(where.sql("SELECT COUNT(*) FROM tasks t"), where.values).fetchone()[0]
        if page_token is not None:
            where.add("(t.updated_at, t.agent_alias, t.task_id) < (?, ?, ?)", *_read_token(page_token))
        tail = "ORDER BY t.updated_at DESC, t.agent_alias DESC, t.task_id DESC LIMIT ?"
        limit = -1 if page_size is None else page_size + 1
        rows = self._execute(where.sql(_SELECT, tail), (*where.values, limit)).fetchall()
        token = None
        if page_size is not None and len(rows) > page_size:
            del rows[page_size:]
            last = rows[-1]
            token = _token(last[12], last[0], last[1])
        return TaskPage(tasks=tuple(_task(row) for row in rows), total=total, next_page_token=token)

    def _merge_history(self, key: tuple[str, str], observed: Sequence[Json]) -> bool:
        """Join the observed messages with the stored ones. Return True if that changed anything.

        An agent may send only its newest messages (``historyLength``), so those that it leaves out are kept.
        """
        row = self._execute(
            "SELECT history_json FROM task_histories WHERE agent_alias = ? AND task_id = ?", key
        ).fetchone()
        text = row[0] if row else None
        new_text = to_json(observed)
        if new_text == text:
            return False
        if text is not None:
            first = observed[0].get("messageId")
            stored = from_json(text)
            place = next((i for i, message in enumerate(stored) if message.get("messageId") == first), len(stored))
            known = {message.get("messageId") for message in observed}
            before, after = (
                [message for message in part if message.get("messageId") not in known]
                for part in (stored[:place], stored[place:])
            )
            new_text = to_json([*before, *observed, *after])
        if new_text == text:
            return False
        self._execute(_PUT_HISTORY, (*key, new_text))
        return True


def is_stale(observed: str, observed_timestamp: str | None, *, state: str, status_timestamp: str | None) -> bool:
    """Whether a task that is in `state` was seen in an older one."""
    if state not in TERMINAL_STATES or observed in TERMINAL_STATES:
        return False
    if observed_timestamp is None or status_timestamp is None:
        return True
    # Without the Z, "…:00" is before "…:00.5", as it should be.
    return observed_timestamp.rstrip("Z") <= status_timestamp.rstrip("Z")


def _token(*place: str) -> str:
    return to_json(place).encode().hex()


def _read_token(token: str) -> tuple[str, str, str]:
    try:
        updated_at, agent_alias, task_id = from_json(bytes.fromhex(token))
        if all(isinstance(value, str) for value in (updated_at, agent_alias, task_id)):
            return updated_at, agent_alias, task_id
    except (ValueError, TypeError):
        pass
    raise ValidationError(
        "the page token cannot be read", help="give the `next_page_token` of the page before, as it was printed"
    )


def _task(row: tuple[Any, ...]) -> TaskRow:
    task = from_json(row[7])
    if row[14] is not None:
        task["history"] = from_json(row[14])
    return TaskRow(
        agent_alias=row[0],
        task_id=row[1],
        context_id=row[2],
        remote_context_id=row[3],
        state=row[4],
        source=row[5],
        protocol_version=row[6],
        task=task,
        last_message_id=row[8],
        status_message_id=row[9],
        status_timestamp=row[10],
        created_at=row[11],
        updated_at=row[12],
        completed_at=row[13],
    )
