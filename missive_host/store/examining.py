"""A look at a store that may be broken. Nothing is written, made or brought up to date."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

import msgspec

from missive_host.errors import MissiveError, StorageError
from missive_host.store.connection import APPLICATION_ID, storage_error
from missive_host.store.inspect import free_bytes, log_bytes, row_counts
from missive_host.store.migrate import SCHEMA_VERSION
from missive_host.store.rows import AgentRow

if TYPE_CHECKING:
    import sqlite3
    from pathlib import Path

_OPERATIONS = 100_000
"""SQLite's steps between two looks at the clock."""
_LOCK_SECONDS = 2.0
_BUSY = 5
_INTERRUPTED = 9
_ROLLBACK = 776
"""SQLITE_READONLY_ROLLBACK: a journal of SQLite's lies beside the file, of which we only read."""
_ENDS = """
    SELECT (SELECT timestamp FROM events ORDER BY sequence LIMIT 1),
           (SELECT timestamp FROM events ORDER BY sequence DESC LIMIT 1)
"""
Cause = Literal["damage", "stranger", "access", "disk", "cut off"]
_CAUSES: dict[Cause, tuple[int, ...]] = {
    "stranger": (26,),
    "access": (3, 8, 14, 23),
    "disk": (10, 13),
}


class Examined(msgspec.Struct):
    """What was found. Fields below the first that failed are not filled."""

    exists: bool
    known_version: int = SCHEMA_VERSION
    version: int | None = None
    error: StorageError | None = None
    """Why it cannot be opened or written."""
    cause: Cause = "damage"
    """Where that lies: in what the file holds, in that it is no store, in who may use it, in the disk; in that a write
    was cut off, which only who may write can take back."""
    locked: bool = False
    whole: bool | None = None
    """Whether SQLite finds everything in order; None: it did not come to an end in time."""
    damage: tuple[str, ...] = ()
    agents: tuple[AgentRow, ...] = ()
    oldest_event: str | None = None
    newest_event: str | None = None
    bytes: int = 0
    log_bytes: int = 0
    free_bytes: int = 0
    """Room within the file that nothing takes."""
    rows: dict[str, int] = {}
    """Of each table; empty if they could not be counted in time."""


def examine(path: Path, seconds: float) -> Examined:
    """Look at the store within so many seconds. Raises nothing of SQLite's."""
    import sqlite3

    found = Examined(exists=path.exists())
    if not found.exists:
        return found
    deadline = time.monotonic() + seconds
    try:
        connection = _open(path, "ro", min(_LOCK_SECONDS, seconds))
        try:
            _read(connection, path, found, deadline)
        finally:
            connection.close()
        if found.error is None:
            _lock(path, min(_LOCK_SECONDS, seconds))
    except sqlite3.Error as error:
        if _code(error) == _BUSY:
            found.locked = True
        else:
            found.error = storage_error(error, path)
            found.cause = _cause(error)
    except OSError as error:
        found.cause = "access"
        found.error = StorageError(f"the store {path} cannot be read: {(error.strerror or str(error)).lower()}")
    return found


def _read(connection: sqlite3.Connection, path: Path, found: Examined, deadline: float) -> None:
    import sqlite3

    read = connection.execute
    application = read("PRAGMA application_id").fetchone()[0]
    found.version = version = int(read("PRAGMA user_version").fetchone()[0])
    if application != APPLICATION_ID and (application or version or read("SELECT 1 FROM sqlite_schema").fetchone()):
        found.error, found.cause = StorageError(f"{path} is a database of another program"), "stranger"
        return
    if version > SCHEMA_VERSION:
        return
    found.bytes, found.log_bytes, found.free_bytes = path.stat().st_size, log_bytes(path), free_bytes(connection)
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _OPERATIONS)
    try:
        lines = [str(row[0]) for row in read("PRAGMA integrity_check(20)")]
        found.whole, found.damage = lines == ["ok"], () if lines == ["ok"] else tuple(lines)
        if found.whole:
            found.rows = row_counts(connection)
    except sqlite3.OperationalError as error:
        if _code(error) != _INTERRUPTED:
            raise
    connection.set_progress_handler(None, 0)
    if version:
        from missive_host.store.agents import Agents

        try:
            found.agents = tuple(Agents(connection).list())
            found.oldest_event, found.newest_event = read(_ENDS).fetchone()
        except (sqlite3.Error, MissiveError, msgspec.MsgspecError):
            if found.whole:
                raise


def _lock(path: Path, seconds: float) -> None:
    """Find out whether a write could begin; it ends at once, and nothing is written."""
    connection = _open(path, "rw", seconds)
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("ROLLBACK")
    finally:
        connection.close()


def _open(path: Path, mode: str, seconds: float) -> sqlite3.Connection:
    import sqlite3

    name = str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return sqlite3.connect(f"file:{name}?mode={mode}", uri=True, timeout=seconds, isolation_level=None)


def _cause(error: sqlite3.Error) -> Cause:
    if getattr(error, "sqlite_errorcode", 0) == _ROLLBACK:
        return "cut off"
    return next((cause for cause, codes in _CAUSES.items() if _code(error) in codes), "damage")


def _code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
