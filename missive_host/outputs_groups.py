"""The result documents of ``missive group``."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from missive_host.outputs import Capabilities, Data, Json


class GroupMemberView(msgspec.Struct, frozen=True, kw_only=True):
    """An agent in a group."""

    agent: str
    rank: str
    tags: tuple[str, ...]
    weight: float
    routing_metadata: Json
    created_at: str
    updated_at: str


class GroupSummary(msgspec.Struct, frozen=True, kw_only=True):
    """A group as a list shows it."""

    name: str
    routing_policy: str
    metadata: Json
    source: str
    """``local`` or ``config_seed``."""
    read_only: bool
    member_count: int
    agents: tuple[str, ...]
    """The members' aliases in order of rank."""
    created_at: str
    updated_at: str
    notes: str | UnsetType = UNSET


class GroupView(msgspec.Struct, frozen=True, kw_only=True):
    """A group with its members in order of rank."""

    name: str
    routing_policy: str
    metadata: Json
    source: str
    """``local`` or ``config_seed``."""
    read_only: bool
    member_count: int
    members: tuple[GroupMemberView, ...]
    created_at: str
    updated_at: str
    notes: str | UnsetType = UNSET


class GroupListResult(Data, frozen=True, kw_only=True):
    kind = "group_list"
    profile: str
    count: int
    groups: tuple[GroupSummary, ...]
    message: str


class GroupShowResult(Data, frozen=True, kw_only=True):
    kind = "group_show"
    profile: str
    group: GroupView
    message: str


class GroupCreateResult(Data, frozen=True, kw_only=True):
    kind = "group_create"
    profile: str
    action: str
    """``create``."""
    group: GroupView
    message: str


class GroupRenameResult(Data, frozen=True, kw_only=True):
    kind = "group_rename"
    profile: str
    action: str
    """``rename``."""
    previous_name: str
    group: GroupView
    message: str


class GroupDeleteResult(Data, frozen=True, kw_only=True):
    kind = "group_delete"
    profile: str
    action: str
    """``delete``."""
    group: GroupView
    """As it was."""
    message: str


class GroupAddResult(Data, frozen=True, kw_only=True):
    kind = "group_add"
    profile: str
    action: str
    """``add``, also if the agent was in the group already."""
    group: GroupView
    member: GroupMemberView
    message: str


class GroupRemoveResult(Data, frozen=True, kw_only=True):
    kind = "group_remove"
    profile: str
    action: str
    """``remove``."""
    group: GroupView
    """As it is now."""
    member: GroupMemberView
    """As it was."""
    message: str


class GroupAggregate(msgspec.Struct, frozen=True, kw_only=True):
    """What the members of a group can do together: of the lists, what at least one of them has."""

    tags: tuple[str, ...]
    capability_labels: tuple[str, ...]
    input_modes: tuple[str, ...]
    output_modes: tuple[str, ...]
    streaming_supported: int
    """How many stream."""
    push_supported: int
    """How many send push notifications."""
    cache_statuses: dict[str, int]
    """How many cards came how: ``cached``, ``fetched``, ``refreshed``, ``not_modified``, ``missing``."""


class MemberCapabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What a member can do."""

    agent: str
    rank: str
    weight: float
    member_tags: tuple[str, ...]
    """Its tags in this group."""
    routing_metadata: Json
    capabilities: Capabilities


class GroupCapabilitiesResult(Data, frozen=True, kw_only=True):
    kind = "group_capabilities"
    profile: str
    group: str
    member_count: int
    aggregate: GroupAggregate
    members: tuple[MemberCapabilities, ...]
    message: str
