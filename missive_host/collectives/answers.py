"""What a member has answered so far, as the store has it.

An answer is a task or a direct Message; of several the newest, nothing from before the broadcast, and nothing that
answers another one in the same context. Its text is

* of a Message: its text parts;
* of a task that has completed: the texts of its artifacts, for these are what it made (A2A spec 3.7), else what it
  says in its status;
* of any other task: what it says in its status, else what it made so far;
* of a task that has made nothing and says nothing in its status: its newest message.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from missive_host.a2a.shapes import TERMINAL, Json, message_text, part_kind, text_of
from missive_host.core.views import artifact_view, given
from missive_host.errors import ErrorReport
from missive_host.outputs_collectives import AnswerMessage, AnswerTask, AnswerView
from missive_host.specs import AgentResult

if TYPE_CHECKING:
    from missive_host.collectives.members import Crew, Member
    from missive_host.store import Tables
    from missive_host.store.rows import ArtifactRow, MessageRow, TaskRow

_STATUS = {
    "failed": "failed",
    "rejected": "failed",
    "cancelled": "cancelled",
    "input_required": "input_required",
    "auth_required": "auth_required",
}


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a member answered: a task, a Message, or nothing yet."""

    task: TaskRow | None = None
    message: MessageRow | None = None
    request: MessageRow | None = None
    """What it was asked."""

    @property
    def shape(self) -> str | None:
        if self.task is not None:
            return "task"
        return "message" if self.message is not None else None

    @property
    def state(self) -> str | None:
        """The state of its task. A Message is a finished answer: as good as a completed task."""
        if self.task is not None:
            return self.task.state
        return "completed" if self.message is not None else None

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL

    @property
    def remote_context_id(self) -> str | None:
        if self.task is not None:
            return self.task.remote_context_id
        return (self.message.content.get("contextId") or None) if self.message is not None else None


def answer_of(tables: Tables, crew: Crew, member: Member) -> Answer:
    """Return the newest answer of a member since the broadcast."""
    request = None
    if member.request_message_id is not None:
        request = tables.messages.find(member.agent, member.request_message_id)
    asked = member.task_id or (request.task_id if request is not None else None)
    others: frozenset[str] = frozenset()
    if crew.broadcast is not None:
        others = tables.operations.answers_to_others(crew.broadcast, member.agent)
    tasks = [
        task
        for task in tables.tasks.list(agent=member.agent, context=crew.context_id).tasks
        if task.task_id == asked or (task.created_at >= crew.since and task.task_id not in others)
    ]
    if asked is not None and all(task.task_id != asked for task in tasks):
        known = tables.tasks.find(member.agent, asked)
        tasks += [] if known is None else [known]
    task = max(tasks, key=lambda row: (row.updated_at, row.task_id), default=None)
    messages = [
        message
        for message in tables.messages.list(agent=member.agent, context=crew.context_id)
        if is_reply(message)
        and (
            message.message_id == member.response_message_id  # an agent may use an id again
            or (message.created_at >= crew.since and message.message_id not in others)
        )
    ]
    message = messages[-1] if messages else None
    if task is not None and message is not None:
        # Both: it has been asked again. The later one is its answer.
        if message.created_at > task.updated_at:
            task = None
        else:
            message = None
    return Answer(task=task, message=message, request=request)


def is_reply(message: MessageRow) -> bool:
    """Tell whether a message is an answer by itself, and not something that a task says."""
    if message.direction == "response":
        return True
    return message.direction == "stream_event" and message.role == "agent" and message.task_id is None


# --- what it says


class Content(msgspec.Struct, frozen=True):
    """What an answer holds."""

    text: str | None
    data: tuple[Any, ...]
    files: tuple[str, ...]
    messages: tuple[MessageRow, ...]
    artifacts: tuple[ArtifactRow, ...]

    @property
    def empty(self) -> bool:
        return not (self.data or self.files or (self.text or "").strip())


def content_of(tables: Tables, answer: Answer) -> Content:
    """Read what an answer holds."""
    task = answer.task
    if task is None:
        if answer.message is None:
            return Content(None, (), (), (), ())
        parts = answer.message.content.get("parts") or []
        return Content(text_of(parts), _data(parts), _files(parts, None), (answer.message,), ())
    artifacts = tables.artifacts.list(agent=task.agent_alias, task=task.task_id)
    messages = tuple(
        row
        for row in tables.messages.list(agent=task.agent_alias, task=task.task_id)
        if row.direction not in ("request", "local") and row.role == "agent"
    )
    said = task.task.get("status", {}).get("message") or {}
    own: list[Json] = said.get("parts") or []
    made = _made(artifacts)
    comment = text_of(own)
    if not comment and not artifacts:
        comment = _newest(messages, task.task.get("history") or ())
    text = (made or comment) if task.state == "completed" else (comment or made)
    data = tuple(value for row in artifacts for value in _data(row.content.get("parts") or ()))
    files = tuple(name for row in artifacts for name in _files(row.content.get("parts") or (), row))
    return Content(text, (*data, *_data(own)), (*files, *_files(own, None)), messages, artifacts)


def _made(artifacts: Sequence[ArtifactRow]) -> str | None:
    """Return the texts of artifacts. Those of one artifact are joined as they are: a stream appends in pieces."""
    texts = ["".join(part["text"] for part in row.content.get("parts", ()) if "text" in part) for row in artifacts]
    return "\n".join(text for text in texts if text) or None


def _newest(messages: Sequence[MessageRow], history: Iterable[Json]) -> str | None:
    said = [message_text(message) for message in history if message.get("role") == "ROLE_AGENT"]
    said += [message_text(row.content) for row in messages]
    return next((text for text in reversed(said) if text), None)


def _data(parts: Iterable[Json]) -> tuple[Any, ...]:
    return tuple(part["data"] for part in parts if "data" in part)


def _files(parts: Iterable[Json], artifact: ArtifactRow | None) -> tuple[str, ...]:
    fallback = (artifact.name or artifact.artifact_id) if artifact is not None else "file"
    return tuple(
        str(part.get("filename") or fallback) for part in parts if part_kind(part) in ("file_bytes", "file_reference")
    )


# --- as documents


def status_of(answer: Answer, content: Content) -> str:
    """Return ``gathered``, or why there is nothing to use."""
    if answer.shape is None:
        return "missing_task"
    if answer.state == "completed":
        return "empty_output" if content.empty else "gathered"
    return _STATUS.get(answer.state or "", "pending")


def view_of(index: int, member: Member, answer: Answer, content: Content, error: ErrorReport | None) -> AnswerView:
    task = answer.task
    return AnswerView(
        index=index,
        agent=member.agent,
        rank=member.rank,
        status=status_of(answer, content),
        shape=given(answer.shape),
        task=UNSET if task is None else _task_view(task),
        response_message_id=UNSET if answer.message is None else answer.message.message_id,
        text=given(content.text),
        data=content.data or UNSET,
        files=content.files or UNSET,
        message_count=len(content.messages),
        messages=tuple(
            AnswerMessage(
                message_id=row.message_id,
                direction=row.direction,
                created_at=row.created_at,
                text=given(message_text(row.content)),
            )
            for row in content.messages
        ),
        artifact_count=len(content.artifacts),
        artifacts=tuple(artifact_view(row) for row in content.artifacts),
        error=given(error),
    )


def result_of(view: AnswerView, weight: float) -> AgentResult:
    """Return an answer as reducers get it."""
    return AgentResult(
        agent=view.agent,
        rank=view.rank,
        status=view.status,
        text=view.text if isinstance(view.text, str) else None,
        data=view.data if isinstance(view.data, tuple) else (),
        files=view.files if isinstance(view.files, tuple) else (),
        task_id=view.task.task_id if isinstance(view.task, AnswerTask) else None,
        message_count=view.message_count,
        artifact_count=view.artifact_count,
        weight=weight,
    )


def _task_view(task: TaskRow) -> AnswerTask:
    return AnswerTask(
        task_id=task.task_id,
        state=task.state,
        source=task.source,
        updated_at=task.updated_at,
        remote_context_id=given(task.remote_context_id),
        completed_at=given(task.completed_at),
    )
