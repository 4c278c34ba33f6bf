"""Push configs that were given to agents, and the notifications that came. Of tokens there are only digests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from missive_host.store.rows import PushConfigRow
from missive_host.store.values import Where, from_json, to_json

if TYPE_CHECKING:
    from sqlite3 import Connection

_SELECT = """
    SELECT agent_alias, task_id, config_id, url, token_sha256, auth_scheme, auth_sha256, source, metadata_json,
           created_at
    FROM push_configs
"""
_PUT = """
    INSERT INTO push_configs (agent_alias, task_id, config_id, url, token_sha256, auth_scheme, auth_sha256, source,
                              metadata_json, created_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (agent_alias, task_id, config_id) DO UPDATE SET
        url = excluded.url, token_sha256 = excluded.token_sha256, auth_scheme = excluded.auth_scheme,
        auth_sha256 = excluded.auth_sha256, source = excluded.source, metadata_json = excluded.metadata_json,
        created_at = excluded.created_at, deleted_at = NULL
"""


class Push:
    """Push configs by agent, task and config id, and receipts of notifications."""

    def __init__(self, connection: Connection) -> None:
        self._execute = connection.execute

    def put(self, row: PushConfigRow) -> None:
        """Write a config down, in place of one with the same ids."""
        self._execute(
            _PUT,
            (
                row.agent_alias, row.task_id, row.config_id, row.url, row.token_sha256, row.auth_scheme,
                row.auth_sha256, row.source, to_json(row.metadata), row.created_at,
            ),
        )  # fmt: skip

    def delete(self, agent_alias: str, task_id: str, config_id: str, *, at: str) -> bool:
        """Take a config back. What comes for it from now on is refused."""
        return bool(
            self._execute(
                "UPDATE push_configs SET deleted_at = ?"
                " WHERE agent_alias = ? AND task_id = ? AND config_id = ? AND deleted_at IS NULL",
                (at, agent_alias, task_id, config_id),
            ).rowcount
        )

    def list(
        self,
        *,
        agent: str | None = None,
        task: str | None = None,
        config_id: str | None = None,
        source: str | None = None,
    ) -> tuple[PushConfigRow, ...]:
        """Return the configs that are in force, in the order in which they were made."""
        where = Where().add("deleted_at IS NULL").given("agent_alias = ?", agent).given("task_id = ?", task)
        where.given("config_id = ?", config_id).given("source = ?", source)
        return tuple(map(_row, self._execute(where.sql(_SELECT, "ORDER BY created_at, config_id"), where.values)))

    def receive(self, digest: str, *, at: str) -> bool:
        """Write a notification down by its digest. Return False if it has come before."""
        return bool(
            self._execute(
                "INSERT INTO push_receipts (digest, received_at) VALUES (?, ?) ON CONFLICT (digest) DO NOTHING",
                (digest, at),
            ).rowcount
        )

    def forget_before(self, at: str) -> int:
        """Forget the notifications that came before a time."""
        return self._execute("DELETE FROM push_receipts WHERE received_at < ?", (at,)).rowcount


def _row(row: tuple[Any, ...]) -> PushConfigRow:
    return PushConfigRow(
        agent_alias=row[0],
        task_id=row[1],
        config_id=row[2],
        url=row[3],
        token_sha256=row[4],
        auth_scheme=row[5],
        auth_sha256=row[6],
        source=row[7],
        metadata=from_json(row[8]),
        created_at=row[9],
    )
