"""The rows of the tables that the journal tells of, as they are compared with what it tells.

Left out are what changes without an event (times of use, counters, cards, breakers), the queue, which is forgotten when
its work is done, and the digests of credentials, which the journal is not to have.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from missive_host.errors import StorageError
from missive_host.store import migrate
from missive_host.store.values import from_json
from missive_host.store.work import request_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from missive_host.store.tables import Tables

_NEVER = "'9999'"


class Row(msgspec.Struct, frozen=True):
    """One row of a table."""

    key: tuple[str, ...]
    made: str
    """When it was made."""
    used: str
    """When something was done with it last, as far as it can be forgotten for its age."""
    values: dict[str, Any]
    """By column; what is JSON is read."""


class Compared(msgspec.Struct, frozen=True):
    """A table that is compared, and how."""

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    rows: str
    """The rest of the query, from FROM on."""
    made: str = "created_at"
    used: str = "updated_at"
    agent: str | None = None
    """Which part of the key is the agent."""

    def query(self) -> str:
        names = ", ".join((*self.key, self.made, self.used, *self.columns))
        return f"SELECT {names} {self.rows} ORDER BY {', '.join(self.key)}"


_OF_TASK = "JOIN tasks t USING (agent_alias, task_id)"
_PARTS = f"""
    FROM (
        SELECT artifact_key, parts_json,
            CAST(ROW_NUMBER() OVER (PARTITION BY artifact_key ORDER BY part_key) AS TEXT) AS number
        FROM artifact_parts
    ) JOIN artifacts a USING (artifact_key) {_OF_TASK}
"""  # noqa: S608 - texts of ours
COMPARED = (
    Compared(
        "agents",
        ("alias",),
        (
            "source", "base_url", "interface_urls_json", "binding_preference_json", "auth_ref", "tags_json", "notes",
            "metadata_json",
        ),
        "FROM agents",
        used=_NEVER,
        agent="alias",
    ),
    Compared(
        "groups", ("name",), ("source", "routing_policy", "notes", "metadata_json"), "FROM groups", used=_NEVER
    ),
    Compared(
        "group_members",
        ("group_name", "agent_alias"),
        ("rank", "tags_json", "weight", "routing_metadata_json"),
        "FROM group_members",
        used=_NEVER,
        agent="agent_alias",
    ),
    Compared(
        "routing_states",
        ("group_name", "policy"),
        ("state_json",),
        "FROM routing_states",
        made="updated_at",
        used=_NEVER,
    ),
    Compared(
        "contexts",
        ("context_id",),
        ("state", "name", "agent_alias", "parent_context_id", "summary", "metadata_json"),
        "FROM contexts",
    ),
    Compared(
        "remote_contexts",
        ("r.context_id", "r.agent_alias"),
        ("remote_context_id",),
        "FROM remote_contexts r JOIN contexts USING (context_id)",
        agent="r.agent_alias",
    ),
    Compared(
        "tasks",
        ("agent_alias", "task_id"),
        ("state", "context_id", "remote_context_id", "task_json"),
        "FROM tasks",
        agent="agent_alias",
    ),
    Compared(
        "task_histories",
        ("agent_alias", "task_id"),
        ("history_json",),
        f"FROM task_histories {_OF_TASK}",
        agent="agent_alias",
    ),
    Compared(
        "messages",
        ("agent_alias", "message_id", "direction"),
        (
            "context_id", "task_id", "role", "status", "response_id", "content_json", "metadata_json", "error_json",
        ),
        "FROM messages",
        agent="agent_alias",
    ),
    Compared(
        "artifacts",
        ("agent_alias", "task_id", "artifact_id"),
        ("name", "mime_type", "a.kind", "complete", "header_json"),
        f"FROM artifacts a {_OF_TASK}",
        made="t.created_at",
        used="t.updated_at",
        agent="agent_alias",
    ),
    Compared(
        "artifact_parts",
        ("agent_alias", "task_id", "artifact_id", "number"),
        ("parts_json",),
        _PARTS,
        made="t.created_at",
        used="t.updated_at",
        agent="agent_alias",
    ),
    Compared(
        "sessions",
        ("session_id",),
        ("adapter", "source_id", "target", "resume_name", "context_id"),
        "FROM sessions",
        used="last_active_at",
    ),
    Compared(
        "operations",
        ("operation_id",),
        ("kind", "group_name", "context_id", "status", "document_json"),
        "FROM operations",
    ),
    Compared(
        "operation_members",
        ("operation_id", "agent_alias"),
        ("rank", "m.status", "task_id", "response_message_id", "state", "shape"),
        "FROM operation_members m JOIN operations o USING (operation_id)",
        made="o.created_at",
        used="o.updated_at",
        agent="agent_alias",
    ),
    Compared(
        "push_configs",
        ("agent_alias", "task_id", "config_id"),
        ("url", "auth_scheme", "source", "metadata_json"),
        "FROM push_configs WHERE deleted_at IS NULL",
        used="created_at",
        agent="agent_alias",
    ),
    Compared(
        "schedules",
        ("schedule_id",),
        ("kind", "expression", "time_zone", "command", "enabled", "request_json"),
        "FROM schedules",
        used=_NEVER,
    ),
    Compared(
        "tokens",
        ("name",),
        ("commands_json", "agents_json", "expires_at", "revoked_at IS NOT NULL AS revoked"),
        "FROM tokens",
        used=_NEVER,
    ),
)  # fmt: skip
DIGESTED = {"state_json": "state_sha256", "document_json": "document_sha256", "request_json": "request_sha256"}
"""Columns of which the journal has the digest alone."""


class Comparing:
    """The rows of one store."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def rows(self, table: Compared) -> Iterator[Row]:
        """Yield the rows of a table in order of their key."""
        keys = len(table.key)
        names = [column.rpartition(" ")[2].rpartition(".")[2] for column in table.columns]
        for row in self._execute(table.query()):
            values = {name: _value(name, value) for name, value in zip(names, row[keys + 2 :], strict=True)}
            yield Row(row[:keys], row[keys], row[keys + 1], values)

    def attempt(self, change: Callable[[], None]) -> None:
        """Make a change; if it raises, nothing of it is left. Raises `StorageError` for what the tables refuse."""
        self._execute("SAVEPOINT change")
        try:
            change()
        except sqlite3.Error as error:
            self._execute("ROLLBACK TO change")
            raise StorageError(type(error).__name__) from error
        except BaseException:
            self._execute("ROLLBACK TO change")
            raise
        finally:
            self._execute("RELEASE change")

    def complete_from(self) -> int:
        """Return from which sequence on the journal tells all that is needed."""
        (sequence,) = self._execute("SELECT complete_from FROM journal").fetchone()
        return int(sequence)


def _value(name: str, value: Any) -> Any:
    if value is None or not name.endswith("_json"):
        return value
    read = from_json(value)
    if name not in DIGESTED:
        return read
    known = read.get(DIGESTED[name]) if isinstance(read, dict) else None
    return known or request_digest(read)


@contextmanager
def scratch() -> Iterator[Tables]:
    """Give the tables of an empty store of its own, which is gone afterwards; SQLite keeps what is much in a file."""
    import sqlite3

    from missive_host.store.connection import APPLICATION_ID
    from missive_host.store.tables import Tables

    connection = sqlite3.connect("", isolation_level=None)
    try:
        migrate.apply(connection, application_id=APPLICATION_ID)
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("BEGIN")
        yield Tables(connection)
    finally:
        connection.close()
