"""The result documents: ``missive.output.v1``.

A handler yields `Output` values; each is one document ``{schema_version, ok, kind, data}``, with ``sequence``
where several follow each other. ``kind`` names the struct of ``data``. Fields that have nothing to say are left
out, never ``null``. ``raw`` members hold A2A's own objects as ProtoJSON (A2A spec 5.5).
"""

from __future__ import annotations

from typing import Any, ClassVar

import msgspec
from msgspec import UNSET, UnsetType

from missive_host.errors import ErrorReport

SCHEMA_VERSION = "missive.output.v1"

Json = dict[str, Any]


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """Base of every ``data``. The class attribute ``kind`` is the document's ``kind``."""

    kind: ClassVar[str]


class Output(msgspec.Struct, frozen=True):
    """One result. ``sequence`` counts from 0 within one command; a stream event has its own number."""

    data: Data
    sequence: int = 0

    @property
    def kind(self) -> str:
        return self.data.kind

    def document(self, *, sequence: bool = False) -> Json:
        """Return the document as JSON-able data; with `sequence` as NDJSON readers expect it."""
        return document(self.kind, self.data, sequence=self.sequence if sequence else None)


def document(kind: str, data: Any, *, ok: bool = True, sequence: int | None = None) -> Json:
    """Return a ``missive.output.v1`` document."""
    result: Json = {"schema_version": SCHEMA_VERSION, "ok": ok, "kind": kind}
    if sequence is not None:
        result["sequence"] = sequence
    result["data"] = msgspec.to_builtins(data)
    return result


def error_document(report: ErrorReport) -> Json:
    """Return the document of an error."""
    return document("error", report, ok=False)


# --- views shared by several kinds


class SelectedInterface(msgspec.Struct, frozen=True, kw_only=True):
    """The agent interface that was used (A2A spec 4.4.6, AgentInterface)."""

    binding: str
    """``json-rpc``, ``http+json`` or ``grpc``."""
    protocol_binding: str
    """A2A's spelling: ``JSONRPC``, ``HTTP+JSON`` or ``GRPC``."""
    url: str
    protocol_version: str
    source: str
    """``agent_card``, ``registry_override`` or ``base_url_fallback``."""
    tenant: str | UnsetType = UNSET


class PartSummary(msgspec.Struct, frozen=True, kw_only=True):
    kind: str
    """``text``, ``file_reference``, ``file_bytes`` or ``data``."""
    source: str
    local_bytes: int
    filename: str | UnsetType = UNSET
    media_type: str | UnsetType = UNSET


class RequestView(msgspec.Struct, frozen=True, kw_only=True):
    message_id: str
    part_count: int
    parts: tuple[PartSummary, ...]
    local_input_bytes: int
    request_bytes: int
    accepted_output_modes: tuple[str, ...]
    metadata: Json
    context_id: str | UnsetType = UNSET
    task_id: str | UnsetType = UNSET


class ResponseView(msgspec.Struct, frozen=True, kw_only=True):
    shape: str
    """``message`` or ``task``."""
    raw: Json
    message_id: str | UnsetType = UNSET
    task_id: str | UnsetType = UNSET
    context_id: str | UnsetType = UNSET
    """The agent's contextId; the local one is in ``persistence``."""
    state: str | UnsetType = UNSET
    text: str | UnsetType = UNSET


class Persistence(msgspec.Struct, frozen=True, kw_only=True):
    """The rows that were written."""

    request_message_id: str | UnsetType = UNSET
    response_message_id: str | UnsetType = UNSET
    message_id: str | UnsetType = UNSET
    task_id: str | UnsetType = UNSET
    context_id: str | UnsetType = UNSET
    """The local context."""
    event_sequence: int | UnsetType = UNSET
    event_id: str | UnsetType = UNSET
    event_ids: tuple[str, ...] | UnsetType = UNSET
    stream_message_ids: tuple[str, ...] | UnsetType = UNSET


class ArtifactSummary(msgspec.Struct, frozen=True, kw_only=True):
    artifact_id: str
    task_id: str
    kind: str
    """``bytes``, ``file``, ``json``, ``text`` or ``unknown``; of mixed parts the first in this order."""
    version: int
    part_count: int
    metadata: Json
    created_at: str
    updated_at: str
    context_id: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    mime_type: str | UnsetType = UNSET
    text_preview: str | UnsetType = UNSET


class TaskView(msgspec.Struct, frozen=True, kw_only=True):
    task_id: str
    agent: str
    state: str
    source: str
    artifact_count: int
    artifacts: tuple[ArtifactSummary, ...]
    history_count: int
    metadata: Json
    created_at: str
    updated_at: str
    context_id: str | UnsetType = UNSET
    """The local context, if it belongs to one."""
    remote_context_id: str | UnsetType = UNSET
    protocol_version: str | UnsetType = UNSET
    last_message_id: str | UnsetType = UNSET
    status_message_id: str | UnsetType = UNSET
    status_timestamp: str | UnsetType = UNSET
    text: str | UnsetType = UNSET
    completed_at: str | UnsetType = UNSET
    raw_task: Json | UnsetType = UNSET


class AgentView(msgspec.Struct, frozen=True, kw_only=True):
    alias: str
    source: str
    """``local``, ``config_seed`` or ``discovered``."""
    base_url: str
    interface_urls: dict[str, str]
    binding_preference: tuple[str, ...]
    tags: tuple[str, ...]
    metadata: Json
    read_only: bool
    created_at: str
    updated_at: str
    auth_ref: str | UnsetType = UNSET
    notes: str | UnsetType = UNSET
    agent_card_fetched_at: str | UnsetType = UNSET
    agent_card_etag: str | UnsetType = UNSET
    agent_card_last_modified: str | UnsetType = UNSET
    agent_card_expires_at: str | UnsetType = UNSET
    failures: int | UnsetType = UNSET
    """How often in a row it was not there, if it was not at the last call."""
    last_failure: str | UnsetType = UNSET
    resting_until: str | UnsetType = UNSET
    """Until then routing policies leave it in peace."""


class ContextView(msgspec.Struct, frozen=True, kw_only=True):
    context_id: str
    state: str
    metadata: Json
    created_at: str
    updated_at: str
    remote_contexts: dict[str, str]
    """Agent alias to the contextId that this agent uses for it."""
    name: str | UnsetType = UNSET
    agent: str | UnsetType = UNSET
    parent_context_id: str | UnsetType = UNSET
    summary: str | UnsetType = UNSET
    closed_at: str | UnsetType = UNSET


# --- sending


class AttemptView(msgspec.Struct, frozen=True, kw_only=True):
    """One agent that was tried."""

    agent: str
    status: str
    """What became of it:

    ``answered``  its answer stands, whatever the task's state
    ``refused``   it rejected the message
    ``failed``, ``timeout``  there was an error, or it was too slow to take the message
    ``cancelled``  another was first: it was cut off, and its task cancelled at the agent
    ``running``   it has taken the message and goes on, but is not waited for any more
    ``unknown``   it was cut off before it had said anything; it may have the message
    ``not_asked``  nothing was sent to it
    """
    state: str | UnsetType = UNSET
    task_id: str | UnsetType = UNSET
    error: ErrorReport | UnsetType = UNSET


class RouteView(msgspec.Struct, frozen=True, kw_only=True):
    """How a message to a group found its agent."""

    group: str
    policy: str
    policy_source: str
    mode: str
    targets: tuple[str, ...]
    attempts: tuple[AttemptView, ...]


class SendResult(Data, frozen=True, kw_only=True):
    kind = "send_result"
    profile: str
    agent: str
    selected_interface: SelectedInterface
    request: RequestView
    response: ResponseView
    persistence: Persistence
    message: str
    route: RouteView | UnsetType = UNSET
    """Where it was sent to a group."""


class StreamEvent(Data, frozen=True, kw_only=True):
    kind = "stream_event"
    profile: str
    agent: str
    sequence: int
    event_type: str
    """``task``, ``message``, ``status_update`` or ``artifact_update``."""
    raw: Json
    persistence: Persistence
    message: str
    task_id: str | UnsetType = UNSET
    context_id: str | UnsetType = UNSET
    state: str | UnsetType = UNSET
    message_id: str | UnsetType = UNSET
    text: str | UnsetType = UNSET
    artifact_id: str | UnsetType = UNSET
    append: bool | UnsetType = UNSET
    last_chunk: bool | UnsetType = UNSET


class StreamCapability(msgspec.Struct, frozen=True, kw_only=True):
    advertised_streaming: bool
    forced: bool


class StreamResult(Data, frozen=True, kw_only=True):
    """The end of a stream. ``events`` is filled where the events were not delivered one by one."""

    kind = "stream_result"
    profile: str
    agent: str
    selected_interface: SelectedInterface
    capability: StreamCapability
    event_count: int
    status_update_count: int
    artifact_update_count: int
    resumed: int
    """How often the stream broke off and was taken up again."""
    events: tuple[StreamEvent, ...]
    persistence: Persistence
    message: str
    request: RequestView | UnsetType = UNSET
    final_task_id: str | UnsetType = UNSET
    final_context_id: str | UnsetType = UNSET
    final_state: str | UnsetType = UNSET
    route: RouteView | UnsetType = UNSET


# --- tasks


class TaskGetResult(Data, frozen=True, kw_only=True):
    kind = "task_get"
    profile: str
    source: str
    task: TaskView
    message: str
    selected_interface: SelectedInterface | UnsetType = UNSET


class TaskListResult(Data, frozen=True, kw_only=True):
    kind = "task_list"
    profile: str
    source: str
    filters: Json
    count: int
    tasks: tuple[TaskView, ...]
    message: str
    selected_interface: SelectedInterface | UnsetType = UNSET
    next_page_token: str | UnsetType = UNSET
    page_size: int | UnsetType = UNSET
    total_size: int | UnsetType = UNSET


class TaskWaitResult(Data, frozen=True, kw_only=True):
    kind = "task_wait"
    profile: str
    task_id: str
    status: str
    """The state that ended the wait, or ``timeout``."""
    attempts: int
    elapsed_ms: int
    timeout_ms: int
    interval_ms: int
    timed_out: bool
    message: str
    agent: str | UnsetType = UNSET
    selected_interface: SelectedInterface | UnsetType = UNSET
    task: TaskView | UnsetType = UNSET


class TaskCancelResult(Data, frozen=True, kw_only=True):
    kind = "task_cancel"
    profile: str
    agent: str
    task: TaskView
    selected_interface: SelectedInterface
    message: str


class ArtifactListResult(Data, frozen=True, kw_only=True):
    kind = "task_artifact_list"
    profile: str
    task_id: str
    agent: str
    count: int
    artifacts: tuple[ArtifactSummary, ...]
    message: str


class ArtifactShowResult(Data, frozen=True, kw_only=True):
    kind = "task_artifact_show"
    profile: str
    task_id: str
    agent: str
    artifact: ArtifactSummary
    raw: Json
    message: str


class SavedFile(msgspec.Struct, frozen=True, kw_only=True):
    path: str
    artifact_id: str
    kind: str
    """``bytes``, ``text``, ``json`` or ``file_reference`` (a manifest of URLs)."""
    bytes_written: int
    part_count: int
    media_type: str | UnsetType = UNSET


class ArtifactSaveResult(Data, frozen=True, kw_only=True):
    kind = "task_artifact_save"
    profile: str
    task_id: str
    agent: str
    artifact_id: str
    files: tuple[SavedFile, ...]
    bytes_written: int
    message: str


class ArtifactExportResult(Data, frozen=True, kw_only=True):
    kind = "task_artifact_export"
    profile: str
    task_id: str
    agent: str
    output_dir: str
    artifact_count: int
    files: tuple[SavedFile, ...]
    bytes_written: int
    message: str


# --- agents


class AgentAddResult(Data, frozen=True, kw_only=True):
    kind = "agent_add"
    profile: str
    agent: AgentView
    message: str


class AgentUpdateResult(Data, frozen=True, kw_only=True):
    kind = "agent_update"
    profile: str
    agent: AgentView
    message: str


class AgentListResult(Data, frozen=True, kw_only=True):
    kind = "agent_list"
    profile: str
    count: int
    agents: tuple[AgentView, ...]
    message: str


class AgentShowResult(Data, frozen=True, kw_only=True):
    kind = "agent_show"
    profile: str
    agent: AgentView
    message: str


class AgentRemoveResult(Data, frozen=True, kw_only=True):
    kind = "agent_remove"
    profile: str
    agent: str
    purged: bool
    message: str


class AgentRenameResult(Data, frozen=True, kw_only=True):
    kind = "agent_rename"
    profile: str
    previous: str
    agent: AgentView
    message: str


class CardCache(msgspec.Struct, frozen=True, kw_only=True):
    status: str
    """``cached``, ``fetched``, ``refreshed``, ``not_modified`` or ``missing``."""
    discovery_url: str
    fetched_at: str | UnsetType = UNSET
    expires_at: str | UnsetType = UNSET
    etag: str | UnsetType = UNSET
    last_modified: str | UnsetType = UNSET


class CardView(msgspec.Struct, frozen=True, kw_only=True):
    """The Agent Card (A2A spec 4.4.1) in short; ``raw_card`` beside it has all."""

    name: str
    description: str
    agent_version: str
    protocol_versions: tuple[str, ...]
    supported_interfaces: tuple[Json, ...]
    capabilities: Json
    default_input_modes: tuple[str, ...]
    default_output_modes: tuple[str, ...]
    skills: tuple[Json, ...]
    security_schemes: tuple[str, ...]
    provider: Json | UnsetType = UNSET
    documentation_url: str | UnsetType = UNSET
    icon_url: str | UnsetType = UNSET


class AgentInspectResult(Data, frozen=True, kw_only=True):
    kind = "agent_inspect"
    profile: str
    agent: AgentView
    cache: CardCache
    selected_interface: SelectedInterface
    card: CardView
    raw_card: Json
    message: str


class AgentRefreshResult(AgentInspectResult, frozen=True, kw_only=True):
    kind = "agent_refresh"


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What an agent can do, as routing sees it. Labels are lower-case."""

    alias: str
    source: str
    """``agent_card``, ``local_metadata`` or ``missing``."""
    cache: Json
    local_tags: tuple[str, ...]
    tags: tuple[str, ...]
    capability_labels: tuple[str, ...]
    input_modes: tuple[str, ...]
    output_modes: tuple[str, ...]
    skills: tuple[Json, ...]
    supports_streaming: bool | UnsetType = UNSET
    supports_push_notifications: bool | UnsetType = UNSET
    error: str | UnsetType = UNSET
    """Why the card could not be had."""


class AgentCapabilitiesResult(Data, frozen=True, kw_only=True):
    kind = "agent_capabilities"
    profile: str
    count: int
    agents: tuple[Capabilities, ...]
    message: str


# --- contexts


class ContextCreateResult(Data, frozen=True, kw_only=True):
    kind = "context_create"
    profile: str
    context: ContextView
    message: str


class ContextForkResult(Data, frozen=True, kw_only=True):
    kind = "context_fork"
    profile: str
    parent: str
    context: ContextView
    message: str


class ContextCloseResult(Data, frozen=True, kw_only=True):
    kind = "context_close"
    profile: str
    context: ContextView
    message: str


class ContextListResult(Data, frozen=True, kw_only=True):
    kind = "context_list"
    profile: str
    count: int
    contexts: tuple[ContextView, ...]
    message: str


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    task_count: int
    message_count: int
    artifact_count: int
    event_count: int


class ContextShowResult(Data, frozen=True, kw_only=True):
    kind = "context_show"
    profile: str
    context: ContextView
    counts: Counts
    message: str


class MessageView(msgspec.Struct, frozen=True, kw_only=True):
    message_id: str
    direction: str
    """``request``, ``response``, ``stream_event``, ``push`` or ``local``."""
    role: str
    status: str
    """Of a request: ``pending``, ``sent``, ``failed`` or ``unknown`` (the connection broke after it was sent)."""
    content: Json
    created_at: str
    agent: str | UnsetType = UNSET
    context_id: str | UnsetType = UNSET
    task_id: str | UnsetType = UNSET


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    sequence: int
    event_id: str
    timestamp: str
    source: str
    event_type: str
    payload: Json
    metadata: Json
    agent: str | UnsetType = UNSET
    context_id: str | UnsetType = UNSET
    task_id: str | UnsetType = UNSET
    message_id: str | UnsetType = UNSET
    """The message to the agent that it belongs to."""
    work_id: str | UnsetType = UNSET
    """The delivery or the job that it happened for."""


class ContextExportResult(Data, frozen=True, kw_only=True):
    kind = "context_export"
    profile: str
    exported_at: str
    context: ContextView
    counts: Counts
    tasks: tuple[TaskView, ...]
    messages: tuple[MessageView, ...]
    artifacts: tuple[ArtifactSummary, ...]
    events: tuple[EventView, ...]
    message: str


# --- the host itself (command line only)


class CommandStatus(Data, frozen=True, kw_only=True):
    kind = "command_status"
    command: str
    status: str
    implemented: bool
    message: str
    config: Json | UnsetType = UNSET


def all_kinds() -> dict[str, type[Data]]:
    """Return every kind with its struct, sorted by kind."""
    found: dict[str, type[Data]] = {}
    pending: list[type[Data]] = [Data]
    while pending:
        cls = pending.pop()
        pending += cls.__subclasses__()
        if "kind" in cls.__dict__:
            found[cls.kind] = cls
    return dict(sorted(found.items()))
