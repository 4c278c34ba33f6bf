"""Reading A2A objects that are dicts in canonical ProtoJSON. Imports nothing of A2A."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

_STATES = {
    "TASK_STATE_SUBMITTED": "submitted",
    "TASK_STATE_WORKING": "working",
    "TASK_STATE_COMPLETED": "completed",
    "TASK_STATE_FAILED": "failed",
    "TASK_STATE_CANCELED": "cancelled",
    "TASK_STATE_REJECTED": "rejected",
    "TASK_STATE_INPUT_REQUIRED": "input_required",
    "TASK_STATE_AUTH_REQUIRED": "auth_required",
}
TERMINAL = frozenset({"completed", "failed", "cancelled", "rejected"})
"""A task in one of these never changes again (A2A spec 4.1.3)."""
INTERRUPTED = frozenset({"input_required", "auth_required"})
"""The task waits for us."""
SETTLED = TERMINAL | INTERRUPTED

EVENT_TYPES = {
    "task": "task",
    "message": "message",
    "statusUpdate": "status_update",
    "artifactUpdate": "artifact_update",
}


def state(status: Json | None) -> str:
    """Return the state of a TaskStatus as missive spells it."""
    return _STATES.get((status or {}).get("state", ""), "unknown")


def wire_state(name: str) -> str:
    """Return A2A's name of one of our states, for a filter."""
    for wire, ours in _STATES.items():
        if ours == name:
            return wire
    return "TASK_STATE_UNSPECIFIED"


def payload(response: Json) -> tuple[str, Json]:
    """Return the one member of a StreamResponse or SendMessageResponse: its name and its value."""
    for name in EVENT_TYPES:
        if name in response:
            value: Json = response[name]
            return name, value
    return "", {}


def lacking(operation: str, answer: Json) -> str | None:
    """Return what an answer to `operation` lacks of the members that A2A requires and nothing can be done without.

    ``answer`` is canonical, where an empty text is left out: ids that are there are not empty.
    """
    if operation in ("get", "cancel"):
        return _task_lacks(answer)
    if operation == "list":
        return next((fault for task in answer.get("tasks", ()) if (fault := _task_lacks(task))), None)
    if operation == "push_delete":
        return None
    if operation == "push_list":
        return next(("a push config has no url" for config in answer.get("configs", ()) if "url" not in config), None)
    if operation in ("push_create", "push_get"):
        return None if "url" in answer else "the push config has no url"
    name, value = payload(answer)
    if name == "task":
        return _task_lacks(value)
    if name == "message":
        return None if "messageId" in value else "the message has no messageId"
    if not name:
        return "it holds neither a task nor a message nor an update"
    if "taskId" not in value:
        return "the update has no taskId"
    if name == "statusUpdate":
        return None if "status" in value else "the status update has no status"
    return None if "artifactId" in value.get("artifact", ()) else "the artifact has no artifactId"


def _task_lacks(task: Json) -> str | None:
    if "id" not in task:
        return "the task has no id"
    if all("artifactId" in artifact for artifact in task.get("artifacts", ())):
        return None
    return "an artifact of the task has no artifactId"


def text_of(parts: list[Json] | None) -> str | None:
    """Return the text parts, joined by newlines; None if there are none."""
    texts = [part["text"] for part in parts or () if "text" in part]
    return "\n".join(texts) if texts else None


def message_text(message: Json | None) -> str | None:
    return text_of((message or {}).get("parts"))


def task_text(task: Json) -> str | None:
    """Return what a task says: its status message, else the text of its first artifact that has one."""
    text = message_text(task.get("status", {}).get("message"))
    if text is None:
        for artifact in task.get("artifacts", ()):
            text = text_of(artifact.get("parts"))
            if text is not None:
                break
    return text


def part_kind(part: Json) -> str:
    """Return ``text``, ``file_reference``, ``file_bytes`` or ``data``."""
    for member, kind in (("text", "text"), ("url", "file_reference"), ("raw", "file_bytes"), ("data", "data")):
        if member in part:
            return kind
    return "unknown"


def artifact_kind(parts: list[Json]) -> str:
    """Return the kind of an artifact: ``bytes`` before ``file`` before ``json`` before ``text``."""
    kinds = {part_kind(part) for part in parts}
    for kind, name in (("file_bytes", "bytes"), ("file_reference", "file"), ("data", "json"), ("text", "text")):
        if kind in kinds:
            return name
    return "unknown"


def media_type(parts: list[Json]) -> str | None:
    """Return the media type of the first part that names one."""
    return next((part["mediaType"] for part in parts if part.get("mediaType")), None)
