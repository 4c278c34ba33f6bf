"""What an event of the journal says: its words, the state that it tells of, whether it is an end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from missive_host.a2a.shapes import TERMINAL, Json, state

if TYPE_CHECKING:
    from missive_host.store.rows import EventRow

_UPDATES = ("statusUpdate", "artifactUpdate")


def told_state(payload: Json) -> str | None:
    """Return the state of a task that an event tells of."""
    for holder in (payload.get("task"), payload.get("statusUpdate")):
        if isinstance(holder, dict) and isinstance(holder.get("status"), dict):
            return state(holder["status"])
    return None


def status_of(payload: Json) -> tuple[str, str | None] | None:
    """Return the state that a task was seen in, and the agent's time of that; None if it was not looked at."""
    for name in ("task", "statusUpdate"):
        if isinstance(payload.get(name), dict):
            status = payload[name].get("status") or {}
            return state(status), status.get("timestamp")
    return None


def parts_of(payload: Json) -> list[Json]:
    """Return the parts that an event brought: of a message, of a task's answer, of an update."""
    found: list[Json] = []
    task = payload.get("task")
    holders: list[Any] = [payload.get("message")]
    holders += [payload[name].get("artifact") for name in _UPDATES if isinstance(payload.get(name), dict)]
    if isinstance(task, dict):
        holders += task.get("artifacts") or ()
    for about in (task, payload.get("statusUpdate")):
        if isinstance(about, dict):
            holders.append((about.get("status") or {}).get("message"))
    for holder in holders:
        if isinstance(holder, dict):
            found += [part for part in holder.get("parts") or () if isinstance(part, dict)]
    return found


def words(payload: Json) -> str:
    """Return in one text what an event says: an error, the state, what was written; else what its payload names."""
    error = payload.get("error")
    if isinstance(error, dict) and error.get("message"):
        return str(error["message"])
    said = [part["text"] if "text" in part else _named(part) for part in parts_of(payload)]
    told = told_state(payload)
    found = " ".join(text for text in said if text)
    if told is not None:
        return f"{told}: {found}" if found else told
    if found or any(name in payload for name in ("message", *_UPDATES)):
        return found
    plan = payload.get("plan")
    if isinstance(plan, dict) and "selected" in plan:
        return f"{plan.get('policy')} chooses {', '.join(plan['selected']) or 'nobody'} of group {payload.get('group')}"
    flat = ((key, value) for key, value in payload.items() if isinstance(value, str | int) and value != "")
    return " ".join(f"{key}={value}" for key, value in flat)


def _named(part: Json) -> str:
    if "data" in part:
        return "[data]"
    return f"[file {part.get('filename') or part.get('url') or part.get('mediaType') or ''}".rstrip() + "]"


def is_end(event: EventRow) -> bool:
    """Whether a task has ended with this event, or a message: answered at once, or failed."""
    kind = event.event_type
    if not kind.startswith("a2a."):
        return False
    answered = kind.endswith((".response", ".message")) and "message" in event.payload
    return kind.endswith(".failed") or answered or told_state(event.payload) in TERMINAL
