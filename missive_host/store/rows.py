"""The rows of the store as typed, frozen values.

Times are RFC 3339 UTC text with microseconds (`missive_host.ids.now`). JSON columns arrive decoded. Every row
is built with keywords, and what has a default may be left out when writing.
"""

from __future__ import annotations

from typing import Any

import msgspec

from missive_host.telemetry import TraceContext, given_trace

Json = dict[str, Any]

TERMINAL_STATES = frozenset({"completed", "failed", "cancelled", "rejected"})
"""Task states after which nothing more happens (A2A spec 4.1.3)."""


class AgentRow(msgspec.Struct, frozen=True, kw_only=True):
    """A registered agent. The ``card_*`` fields are read with it and ignored when it is written."""

    alias: str
    source: str = "local"
    """``local``, ``config_seed`` or ``discovered``."""
    base_url: str
    interface_urls: dict[str, str] = {}
    """Binding to URL, used when the card lists no interface."""
    binding_preference: tuple[str, ...] = ()
    auth_ref: str | None = None
    tags: tuple[str, ...] = ()
    notes: str | None = None
    metadata: Json = {}
    read_only: bool = False
    created_at: str
    updated_at: str
    card_fetched_at: str | None = None
    card_etag: str | None = None
    card_last_modified: str | None = None
    card_expires_at: str | None = None


class CardRow(msgspec.Struct, frozen=True, kw_only=True):
    """The cached Agent Card (A2A spec 4.4.1) of one agent."""

    alias: str
    url: str
    """Where it was fetched from."""
    card: Json
    etag: str | None = None
    last_modified: str | None = None
    fetched_at: str
    expires_at: str | None = None
    max_age: int | None = None
    """Seconds, from ``Cache-Control``."""


class ContextRow(msgspec.Struct, frozen=True, kw_only=True):
    """A local context. ``remote_contexts`` (alias to the agent's own contextId) is read with it, never written."""

    context_id: str
    agent_alias: str | None = None
    name: str | None = None
    parent_context_id: str | None = None
    state: str = "open"
    """``open``, ``closed`` or ``archived``."""
    summary: str | None = None
    metadata: Json = {}
    created_at: str
    updated_at: str
    closed_at: str | None = None
    remote_contexts: dict[str, str] = {}


class ContextCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How much a context holds."""

    task_count: int
    message_count: int
    artifact_count: int
    event_count: int


class TaskRow(msgspec.Struct, frozen=True, kw_only=True):
    """A task as it was last seen. ``task`` is the A2A Task as ProtoJSON, with history, without artifacts."""

    agent_alias: str
    task_id: str
    context_id: str | None = None
    """The local context."""
    remote_context_id: str | None = None
    state: str
    """One of missive's task states: ``submitted``, ``working``, … , ``unknown``."""
    source: str = "remote"
    """By which road it was last seen: ``remote``, ``local`` or ``gateway``."""
    protocol_version: str | None = None
    task: Json
    last_message_id: str | None = None
    status_message_id: str | None = None
    status_timestamp: str | None = None
    """The agent's own time of the status, as it wrote it."""
    created_at: str
    updated_at: str
    """When its state or content last changed here."""
    completed_at: str | None = None

    @property
    def history_count(self) -> int:
        return len(self.task.get("history", ()))


class TaskPage(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a list of tasks, newest first."""

    tasks: tuple[TaskRow, ...]
    total: int
    """How many match, on all pages."""
    next_page_token: str | None = None


class MessageRow(msgspec.Struct, frozen=True, kw_only=True):
    """One message. ``ordinal`` is given by the store and rises in the order of arrival."""

    agent_alias: str
    message_id: str
    direction: str
    """``request``, ``response``, ``stream_event``, ``push`` or ``local``."""
    context_id: str | None = None
    task_id: str | None = None
    role: str
    status: str = "sent"
    """Of a request: ``pending``, ``sent``, ``failed`` or ``unknown`` (the connection broke after it was sent)."""
    content: Json
    """The A2A Message as ProtoJSON, or what the event carried."""
    metadata: Json = {}
    error: Json | None = None
    """An `ErrorReport` as JSON, if the request failed."""
    response_id: str | None = None
    """Of a request: the message with which the agent answered at once. It is read, never written with the row."""
    created_at: str
    updated_at: str
    ordinal: int = 0


class ArtifactRow(msgspec.Struct, frozen=True, kw_only=True):
    """An artifact with all its parts. ``content`` is the A2A Artifact as ProtoJSON."""

    agent_alias: str
    task_id: str
    artifact_id: str
    context_id: str | None
    """The local context of its task."""
    name: str | None
    mime_type: str | None
    kind: str
    """``bytes``, ``file``, ``json``, ``text`` or ``unknown``; of mixed parts the first in this order."""
    version: int
    """From 1; rises only when the content changes."""
    complete: bool
    """False while a stream still appends to it."""
    content: Json
    content_sha256: str
    created_at: str
    updated_at: str

    @property
    def part_count(self) -> int:
        return len(self.content.get("parts", ()))


class EventRow(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the journal. ``sequence`` is given by the store."""

    event_id: str
    """``evt/<type>/<uuid>``, made by `new_event_id`."""
    timestamp: str
    source: str
    event_type: str
    agent_alias: str | None = None
    context_id: str | None = None
    task_id: str | None = None
    message_id: str | None = None
    work_id: str | None = None
    """The delivery or the job that it happened for."""
    payload: Json = {}
    metadata: Json = {}
    sequence: int = 0


class GroupRow(msgspec.Struct, frozen=True, kw_only=True):
    """A group of agents."""

    name: str
    source: str = "local"
    """``local`` or ``config_seed``."""
    routing_policy: str = "direct"
    notes: str | None = None
    metadata: Json = {}
    read_only: bool = False
    created_at: str
    updated_at: str


class MemberRow(msgspec.Struct, frozen=True, kw_only=True):
    """An agent in a group."""

    group: str
    agent: str
    rank: str
    """Unique in the group; members are ordered by it, see `missive_host.store.values.rank_order`."""
    tags: tuple[str, ...] = ()
    weight: float = 1.0
    """Positive and finite."""
    routing_metadata: Json = {}
    created_at: str
    updated_at: str


class BreakerRow(msgspec.Struct, frozen=True, kw_only=True):
    """How an agent has failed of late, and how long it rests for it."""

    alias: str
    failures: int
    """How many in a row."""
    opened_at: str | None = None
    until: str | None = None
    """It rests until then."""
    last_error: str | None = None
    updated_at: str


class OperationRow(msgspec.Struct, frozen=True, kw_only=True):
    """A collective operation."""

    operation_id: str
    """``<kind>/<uuid>``."""
    kind: str
    """``bcast``, ``scatter``, ``barrier``, ``gather``, ``reduce`` or ``allreduce``."""
    group: str
    context_id: str
    """The local context."""
    status: str = "running"
    document: Json | None = None
    """The result as it was printed, once there is one."""
    created_at: str
    updated_at: str
    finished_at: str | None = None


class OperationMemberRow(msgspec.Struct, frozen=True, kw_only=True):
    """A member of a group in one operation, as it was when that began, and what came of it."""

    operation_id: str
    agent: str
    rank: str
    status: str
    request_message_id: str | None = None
    response_message_id: str | None = None
    task_id: str | None = None
    remote_context_id: str | None = None
    """The agent's own contextId."""
    state: str | None = None
    """The state of its task, one of missive's."""
    shape: str | None = None
    """What it answered with: ``task`` or ``message``."""
    error: Json | None = None
    """An `ErrorReport` as JSON."""
    updated_at: str


class WorkRow(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery or a job, as it was taken in and as it stands."""

    work_id: str
    kind: str
    """``delivery`` or ``job``."""
    adapter: str
    """The name of the door that it came through; of jobs ``cli`` or that of the door."""
    idempotency_key: str | None = None
    command: str
    """The command's tag."""
    agent_alias: str | None = None
    group: str | None = None
    lane: str | None = None
    """Work of the same lane is run one after another, in order."""
    state: str = "ready"
    """``queued``, ``ready``, ``running``, ``done``, ``failed``, ``dead`` or ``cancelled``."""
    request: Json
    """The envelope; of a job the command and its options."""
    reply_to: Json | None = None
    attempts: int = 0
    max_attempts: int = 1
    begun: int = 0
    """How often it was taken up. Of ``attempts`` those are taken off that were no fault of its own."""
    run_at: str
    owner: str | None = None
    cancel: bool = False
    """It runs, and is to be cancelled."""
    context_id: str | None = None
    task_id: str | None = None
    error: Json | None = None
    """An `ErrorReport` as JSON."""
    outputs: int = 0
    accepted_at: str
    updated_at: str = ""
    finished_at: str | None = None
    delivered_at: str | None = None
    ordinal: int = 0
    request_sha256: str = ""

    @property
    def ended(self) -> bool:
        return self.state in ("done", "failed", "dead", "cancelled")

    @property
    def trace(self) -> TraceContext | None:
        """The span with which it was taken in; None: it is from before there were traces."""
        return given_trace(self.request.get("traceparent"), self.request.get("tracestate"))

    def taken(self, owner: str) -> WorkRow:
        """Return the row as it is once `owner` has claimed it."""
        return msgspec.structs.replace(
            self, state="running", owner=owner, attempts=self.attempts + 1, begun=self.begun + 1
        )


class WorkOutputRow(msgspec.Struct, frozen=True, kw_only=True):
    """One result of work."""

    work_id: str
    position: int
    """From 0, without gaps."""
    kind: str
    sequence: int
    data: Any
    created_at: str


class SessionRow(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation of somebody with an agent or a group."""

    session_id: str
    adapter: str
    """The name of the door that it came through."""
    source_id: str
    target: str
    """``agent:ALIAS`` or ``group:NAME``."""
    resume_name: str = "default"
    context_id: str | None = None
    """The local context that it goes on in; None: the next message begins one."""
    display_name: str | None = None
    """What the door calls the source, for people."""
    created_at: str
    last_active_at: str
    """When its last message came."""
    last_reset_at: str | None = None
    reset_reasons: tuple[str, ...] = ()
    """Why it was reset last: ``idle``, ``daily``, ``closed`` or ``operator``."""

    @property
    def agent(self) -> str | None:
        """The agent that it is with; None if it is with a group."""
        return self.target.removeprefix("agent:") if self.target.startswith("agent:") else None

    @property
    def group(self) -> str | None:
        """The group that it is with; None if it is with one agent."""
        return self.target.removeprefix("group:") if self.target.startswith("group:") else None


class ScheduleRow(msgspec.Struct, frozen=True, kw_only=True):
    """By which times jobs are started."""

    schedule_id: str
    kind: str
    """``every`` or ``cron``."""
    expression: str
    """A duration, or a cron expression."""
    time_zone: str | None = None
    """Of a cron expression; None: UTC."""
    request: Json
    """What each job is to do, as in `WorkRow`."""
    command: str
    """The command's tag."""
    enabled: bool = True
    next_run_at: str | None = None
    """None: there is no next time."""
    last_run_at: str | None = None
    last_work_id: str | None = None
    created_at: str
    updated_at: str


class TokenRow(msgspec.Struct, frozen=True, kw_only=True):
    """A token of a client of the gateway: its digest, and what it may be used for."""

    name: str
    token_sha256: str
    commands: tuple[str, ...] = ()
    """Tags of commands; none: all."""
    agents: tuple[str, ...] = ()
    """Aliases of agents and names of groups; none: all."""
    created_at: str
    expires_at: str | None = None
    revoked_at: str | None = None

    def is_valid(self, at: str) -> bool:
        return self.revoked_at is None and (self.expires_at is None or at < self.expires_at)


class PushConfigRow(msgspec.Struct, frozen=True, kw_only=True):
    """A push config that an agent was given. Of what the agent has to send with each notification, the digests."""

    agent_alias: str
    task_id: str
    config_id: str
    url: str
    token_sha256: str | None = None
    auth_scheme: str | None = None
    auth_sha256: str | None = None
    source: str = "operator"
    """``operator`` or ``gateway``."""
    metadata: Json = {}
    created_at: str
