"""Short ways to make the rows of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from missive_host.ids import new_id
from missive_host.store import AgentRow, ContextRow, EventRow, MessageRow, TaskRow, new_event_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from missive_host.store import Tables

T0 = "2026-01-01T00:00:00.000000Z"
T1 = "2026-01-01T00:00:01.000000Z"
T2 = "2026-01-01T00:00:02.000000Z"


def agent(alias: str = "echo", **values: Any) -> AgentRow:
    return AgentRow(**{"alias": alias, "base_url": f"http://{alias}", "created_at": T0, "updated_at": T0, **values})


def context(context_id: str, **values: Any) -> ContextRow:
    return ContextRow(**{"context_id": context_id, "created_at": T0, "updated_at": T0, **values})


def task(agent_alias: str, task_id: str, state: str = "working", at: str = T0, **values: Any) -> TaskRow:
    body = {"id": task_id, "status": {"state": f"TASK_STATE_{state.upper()}"}}
    return TaskRow(
        **{
            "agent_alias": agent_alias,
            "task_id": task_id,
            "state": state,
            "task": body,
            "created_at": at,
            "updated_at": at,
            **values,
        }
    )


def message(agent_alias: str, message_id: str, direction: str = "request", **values: Any) -> MessageRow:
    return MessageRow(
        **{
            "agent_alias": agent_alias,
            "message_id": message_id,
            "direction": direction,
            "role": "user" if direction == "request" else "agent",
            "content": {"messageId": message_id, "parts": [{"text": "hello"}]},
            "created_at": T0,
            "updated_at": T0,
            **values,
        }
    )


def event(event_type: str = "test.event", **values: Any) -> EventRow:
    return EventRow(
        **{
            "event_id": new_event_id(event_type),
            "timestamp": T0,
            "source": "test",
            "event_type": event_type,
            "message_id": new_id(),
            **values,
        }
    )


def each(*operations: Callable[[Tables], object]) -> Callable[[Tables], None]:
    """Several operations as one, in one transaction."""

    def fn(tables: Tables) -> None:
        for operation in operations:
            operation(tables)

    return fn
