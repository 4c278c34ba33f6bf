"""Opening the database file, and saying in words what SQLite says in codes.

`sqlite3` is imported when a store is opened, not before: a command that needs no store does not pay for it.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, TypeVar

from missive_host.errors import StorageError
from missive_host.folders import make_folders
from missive_host.store import migrate

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable
    from pathlib import Path

T = TypeVar("T")

APPLICATION_ID = 0x4D495356
"""``MISV``, in the header of the file: how missive knows its own."""
BUSY_SECONDS = 20.0
"""How long a write waits for other processes. Four of them at full speed were seen to make one wait 2.7 s."""
WAL_BYTES = 64 * 1024 * 1024
"""The write-ahead log is cut back to this size after a checkpoint."""


def open_database(path: Path, *, create: bool) -> sqlite3.Connection:
    """Return a connection for reading and writing to a store whose schema is up to date.

    An up-to-date store costs three PRAGMA reads. Raises `StorageError`.
    """
    import sqlite3

    if sqlite3.sqlite_version_info < (3, 37):
        raise StorageError(
            f"SQLite {sqlite3.sqlite_version} is too old",
            help="missive needs SQLite 3.37 or newer in Python's sqlite3 module; use a newer Python build",
        )
    if create:
        create_file(path)
    elif not path.exists():
        raise StorageError(f"there is no store at {path}", help="any command that writes makes one")
    connection = None
    try:
        connection = connect(path)
        patiently(lambda: _prepare(connection, path))
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise storage_error(error, path) from error
    except BaseException:
        if connection is not None:
            connection.close()
        raise
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Return a connection that refuses to write, to a store that was opened before."""
    connection = connect(path)
    connection.execute("PRAGMA query_only = ON")
    return connection


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, which must exist, in autocommit: transactions are begun and ended by hand."""
    import sqlite3

    name = str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return sqlite3.connect(
        f"file:{name}?mode=rw",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )


def patiently(action: Callable[[], T]) -> T:
    """Run `action` again while the database is locked, for `BUSY_SECONDS`.

    SQLite's own waiting does not cover the switch of a new file to WAL, nor the recovery of a log.
    """
    import sqlite3

    deadline = time.monotonic() + BUSY_SECONDS
    pause = 0.002
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if _primary_code(error) not in _BUSY or time.monotonic() > deadline:
                raise
            time.sleep(pause)
            pause = min(pause * 2, 0.1)


def create_file(path: Path) -> None:
    """Make an empty file that is the user's alone, unless there is one, and its folder. Raises `StorageError`."""
    # A file that exists is never opened here: closing it would drop the locks that this process holds on it
    # through SQLite (POSIX advisory locks belong to the process, not to the descriptor).
    try:
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except FileNotFoundError:
            make_folders(path.parent)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        return
    except OSError as error:
        raise StorageError(
            f"the store {path} cannot be made: {error.strerror}",
            help="check that the folder can be written; MISSIVE_HOME puts it somewhere else",
            sources=(str(error),),
        ) from error


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    read = connection.execute
    application = read("PRAGMA application_id").fetchone()[0]
    version = read("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID and (application or version or read("SELECT 1 FROM sqlite_schema").fetchone()):
        # A new file may have become a store since its header was read.
        if read("PRAGMA application_id").fetchone()[0] == APPLICATION_ID:
            return _prepare(connection, path)
        raise StorageError(
            f"{path} is a database of another program",
            help="set another `database_path` in the config, or move that file away",
        )
    if version > migrate.SCHEMA_VERSION:
        raise StorageError(
            f"the store {path} has schema version {version}, this missive knows versions up to"
            f" {migrate.SCHEMA_VERSION}",
            help="it was written by a newer missive: use that one, or another MISSIVE_HOME",
        )
    if read("PRAGMA journal_mode").fetchone()[0] != "wal" and read("PRAGMA journal_mode = WAL").fetchone()[0] != "wal":
        raise StorageError(
            f"the store {path} cannot use a write-ahead log where it lies",
            help="put it on a local disk: network file systems do not have the shared memory that it needs",
        )
    read("PRAGMA synchronous = FULL")
    read(f"PRAGMA journal_size_limit = {WAL_BYTES}")
    if version < migrate.SCHEMA_VERSION:
        migrate.apply(connection, application_id=APPLICATION_ID)
    read("PRAGMA foreign_keys = ON")
    return None


# --- errors

_BUSY = {5, 6, 15}  # SQLITE_BUSY, SQLITE_LOCKED, SQLITE_PROTOCOL


def _primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's result code without its extension; 0 for an error that Python itself raised."""
    code = getattr(error, "sqlite_errorcode", None)
    return 0 if code is None else int(code) & 0xFF


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether others had the database."""
    return _primary_code(error) in _BUSY


def is_damage(error: sqlite3.Error) -> bool:
    """Tell whether the file itself is not what SQLite can read."""
    return _primary_code(error) in (11, 26)  # SQLITE_CORRUPT, SQLITE_NOTADB


def storage_error(error: sqlite3.Error, path: Path, *, what: str = "store") -> StorageError:
    """Return SQLite's error as ours, with the next step. `what` the file is may be told."""
    code = _primary_code(error)
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    message, help_text = _words(code, f"the {what} {path}")
    return StorageError(message, help=help_text, sources=(f"{name}: {error}",))


def _words(code: int, file: str) -> tuple[str, str]:
    if code in _BUSY:
        return (
            f"{file} is locked: another process has been writing for more than {BUSY_SECONDS:g} seconds",
            "try again; if it stays so, look for a process that has stopped in the middle of a write",
        )
    if code == 13:  # SQLITE_FULL
        return f"no space left for {file}", "make room on that disk; what was acknowledged before is safe"
    if code in (3, 8, 14, 23):  # SQLITE_PERM, SQLITE_READONLY, SQLITE_CANTOPEN, SQLITE_AUTH
        return (
            f"{file} cannot be {'opened' if code == 14 else 'written'}",
            "this user must be able to write the file and its folder; MISSIVE_HOME puts it somewhere else",
        )
    if code == 26:  # SQLITE_NOTADB
        return f"{file} is not a SQLite database", "set another `database_path`, or move that file away"
    if code == 11:  # SQLITE_CORRUPT
        return (
            f"{file} is damaged",
            "keep a copy of the file and put a backup in its place; `sqlite3 FILE .recover` saves what can be read",
        )
    if code == 10:  # SQLITE_IOERR
        return (
            f"the disk gave an error for {file}",
            "check the space, quota and file-size limit for this user, and the health of the disk",
        )
    if code == 19:  # SQLITE_CONSTRAINT
        return f"a row does not fit into {file}", "this is a fault in missive or a plugin; please report it"
    return f"{file} could not be used", "the cause is given below the message"
