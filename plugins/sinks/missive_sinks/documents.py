"""An event as a JSON document, and how grave it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from missive_host.protocols import JournalEvent

_TROUBLE = frozenset(("failed", "rejected", "dead_letter", "skipped"))
_STATES = frozenset(("TASK_STATE_FAILED", "TASK_STATE_REJECTED"))


def document(event: JournalEvent, profile: str) -> dict[str, Any]:
    """Return an event as JSON, in the order in which a person would read it."""
    found: dict[str, Any] = {
        "id": event.id,
        "position": event.position,
        "at": event.at,
        "type": event.type,
        "profile": profile,
        "source": event.source,
        "agent": event.agent,
        "context": event.context,
        "task": event.task,
        "message": event.message,
    }
    return {name: value for name, value in found.items() if value not in (None, "")} | {"payload": dict(event.payload)}


def is_trouble(event: JournalEvent) -> bool:
    """Tell whether somebody should look at it: by its type, or by the state of a task that it tells."""
    return event.type.rpartition(".")[2] in _TROUBLE or any(map(_has_failed, event.payload.values()))


def _has_failed(value: Any) -> bool:
    status = value.get("status") if isinstance(value, dict) else None
    return isinstance(status, dict) and status.get("state") in _STATES
