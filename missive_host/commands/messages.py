"""Messages to agents, and the tasks that they make of them."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from missive_host.commands.base import (
    Binding,
    Calling,
    Content,
    Duration,
    HistoryLength,
    Name,
    NonEmpty,
    OpaqueId,
    Requirements,
    TaskSource,
    TaskState,
    Timestamp,
)


class Message(Content, frozen=True, kw_only=True, omit_defaults=True):
    """To one agent, or to a group of which a policy chooses."""

    agent: Annotated[Name | None, Meta(description="Alias of the agent, as in `missive agent list`.")] = None
    group: Annotated[Name | None, Meta(description="Send to this group instead; its policy chooses the agent.")] = None
    policy: Annotated[Name | None, Meta(description="Choose by this policy instead of the group's own.")] = None
    requirements: Annotated[Requirements, Meta(description="What an agent must be able to do to be chosen.")] = (
        msgspec.field(default_factory=Requirements)
    )
    preferred_agent: Annotated[Name | None, Meta(description="The member to prefer, if it fits.")] = None
    quorum: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="How many must complete, if the policy is quorum.")
    ] = None
    task: Annotated[OpaqueId | None, Meta(description="The agent's task that this message continues.")] = None
    binding: Annotated[Binding | None, Meta(description="Use this binding: json-rpc, http+json or grpc.")] = None


class Send(Message, frozen=True, kw_only=True, omit_defaults=True, tag="send"):
    """Send a message to an agent and wait for its answer: a message, or a task that has ended or waits for us."""

    return_immediately: Annotated[
        bool, Meta(description="Return as soon as the agent has taken the message, with the ids to follow it.")
    ] = False


class Stream(Message, frozen=True, kw_only=True, omit_defaults=True, tag="stream"):
    """Send a message to an agent and see its updates as they happen."""

    force: Annotated[bool, Meta(description="Ask for a stream even if the agent's card does not promise one.")] = False
    fallback: Annotated[
        bool, Meta(description="If the agent's card does not offer a stream, send it as `send` does: one answer.")
    ] = False


class TaskGet(Calling, frozen=True, kw_only=True, omit_defaults=True, tag="task_get"):
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


class TaskList(Calling, frozen=True, kw_only=True, omit_defaults=True, tag="task_list"):
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


class TaskWait(Calling, frozen=True, kw_only=True, omit_defaults=True, tag="task_wait"):
    """Wait until a task has ended or waits for us (30 s unless `timeout` says otherwise)."""

    own_deadline: ClassVar[bool] = True
    task_id: Annotated[OpaqueId, Meta(description="The task's id.")]
    agent: Annotated[Name | None, Meta(description="The agent it belongs to.")] = None
    local: Annotated[bool, Meta(description="Watch only what is known here; do not ask the agent.")] = False
    interval: Annotated[Duration | None, Meta(description="How often to ask: 1s by default, at most 5s.")] = None
    history_length: Annotated[HistoryLength | None, Meta(description="How many messages to ask for.")] = None


class TaskCancel(Calling, frozen=True, kw_only=True, omit_defaults=True, tag="task_cancel"):
    """Ask the agent to cancel a task."""

    task_id: Annotated[OpaqueId, Meta(description="The task's id.")]
    agent: Annotated[Name | None, Meta(description="The agent it belongs to.")] = None


class TaskSubscribe(Calling, frozen=True, kw_only=True, omit_defaults=True, tag="task_subscribe"):
    """Follow a task that runs already: its state now, then its updates as they happen."""

    task_id: Annotated[OpaqueId, Meta(description="The task's id.")]
    agent: Annotated[Name | None, Meta(description="The agent it belongs to.")] = None
