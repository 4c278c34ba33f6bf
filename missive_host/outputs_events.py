"""The result documents of the journal."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from missive_host.outputs import Data, EventView, Json


class EventRecord(EventView, Data, frozen=True, kw_only=True):
    """One event of the journal. Where results are lines, ``sequence`` of the line is its number in the journal, too."""

    kind = "event_record"


class EventsListResult(Data, frozen=True, kw_only=True):
    kind = "events_list"
    profile: str
    filters: Json
    count: int
    events: tuple[EventView, ...]
    """The oldest first. Where results are lines, each is an ``event_record`` of its own."""
    message: str


class EventsShowResult(Data, frozen=True, kw_only=True):
    kind = "events_show"
    profile: str
    event: EventView
    message: str


class EventsTailResult(Data, frozen=True, kw_only=True):
    """The end of ``missive events tail``."""

    kind = "events_tail"
    profile: str
    from_sequence: int
    """It has begun behind the event of this number."""
    emitted: int
    """How many events were shown."""
    last_seen_sequence: int
    """The number of the last event that was looked at, shown or not: from here one goes on with ``--from-sequence``."""
    timed_out: bool
    ended: bool
    """True: the last one was the end that ``--until-terminal`` waits for."""
    events: tuple[EventView, ...]
    """The events that were shown; filled only where they were not results of their own."""
    message: str


class EventsExportResult(Data, frozen=True, kw_only=True):
    kind = "events_export"
    profile: str
    filters: Json
    format: Literal["ndjson", "csv", "otlp", "html"]
    count: int
    """How many events there are in it; of a page those of its context."""
    path: str | UnsetType = UNSET
    """The file that was written."""
    size: int | UnsetType = UNSET
    """Bytes of the file."""
    events: tuple[EventView, ...] | UnsetType = UNSET
    """The events, if no file was to be written and ``format`` is ``ndjson``."""
    content: str | UnsetType = UNSET
    """What a file would hold, if none was to be written and ``format`` is another."""
    message: str


class ReplayedContext(msgspec.Struct, frozen=True, kw_only=True):
    """A context as the journal tells of it."""

    context_id: str
    state: str
    task_ids: tuple[str, ...]
    event_count: int
    first_sequence: int
    last_sequence: int
    first_timestamp: str
    last_timestamp: str
    last_event_type: str
    agent: str | UnsetType = UNSET


class ReplayedTask(msgspec.Struct, frozen=True, kw_only=True):
    """A task as the journal tells of it."""

    task_id: str
    agent: str
    state: str
    event_count: int
    first_sequence: int
    last_sequence: int
    first_timestamp: str
    last_timestamp: str
    last_event_type: str
    context_id: str | UnsetType = UNSET


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Something that the journal and a table say differently of."""

    table: str
    id: str
    """Of the row; of several parts, without the agent, separated by spaces."""
    field: str
    journal: str
    """``missing``: the journal knows nothing of it; empty: nothing is set. Of what may be long or secret a digest."""
    stored: str
    """The same of the table."""
    agent: str | UnsetType = UNSET


class EventsReplayResult(Data, frozen=True, kw_only=True):
    kind = "events_replay"
    profile: str
    filters: Json
    event_count: int
    event_types: dict[str, int]
    """How many events there are of each type."""
    contexts: tuple[ReplayedContext, ...]
    tasks: tuple[ReplayedTask, ...]
    verified: bool | UnsetType = UNSET
    """Of ``--verify``: whether the tables say the same as the journal."""
    differences: tuple[Difference, ...] | UnsetType = UNSET
    message: str


StepKind = Literal["delivery", "job", "message", "task", "context", "event"]


class TraceStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step of what happened. A step belongs to the nearest one before it with a smaller ``depth``."""

    depth: int
    at: str
    kind: StepKind
    what: str
    """What happened: of an event its type."""
    says: str = ""
    """What was written, or what went wrong."""
    agent: str | UnsetType = UNSET
    id: str | UnsetType = UNSET
    """Of a delivery, a job, a message or a task."""
    sequence: int | UnsetType = UNSET
    """The number of an event in the journal."""
    trace_id: str | UnsetType = UNSET
    """Of an event: the trace that it belongs to, as W3C Trace Context and OpenTelemetry have it."""


class TraceResult(Data, frozen=True, kw_only=True):
    """Everything that happened to one thing."""

    kind = "trace"
    profile: str
    id: str
    of: StepKind
    """What has this id."""
    began_at: str
    ended_at: str
    """When the last step was; there may be more to come."""
    event_count: int
    trace_ids: tuple[str, ...]
    """The traces that the events belong to: the same ids are in the log, at a collector, and with the agents."""
    steps: tuple[TraceStep, ...]
    """The tree, each thing before what belongs to it, what came first before what came later."""
    message: str
