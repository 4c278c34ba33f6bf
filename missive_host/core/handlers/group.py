"""Groups of agents: who is in them, and what they can do together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from missive_host import commands as c, outputs_groups as g
from missive_host.core.views import given
from missive_host.errors import ConfigError, ValidationError
from missive_host.ids import now
from missive_host.outputs import Output
from missive_host.store.rows import GroupRow, MemberRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from missive_host.core.core import Core, Emit
    from missive_host.store import AgentRow, Tables


def group_list(core: Core, command: c.GroupList) -> Output:  # noqa: ARG001 - every handler gets its command
    def read(tables: Tables) -> tuple[g.GroupSummary, ...]:
        return tuple(_summary(row, tables.groups.members(row.name)) for row in tables.groups.list())

    groups = core.store.read(read)
    return Output(
        g.GroupListResult(
            profile=core.profile,
            count=len(groups),
            groups=groups,
            message=f"{len(groups)} group{'s' if len(groups) != 1 else ''}",
        )
    )


def group_show(core: Core, command: c.GroupShow) -> Output:
    group = core.store.read(lambda tables: _view(tables, command.group))
    return Output(
        g.GroupShowResult(
            profile=core.profile,
            group=group,
            message=f"group '{group.name}' has {_members(group.member_count)}",
        )
    )


def group_create(core: Core, command: c.GroupCreate) -> Output:
    at = now()
    row = GroupRow(
        name=command.group,
        routing_policy=_known_policy(core, command.routing_policy),
        notes=command.notes,
        metadata=command.metadata,
        created_at=at,
        updated_at=at,
    )

    def write(tables: Tables) -> g.GroupView:
        tables.groups.create(row)
        tables.events.append(
            _event(
                "missive.group.create",
                group=row.name,
                routing_policy=row.routing_policy,
                notes=row.notes,
                metadata=row.metadata,
            )
        )
        return _view(tables, row.name)

    group = core.store.write(write)
    return Output(
        g.GroupCreateResult(
            profile=core.profile,
            action="create",
            group=group,
            message=f"group '{group.name}' created; next: missive group add {group.name} AGENT --rank RANK",
        )
    )


def group_add(core: Core, command: c.GroupAdd) -> Output:
    at = now()
    row = MemberRow(
        group=command.group,
        agent=command.agent,
        rank=command.rank,
        tags=tuple(dict.fromkeys(command.tags)),
        weight=command.weight,
        routing_metadata=command.routing_metadata,
        created_at=at,
        updated_at=at,
    )

    def write(tables: Tables) -> tuple[g.GroupView, bool]:
        added = tables.groups.put_member(row)
        tables.events.append(
            _event(
                "missive.group.member.add",
                agent=row.agent,
                group=row.group,
                rank=row.rank,
                tags=list(row.tags),
                weight=row.weight,
                routing_metadata=row.routing_metadata,
                updated=not added,
            )
        )
        return _view(tables, row.group), added

    group, added = core.store.write(write)
    member = next(member for member in group.members if member.agent == row.agent)
    done = f"added to group '{group.name}' as" if added else f"in group '{group.name}' changed: now"
    return Output(
        g.GroupAddResult(
            profile=core.profile,
            action="add",
            group=group,
            member=member,
            message=f"agent '{row.agent}' {done} rank '{row.rank}'",
        )
    )


def group_remove(core: Core, command: c.GroupRemove) -> Output:
    def write(tables: Tables) -> tuple[MemberRow, g.GroupView]:
        member = tables.groups.remove_member(command.group, command.agent)
        tables.events.append(removal_event(member))
        return member, _view(tables, command.group)

    member, group = core.store.write(write)
    return Output(
        g.GroupRemoveResult(
            profile=core.profile,
            action="remove",
            group=group,
            member=member_view(member),
            message=f"agent '{command.agent}' removed from group '{group.name}'",
        )
    )


def group_rename(core: Core, command: c.GroupRename) -> Output:
    def write(tables: Tables) -> g.GroupView:
        tables.groups.rename(command.group, command.new_name, now())
        tables.events.append(_event("missive.group.rename", previous_name=command.group, group=command.new_name))
        return _view(tables, command.new_name)

    group = core.store.write(write)
    return Output(
        g.GroupRenameResult(
            profile=core.profile,
            action="rename",
            previous_name=command.group,
            group=group,
            message=f"group '{command.group}' is now '{group.name}'",
        )
    )


def group_delete(core: Core, command: c.GroupDelete) -> Output:
    def write(tables: Tables) -> g.GroupView:
        group = _view(tables, command.group)
        tables.groups.delete(command.group)
        tables.events.append(_event("missive.group.delete", group=group.name, deleted_group=msgspec.to_builtins(group)))
        return group

    group = core.store.write(write)
    return Output(
        g.GroupDeleteResult(
            profile=core.profile,
            action="delete",
            group=group,
            message=f"group '{group.name}' deleted; its agents stay registered",
        )
    )


async def group_capabilities(core: Core, command: c.GroupCapabilities, emit: Emit) -> None:
    """Sum up the members of a group; one that cannot be reached is told of, not fatal."""
    from missive_host.core.capabilities import capabilities_of_all

    def read(tables: Tables) -> tuple[tuple[MemberRow, ...], tuple[AgentRow, ...]]:
        tables.groups.get(command.group)
        members = tables.groups.members(command.group)
        return members, tuple(tables.agents.get(member.agent) for member in members)

    rows, agents = core.store.read(read)
    found = await capabilities_of_all(core, agents, refresh=command.refresh)
    members = tuple(
        g.MemberCapabilities(
            agent=row.agent,
            rank=row.rank,
            weight=row.weight,
            member_tags=row.tags,
            routing_metadata=row.routing_metadata,
            capabilities=found[row.agent],
        )
        for row in rows
    )
    await emit(
        Output(
            g.GroupCapabilitiesResult(
                profile=core.profile,
                group=command.group,
                member_count=len(members),
                aggregate=_aggregate(members),
                members=members,
                message=f"group '{command.group}' has {_members(len(members))}",
            )
        )
    )


def _aggregate(members: Sequence[g.MemberCapabilities]) -> g.GroupAggregate:
    can = [member.capabilities for member in members]

    def union(field: str) -> tuple[str, ...]:
        return tuple(sorted({text for one in can for text in getattr(one, field)}))

    statuses: dict[str, int] = {}
    for one in can:
        statuses[one.cache["status"]] = statuses.get(one.cache["status"], 0) + 1
    tags = {tag for member in members for tag in (*member.member_tags, *member.capabilities.tags)}
    return g.GroupAggregate(
        tags=tuple(sorted(tags)),
        capability_labels=union("capability_labels"),
        input_modes=union("input_modes"),
        output_modes=union("output_modes"),
        streaming_supported=sum(one.supports_streaming is True for one in can),
        push_supported=sum(one.supports_push_notifications is True for one in can),
        cache_statuses=dict(sorted(statuses.items())),
    )


def _known_policy(core: Core, name: str) -> str:
    """Return a policy's name; ``_`` for ``-`` is understood. Raises `ValidationError` if no plugin provides it.

    That of the default is not looked up: plugins are loaded only for what needs them.
    """
    if name == "direct":
        return name
    try:
        return core.plugins.policy(name)[0].name
    except ConfigError as error:
        if "_" in name:
            return _known_policy(core, name.replace("_", "-"))
        raise ValidationError(f"field `routing_policy`: {error.message}", help=error.help) from None


# --- views


def member_view(row: MemberRow) -> g.GroupMemberView:
    return g.GroupMemberView(
        agent=row.agent,
        rank=row.rank,
        tags=row.tags,
        weight=row.weight,
        routing_metadata=row.routing_metadata,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _view(tables: Tables, name: str) -> g.GroupView:
    """Return a group with its members. Raises `ValidationError` if it is unknown."""
    row, members = tables.groups.get(name), tables.groups.members(name)
    return g.GroupView(
        name=row.name,
        routing_policy=row.routing_policy,
        notes=given(row.notes),
        metadata=row.metadata,
        source=row.source,
        read_only=row.read_only,
        member_count=len(members),
        members=tuple(member_view(member) for member in members),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _summary(row: GroupRow, members: Sequence[MemberRow]) -> g.GroupSummary:
    return g.GroupSummary(
        name=row.name,
        routing_policy=row.routing_policy,
        notes=given(row.notes),
        metadata=row.metadata,
        source=row.source,
        read_only=row.read_only,
        member_count=len(members),
        agents=tuple(member.agent for member in members),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


def _members(count: int) -> str:
    return f"{count} member{'s' if count != 1 else ''}"


# --- the journal


def removal_event(member: MemberRow) -> Any:
    """Return the event of an agent that leaves a group."""
    return _event(
        "missive.group.member.remove",
        agent=member.agent,
        group=member.group,
        removed_member=msgspec.to_builtins(member_view(member)),
    )


def _event(event_type: str, *, agent: str | None = None, **payload: Any) -> Any:
    from missive_host.core.recorder import journal_event

    if agent is not None:
        payload["agent"] = agent
    return journal_event(event_type, source="core", agent_alias=agent, payload=payload)
