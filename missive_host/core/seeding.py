"""The agents and groups of the config file, brought into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from missive_host.ids import now
from missive_host.store.rows import AgentRow, GroupRow, MemberRow

if TYPE_CHECKING:
    from missive_host.config import Config
    from missive_host.store import EventRow, Store, Tables


def seed(store: Store, config: Config) -> None:
    """Make the read-only agents and groups of the store those of the config: new, changed and gone ones alike.

    Writes only if something differs, so that a command that merely reads takes no write lock.
    """
    at = now()
    agents, groups = _agents(config, at), _groups(config, at)

    def is_seeded(tables: Tables) -> bool:
        return tables.agents.is_seeded(agents) and tables.groups.is_seeded(groups)

    def write(tables: Tables) -> None:
        _note_departures(tables, config)
        tables.agents.seed(agents)
        tables.groups.seed(groups)
        tables.events.append(_event(agents, groups, at))

    if not store.read(is_seeded):
        store.write(write)


def _note_departures(tables: Tables, config: Config) -> None:
    """Write into the journal which groups made by hand lose an agent because it is gone from the config."""
    for agent in tables.agents.list():
        if agent.source != "config_seed" or agent.alias in config.agents:
            continue
        for place in tables.groups.of_agent(agent.alias):
            if not tables.groups.get(place.group).read_only:
                from missive_host.core.handlers.group import removal_event

                tables.events.append(removal_event(place))


def _event(
    agents: tuple[AgentRow, ...], groups: tuple[tuple[GroupRow, tuple[MemberRow, ...]], ...], at: str
) -> EventRow:
    """Return the event of a config whose agents or groups are others than before."""
    from missive_host.core.handlers.agent import stored_agent
    from missive_host.core.recorder import journal_event

    rows = {
        "agents": {row.alias: stored_agent(row) for row in agents},
        "groups": {row.name: {"row": row, "members": members} for row, members in groups},
    }
    return journal_event(
        "missive.config.seeded",
        source="core",
        payload={"agents": [row.alias for row in agents], "groups": [row.name for row, _ in groups]},
        metadata=msgspec.to_builtins(rows),
        at=at,
    )


def _agents(config: Config, at: str) -> tuple[AgentRow, ...]:
    return tuple(
        AgentRow(
            alias=alias,
            source="config_seed",
            base_url=agent.base_url,
            interface_urls=dict(agent.interface_urls),
            binding_preference=tuple(agent.binding_preference),
            auth_ref=agent.auth_ref,
            tags=tuple(agent.tags),
            notes=agent.notes,
            metadata=dict(agent.metadata),
            read_only=True,
            created_at=at,
            updated_at=at,
        )
        for alias, agent in config.agents.items()
    )


def _groups(config: Config, at: str) -> tuple[tuple[GroupRow, tuple[MemberRow, ...]], ...]:
    return tuple(
        (
            GroupRow(
                name=name,
                source="config_seed",
                routing_policy=group.routing_policy,
                notes=group.notes,
                metadata=dict(group.metadata),
                read_only=True,
                created_at=at,
                updated_at=at,
            ),
            tuple(
                MemberRow(
                    group=name,
                    agent=member.agent,
                    rank=member.rank,
                    tags=tuple(dict.fromkeys(member.tags)),
                    weight=member.weight,
                    routing_metadata=dict(member.routing_metadata),
                    created_at=at,
                    updated_at=at,
                )
                for member in group.members
            ),
        )
        for name, group in config.groups.items()
    )
