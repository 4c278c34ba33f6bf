"""The command model: everything that can be asked of missive, one frozen struct each.

A command is tagged by ``command`` and means the same through every door: a frame on stdin,
a dropped file, an HTTP body, a chat line, the command line. The fields' descriptions are the
help of the command line, the text of the JSON Schema and the reference in ``docs/``.

The work is done by the handler of the same name: ``task_get`` by ``task_get`` in
``missive_host/core/handlers/task.py``. Commands that only an operator may give (they change the
registry or write files) are marked ``operator``; no door but the command line accepts them.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

__all__ = ["DOOR_COMMANDS", "OPERATOR_COMMANDS", "Command", "duration_seconds"]

# ``$(?!\n)``: Python's ``$`` alone also matches before a newline at the end.
_NAME = r"^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$(?!\n)"
_OPAQUE = r"^[^\s\x00-\x1f\x7f]+$(?!\n)"
_DURATION = r"^0*[1-9][0-9]*(ms|s|m|h)$(?!\n)"

Name = Annotated[str, Meta(pattern=_NAME, min_length=1, max_length=63, extra_json_schema={"x-missive-type": "name"})]
"""1 to 63 characters: lower-case letters, digits, ``.``, ``_`` and ``-``, a letter or digit at both ends."""
OpaqueId = Annotated[str, Meta(pattern=_OPAQUE, min_length=1, max_length=256)]
"""An id made by somebody: 1 to 256 characters without white space or control characters."""
Duration = Annotated[str, Meta(pattern=_DURATION, max_length=16)]
"""A whole number and ``ms``, ``s``, ``m`` or ``h``, more than zero: ``500ms``, ``30s``, ``5m``."""
MediaType = Annotated[str, Meta(pattern=r"^[^\s/]+/\S+$(?!\n)", max_length=128)]
Binding = Annotated[str, Meta(min_length=1, max_length=64)]
"""A protocol binding: ``json-rpc``, ``http+json`` or ``grpc`` (A2A's own spelling is understood, too)."""
ShortText = Annotated[str, Meta(min_length=1, max_length=128)]
Notes = Annotated[str, Meta(max_length=8192)]
Timestamp = Annotated[str, Meta(min_length=1, max_length=64)]
Label = Annotated[str, Meta(min_length=1, max_length=128)]
NonEmpty = Annotated[str, Meta(min_length=1)]
Metadata = dict[Annotated[str, Meta(pattern=_OPAQUE, min_length=1, max_length=128)], Any]
TaskState = Literal[
    "submitted", "working", "completed", "failed", "cancelled", "rejected", "input_required", "auth_required", "unknown"
]
"""A2A's task states (spec 4.1.3) in lower case; ``canceled`` is accepted and printed as ``cancelled``."""
TaskSource = Literal["remote", "local", "gateway"]
HistoryLength = Annotated[int, Meta(ge=0, le=2**31 - 1)]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def duration_seconds(text: str) -> float:
    """Return a `Duration` in seconds. The text has been validated already."""
    digits = text.rstrip("msh")
    return int(digits) * _UNITS[text[len(digits) :]]


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="command"):
    """Base of all commands. Its class variables say how a command is handled; none of them is a field."""

    operator: ClassVar[bool] = False
    """True: only the command line may give it."""
    store_only: ClassVar[bool] = False
    """True: answered from the store alone, no agent is called."""
    own_deadline: ClassVar[bool] = False
    """True: the handler itself says what happens when `timeout` has passed."""
    operator_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that only the command line may set."""


class _Calling(Command, frozen=True, kw_only=True, omit_defaults=True):
    """A command that calls an agent."""

    timeout: Annotated[
        Duration | None,
        Meta(description="Give up after this long, e.g. `30s` or `5m`. The deadline of the whole command."),
    ] = None


class Requirements(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What an agent must be able to do to be chosen."""

    tags: Annotated[tuple[Label, ...], Meta(description="Tags that it has, its own or of its skills.")] = ()
    capabilities: Annotated[tuple[Label, ...], Meta(description="Skill ids, names or tags that it has.")] = ()
    input_modes: Annotated[tuple[MediaType, ...], Meta(description="Media types that it takes.")] = ()
    output_modes: Annotated[tuple[MediaType, ...], Meta(description="Media types that it gives.")] = ()
    streaming: Annotated[bool, Meta(description="It streams.")] = False
    push_notifications: Annotated[bool, Meta(description="It sends push notifications.")] = False


class _Content(_Calling, frozen=True, kw_only=True, omit_defaults=True):
    """What a message is made of."""

    operator_fields: ClassVar[tuple[str, ...]] = ("stdin_text",)
    message: Annotated[str | None, Meta(description="The text to send: the first part.")] = None
    stdin_text: Annotated[str | None, Meta(description="A text that was read from standard input: the next part.")] = (
        None
    )
    files: Annotated[
        tuple[NonEmpty, ...], Meta(description="A file to send by reference (a `file://` URL; its bytes are not sent).")
    ] = ()
    file_bytes: Annotated[tuple[NonEmpty, ...], Meta(description="A file to send with its bytes.")] = ()
    json_parts: Annotated[tuple[Any, ...], Meta(description="A JSON value to send as a data part.")] = ()
    text_parts: Annotated[tuple[NonEmpty, ...], Meta(description="A further text to send, after all other parts.")] = ()
    mime: Annotated[
        tuple[MediaType, ...],
        Meta(description="Media type: one for all non-text parts, one for each of these, or one for each part."),
    ] = ()
    metadata: Annotated[Metadata, Meta(description="Metadata of the A2A message.")] = msgspec.field(
        default_factory=dict
    )
    context: Annotated[
        OpaqueId | None, Meta(description="The local context to continue; the agent's own contextId is kept with it.")
    ] = None
    accepted_output_modes: Annotated[tuple[MediaType, ...], Meta(description="A media type that may come back.")] = ()


class _Message(_Content, frozen=True, kw_only=True, omit_defaults=True):
    """To one agent, or to a group of which a policy chooses."""

    agent: Annotated[Name | None, Meta(description="Alias of the agent, as in `missive agent list`.")] = None
    group: Annotated[Name | None, Meta(description="Send to this group instead; its policy chooses the agent.")] = None
    policy: Annotated[Name | None, Meta(description="Choose by this policy instead of the group's own.")] = None
    requirements: Annotated[Requirements, Meta(description="What an agent must be able to do to be chosen.")] = (
        msgspec.field(default_factory=Requirements)
    )
    preferred_agent: Annotated[Name | None, Meta(description="The member to prefer, if it fits.")] = None
    quorum: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="How many must complete, with the policy `quorum`.")
    ] = None
    task: Annotated[OpaqueId | None, Meta(description="The agent's task that this message continues.")] = None
    binding: Annotated[Binding | None, Meta(description="Use this binding: json-rpc, http+json or grpc.")] = None


class Send(_Message, frozen=True, kw_only=True, omit_defaults=True, tag="send"):
    """Send a message to an agent and wait for its answer: a message, or a task that has ended or waits for us."""

    return_immediately: Annotated[
        bool, Meta(description="Return as soon as the agent has taken the message, with the ids to follow it.")
    ] = False


class Stream(_Message, frozen=True, kw_only=True, omit_defaults=True, tag="stream"):
    """Send a message to an agent and see its updates as they happen."""

    force: Annotated[bool, Meta(description="Ask for a stream even if the agent's card does not promise one.")] = False


class TaskGet(_Calling, frozen=True, kw_only=True, omit_defaults=True, tag="task_get"):
    """Show one task: what is known here, or with `remote` what the agent says now."""

    task_id: Annotated[OpaqueId, Meta(description="The task's id.")]
    agent: Annotated[
        Name | None, Meta(description="The agent it belongs to; needed when two agents use the same id.")
    ] = None
    remote: Annotated[bool, Meta(description="Ask the agent.")] = False
    task_source: Annotated[TaskSource | None, Meta(description="Only if it was last seen by this road.")] = None
    history_length: Annotated[HistoryLength | None, Meta(description="How many of the newest messages to ask for.")] = (
        None
    )


class TaskList(_Calling, frozen=True, kw_only=True, omit_defaults=True, tag="task_list"):
    """List the tasks that are known here, or with `remote` those that an agent lists."""

    agent: Annotated[Name | None, Meta(description="Only tasks of this agent.")] = None
    context: Annotated[OpaqueId | None, Meta(description="Only tasks in this context.")] = None
    state: Annotated[TaskState | None, Meta(description="Only tasks in this state.")] = None
    updated_after: Annotated[
        Timestamp | None,
        Meta(description="Only tasks that changed after this time (RFC 3339)."),
    ] = None
    task_source: Annotated[TaskSource | None, Meta(description="Only tasks last seen by this road.")] = None
    remote: Annotated[bool, Meta(description="Ask the agent (needs `agent`).")] = False
    page_size: Annotated[
        Annotated[int, Meta(ge=1, le=1000)] | None, Meta(description="How many at most; an agent may allow fewer.")
    ] = None
    page_token: Annotated[
        NonEmpty | None, Meta(description="Where to go on: `next_page_token` of the page before.")
    ] = None
    history_length: Annotated[HistoryLength | None, Meta(description="How many messages of each to ask for.")] = None
    include_artifacts: Annotated[bool, Meta(description="With the artifacts of each.")] = False


class TaskWait(_Calling, frozen=True, kw_only=True, omit_defaults=True, tag="task_wait"):
    """Wait until a task has ended or waits for us (30 s unless `timeout` says otherwise)."""

    own_deadline: ClassVar[bool] = True
    task_id: Annotated[OpaqueId, Meta(description="The task's id.")]
    agent: Annotated[Name | None, Meta(description="The agent it belongs to.")] = None
    local: Annotated[bool, Meta(description="Watch only what is known here; do not ask the agent.")] = False
    interval: Annotated[Duration | None, Meta(description="How often to ask: 1s by default, at most 5s.")] = None
    history_length: Annotated[HistoryLength | None, Meta(description="How many messages to ask for.")] = None


class TaskCancel(_Calling, frozen=True, kw_only=True, omit_defaults=True, tag="task_cancel"):
    """Ask the agent to cancel a task."""

    task_id: Annotated[OpaqueId, Meta(description="The task's id.")]
    agent: Annotated[Name | None, Meta(description="The agent it belongs to.")] = None


class TaskSubscribe(_Calling, frozen=True, kw_only=True, omit_defaults=True, tag="task_subscribe"):
    """Follow a task that runs already: its state now, then its updates as they happen."""

    task_id: Annotated[OpaqueId, Meta(description="The task's id.")]
    agent: Annotated[Name | None, Meta(description="The agent it belongs to.")] = None


class AgentList(Command, frozen=True, kw_only=True, omit_defaults=True, tag="agent_list"):
    """List the agents that are registered."""

    store_only: ClassVar[bool] = True
    tag: Annotated[Name | None, Meta(description="Only agents with this tag.")] = None


class AgentShow(Command, frozen=True, kw_only=True, omit_defaults=True, tag="agent_show"):
    """Show how an agent is registered."""

    store_only: ClassVar[bool] = True
    agent: Annotated[Name, Meta(description="Alias of the agent.")]


class AgentInspect(_Calling, frozen=True, kw_only=True, omit_defaults=True, tag="agent_inspect"):
    """Show an agent's card and the interface that would be used."""

    agent: Annotated[Name, Meta(description="Alias of the agent.")]
    refresh: Annotated[bool, Meta(description="Fetch the card even if the cached one is fresh.")] = False
    binding: Annotated[Binding | None, Meta(description="Use this binding: json-rpc, http+json or grpc.")] = None


class ContextList(Command, frozen=True, kw_only=True, omit_defaults=True, tag="context_list"):
    """List the contexts (conversations) that are known here."""

    store_only: ClassVar[bool] = True
    agent: Annotated[Name | None, Meta(description="Only contexts that this agent takes part in.")] = None
    name: Annotated[ShortText | None, Meta(description="Only the context of this name.")] = None
    state: Annotated[Literal["open", "closed", "archived"] | None, Meta(description="Only contexts in this state.")] = (
        None
    )
    parent: Annotated[OpaqueId | None, Meta(description="Only contexts forked from this one.")] = None


class ContextShow(Command, frozen=True, kw_only=True, omit_defaults=True, tag="context_show"):
    """Show a context: who takes part, and how much was said."""

    store_only: ClassVar[bool] = True
    context: Annotated[NonEmpty, Meta(description="Its id, or its name.")]


class GroupList(Command, frozen=True, kw_only=True, omit_defaults=True, tag="group_list"):
    """List the groups of agents."""

    store_only: ClassVar[bool] = True


class GroupShow(Command, frozen=True, kw_only=True, omit_defaults=True, tag="group_show"):
    """Show a group and its members."""

    store_only: ClassVar[bool] = True
    group: Annotated[Name, Meta(description="Name of the group.")]


class RouteExplain(_Calling, frozen=True, kw_only=True, omit_defaults=True, tag="route_explain"):
    """Explain which agents a policy would choose, and why. Nothing is sent."""

    group: Annotated[Name | None, Meta(description="The group to choose from.")] = None
    agents: Annotated[tuple[Name, ...], Meta(description="Choose from these agents instead of a group.")] = ()
    policy: Annotated[Name | None, Meta(description="The policy; else the group's own, else the config's.")] = None
    requirements: Annotated[Requirements, Meta(description="What an agent must be able to do to be chosen.")] = (
        msgspec.field(default_factory=Requirements)
    )
    preferred_agent: Annotated[Name | None, Meta(description="The candidate to prefer, if it fits.")] = None
    context: Annotated[OpaqueId | None, Meta(description="The local context, for policies that keep to one agent.")] = (
        None
    )
    refresh_capabilities: Annotated[bool, Meta(description="Fetch the cards even if the cached ones are fresh.")] = (
        False
    )
    cursor: Annotated[
        Annotated[int, Meta(ge=0)] | None, Meta(description="Round-robin: pretend that its cursor stands here.")
    ] = None
    quorum: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="How many must complete.")] = None


Execution = Literal["concurrent", "sequential"]
FailurePolicy = Literal["stop", "continue"]


class Bcast(_Content, frozen=True, kw_only=True, omit_defaults=True, tag="bcast"):
    """Send one message to all members of a group."""

    own_deadline: ClassVar[bool] = True
    group: Annotated[Name, Meta(description="Name of the group.")]
    execution: Annotated[Execution, Meta(description="All at once, bounded by `qos.concurrency`, or one by one.")] = (
        "concurrent"
    )
    failure_policy: Annotated[
        FailurePolicy, Meta(description="`stop`: a failed member fails the broadcast; `continue`: it does not.")
    ] = "stop"
    stream: Annotated[bool, Meta(description="See every member's updates as they happen.")] = False
    return_immediately: Annotated[bool, Meta(description="Do not wait for tasks to end; a barrier can.")] = False


class Barrier(_Calling, frozen=True, kw_only=True, omit_defaults=True, tag="barrier"):
    """Wait until the members of a group have come to an end in a context (30 s unless `timeout` says otherwise)."""

    own_deadline: ClassVar[bool] = True
    group: Annotated[Name, Meta(description="Name of the group.")]
    context: Annotated[OpaqueId | None, Meta(description="The context of the broadcast; else that of `operation`.")] = (
        None
    )
    operation: Annotated[
        OpaqueId | None, Meta(description="A broadcast's operation id: its members and tasks are waited for.")
    ] = None
    states: Annotated[tuple[TaskState, ...], Meta(description="Wait for these states; each is then a success.")] = ()
    required: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="How many members must get there; all.")
    ] = None
    failure_policy: Annotated[
        FailurePolicy,
        Meta(description="`stop`: give up at the first failure; `continue`: while enough can still succeed."),
    ] = "stop"
    watch_local: Annotated[bool, Meta(description="Watch only what is known here; do not ask the agents.")] = False
    interval: Annotated[Duration | None, Meta(description="How often to ask: 1s by default, at most 5s.")] = None
    history_length: Annotated[HistoryLength | None, Meta(description="How many messages to ask for.")] = None


class Gather(_Calling, frozen=True, kw_only=True, omit_defaults=True, tag="gather"):
    """Collect what the members of a group answered in a context."""

    operator_fields: ClassVar[tuple[str, ...]] = ("output_dir", "force")
    group: Annotated[Name, Meta(description="Name of the group.")]
    context: Annotated[OpaqueId, Meta(description="The context of the broadcast.")]
    refresh: Annotated[bool, Meta(description="Ask the agents for their tasks first.")] = False
    output_dir: Annotated[NonEmpty | None, Meta(description="Write what they made into this folder.")] = None
    force: Annotated[bool, Meta(description="Write over files that exist.")] = False


class _Reducing(_Calling, frozen=True, kw_only=True, omit_defaults=True):
    strategy: Annotated[Name, Meta(description="The reducer: summarise, merge, vote, rank, custom or a plugin's.")] = (
        "summarise"
    )
    template: Annotated[str | None, Meta(description="Template, with placeholders such as {{inputs}}.")] = None
    settings: Annotated[Metadata, Meta(description="Further settings of the reducer, KEY=VALUE.")] = msgspec.field(
        default_factory=dict
    )
    reducer_agent: Annotated[Name | None, Meta(description="Let this agent reduce.")] = None


class Reduce(_Reducing, frozen=True, kw_only=True, omit_defaults=True, tag="reduce"):
    """Make one answer of what the members of a group answered in a context."""

    operator_fields: ClassVar[tuple[str, ...]] = ("reducer_command",)
    group: Annotated[Name, Meta(description="Name of the group.")]
    context: Annotated[OpaqueId, Meta(description="The context of the broadcast.")]
    refresh: Annotated[bool, Meta(description="Ask the agents for their tasks first.")] = False
    reducer_command: Annotated[
        tuple[NonEmpty, ...], Meta(description="Let this program reduce: it gets the prompt on stdin.")
    ] = ()
    accepted_output_modes: Annotated[tuple[MediaType, ...], Meta(description="What the reducing agent may give.")] = ()
    metadata: Annotated[Metadata, Meta(description="Metadata of the message to it.")] = msgspec.field(
        default_factory=dict
    )


class Scatter(_Content, frozen=True, kw_only=True, omit_defaults=True, tag="scatter"):
    """Send each member of a group its own part: one text or file each, in rank order, or a template."""

    own_deadline: ClassVar[bool] = True
    group: Annotated[Name, Meta(description="Name of the group.")]
    parts: Annotated[tuple[NonEmpty, ...], Meta(description="One text for each member, in rank order.")] = ()
    template: Annotated[
        str | None, Meta(description="A text for all, with {{rank}}, {{agent}}, {{index}} and {{count}} replaced.")
    ] = None
    execution: Annotated[Execution, Meta(description="All at once, or one by one.")] = "concurrent"
    failure_policy: Annotated[FailurePolicy, Meta(description="As for a broadcast.")] = "stop"
    return_immediately: Annotated[bool, Meta(description="Do not wait for tasks to end; a barrier can.")] = False


class Allreduce(_Content, frozen=True, kw_only=True, omit_defaults=True, tag="allreduce"):
    """Broadcast, wait, gather and reduce, under one deadline."""

    own_deadline: ClassVar[bool] = True
    group: Annotated[Name, Meta(description="Name of the group.")]
    strategy: Annotated[Name, Meta(description="The reducer: summarise, merge, vote, rank, custom or a plugin's.")] = (
        "summarise"
    )
    template: Annotated[str | None, Meta(description="Template, with placeholders such as {{inputs}}.")] = None
    settings: Annotated[Metadata, Meta(description="Further settings of the reducer, KEY=VALUE.")] = msgspec.field(
        default_factory=dict
    )
    reducer_agent: Annotated[Name | None, Meta(description="Let this agent reduce.")] = None
    required: Annotated[Annotated[int, Meta(ge=1)] | None, Meta(description="How many members must answer; all.")] = (
        None
    )
    failure_policy: Annotated[FailurePolicy, Meta(description="As for a barrier.")] = "continue"


DOOR_COMMANDS: tuple[type[Command], ...] = (
    Send,
    Stream,
    TaskGet,
    TaskList,
    TaskWait,
    TaskCancel,
    TaskSubscribe,
    AgentList,
    AgentShow,
    AgentInspect,
    ContextList,
    ContextShow,
    GroupList,
    GroupShow,
    RouteExplain,
    Bcast,
    Barrier,
    Gather,
    Reduce,
    Scatter,
    Allreduce,
)
"""What every door accepts."""


class _Registering(Command, frozen=True, kw_only=True, omit_defaults=True):
    """The fields of an agent's registration that a person may set."""

    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True
    binding_preference: Annotated[
        tuple[Binding, ...], Meta(description="Prefer this binding over the card's own order (repeat, in order).")
    ] = ()
    auth_ref: Annotated[Name | None, Meta(description="The auth ref in the config that has its credential.")] = None
    tags: Annotated[tuple[Name, ...], Meta(description="A tag to find it by.")] = ()
    notes: Annotated[Notes | None, Meta(description="A note for people.")] = None
    metadata: Annotated[Metadata, Meta(description="Local metadata.")] = msgspec.field(default_factory=dict)
    interfaces: Annotated[dict[str, str], Meta(description="BINDING=URL to use when its card lists no interface.")] = (
        msgspec.field(default_factory=dict)
    )


class AgentAdd(_Registering, frozen=True, kw_only=True, omit_defaults=True, tag="agent_add"):
    """Register an agent under an alias."""

    agent: Annotated[Name, Meta(description="The alias to give it.")]
    url: Annotated[
        NonEmpty, Meta(description="Its base URL, the full URL of its Agent Card, or a card in a local file.")
    ]


class AgentUpdate(_Registering, frozen=True, kw_only=True, omit_defaults=True, tag="agent_update"):
    """Change how an agent is registered; what is not named stays as it is."""

    agent: Annotated[Name, Meta(description="Alias of the agent.")]
    url: Annotated[NonEmpty | None, Meta(description="Its new URL.")] = None
    remove_tags: Annotated[tuple[Name, ...], Meta(description="A tag to take away.")] = ()
    clear: Annotated[
        tuple[Literal["auth_ref", "notes", "metadata", "interfaces", "binding_preference", "tags"], ...],
        Meta(description="A field to empty."),
    ] = ()


class AgentRemove(Command, frozen=True, kw_only=True, omit_defaults=True, tag="agent_remove"):
    """Forget an agent that is in no group. Its tasks and messages stay in the store unless `purge` is given."""

    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True
    agent: Annotated[Name, Meta(description="Alias of the agent.")]
    purge: Annotated[
        bool, Meta(description="Delete its tasks, messages and artifacts, too; take it out of its groups.")
    ] = False


class AgentRename(Command, frozen=True, kw_only=True, omit_defaults=True, tag="agent_rename"):
    """Give an agent another alias; its tasks and contexts go with it."""

    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True
    agent: Annotated[Name, Meta(description="Alias of the agent.")]
    new_name: Annotated[Name, Meta(description="The new alias.")]


class AgentRefresh(_Calling, frozen=True, kw_only=True, omit_defaults=True, tag="agent_refresh"):
    """Fetch an agent's card again."""

    operator: ClassVar[bool] = True
    agent: Annotated[Name, Meta(description="Alias of the agent.")]


class AgentCapabilities(_Calling, frozen=True, kw_only=True, omit_defaults=True, tag="agent_capabilities"):
    """Sum up what agents can do: skills, labels, media types, streaming, push."""

    operator: ClassVar[bool] = True
    agent: Annotated[Name | None, Meta(description="Alias of the agent; all agents without it.")] = None
    refresh: Annotated[bool, Meta(description="Fetch the cards even if the cached ones are fresh.")] = False


class ArtifactList(Command, frozen=True, kw_only=True, omit_defaults=True, tag="artifact_list"):
    """List a task's artifacts."""

    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True
    task_id: Annotated[OpaqueId, Meta(description="The task's id.")]
    agent: Annotated[Name | None, Meta(description="The agent it belongs to.")] = None


class ArtifactShow(Command, frozen=True, kw_only=True, omit_defaults=True, tag="artifact_show"):
    """Show one artifact with its parts."""

    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True
    task_id: Annotated[OpaqueId, Meta(description="The task's id.")]
    artifact_id: Annotated[NonEmpty, Meta(description="The artifact's id.")]
    agent: Annotated[Name | None, Meta(description="The agent it belongs to.")] = None


class ArtifactSave(Command, frozen=True, kw_only=True, omit_defaults=True, tag="artifact_save"):
    """Write one artifact to a file (several parts of different kinds: one file each)."""

    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True
    task_id: Annotated[OpaqueId, Meta(description="The task's id.")]
    artifact_id: Annotated[NonEmpty, Meta(description="The artifact's id.")]
    output: Annotated[NonEmpty, Meta(description="The file to write.")]
    force: Annotated[bool, Meta(description="Write over a file that exists.")] = False
    agent: Annotated[Name | None, Meta(description="The agent it belongs to.")] = None


class ArtifactExport(Command, frozen=True, kw_only=True, omit_defaults=True, tag="artifact_export"):
    """Write every part of all artifacts of a task into a folder."""

    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True
    task_id: Annotated[OpaqueId, Meta(description="The task's id.")]
    output_dir: Annotated[NonEmpty, Meta(description="The folder to write into; it is made if need be.")]
    force: Annotated[bool, Meta(description="Write over files that exist.")] = False
    agent: Annotated[Name | None, Meta(description="The agent it belongs to.")] = None


class ContextCreate(Command, frozen=True, kw_only=True, omit_defaults=True, tag="context_create"):
    """Create a context: a conversation with one agent or several."""

    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True
    id: Annotated[OpaqueId | None, Meta(description="Its id; made here if not given.")] = None
    name: Annotated[ShortText | None, Meta(description="A name to find it by; unique.")] = None
    agent: Annotated[Name | None, Meta(description="The agent it is with.")] = None
    summary: Annotated[Notes | None, Meta(description="What it is about.")] = None
    metadata: Annotated[Metadata, Meta(description="Local metadata.")] = msgspec.field(default_factory=dict)


class ContextFork(Command, frozen=True, kw_only=True, omit_defaults=True, tag="context_fork"):
    """Create a context that remembers which one it came from. The agents start it anew."""

    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True
    context: Annotated[NonEmpty, Meta(description="Id or name of the context to fork.")]
    id: Annotated[OpaqueId | None, Meta(description="The new one's id.")] = None
    name: Annotated[ShortText | None, Meta(description="The new one's name.")] = None
    agent: Annotated[Name | None, Meta(description="The agent it is with.")] = None
    summary: Annotated[Notes | None, Meta(description="What it is about.")] = None
    metadata: Annotated[Metadata, Meta(description="Local metadata.")] = msgspec.field(default_factory=dict)


class ContextClose(Command, frozen=True, kw_only=True, omit_defaults=True, tag="context_close"):
    """Close a context: nothing more can be sent in it from here."""

    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True
    context: Annotated[NonEmpty, Meta(description="Its id, or its name.")]
    summary: Annotated[Notes | None, Meta(description="What came of it.")] = None


class ContextExport(Command, frozen=True, kw_only=True, omit_defaults=True, tag="context_export"):
    """Export a context with its tasks, messages, artifacts and events."""

    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True
    context: Annotated[NonEmpty, Meta(description="Its id, or its name.")]


class GroupCreate(Command, frozen=True, kw_only=True, omit_defaults=True, tag="group_create"):
    """Create a group of agents."""

    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True
    group: Annotated[Name, Meta(description="Name of the group.")]
    routing_policy: Annotated[Name, Meta(description="How one of it is chosen when a message goes to the group.")] = (
        "direct"
    )
    notes: Annotated[Notes | None, Meta(description="A note for people.")] = None
    metadata: Annotated[Metadata, Meta(description="Local metadata.")] = msgspec.field(default_factory=dict)


class GroupAdd(Command, frozen=True, kw_only=True, omit_defaults=True, tag="group_add"):
    """Add an agent to a group, or change how it is in it."""

    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True
    group: Annotated[Name, Meta(description="Name of the group.")]
    agent: Annotated[Name, Meta(description="Alias of the agent.")]
    rank: Annotated[Name, Meta(description="Its rank, unique in the group; members are ordered by it.")]
    tags: Annotated[tuple[Name, ...], Meta(description="A tag that it has in this group.")] = ()
    weight: Annotated[Annotated[float, Meta(gt=0)], Meta(description="Its weight, for policies that weigh.")] = 1.0
    routing_metadata: Annotated[Metadata, Meta(description="For policies.")] = msgspec.field(default_factory=dict)


class GroupRemove(Command, frozen=True, kw_only=True, omit_defaults=True, tag="group_remove"):
    """Take an agent out of a group."""

    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True
    group: Annotated[Name, Meta(description="Name of the group.")]
    agent: Annotated[Name, Meta(description="Alias of the agent.")]


class GroupRename(Command, frozen=True, kw_only=True, omit_defaults=True, tag="group_rename"):
    """Give a group another name."""

    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True
    group: Annotated[Name, Meta(description="Name of the group.")]
    new_name: Annotated[Name, Meta(description="The new name.")]


class GroupDelete(Command, frozen=True, kw_only=True, omit_defaults=True, tag="group_delete"):
    """Delete a group. Its agents stay registered, its operations stay in the store."""

    operator: ClassVar[bool] = True
    store_only: ClassVar[bool] = True
    group: Annotated[Name, Meta(description="Name of the group.")]


class GroupCapabilities(_Calling, frozen=True, kw_only=True, omit_defaults=True, tag="group_capabilities"):
    """Sum up what the members of a group can do, each and together."""

    operator: ClassVar[bool] = True
    group: Annotated[Name, Meta(description="Name of the group.")]
    refresh: Annotated[bool, Meta(description="Fetch the cards even if the cached ones are fresh.")] = False


OPERATOR_COMMANDS: tuple[type[Command], ...] = (
    AgentAdd,
    AgentUpdate,
    AgentRemove,
    AgentRename,
    AgentRefresh,
    AgentCapabilities,
    ArtifactList,
    ArtifactShow,
    ArtifactSave,
    ArtifactExport,
    ContextCreate,
    ContextFork,
    ContextClose,
    ContextExport,
    GroupCreate,
    GroupAdd,
    GroupRemove,
    GroupRename,
    GroupDelete,
    GroupCapabilities,
)
"""What only the command line accepts."""


def tag_of(command: Command | type[Command]) -> str:
    """Return the command's tag, e.g. ``task_get``."""
    tag = command.__struct_config__.tag
    assert isinstance(tag, str)
    return tag
