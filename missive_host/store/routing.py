"""What routing remembers: the state of each policy in each group, and the agents that are rested."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from missive_host.store.rows import BreakerRow, Json
from missive_host.store.values import from_json, to_json

if TYPE_CHECKING:
    from sqlite3 import Connection

# Written only for what is there: a group or an agent may go while a message is on its way.
_PUT_STATE = """
    INSERT INTO routing_states (group_name, policy, state_json, updated_at)
    SELECT ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM groups WHERE name = ?1)
    ON CONFLICT (group_name, policy) DO UPDATE SET state_json = excluded.state_json, updated_at = excluded.updated_at
"""
_PUT_BREAKER = """
    INSERT INTO breakers (alias, failures, opened_at, until, last_error, updated_at)
    SELECT ?, ?, ?, ?, ?, ? WHERE EXISTS (SELECT 1 FROM agents WHERE alias = ?1)
    ON CONFLICT (alias) DO UPDATE SET failures = excluded.failures, opened_at = excluded.opened_at,
        until = excluded.until, last_error = excluded.last_error, updated_at = excluded.updated_at
"""
_SELECT_BREAKERS = "SELECT alias, failures, opened_at, until, last_error, updated_at FROM breakers"


class Routing:
    """What policies want to be handed again the next time, by group and policy. It goes with the group."""

    def __init__(self, connection: Connection) -> None:
        self._execute = connection.execute

    def state(self, group: str, policy: str) -> Json:
        """Return the state that was put last, empty if there is none."""
        row = self._execute(
            "SELECT state_json FROM routing_states WHERE group_name = ? AND policy = ?", (group, policy)
        ).fetchone()
        state: Json = from_json(row[0]) if row else {}
        return state

    def put_state(self, group: str, policy: str, state: Json, at: str) -> None:
        """Keep a state, in place of the one before. Nothing is kept for a group that does not exist."""
        self._execute(_PUT_STATE, (group, policy, to_json(state), at))


class Breakers:
    """Circuit breakers by alias. A row is renamed and removed with its agent."""

    def __init__(self, connection: Connection) -> None:
        self._execute = connection.execute

    def get(self, alias: str) -> BreakerRow | None:
        row = self._execute(f"{_SELECT_BREAKERS} WHERE alias = ?", (alias,)).fetchone()
        return _breaker(row) if row else None

    def list(self) -> tuple[BreakerRow, ...]:
        """Return the breakers in order of alias."""
        return tuple(_breaker(row) for row in self._execute(f"{_SELECT_BREAKERS} ORDER BY alias"))

    def put(self, breaker: BreakerRow) -> None:
        """Keep a breaker, in place of the one before. Nothing is kept for an agent that is not registered."""
        self._execute(
            _PUT_BREAKER,
            (
                breaker.alias, breaker.failures, breaker.opened_at, breaker.until, breaker.last_error,
                breaker.updated_at,
            ),
        )  # fmt: skip


def _breaker(row: tuple[Any, ...]) -> BreakerRow:
    return BreakerRow(
        alias=row[0], failures=row[1], opened_at=row[2], until=row[3], last_error=row[4], updated_at=row[5]
    )
