"""Local contexts, and the contextId by which each agent knows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from missive_host.errors import ValidationError, nearest
from missive_host.store.rows import ContextCounts, ContextRow
from missive_host.store.values import Where, from_json, to_json

if TYPE_CHECKING:
    from sqlite3 import Connection

_SELECT = """
    SELECT c.context_id, c.agent_alias, c.name, c.parent_context_id, c.state, c.summary, c.metadata_json,
           c.created_at, c.updated_at, c.closed_at,
           (SELECT json_group_object(agent_alias, remote_context_id) FROM remote_contexts r
            WHERE r.context_id = c.context_id)
    FROM contexts c
"""
_INSERT = """
    INSERT INTO contexts (context_id, agent_alias, name, parent_context_id, state, summary, metadata_json,
                          created_at, updated_at, closed_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_TOUCH_OPEN = "UPDATE contexts SET updated_at = ? WHERE context_id = ? AND state = 'open'"
_INSERT_OPEN = """
    INSERT INTO contexts (context_id, agent_alias, state, metadata_json, created_at, updated_at)
    VALUES (?1, ?2, 'open', '{}', ?3, ?3) ON CONFLICT (context_id) DO NOTHING
"""
_BIND = """
    INSERT INTO remote_contexts (context_id, agent_alias, remote_context_id) VALUES (?, ?, ?)
    ON CONFLICT (context_id, agent_alias) DO UPDATE SET remote_context_id = excluded.remote_context_id
    WHERE remote_context_id <> excluded.remote_context_id
"""


class Contexts:
    """Contexts by id. A selector is an id or a name; an id wins."""

    def __init__(self, connection: Connection) -> None:
        self._execute = connection.execute

    def create(self, context: ContextRow) -> None:
        """Add a context. Raises `ValidationError` if its id or name is taken, or its parent is unknown."""
        if self.get(context.context_id) is not None:
            raise ValidationError(
                f"context '{context.context_id}' exists already", help="leave the id out to have one made"
            )
        if context.name is not None and self._named(context.name) is not None:
            raise ValidationError(
                f"a context named '{context.name}' exists already", help="names are unique; choose another one"
            )
        if context.parent_context_id is not None and self.get(context.parent_context_id) is None:
            raise self._unknown(context.parent_context_id)
        self._execute(
            _INSERT,
            (
                context.context_id, context.agent_alias, context.name, context.parent_context_id, context.state,
                context.summary, to_json(context.metadata), context.created_at, context.updated_at, context.closed_at,
            ),
        )  # fmt: skip

    def ensure(self, context_id: str, agent_alias: str | None, *, at: str) -> bool:
        """Create an open context, or note that it is in use. Return True if it is new.

        Raises `ValidationError` if it is closed or archived.
        """
        if self._execute(_TOUCH_OPEN, (at, context_id)).rowcount == 1:
            return False
        if self._execute(_INSERT_OPEN, (context_id, agent_alias, at)).rowcount == 1:
            return True
        raise ValidationError(
            f"context '{context_id}' is not open", help="`missive context fork` goes on from it in a new one"
        )

    def touch(self, context_id: str, *, at: str) -> None:
        """Note that something happened in a context, whatever its state."""
        self._execute("UPDATE contexts SET updated_at = ? WHERE context_id = ?", (at, context_id))

    def get(self, context_id: str) -> ContextRow | None:
        row = self._execute(f"{_SELECT} WHERE c.context_id = ?", (context_id,)).fetchone()
        return _context(row) if row else None

    def find(self, selector: str) -> ContextRow:
        """Return the context with this id, else the one with this name. Raises `ValidationError`."""
        context = self.get(selector) or self._named(selector)
        if context is None:
            raise self._unknown(selector)
        return context

    def list(
        self,
        *,
        agent: str | None = None,
        name: str | None = None,
        state: str | None = None,
        parent: str | None = None,
    ) -> tuple[ContextRow, ...]:
        """Return contexts, the last used first. `agent` also finds those that it merely takes part in."""
        where = Where().given("c.name = ?", name).given("c.state = ?", state).given("c.parent_context_id = ?", parent)
        if agent is not None:
            where.add(
                "(c.agent_alias = ? OR EXISTS (SELECT 1 FROM remote_contexts r"
                " WHERE r.context_id = c.context_id AND r.agent_alias = ?))",
                agent,
                agent,
            )
        tail = "ORDER BY c.updated_at DESC, c.context_id"
        return tuple(_context(row) for row in self._execute(where.sql(_SELECT, tail), where.values))

    def close(self, selector: str, *, at: str, summary: str | None = None) -> ContextRow:
        """Close a context and return it. Closing it again keeps ``closed_at``. Raises `ValidationError` if unknown."""
        context_id = self.find(selector).context_id
        self._execute(
            "UPDATE contexts SET state = 'closed', closed_at = COALESCE(closed_at, ?1), updated_at = ?1,"
            " summary = COALESCE(?2, summary) WHERE context_id = ?3",
            (at, summary, context_id),
        )
        return self.find(context_id)

    def fork(self, selector: str, child: ContextRow) -> ContextRow:
        """Create `child` with its parent set and the fork written in its metadata; return it. Raises `ValidationError`.

        The agents' own contextIds are not copied: to them the fork is a new conversation.
        """
        from msgspec.structs import replace

        parent = self.find(selector)
        metadata = {"missive.context.parent_id": parent.context_id, "missive.context.forked_at": child.created_at}
        if parent.name is not None:
            metadata["missive.context.parent_name"] = parent.name
        child = replace(
            child,
            parent_context_id=parent.context_id,
            agent_alias=child.agent_alias or parent.agent_alias,
            metadata={**metadata, **child.metadata},
        )
        self.create(child)
        return child

    def counts(self, context_id: str) -> ContextCounts:
        tasks, messages, artifacts, events = self._execute(
            "SELECT (SELECT COUNT(*) FROM tasks WHERE context_id = ?1),"
            " (SELECT COUNT(*) FROM messages WHERE context_id = ?1),"
            " (SELECT COUNT(*) FROM artifacts a JOIN tasks t USING (agent_alias, task_id) WHERE t.context_id = ?1),"
            " (SELECT COUNT(*) FROM events WHERE context_id = ?1)",
            (context_id,),
        ).fetchone()
        return ContextCounts(task_count=tasks, message_count=messages, artifact_count=artifacts, event_count=events)

    # --- the agents' contextIds

    def bind_remote(self, context_id: str, agent_alias: str, remote_context_id: str) -> bool:
        """Remember the agent's contextId for a local context. Return True if it is new or another one."""
        return self._execute(_BIND, (context_id, agent_alias, remote_context_id)).rowcount == 1

    def remote_of(self, context_id: str, agent_alias: str) -> str | None:
        """Return the contextId by which this agent knows the context, if it has answered in it."""
        row = self._execute(
            "SELECT remote_context_id FROM remote_contexts WHERE context_id = ? AND agent_alias = ?",
            (context_id, agent_alias),
        ).fetchone()
        return row[0] if row else None

    def local_of(self, agent_alias: str, remote_context_id: str) -> str | None:
        """Return the local context for an agent's contextId; of several the one last used."""
        row = self._execute(
            "SELECT r.context_id FROM remote_contexts r JOIN contexts c USING (context_id)"
            " WHERE r.agent_alias = ? AND r.remote_context_id = ? ORDER BY c.updated_at DESC LIMIT 1",
            (agent_alias, remote_context_id),
        ).fetchone()
        return row[0] if row else None

    # ---

    def _named(self, name: str) -> ContextRow | None:
        row = self._execute(f"{_SELECT} WHERE c.name = ?", (name,)).fetchone()
        return _context(row) if row else None

    def _unknown(self, selector: str) -> ValidationError:
        names = self._execute("SELECT name FROM contexts WHERE name IS NOT NULL ORDER BY updated_at DESC LIMIT 1000")
        return ValidationError(
            f"no context has the id or name '{selector}'{nearest(selector, [row[0] for row in names])}",
            help="`missive context list` shows all; `missive context create --name NAME` makes one",
        )


def _context(row: tuple[Any, ...]) -> ContextRow:
    return ContextRow(
        context_id=row[0],
        agent_alias=row[1],
        name=row[2],
        parent_context_id=row[3],
        state=row[4],
        summary=row[5],
        metadata=from_json(row[6]),
        created_at=row[7],
        updated_at=row[8],
        closed_at=row[9],
        remote_contexts=from_json(row[10]),
    )
