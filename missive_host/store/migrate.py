"""Numbered SQL migrations with a ledger.

``migrations/NNNN_name.sql`` are applied in order, all that are missing in one transaction: either the store ends
up at `SCHEMA_VERSION`, or it stays as it was. ``PRAGMA user_version`` tells the version without a query; the table
``schema_migrations`` keeps what was applied, with a checksum, so that an edited migration is noticed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from missive_host.errors import StorageError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

SCHEMA_VERSION = 4
"""The number of the newest migration. Written here, so that opening a store need not list the files."""

FOLDER = Path(__file__).parent / "migrations"

_LEDGER = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    INTEGER NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    applied_at TEXT NOT NULL
) STRICT
"""


class Migration(msgspec.Struct, frozen=True):
    """One migration file."""

    version: int
    name: str
    sql: str
    sha256: str


def load(folder: Path = FOLDER) -> tuple[Migration, ...]:
    """Read the migrations of a folder. Raises `StorageError` if their numbers have a gap."""
    import hashlib

    found: list[Migration] = []
    for file in sorted(folder.glob("*.sql")):
        match = re.fullmatch(r"(\d{4})_(\w+)\.sql", file.name)
        if match is None or int(match[1]) != len(found) + 1:
            raise StorageError(f"{file.name} is not migration number {len(found) + 1}", help="reinstall missive")
        sql = file.read_bytes()
        found.append(Migration(int(match[1]), match[2], sql.decode(), hashlib.sha256(sql).hexdigest()))
    return tuple(found)


def apply(connection: sqlite3.Connection, *, application_id: int, folder: Path = FOLDER) -> tuple[Migration, ...]:
    """Bring the schema up to date and return what was applied, nothing if another process was first.

    Raises `StorageError` if a migration that was applied has changed since, or leaves rows that point nowhere;
    a failing migration raises its `sqlite3.Error`. In each case nothing has changed.
    """
    from missive_host.ids import now

    migrations = load(folder)
    run = connection.execute
    # A migration may rebuild tables. Has no effect inside a transaction, hence here.
    run("PRAGMA foreign_keys = OFF")
    run("BEGIN IMMEDIATE")
    try:
        run(_LEDGER)
        applied = run("SELECT version, name, sha256 FROM schema_migrations ORDER BY version").fetchall()
        _compare(migrations, applied)
        missing = migrations[len(applied) :]
        for migration in missing:
            for statement in statements(migration.sql):
                run(statement)
            run(
                "INSERT INTO schema_migrations (version, name, sha256, applied_at) VALUES (?, ?, ?, ?)",
                (migration.version, migration.name, migration.sha256, now()),
            )
        if missing:
            _check_references(connection)
            run(f"PRAGMA application_id = {application_id}")
            run(f"PRAGMA user_version = {missing[-1].version}")
        run("COMMIT")
    except BaseException:
        if connection.in_transaction:
            run("ROLLBACK")
        raise
    return missing


def _compare(migrations: Sequence[Migration], applied: Sequence[tuple[int, str, str]]) -> None:
    for known, (version, name, sha256) in zip(migrations, applied, strict=False):
        if (known.version, known.sha256) != (version, sha256):
            raise StorageError(
                f"migration {version} ({name}) is not the one that this store was made with",
                help="this missive and the one that made the store do not belong together; use that one",
            )


def _check_references(connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise StorageError("a migration left rows that point nowhere", help="please report this")


def statements(sql: str) -> tuple[str, ...]:
    """Split a script into statements. (``executescript`` would commit the transaction first.)

    A statement ends at the end of a line; triggers are kept whole.
    """
    from sqlite3 import complete_statement

    found = []
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if complete_statement(statement):
            found.append(statement)
            statement = ""
    if statement.strip():
        found.append(statement)
    return tuple(found)
