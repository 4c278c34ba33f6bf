"""Groups of agents and their members."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

from missive_host.errors import ValidationError, nearest
from missive_host.store.rows import GroupRow, MemberRow
from missive_host.store.values import from_json, rank_order, to_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from sqlite3 import Connection

Row = TypeVar("Row", GroupRow, MemberRow)

_SELECT = """
    SELECT name, source, routing_policy, notes, metadata_json, read_only, created_at, updated_at FROM groups
"""
_PUT = """
    INSERT INTO groups (name, source, routing_policy, notes, metadata_json, read_only, created_at, updated_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (name) DO UPDATE SET source = excluded.source, routing_policy = excluded.routing_policy,
        notes = excluded.notes, metadata_json = excluded.metadata_json, read_only = excluded.read_only,
        updated_at = excluded.updated_at
"""
_SELECT_MEMBERS = """
    SELECT group_name, agent_alias, rank, tags_json, weight, routing_metadata_json, created_at, updated_at
    FROM group_members
"""
_PUT_MEMBER = """
    INSERT INTO group_members (group_name, agent_alias, rank, tags_json, weight, routing_metadata_json, created_at,
                               updated_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (group_name, agent_alias) DO UPDATE SET rank = excluded.rank, tags_json = excluded.tags_json,
        weight = excluded.weight, routing_metadata_json = excluded.routing_metadata_json,
        updated_at = excluded.updated_at
"""


class Groups:
    """Groups by name."""

    def __init__(self, connection: Connection) -> None:
        self._execute = connection.execute

    def create(self, group: GroupRow) -> None:
        """Add a group without members. Raises `ValidationError` if the name is taken."""
        if self.find(group.name) is not None:
            raise ValidationError(
                f"a group '{group.name}' exists already", help="`missive group list` shows all; choose another name"
            )
        self._put(group)

    def find(self, name: str) -> GroupRow | None:
        row = self._execute(f"{_SELECT} WHERE name = ?", (name,)).fetchone()
        return _group(row) if row else None

    def get(self, name: str) -> GroupRow:
        """Return a group. Raises `ValidationError` that names the nearest."""
        group = self.find(name)
        if group is None:
            known = [row[0] for row in self._execute("SELECT name FROM groups")]
            raise ValidationError(
                f"no group '{name}' is known{nearest(name, known)}",
                help="`missive group list` shows all; `missive group create NAME` makes one",
            )
        return group

    def list(self) -> tuple[GroupRow, ...]:
        """Return the groups in order of name."""
        return tuple(_group(row) for row in self._execute(f"{_SELECT} ORDER BY name"))

    def rename(self, name: str, new: str, at: str) -> None:
        """Give a group another name; its members, operations, sessions and what its routing remembers go with it.

        Raises `ValidationError` if it is unknown or comes from the config, or if the new name is taken.
        """
        self._writable(name)
        if self.find(new) is not None:
            raise ValidationError(f"a group '{new}' exists already", help="choose another name, or delete that one")
        self._execute("UPDATE groups SET name = ?, updated_at = ? WHERE name = ?", (new, at, name))
        self._execute("UPDATE operations SET group_name = ? WHERE group_name = ?", (new, name))
        self._execute(
            "UPDATE OR REPLACE sessions SET target = 'group:' || ? WHERE target = 'group:' || ?", (new, name)
        )  # what a group of that name has left, which went from the config, gives way

    def delete(self, name: str) -> None:
        """Forget a group, its members, sessions and what its routing remembers. Its operations and the journal stay.

        Raises `ValidationError` if it is unknown or comes from the config.
        """
        self._writable(name)
        self._execute("DELETE FROM groups WHERE name = ?", (name,))
        self._execute("DELETE FROM sessions WHERE target = 'group:' || ?", (name,))

    # --- members

    def put_member(self, member: MemberRow) -> bool:
        """Add an agent to a group, or change how it is in it. Return True if it is new there.

        Raises `ValidationError`: the group is unknown or comes from the config, the agent is not registered, the
        rank is another member's, the weight is not a positive, finite number.
        """
        self._writable(member.group)
        return self._put_member(member)

    def remove_member(self, group: str, agent: str) -> MemberRow:
        """Take an agent out of a group and return how it was in it.

        Raises `ValidationError` if it is not in it, or if the group is unknown or comes from the config.
        """
        self._writable(group)
        members = {member.agent: member for member in self.members(group)}
        if agent not in members:
            raise ValidationError(
                f"agent '{agent}' is not in the group '{group}'{nearest(agent, tuple(members))}",
                help=f"`missive group show {group}` shows who is",
            )
        self._execute("DELETE FROM group_members WHERE group_name = ? AND agent_alias = ?", (group, agent))
        return members[agent]

    def members(self, group: str) -> tuple[MemberRow, ...]:
        """Return the members of a group in order of rank, then agent; none if there is no such group."""
        rows = self._execute(f"{_SELECT_MEMBERS} WHERE group_name = ?", (group,))
        return tuple(sorted(map(_member, rows), key=_place))

    def of_agent(self, agent: str) -> tuple[MemberRow, ...]:
        """Return how an agent is in groups, in order of their names."""
        rows = self._execute(f"{_SELECT_MEMBERS} WHERE agent_alias = ? ORDER BY group_name", (agent,))
        return tuple(_member(row) for row in rows)

    # --- the config

    def is_seeded(self, groups: Sequence[tuple[GroupRow, Sequence[MemberRow]]]) -> bool:
        """Tell whether `seed` would have nothing to do. For a read, so that a command need not write."""
        changed, gone = self._seeding(groups)
        return not changed and not gone

    def seed(self, groups: Sequence[tuple[GroupRow, Sequence[MemberRow]]]) -> None:
        """Make the groups follow the config: write its groups as read-only, forget those gone from it.

        The config wins over a group that was made by hand under the same name. The agents must be there already.
        """
        changed, gone = self._seeding(groups)
        for group, members in changed:
            self._put(group)
            stored = {member.agent: member for member in self.members(group.name)}
            for agent in [agent for agent in stored if stored[agent] not in members]:
                # Also those that change: members may have swapped their ranks.
                self._execute("DELETE FROM group_members WHERE group_name = ? AND agent_alias = ?", (group.name, agent))
            for member in members:
                self._put_member(member)
        for name in gone:
            self._execute("DELETE FROM groups WHERE name = ?", (name,))

    def _seeding(
        self, groups: Sequence[tuple[GroupRow, Sequence[MemberRow]]]
    ) -> tuple[tuple[tuple[GroupRow, tuple[MemberRow, ...]], ...], tuple[str, ...]]:
        """Return the groups that differ from the config, as they should be, and the names that are gone from it.

        What is the same in both keeps its times, so that rows can be compared as they are.
        """
        from msgspec.structs import replace

        stored = {group.name: group for group in self.list()}
        changed = []
        for row, members in groups:
            group = stored.get(row.name)
            kept = {} if group is None else {member.agent: member for member in self.members(row.name)}
            # As it will be read: a date, which TOML has, becomes a text.
            metadata = from_json(to_json(row.metadata))
            wanted = _with_times_of(group, replace(row, source="config_seed", read_only=True, metadata=metadata))
            placed = [
                _with_times_of(
                    kept.get(member.agent),
                    replace(member, routing_metadata=from_json(to_json(member.routing_metadata))),
                )
                for member in members
            ]
            placed.sort(key=_place)
            if group != wanted or list(kept.values()) != placed:
                changed.append((wanted, tuple(placed)))
        names = {row.name for row, _ in groups}
        gone = tuple(g.name for g in stored.values() if g.source == "config_seed" and g.name not in names)
        return tuple(changed), gone

    # ---

    def _writable(self, name: str) -> GroupRow:
        group = self.get(name)
        if group.read_only:
            raise ValidationError(
                f"group '{name}' comes from the config and cannot be changed here",
                help=f"change [groups.{name}] in the config file",
            )
        return group

    def _put(self, group: GroupRow) -> None:
        self._execute(
            _PUT,
            (
                group.name, group.source, group.routing_policy, group.notes, to_json(group.metadata),
                int(group.read_only), group.created_at, group.updated_at,
            ),
        )  # fmt: skip

    def _put_member(self, member: MemberRow) -> bool:
        if not (math.isfinite(member.weight) and member.weight > 0):
            raise ValidationError(f"field `weight`: {member.weight} is not a positive, finite number")
        self._require_agent(member.agent)
        taken = self._execute(
            "SELECT agent_alias FROM group_members WHERE group_name = ? AND rank = ? AND agent_alias <> ?",
            (member.group, member.rank, member.agent),
        ).fetchone()
        if taken is not None:
            raise ValidationError(
                f"rank '{member.rank}' in the group '{member.group}' is taken by agent '{taken[0]}'",
                help=f"ranks are unique in a group; `missive group show {member.group}` shows them",
            )
        known = self._execute(
            "SELECT 1 FROM group_members WHERE group_name = ? AND agent_alias = ?", (member.group, member.agent)
        ).fetchone()
        self._execute(
            _PUT_MEMBER,
            (
                member.group, member.agent, member.rank, to_json(member.tags), member.weight,
                to_json(member.routing_metadata), member.created_at, member.updated_at,
            ),
        )  # fmt: skip
        return known is None

    def _require_agent(self, alias: str) -> None:
        if self._execute("SELECT 1 FROM agents WHERE alias = ?", (alias,)).fetchone() is None:
            known = [row[0] for row in self._execute("SELECT alias FROM agents")]
            raise ValidationError(
                f"no agent '{alias}' is registered{nearest(alias, known)}",
                help="only registered agents can be in a group; `missive agent add ALIAS URL` registers one",
            )


def _place(member: MemberRow) -> tuple[Any, ...]:
    return (rank_order(member.rank), member.agent)


def _with_times_of(stored: Row | None, wanted: Row) -> Row:
    """Return `wanted` with the time of its making kept, and that of its last change if nothing else differs."""
    from msgspec.structs import replace

    if stored is None:
        return wanted
    same = replace(wanted, created_at=stored.created_at, updated_at=stored.updated_at)
    return stored if same == stored else replace(wanted, created_at=stored.created_at)


def _group(row: tuple[Any, ...]) -> GroupRow:
    return GroupRow(
        name=row[0],
        source=row[1],
        routing_policy=row[2],
        notes=row[3],
        metadata=from_json(row[4]),
        read_only=bool(row[5]),
        created_at=row[6],
        updated_at=row[7],
    )


def _member(row: tuple[Any, ...]) -> MemberRow:
    return MemberRow(
        group=row[0],
        agent=row[1],
        rank=row[2],
        tags=tuple(from_json(row[3])),
        weight=row[4],
        routing_metadata=from_json(row[5]),
        created_at=row[6],
        updated_at=row[7],
    )
