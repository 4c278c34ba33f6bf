"""Agents: how they are registered, and what their cards say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import UNSET
from msgspec.structs import replace

from missive_host import commands as c
from missive_host import outputs as o
from missive_host.core.views import agent_view
from missive_host.errors import MissiveError, ValidationError, nearest
from missive_host.ids import now
from missive_host.store.rows import AgentRow

if TYPE_CHECKING:
    from missive_host.core.agents import Card
    from missive_host.core.core import Core, Emit
    from missive_host.store import Tables


def agent_list(core: Core, command: c.AgentList) -> o.Output:
    rows = core.store.read(lambda tables: tables.agents.list(tag=command.tag))
    return o.Output(
        o.AgentListResult(
            profile=core.profile,
            count=len(rows),
            agents=tuple(agent_view(row) for row in rows),
            message=f"{len(rows)} agent{'s' if len(rows) != 1 else ''} registered",
        )
    )


def agent_show(core: Core, command: c.AgentShow) -> o.Output:
    row = core.store.read(lambda tables: tables.agents.get(command.agent))
    return o.Output(
        o.AgentShowResult(profile=core.profile, agent=agent_view(row), message=f"agent '{row.alias}' at {row.base_url}")
    )


def agent_add(core: Core, command: c.AgentAdd) -> o.Output:
    from missive_host.a2a.cards import check_url

    at = now()
    row = AgentRow(
        alias=command.agent,
        base_url=check_url(command.url),
        interface_urls=_interfaces(command.interfaces),
        binding_preference=_preference(command.binding_preference),
        auth_ref=_auth_ref(core, command.auth_ref),
        tags=tuple(dict.fromkeys(command.tags)),
        notes=command.notes,
        metadata=command.metadata,
        created_at=at,
        updated_at=at,
    )

    def write(tables: Tables) -> AgentRow:
        tables.agents.add(row)
        tables.events.append(_event("missive.agent.add", row))
        return tables.agents.get(row.alias)

    stored = core.store.write(write)
    return o.Output(
        o.AgentAddResult(
            profile=core.profile,
            agent=agent_view(stored),
            message=f"agent '{row.alias}' registered; try: missive send {row.alias} hello",
        )
    )


def agent_update(core: Core, command: c.AgentUpdate) -> o.Output:
    from missive_host.a2a.cards import check_url

    empty: dict[str, Any] = {
        "auth_ref": None, "notes": None, "metadata": {}, "interfaces": {}, "binding_preference": (), "tags": (),
    }  # fmt: skip
    preference, interfaces = _preference(command.binding_preference), _interfaces(command.interfaces)
    auth_ref = _auth_ref(core, command.auth_ref)

    def write(tables: Tables) -> AgentRow:
        row = tables.agents.get(command.agent)
        cleared = {{"interfaces": "interface_urls"}.get(name, name): empty[name] for name in command.clear}
        row = replace(row, **cleared)
        tags = tuple(tag for tag in dict.fromkeys((*row.tags, *command.tags)) if tag not in command.remove_tags)
        row = replace(
            row,
            base_url=check_url(command.url) if command.url else row.base_url,
            interface_urls={**row.interface_urls, **interfaces},
            binding_preference=preference or row.binding_preference,
            auth_ref=auth_ref or row.auth_ref,
            tags=tags,
            notes=row.notes if command.notes is None else command.notes,
            metadata={**row.metadata, **command.metadata},
            updated_at=now(),
        )
        tables.agents.update(row)
        tables.events.append(_event("missive.agent.update", row))
        return tables.agents.get(row.alias)

    row = core.store.write(write)
    return o.Output(
        o.AgentUpdateResult(profile=core.profile, agent=agent_view(row), message=f"agent '{row.alias}' updated")
    )


def agent_remove(core: Core, command: c.AgentRemove) -> o.Output:
    def write(tables: Tables) -> None:
        row = tables.agents.get(command.agent)
        tables.agents.remove(command.agent, purge=command.purge)
        tables.events.append(_event("missive.agent.remove", row, purged=command.purge))

    core.store.write(write)
    kept = "with all its tasks and messages" if command.purge else "its tasks and messages are kept"
    return o.Output(
        o.AgentRemoveResult(
            profile=core.profile,
            agent=command.agent,
            purged=command.purge,
            message=f"agent '{command.agent}' removed; {kept}"
            if not command.purge
            else f"agent '{command.agent}' removed {kept}",
        )
    )


def agent_rename(core: Core, command: c.AgentRename) -> o.Output:
    def write(tables: Tables) -> AgentRow:
        tables.agents.rename(command.agent, command.new_name, at=now())
        row = tables.agents.get(command.new_name)
        tables.events.append(_event("missive.agent.rename", row, previous=command.agent))
        return row

    row = core.store.write(write)
    return o.Output(
        o.AgentRenameResult(
            profile=core.profile,
            previous=command.agent,
            agent=agent_view(row),
            message=f"agent '{command.agent}' is now '{row.alias}'",
        )
    )


async def agent_inspect(core: Core, command: c.AgentInspect, emit: Emit) -> None:
    await _inspect(core, command.agent, emit, o.AgentInspectResult, refresh=command.refresh, binding=command.binding)


async def agent_refresh(core: Core, command: c.AgentRefresh, emit: Emit) -> None:
    await _inspect(core, command.agent, emit, o.AgentRefreshResult, refresh=True)


async def _inspect(
    core: Core,
    alias: str,
    emit: Emit,
    result: type[o.AgentInspectResult],
    *,
    refresh: bool,
    binding: str | None = None,
) -> None:
    row = core.agents.row(alias)
    card = await core.agents.card(row, refresh=refresh)
    interface = core.agents.interface(row, card.json, binding)
    await emit(
        o.Output(
            result(
                profile=core.profile,
                agent=agent_view(core.agents.row(alias)),
                cache=card.cache_view(),
                selected_interface=interface,
                card=_card_view(card),
                raw_card=card.json,
                message=f"{card.json['name']}: {interface.binding} {interface.protocol_version} at {interface.url}",
            )
        )
    )


def _card_view(card: Card) -> o.CardView:
    json = card.json
    interfaces = tuple(json.get("supportedInterfaces", ()))
    return o.CardView(
        name=json["name"],
        description=json.get("description", ""),
        provider=json.get("provider", UNSET),
        agent_version=json.get("version", ""),
        protocol_versions=tuple(dict.fromkeys(i["protocolVersion"] for i in interfaces if i.get("protocolVersion"))),
        documentation_url=json.get("documentationUrl", UNSET),
        icon_url=json.get("iconUrl", UNSET),
        supported_interfaces=interfaces,
        capabilities=json.get("capabilities", {}),
        default_input_modes=tuple(json.get("defaultInputModes", ())),
        default_output_modes=tuple(json.get("defaultOutputModes", ())),
        skills=tuple(json.get("skills", ())),
        security_schemes=tuple(json.get("securitySchemes", {})),
    )


async def agent_capabilities(core: Core, command: c.AgentCapabilities, emit: Emit) -> None:
    """Sum up one agent, or all; of all, one that cannot be reached is told of, not fatal."""
    import anyio

    from missive_host.core.agents import capability_summary

    rows = (core.agents.row(command.agent),) if command.agent else core.store.read(lambda tables: tables.agents.list())
    found: dict[str, o.Capabilities] = {}
    limit = anyio.Semaphore(core.settings.config.qos.concurrency)

    async def look(row: AgentRow) -> None:
        error: str | None = None
        card: Card | None = None
        async with limit:
            try:
                card = await core.agents.card(row, refresh=command.refresh)
            except MissiveError as failure:
                if command.agent:
                    raise
                error = core.report(failure).message
        summary = capability_summary(row.alias, row.tags, row.metadata, card.json if card else None)
        found[row.alias] = o.Capabilities(
            cache={"status": card.status, "fetched_at": card.row.fetched_at} if card else {"status": "missing"},
            error=UNSET if error is None else error,
            **summary,
        )

    if command.agent:
        await look(rows[0])
    else:
        async with anyio.create_task_group() as group:
            for row in rows:
                group.start_soon(look, row)
    await emit(
        o.Output(
            o.AgentCapabilitiesResult(
                profile=core.profile,
                count=len(rows),
                agents=tuple(found[row.alias] for row in rows),
                message=f"{len(rows)} agent{'s' if len(rows) != 1 else ''}",
            )
        )
    )


def _interfaces(interfaces: dict[str, str]) -> dict[str, str]:
    from missive_host.a2a.negotiate import known_binding

    result: dict[str, str] = {}
    for name, url in interfaces.items():
        binding = known_binding(name)
        if binding in result:
            raise ValidationError(f"field `interfaces`: the binding {binding} is given twice")
        result[binding] = url
    return result


def _preference(names: tuple[str, ...]) -> tuple[str, ...]:
    from missive_host.a2a.negotiate import known_binding

    return tuple(dict.fromkeys(known_binding(name) for name in names))


def _auth_ref(core: Core, name: str | None) -> str | None:
    refs = core.settings.config.auth_refs
    if name is not None and name not in refs:
        raise ValidationError(
            f"field `auth_ref`: the config has no auth ref '{name}'{nearest(name, tuple(refs))}",
            help=f'write [auth_refs.{name}] with env = "NAME" into the config; `missive config path` says where it is',
        )
    return name


def _event(event_type: str, row: AgentRow, **more: Any) -> Any:
    from missive_host.core.recorder import journal_event

    payload = {"alias": row.alias, "base_url": row.base_url, "tags": list(row.tags), **more}
    return journal_event(event_type, source="core", agent_alias=row.alias, payload=payload)
