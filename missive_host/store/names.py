"""Names for the shell's completion: a look into the store that makes nothing and waits for nobody."""

from __future__ import annotations

import re
from contextlib import closing
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

Stored = Literal[
    "agent",
    "anything",
    "artifact",
    "context",
    "dead_receipt",
    "event",
    "event_type",
    "group",
    "job",
    "message",
    "operation",
    "push_config",
    "receipt",
    "schedule",
    "session",
    "task",
    "token",
    "work",
]
LIMIT = 200
BUSY_SECONDS = 0.25
"""So long a store may be locked, as it is while another one is put in its place. Somebody waits at a prompt."""


def names(path: Path, what: Stored, start: str = "", *, agent: str = "", task: str = "") -> list[tuple[str, str]]:
    """Return what begins with `start`, with a word about each, the newest first; agents and the like by name.

    `agent` and `task` narrow it down to those of an agent and of a task. Nothing if the store cannot be read.
    """
    import sqlite3

    # A range, so that an index serves it.
    begins = r"(\1 >= :start AND \1 < :stop)" if start else "1"
    query = re.sub(r"BEGINS\((\w+)\)", begins, _QUERIES[what]) + " LIMIT :limit"
    values = {"start": start, "stop": start + "\U0010ffff", "agent": agent, "task": task, "limit": LIMIT}
    name = str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    try:
        # Not mode=ro, which would leave the log's files behind.
        with closing(sqlite3.connect(f"file:{name}?mode=rw", uri=True, timeout=BUSY_SECONDS)) as connection:
            connection.execute("PRAGMA query_only = ON")
            rows = connection.execute(query, values).fetchall()
    except sqlite3.Error:
        return []
    return [(str(value), str(about or "")) for value, about in rows]


# A context with a name is known by it, and by its id to whoever has begun to type that.
_CONTEXTS = """
    SELECT value, about FROM (
        SELECT name AS value, 'context, ' || state AS about, updated_at FROM contexts
        WHERE name IS NOT NULL AND BEGINS(name)
        UNION ALL
        SELECT context_id, 'context, ' || state || coalesce(', ' || agent_alias, ''), updated_at FROM contexts
        WHERE (name IS NULL OR :start != '') AND BEGINS(context_id)
    ) ORDER BY updated_at DESC"""
_TASKS = """
    SELECT task_id, agent_alias || ', ' || state FROM tasks
    WHERE :agent IN ('', agent_alias) AND BEGINS(task_id) ORDER BY updated_at DESC"""
_MESSAGES = """
    SELECT message_id, about FROM (
        SELECT message_id, agent_alias || ', ' || direction || ' ' || status AS about FROM messages
        ORDER BY ordinal DESC LIMIT 20000
    ) WHERE BEGINS(message_id)"""
_WORK = """
    SELECT work_id, command || coalesce(' ' || coalesce(agent_alias, group_name), '') || ', ' || state FROM work
    WHERE 1 AND BEGINS(work_id) ORDER BY ordinal DESC"""
_QUERIES: Mapping[Stored, str] = {
    "agent": "SELECT alias, base_url FROM agents WHERE BEGINS(alias) ORDER BY alias",
    "anything": " UNION ALL ".join(f"SELECT * FROM ({each})" for each in (_CONTEXTS, _TASKS, _WORK, _MESSAGES)),  # noqa: S608
    "artifact": """
        SELECT artifact_id, coalesce(name || ', ', '') || kind FROM artifacts
        WHERE :task IN ('', task_id) AND :agent IN ('', agent_alias) AND BEGINS(artifact_id)
        ORDER BY artifact_key DESC""",
    "context": _CONTEXTS,
    "dead_receipt": _WORK.replace("1 AND", "state = 'dead' AND"),
    "event": """
        SELECT value, event_type || coalesce(', ' || agent_alias, '') FROM (
            SELECT CAST(sequence AS TEXT) AS value, event_type, agent_alias FROM events
            ORDER BY sequence DESC LIMIT 2000
        ) WHERE BEGINS(value)""",
    "event_type": """
        SELECT event_type, count(*) || ' of the last 2000' FROM (
            SELECT event_type FROM events ORDER BY sequence DESC LIMIT 2000
        ) WHERE BEGINS(event_type) GROUP BY event_type ORDER BY event_type""",
    "group": "SELECT name, routing_policy FROM groups WHERE BEGINS(name) ORDER BY name",
    "job": _WORK.replace("1 AND", "kind = 'job' AND"),
    "message": _MESSAGES,
    "operation": """
        SELECT operation_id, kind || ' ' || group_name || ', ' || status FROM operations
        WHERE BEGINS(operation_id) ORDER BY created_at DESC""",
    "push_config": """
        SELECT config_id, agent_alias || ' ' || task_id FROM push_configs
        WHERE deleted_at IS NULL AND :task IN ('', task_id) AND :agent IN ('', agent_alias) AND BEGINS(config_id)
        ORDER BY created_at DESC""",
    "receipt": _WORK.replace("1 AND", "kind = 'delivery' AND"),
    "schedule": """
        SELECT schedule_id, command || ' ' || kind || ' ' || expression FROM schedules
        WHERE BEGINS(schedule_id) ORDER BY created_at DESC""",
    "session": """
        SELECT session_id, source_id || ' with ' || target FROM sessions
        WHERE BEGINS(session_id) ORDER BY last_active_at DESC""",
    "task": _TASKS,
    "token": """
        SELECT name, coalesce('expires ' || expires_at, 'does not expire') FROM tokens
        WHERE revoked_at IS NULL AND BEGINS(name) ORDER BY name""",
    "work": _WORK,
}
