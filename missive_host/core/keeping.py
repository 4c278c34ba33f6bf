"""How what an agent says of tasks, messages and artifacts is kept in the tables.

It is used as it comes in, and again when the journal is read to see whether the tables say the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host.a2a.shapes import TERMINAL, Json, state
from missive_host.store.rows import MessageRow, TaskRow

if TYPE_CHECKING:
    from missive_host.core.recorder import Exchange
    from missive_host.store import Tables


def put_task(
    tables: Tables,
    agent: str,
    task: Json,
    context_id: str | None,
    version: str | None,
    at: str,
    source: str = "remote",
) -> bool:
    status = task.get("status", {})
    now_state = state(status)
    message = status.get("message") or {}
    history = task.get("history") or []
    row = TaskRow(
        agent_alias=agent,
        task_id=task["id"],
        context_id=context_id,
        remote_context_id=task.get("contextId"),
        state=now_state,
        source=source,
        protocol_version=version,
        task={key: value for key, value in task.items() if key != "artifacts"},
        last_message_id=message.get("messageId") or (history[-1].get("messageId") if history else None),
        status_message_id=message.get("messageId"),
        status_timestamp=status.get("timestamp"),
        created_at=at,
        updated_at=at,
        completed_at=at if now_state in TERMINAL else None,
    )
    changed = tables.tasks.upsert(row)
    artifacts = task.get("artifacts") or ()
    before = tables.artifacts.versions(agent, task["id"]) if artifacts else {}
    for artifact in artifacts:
        stored = tables.artifacts.put(agent, task["id"], artifact, at=at)
        changed |= before.get(artifact.get("artifactId", "")) != stored
    return changed


def put_update(
    tables: Tables,
    exchange: Exchange,
    name: str,
    update: Json,
    version: str | None,
    at: str,
    source: str = "remote",
    direction: str = "stream_event",
) -> str | None:
    """Store a status or artifact update; return the id of the message that came with it."""
    agent, task_id = exchange.agent, update["taskId"]
    if name == "statusUpdate":
        task: Json = {"id": task_id, "status": update["status"]}
        if update.get("contextId"):
            task["contextId"] = update["contextId"]
        put_task(tables, agent, task, exchange.context_id, version, at, source)
        message = update["status"].get("message") or {}
        message_id: str | None = message.get("messageId")
        if message_id is not None:  # without one, it is in the journal and in the task
            put_message(tables, exchange, message, direction, at)
        return message_id
    artifact = update["artifact"]
    tables.tasks.ensure(agent, task_id, at=at, context_id=exchange.context_id)
    if update.get("append"):
        tables.artifacts.append(
            agent,
            task_id,
            artifact["artifactId"],
            artifact.get("parts", []),
            at=at,
            last_chunk=bool(update.get("lastChunk")),
            metadata=artifact.get("metadata"),
        )
    else:
        tables.artifacts.put(agent, task_id, artifact, at=at, complete=bool(update.get("lastChunk", True)))
    return None


def put_message(tables: Tables, exchange: Exchange, message: Json, direction: str, at: str) -> None:
    tables.messages.add_response(
        MessageRow(
            agent_alias=exchange.agent,
            message_id=message["messageId"],
            direction=direction,
            context_id=exchange.context_id,
            task_id=message.get("taskId") or exchange.task_id,
            role="agent" if message.get("role") == "ROLE_AGENT" else "user",
            content=message,
            metadata=message.get("metadata", {}),
            created_at=at,
            updated_at=at,
        )
    )
