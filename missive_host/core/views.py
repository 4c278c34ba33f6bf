"""Rows of the store as the documents that people and programs get."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from msgspec import UNSET, UnsetType

from missive_host.a2a.shapes import artifact_kind, media_type, task_text, text_of
from missive_host.ids import now
from missive_host.outputs import (
    AgentView,
    ArtifactSummary,
    ContextView,
    Counts,
    EventView,
    MessageView,
    TaskView,
)
from missive_host.routing.breaker import is_resting
from missive_host.store.rows import (
    AgentRow,
    ArtifactRow,
    BreakerRow,
    ContextCounts,
    ContextRow,
    EventRow,
    MessageRow,
    TaskRow,
)

T = TypeVar("T")
PREVIEW = 200
"""Characters of an artifact's text that a summary shows."""


def given(value: T | None) -> T | UnsetType:
    """Return a value for an optional field: left out when there is none."""
    return UNSET if value is None else value


def agent_view(row: AgentRow, breaker: BreakerRow | None = None) -> AgentView:
    """Return an agent, with how it has failed of late."""
    failing = breaker is not None and breaker.failures > 0
    return AgentView(
        alias=row.alias,
        source=row.source,
        base_url=row.base_url,
        interface_urls=row.interface_urls,
        binding_preference=row.binding_preference,
        auth_ref=given(row.auth_ref),
        tags=row.tags,
        notes=given(row.notes),
        metadata=row.metadata,
        agent_card_fetched_at=given(row.card_fetched_at),
        agent_card_etag=given(row.card_etag),
        agent_card_last_modified=given(row.card_last_modified),
        agent_card_expires_at=given(row.card_expires_at),
        read_only=row.read_only,
        created_at=row.created_at,
        updated_at=row.updated_at,
        failures=breaker.failures if breaker is not None and failing else UNSET,
        last_failure=given(breaker.last_error) if breaker is not None and failing else UNSET,
        resting_until=given(breaker.until) if breaker is not None and is_resting(breaker, now()) else UNSET,
    )


def context_view(row: ContextRow) -> ContextView:
    return ContextView(
        context_id=row.context_id,
        name=given(row.name),
        agent=given(row.agent_alias),
        state=row.state,
        parent_context_id=given(row.parent_context_id),
        summary=given(row.summary),
        metadata=row.metadata,
        remote_contexts=row.remote_contexts,
        created_at=row.created_at,
        updated_at=row.updated_at,
        closed_at=given(row.closed_at),
    )


def counts_view(counts: ContextCounts) -> Counts:
    return Counts(
        task_count=counts.task_count,
        message_count=counts.message_count,
        artifact_count=counts.artifact_count,
        event_count=counts.event_count,
    )


def artifact_view(row: ArtifactRow) -> ArtifactSummary:
    parts = row.content.get("parts", [])
    text = text_of(parts)
    return ArtifactSummary(
        artifact_id=row.artifact_id,
        task_id=row.task_id,
        context_id=given(row.context_id),
        name=given(row.name),
        mime_type=given(row.mime_type or media_type(parts)),
        kind=artifact_kind(parts),
        version=row.version,
        part_count=len(parts),
        text_preview=UNSET if text is None else text[:PREVIEW],
        metadata=row.content.get("metadata", {}),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def task_view(row: TaskRow, artifacts: Sequence[ArtifactRow], *, raw: bool) -> TaskView:
    """Return a task; with `raw` the whole A2A object, artifacts included."""
    whole = {**row.task, "artifacts": [artifact.content for artifact in artifacts]} if artifacts else row.task
    return TaskView(
        task_id=row.task_id,
        agent=row.agent_alias,
        context_id=given(row.context_id),
        remote_context_id=given(row.remote_context_id),
        state=row.state,
        source=row.source,
        protocol_version=given(row.protocol_version),
        last_message_id=given(row.last_message_id),
        status_message_id=given(row.status_message_id),
        status_timestamp=given(row.status_timestamp),
        text=given(task_text(whole)),
        artifact_count=len(artifacts),
        artifacts=tuple(artifact_view(artifact) for artifact in artifacts),
        history_count=row.history_count,
        metadata=row.task.get("metadata", {}),
        created_at=row.created_at,
        updated_at=row.updated_at,
        completed_at=given(row.completed_at),
        raw_task=whole if raw else UNSET,
    )


def message_view(row: MessageRow) -> MessageView:
    return MessageView(
        message_id=row.message_id,
        agent=row.agent_alias,
        context_id=given(row.context_id),
        task_id=given(row.task_id),
        direction=row.direction,
        role=row.role,
        status=row.status,
        content=row.content,
        created_at=row.created_at,
    )


def event_view(row: EventRow) -> EventView:
    return EventView(
        sequence=row.sequence,
        event_id=row.event_id,
        timestamp=row.timestamp,
        source=row.source,
        event_type=row.event_type,
        agent=given(row.agent_alias),
        context_id=given(row.context_id),
        task_id=given(row.task_id),
        message_id=given(row.message_id),
        work_id=given(row.work_id),
        payload=row.payload,
        metadata=row.metadata,
    )
