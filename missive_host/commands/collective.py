"""Routes, and the collectives: to all members of a group at once."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from missive_host.commands.base import (
    Calling,
    Content,
    Duration,
    HistoryLength,
    MediaType,
    Metadata,
    Name,
    NonEmpty,
    OpaqueId,
    Requirements,
    TaskState,
)


class RouteExplain(Calling, frozen=True, kw_only=True, omit_defaults=True, tag="route_explain"):
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


class Bcast(Content, frozen=True, kw_only=True, omit_defaults=True, tag="bcast"):
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


class Barrier(Calling, frozen=True, kw_only=True, omit_defaults=True, tag="barrier"):
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


class Gather(Calling, frozen=True, kw_only=True, omit_defaults=True, tag="gather"):
    """Collect what the members of a group answered in a context."""

    own_deadline: ClassVar[bool] = True
    operator_fields: ClassVar[tuple[str, ...]] = ("output_dir", "force")
    group: Annotated[Name, Meta(description="Name of the group.")]
    context: Annotated[OpaqueId, Meta(description="The context of the broadcast.")]
    refresh: Annotated[bool, Meta(description="Ask the agents for their tasks first.")] = False
    output_dir: Annotated[NonEmpty | None, Meta(description="Write what they made into this folder.")] = None
    force: Annotated[bool, Meta(description="Write over files that exist.")] = False


class Reducing(Calling, frozen=True, kw_only=True, omit_defaults=True):
    strategy: Annotated[Name, Meta(description="The reducer: summarise, merge, vote, rank, custom or a plugin's.")] = (
        "summarise"
    )
    template: Annotated[str | None, Meta(description="Template, with placeholders such as {{inputs}}.")] = None
    settings: Annotated[Metadata, Meta(description="Further settings of the reducer, KEY=VALUE.")] = msgspec.field(
        default_factory=dict
    )
    reducer_agent: Annotated[Name | None, Meta(description="Let this agent reduce.")] = None


class Reduce(Reducing, frozen=True, kw_only=True, omit_defaults=True, tag="reduce"):
    """Make one answer of what the members of a group answered in a context."""

    own_deadline: ClassVar[bool] = True
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


class Scatter(Content, frozen=True, kw_only=True, omit_defaults=True, tag="scatter"):
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


class Allreduce(Content, frozen=True, kw_only=True, omit_defaults=True, tag="allreduce"):
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
    required: Annotated[
        Annotated[int, Meta(ge=1)] | None,
        Meta(description="How many members must complete; all. When they have, the others are not waited for."),
    ] = None
    failure_policy: Annotated[FailurePolicy, Meta(description="As for a barrier.")] = "continue"
