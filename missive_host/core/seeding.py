"""The agents of the config file, brought into the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host.ids import now
from missive_host.store.rows import AgentRow

if TYPE_CHECKING:
    from missive_host.config import Config
    from missive_host.store import Store


def seed_agents(store: Store, config: Config) -> None:
    """Make the read-only agents of the store those of the config: new, changed and gone ones alike.

    Writes only if something differs, so that a command that merely reads takes no write lock.
    """
    at = now()
    seeds = tuple(
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
    if not store.read(lambda tables: tables.agents.is_seeded(seeds)):
        store.write(lambda tables: tables.agents.seed(seeds))
