"""Reading a database file from end to end: is it a store, is it whole, what takes how much room."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from missive_host.errors import StorageError
from missive_host.store import migrate
from missive_host.store.connection import APPLICATION_ID, open_reader, patiently, storage_error

if TYPE_CHECKING:
    from pathlib import Path
    from sqlite3 import Connection

_SHOWN = 20
"""How many faults are told. SQLite looks for no more either."""
_SIZES = """
    SELECT s.tbl_name, SUM(d.pgsize) FROM dbstat d JOIN sqlite_schema s ON s.name = d.name
    WHERE d.aggregate = TRUE GROUP BY s.tbl_name
"""


class TableSize(msgspec.Struct, frozen=True, kw_only=True):
    """One table: ``bytes`` with its indexes, None if this SQLite cannot tell."""

    name: str
    rows: int
    bytes: int | None


class Inspection(msgspec.Struct, frozen=True, kw_only=True):
    """What a whole store is like."""

    schema_version: int
    bytes: int
    free_bytes: int
    log_bytes: int
    tables: tuple[TableSize, ...]


def inspect(path: Path) -> Inspection:
    """Read all of a store and return what it is like. Raises `StorageError` if it is not whole, or no store."""
    import sqlite3

    if not path.exists():
        raise StorageError(f"there is no store at {path}", help="any command that writes makes one")
    try:
        connection = patiently(lambda: open_reader(path))
        try:
            patiently(lambda: connection.execute("BEGIN").execute("SELECT 1 FROM sqlite_schema").fetchone())
            version = verify(connection, path)
            return Inspection(
                schema_version=version,
                bytes=path.stat().st_size,
                free_bytes=free_bytes(connection),
                log_bytes=log_bytes(path),
                tables=_tables(connection),
            )
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise storage_error(error, path) from error


def verify(connection: Connection, path: Path) -> int:
    """Return the version of the schema of a store that is whole. Raises `StorageError` if it is not.

    `path` is for the error's text.
    """
    if _number(connection, "application_id") != APPLICATION_ID:
        raise StorageError(f"{path} is not a store of missive", help="name another file")
    version = _number(connection, "user_version")
    if version > migrate.SCHEMA_VERSION:
        raise StorageError(
            f"the store {path} has schema version {version}, this missive knows versions up to"
            f" {migrate.SCHEMA_VERSION}",
            help="it was written by a newer missive: use that one",
        )
    faults = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({_SHOWN})") if row[0] != "ok"]
    dangling = connection.execute("PRAGMA foreign_key_check").fetchmany(_SHOWN)
    faults += [
        f"row {row} of {table} refers to a row of {parent} that is not there" for table, row, parent, _ in dangling
    ]
    if faults:
        raise StorageError(
            f"the store {path} is damaged: {faults[0]}",
            help="put a backup in its place: `missive store restore FILE`; `sqlite3 FILE .recover` saves what is left",
            sources=tuple(faults[:_SHOWN]),
        )
    return version


def free_bytes(connection: Connection) -> int:
    """Return the room within the file that nothing takes."""
    return _number(connection, "freelist_count") * _number(connection, "page_size")


def log_bytes(path: Path) -> int:
    """Return the size of the write-ahead log beside a database."""
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size
    except FileNotFoundError:
        return 0


def _number(connection: Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])


def _tables(connection: Connection) -> tuple[TableSize, ...]:
    import sqlite3

    try:
        sizes = dict(connection.execute(_SIZES).fetchall())
    except sqlite3.OperationalError:  # built without dbstat
        sizes = {}
    return tuple(
        TableSize(name=name, rows=rows, bytes=sizes.get(name)) for name, rows in row_counts(connection).items()
    )


def row_counts(connection: Connection) -> dict[str, int]:
    """Return how many rows each table has."""
    names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").fetchall()
    return {
        name: int(connection.execute(f'SELECT COUNT(*) FROM "{name}"').fetchone()[0])  # noqa: S608 - from the schema
        for (name,) in names
        if not name.startswith("sqlite_")
    }
