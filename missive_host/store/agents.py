"""The registry of agents and the cache of their cards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from missive_host.errors import ValidationError, nearest
from missive_host.store.rows import AgentRow, CardRow
from missive_host.store.values import Where, from_json, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Connection

_SELECT = """
    SELECT a.alias, a.source, a.base_url, a.interface_urls_json, a.binding_preference_json, a.auth_ref, a.tags_json,
           a.notes, a.metadata_json, a.read_only, a.created_at, a.updated_at,
           c.fetched_at, c.etag, c.last_modified, c.expires_at
    FROM agents a LEFT JOIN agent_cards c ON c.alias = a.alias
"""
_SELECT_CARDS = """
    SELECT alias, url, card_json, etag, last_modified, fetched_at, expires_at, max_age FROM agent_cards
"""
_AMONG = "IN (SELECT value FROM json_each(?))"
_INSERT = """
    INSERT INTO agents (source, base_url, interface_urls_json, binding_preference_json, auth_ref, tags_json, notes,
                        metadata_json, read_only, updated_at, alias, created_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (alias) DO NOTHING
"""
_UPDATE = """
    UPDATE agents SET source = ?, base_url = ?, interface_urls_json = ?, binding_preference_json = ?, auth_ref = ?,
                      tags_json = ?, notes = ?, metadata_json = ?, read_only = ?, updated_at = ? WHERE alias = ?
"""


class Agents:
    """Agents by alias."""

    def __init__(self, connection: Connection) -> None:
        self._execute = connection.execute

    def add(self, agent: AgentRow) -> None:
        """Register an agent. Raises `ValidationError` if the alias is taken."""
        if self._execute(_INSERT, (*_values(agent), agent.alias, agent.created_at)).rowcount == 0:
            raise ValidationError(
                f"agent '{agent.alias}' is already registered",
                help="`missive agent update` changes it; `missive agent list` shows all",
            )

    def find(self, alias: str) -> AgentRow | None:
        row = self._execute(f"{_SELECT} WHERE a.alias = ?", (alias,)).fetchone()
        return _agent(row) if row else None

    def get(self, alias: str) -> AgentRow:
        """Return an agent. Raises `ValidationError` that names the nearest alias."""
        agent = self.find(alias)
        if agent is None:
            known = [row[0] for row in self._execute("SELECT alias FROM agents")]
            if self._execute("SELECT 1 FROM groups WHERE name = ?", (alias,)).fetchone() is not None:
                raise ValidationError(
                    f"no agent '{alias}' is registered: it is a group",
                    help=f"`missive send --group {alias} MESSAGE` sends to one of its members,"
                    f" `missive bcast {alias} MESSAGE` to all",
                )
            raise ValidationError(
                f"no agent '{alias}' is registered{nearest(alias, known)}",
                help="`missive agent list` shows all; `missive agent add ALIAS URL` registers one",
            )
        return agent

    def require(self, alias: str) -> None:
        """As `get`, for its error alone."""
        if self._execute("SELECT 1 FROM agents WHERE alias = ?", (alias,)).fetchone() is None:
            self.get(alias)

    def stamp(self, alias: str) -> tuple[str, str | None, str | None, int | None] | None:
        """Return when the registration changed, when the card was fetched and expires, and the failures counted."""
        row: tuple[str, str | None, str | None, int | None] | None = self._execute(
            "SELECT a.updated_at, c.fetched_at, c.expires_at, b.failures FROM agents a"
            " LEFT JOIN agent_cards c USING (alias) LEFT JOIN breakers b USING (alias) WHERE a.alias = ?",
            (alias,),
        ).fetchone()
        return row

    def list(self, *, tag: str | None = None) -> tuple[AgentRow, ...]:
        """Return the agents in order of alias, all or those with `tag`."""
        where = Where().given("EXISTS (SELECT 1 FROM json_each(a.tags_json) WHERE value = ?)", tag)
        return tuple(_agent(row) for row in self._execute(where.sql(_SELECT, "ORDER BY a.alias"), where.values))

    def among(self, aliases: Sequence[str]) -> dict[str, AgentRow]:
        """Return those of the agents that are registered, by alias."""
        rows = self._execute(f"{_SELECT} WHERE a.alias {_AMONG}", (to_json(aliases),))
        return {agent.alias: agent for agent in map(_agent, rows)}

    def update(self, agent: AgentRow) -> None:
        """Replace an agent's registration. The cached card and the breaker go when the URL changes.

        Raises `ValidationError` if it is unknown or comes from the config.
        """
        self._replace(self._writable(agent.alias), agent)

    def remove(self, alias: str, *, purge: bool = False) -> None:
        """Forget an agent and its card; with `purge` also its tasks, artifacts, messages, sessions and remote
        contextIds.

        With `purge` it leaves its groups and the operations that it took part in; without, an agent that is in a
        group is kept. Contexts and the event journal stay. Raises `ValidationError` if the agent is unknown, comes
        from the config, or is in a group.
        """
        self._writable(alias)
        if not purge:
            self._refuse_member(alias)
        self._execute("DELETE FROM agents WHERE alias = ?", (alias,))
        if purge:
            self._execute("DELETE FROM tasks WHERE agent_alias = ?", (alias,))
            self._execute("DELETE FROM messages WHERE agent_alias = ?", (alias,))
            self._execute("DELETE FROM remote_contexts WHERE agent_alias = ?", (alias,))
            self._execute("DELETE FROM operation_members WHERE agent_alias = ?", (alias,))
            self._execute("DELETE FROM sessions WHERE target = 'agent:' || ?", (alias,))

    def rename(self, alias: str, new_alias: str, *, at: str) -> None:
        """Give an agent another alias; its card, contexts, tasks, artifacts, messages, sessions and groups go with it.

        The event journal keeps the alias of its time. Raises `ValidationError` if the agent is unknown or comes
        from the config, or if the new alias is taken by an agent or still holds what a removed agent left.
        """
        self._writable(alias)
        if self.find(new_alias) is not None:
            raise ValidationError(
                f"agent '{new_alias}' is already registered", help="choose another alias, or remove that agent first"
            )
        if self._holds_rows(new_alias):
            raise ValidationError(
                f"the alias '{new_alias}' still holds tasks or messages of an agent that was removed",
                help=f"choose another alias; or register '{new_alias}' again and remove it with --purge",
            )
        self._execute("UPDATE agents SET alias = ?, updated_at = ? WHERE alias = ?", (new_alias, at, alias))
        for statement in (
            "UPDATE contexts SET agent_alias = ? WHERE agent_alias = ?",
            "UPDATE remote_contexts SET agent_alias = ? WHERE agent_alias = ?",
            "UPDATE tasks SET agent_alias = ? WHERE agent_alias = ?",
            "UPDATE messages SET agent_alias = ? WHERE agent_alias = ?",
            "UPDATE operation_members SET agent_alias = ? WHERE agent_alias = ?",
            # What a removed agent of the new alias has left gives way.
            "UPDATE OR REPLACE sessions SET target = 'agent:' || ? WHERE target = 'agent:' || ?",
        ):
            self._execute(statement, (new_alias, alias))

    def is_seeded(self, agents: Sequence[AgentRow]) -> bool:
        """Tell whether `seed` would have nothing to do. For a read, so that a command need not write."""
        changed, gone = self._seeding(agents)
        return not changed and not gone

    def seed(self, agents: Sequence[AgentRow]) -> None:
        """Make the registry follow the config: write its agents as read-only, forget those gone from it.

        The config wins over an agent that was registered by hand under the same alias.
        """
        changed, gone = self._seeding(agents)
        for agent in changed:
            stored = self.find(agent.alias)
            if stored is None:
                self.add(agent)
            else:
                self._replace(stored, agent)
        for alias in gone:
            self._execute("DELETE FROM agents WHERE alias = ?", (alias,))

    # --- cards

    def card(self, alias: str) -> CardRow | None:
        """Return an agent's cached card."""
        row = self._execute(f"{_SELECT_CARDS} WHERE alias = ?", (alias,)).fetchone()
        return _card(row) if row else None

    def cards(self, aliases: Sequence[str]) -> dict[str, CardRow]:
        """Return the cached cards of several agents, by alias."""
        rows = self._execute(f"{_SELECT_CARDS} WHERE alias {_AMONG}", (to_json(aliases),))
        return {card.alias: card for card in map(_card, rows)}

    def put_card(self, card: CardRow) -> None:
        """Cache a card, in place of the one before. The agent must be registered."""
        self._execute(
            "INSERT INTO agent_cards (alias, url, card_json, etag, last_modified, fetched_at, expires_at, max_age)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (alias) DO UPDATE SET url = excluded.url,"
            " card_json = excluded.card_json, etag = excluded.etag, last_modified = excluded.last_modified,"
            " fetched_at = excluded.fetched_at, expires_at = excluded.expires_at, max_age = excluded.max_age",
            (
                card.alias, card.url, to_json(card.card), card.etag, card.last_modified, card.fetched_at,
                card.expires_at, card.max_age,
            ),
        )  # fmt: skip

    def delete_card(self, alias: str) -> None:
        self._execute("DELETE FROM agent_cards WHERE alias = ?", (alias,))

    # ---

    def _writable(self, alias: str) -> AgentRow:
        agent = self.get(alias)
        if agent.read_only:
            raise ValidationError(
                f"agent '{alias}' comes from the config and cannot be changed here",
                help=f"change [agents.{alias}] in the config file",
            )
        return agent

    def _replace(self, stored: AgentRow, agent: AgentRow) -> None:
        self._execute(_UPDATE, (*_values(agent), agent.alias))
        if stored.base_url != agent.base_url:
            self.delete_card(agent.alias)
            self._execute("DELETE FROM breakers WHERE alias = ?", (agent.alias,))  # its failures were another's

    def _refuse_member(self, alias: str) -> None:
        rows = self._execute("SELECT group_name FROM group_members WHERE agent_alias = ? ORDER BY group_name", (alias,))
        groups = [row[0] for row in rows]
        if groups:
            raise ValidationError(
                f"agent '{alias}' is in the group{'s' if len(groups) > 1 else ''} {', '.join(groups)}",
                help=f"`missive group remove GROUP {alias}` takes it out; `missive agent remove {alias} --purge` "
                "takes it out of all of them, and deletes its tasks and messages",
            )

    def _holds_rows(self, alias: str) -> bool:
        row = self._execute(
            "SELECT EXISTS (SELECT 1 FROM tasks WHERE agent_alias = ?1)"
            " OR EXISTS (SELECT 1 FROM messages WHERE agent_alias = ?1)"
            " OR EXISTS (SELECT 1 FROM remote_contexts WHERE agent_alias = ?1)"
            " OR EXISTS (SELECT 1 FROM operation_members WHERE agent_alias = ?1)",
            (alias,),
        ).fetchone()
        return bool(row[0])

    def _seeding(self, agents: Sequence[AgentRow]) -> tuple[tuple[AgentRow, ...], tuple[str, ...]]:
        """Return the rows that differ from the config, as they should be, and the aliases that are gone from it."""
        stored = {agent.alias: agent for agent in self.list()}
        wanted = {agent.alias: _as_seed(agent) for agent in agents}
        changed = tuple(
            agent
            for alias, agent in wanted.items()
            if alias not in stored or _values(stored[alias])[:-1] != _values(agent)[:-1]  # the last is updated_at
        )
        gone = tuple(a.alias for a in stored.values() if a.source == "config_seed" and a.alias not in wanted)
        return changed, gone


def _as_seed(agent: AgentRow) -> AgentRow:
    from msgspec.structs import replace

    return replace(agent, source="config_seed", read_only=True)


def _values(agent: AgentRow) -> tuple[Any, ...]:
    return (
        agent.source,
        agent.base_url,
        to_json(agent.interface_urls),
        to_json(agent.binding_preference),
        agent.auth_ref,
        to_json(agent.tags),
        agent.notes,
        to_json(agent.metadata),
        int(agent.read_only),
        agent.updated_at,
    )


def _agent(row: tuple[Any, ...]) -> AgentRow:
    return AgentRow(
        alias=row[0],
        source=row[1],
        base_url=row[2],
        interface_urls=from_json(row[3]),
        binding_preference=tuple(from_json(row[4])),
        auth_ref=row[5],
        tags=tuple(from_json(row[6])),
        notes=row[7],
        metadata=from_json(row[8]),
        read_only=bool(row[9]),
        created_at=row[10],
        updated_at=row[11],
        card_fetched_at=row[12],
        card_etag=row[13],
        card_last_modified=row[14],
        card_expires_at=row[15],
    )


def _card(row: tuple[Any, ...]) -> CardRow:
    return CardRow(
        alias=row[0],
        url=row[1],
        card=from_json(row[2]),
        etag=row[3],
        last_modified=row[4],
        fetched_at=row[5],
        expires_at=row[6],
        max_age=row[7],
    )
