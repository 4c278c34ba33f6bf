"""What is known here: agents, contexts, groups and artifacts."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from missive_host.commands.base import Binding, Calling, Command, Metadata, Name, NonEmpty, Notes, OpaqueId, ShortText


class AgentList(Command, frozen=True, kw_only=True, omit_defaults=True, tag="agent_list"):
    """List the agents that are registered."""

    store_only: ClassVar[bool] = True
    tag: Annotated[Name | None, Meta(description="Only agents with this tag.")] = None


class AgentShow(Command, frozen=True, kw_only=True, omit_defaults=True, tag="agent_show"):
    """Show how an agent is registered."""

    store_only: ClassVar[bool] = True
    agent: Annotated[Name, Meta(description="Alias of the agent.")]


class AgentInspect(Calling, frozen=True, kw_only=True, omit_defaults=True, tag="agent_inspect"):
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


class Registering(Command, frozen=True, kw_only=True, omit_defaults=True):
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


class AgentAdd(Registering, frozen=True, kw_only=True, omit_defaults=True, tag="agent_add"):
    """Register an agent under an alias."""

    agent: Annotated[Name, Meta(description="The alias to give it.")]
    url: Annotated[
        NonEmpty, Meta(description="Its base URL, the full URL of its Agent Card, or a card in a local file.")
    ]


class AgentUpdate(Registering, frozen=True, kw_only=True, omit_defaults=True, tag="agent_update"):
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


class AgentRefresh(Calling, frozen=True, kw_only=True, omit_defaults=True, tag="agent_refresh"):
    """Fetch an agent's card again."""

    operator: ClassVar[bool] = True
    agent: Annotated[Name, Meta(description="Alias of the agent.")]


class AgentCapabilities(Calling, frozen=True, kw_only=True, omit_defaults=True, tag="agent_capabilities"):
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


class GroupCapabilities(Calling, frozen=True, kw_only=True, omit_defaults=True, tag="group_capabilities"):
    """Sum up what the members of a group can do, each and together."""

    operator: ClassVar[bool] = True
    group: Annotated[Name, Meta(description="Name of the group.")]
    refresh: Annotated[bool, Meta(description="Fetch the cards even if the cached ones are fresh.")] = False
