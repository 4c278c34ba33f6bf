"""Agents: how they are registered, and what their cards say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import UNSET
from msgspec.structs import replace

from missive_host import commands as c, outputs as o
from missive_host.core.views import agent_view
from missive_host.errors import ValidationError, nearest
from missive_host.ids import now
from missive_host.store.rows import AgentRow

if TYPE_CHECKING:
    from missive_host.core.agents import Card
    from missive_host.core.core import Core, Emit
    from missive_host.store import BreakerRow, Tables


def agent_list(core: Core, command: c.AgentList) -> o.Output:
    rows, breakers = core.store.read(lambda tables: (tables.agents.list(tag=command.tag), tables.breakers.list()))
    failing = {breaker.alias: breaker for breaker in breakers}
    return o.Output(
        o.AgentListResult(
            profile=core.profile,
            count=len(rows),
            agents=tuple(agent_view(row, failing.get(row.alias)) for row in rows),
            message=f"{len(rows)} agent{'s' if len(rows) != 1 else ''} registered",
        )
    )


def agent_show(core: Core, command: c.AgentShow) -> o.Output:
    row, breaker = core.store.read(
        lambda tables: (tables.agents.get(command.agent), tables.breakers.get(command.agent))
    )
    return o.Output(
        o.AgentShowResult(
            profile=core.profile,
            agent=agent_view(row, breaker),
            message=f"agent '{row.alias}' at {row.base_url}",
        )
    )


def agent_add(core: Core, command: c.AgentAdd) -> o.Output:
    at = now()
    row = AgentRow(
        alias=command.agent,
        base_url=_url(core, command.url),
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


def _url(core: Core, url: str) -> str:
    """Return an agent's URL as it is stored. Raises `ValidationError`, or `PluginError` for a broken transport."""
    from missive_host.a2a.cards import check_url
    from missive_host.a2a.transport import scheme_of

    scheme = scheme_of(url)
    spec = None if scheme is None else core.plugins.transport_if_any(scheme)
    if spec is None:
        return check_url(url)
    core.plugins.require(spec)
    return url


def agent_update(core: Core, command: c.AgentUpdate) -> o.Output:
    empty: dict[str, Any] = {
        "auth_ref": None, "notes": None, "metadata": {}, "interfaces": {}, "binding_preference": (), "tags": (),
    }  # fmt: skip
    preference, interfaces = _preference(command.binding_preference), _interfaces(command.interfaces)
    auth_ref = _auth_ref(core, command.auth_ref)
    url = _url(core, command.url) if command.url else None

    def write(tables: Tables) -> tuple[AgentRow, BreakerRow | None]:
        row = tables.agents.get(command.agent)
        cleared = {{"interfaces": "interface_urls"}.get(name, name): empty[name] for name in command.clear}
        row = replace(row, **cleared)
        tags = tuple(tag for tag in dict.fromkeys((*row.tags, *command.tags)) if tag not in command.remove_tags)
        row = replace(
            row,
            base_url=url or row.base_url,
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
        return tables.agents.get(row.alias), tables.breakers.get(row.alias)

    row, breaker = core.store.write(write)
    return o.Output(
        o.AgentUpdateResult(
            profile=core.profile, agent=agent_view(row, breaker), message=f"agent '{row.alias}' updated"
        )
    )


def agent_remove(core: Core, command: c.AgentRemove) -> o.Output:
    def write(tables: Tables) -> tuple[str, ...]:
        row = tables.agents.get(command.agent)
        places = tables.groups.of_agent(command.agent)
        tables.agents.remove(command.agent, purge=command.purge)
        if places:
            from missive_host.core.handlers.group import removal_event

            for place in places:
                tables.events.append(removal_event(place))
        tables.events.append(_event("missive.agent.remove", row, purged=command.purge))
        return tuple(place.group for place in places)

    groups = core.store.write(write)
    if not command.purge:
        what = "; its tasks and messages are kept"
    elif groups:
        what = f" with all its tasks and messages, and taken out of {', '.join(groups)}"
    else:
        what = " with all its tasks and messages"
    return o.Output(
        o.AgentRemoveResult(
            profile=core.profile,
            agent=command.agent,
            purged=command.purge,
            message=f"agent '{command.agent}' removed{what}",
        )
    )


def agent_rename(core: Core, command: c.AgentRename) -> o.Output:
    def write(tables: Tables) -> tuple[AgentRow, BreakerRow | None]:
        tables.agents.rename(command.agent, command.new_name, at=now())
        row = tables.agents.get(command.new_name)
        tables.events.append(_event("missive.agent.rename", row, previous=command.agent))
        return row, tables.breakers.get(row.alias)

    row, breaker = core.store.write(write)
    return o.Output(
        o.AgentRenameResult(
            profile=core.profile,
            previous=command.agent,
            agent=agent_view(row, breaker),
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
                agent=agent_view(
                    *core.store.read(lambda tables: (tables.agents.get(alias), tables.breakers.get(alias)))
                ),
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
    from missive_host.core.capabilities import capabilities_of, capabilities_of_all

    agents: tuple[o.Capabilities, ...]
    if command.agent:
        agents = (await capabilities_of(core, core.agents.row(command.agent), refresh=command.refresh),)
    else:
        rows = core.store.read(lambda tables: tables.agents.list())
        agents = tuple((await capabilities_of_all(core, rows, refresh=command.refresh)).values())
    await emit(
        o.Output(
            o.AgentCapabilitiesResult(
                profile=core.profile,
                count=len(agents),
                agents=agents,
                message=f"{len(agents)} agent{'s' if len(agents) != 1 else ''}",
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
    metadata = {"row": stored_agent(row)}
    return journal_event(event_type, source="core", agent_alias=row.alias, payload=payload, metadata=metadata)


def stored_agent(row: AgentRow) -> dict[str, Any]:
    """Return a registration as the journal has it."""
    fields = (
        "source", "base_url", "interface_urls", "binding_preference", "auth_ref", "tags", "notes", "metadata",
    )  # fmt: skip
    return {name: getattr(row, name) for name in fields}
