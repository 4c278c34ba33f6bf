"""A backup put in the store's place.

It is written into the file of the store, in one transaction of SQLite, and not renamed over it: whoever opens the
store meanwhile waits, and then finds the one or the other, never a log of the one beside the other.
"""

from __future__ import annotations

from contextlib import closing, suppress
from typing import TYPE_CHECKING

from missive_host.errors import StorageError
from missive_host.store.backup import copy_pages, new_file
from missive_host.store.connection import connect, create_file, is_busy, is_damage, storage_error
from missive_host.store.inspect import verify

if TYPE_CHECKING:
    from pathlib import Path
    from sqlite3 import Connection

    from missive_host.store.backup import Progress

_WAIT = 500
"""Milliseconds that other processes are waited for: long enough for one that is just ending."""
_BESIDE = ("-wal", "-shm", "-journal")


def restore(source: Path, path: Path, kept: Path, *, progress: Progress | None = None) -> bool:
    """Make the store what a backup holds. What it was is kept in the file `kept`; return False if there was none.

    Raises `StorageError`, and the store is as it was: the backup is not whole, another process has the store open.
    """
    import sqlite3

    if not source.is_file():
        raise StorageError(f"there is no backup at {source}", help="`missive store backup FILE` makes one")
    if path.exists() and source.samefile(path):
        raise StorageError(f"{source} is the store itself", help="name a backup of it")
    try:
        with closing(connect(source)) as backup:
            backup.execute("PRAGMA query_only = ON")
            backup.execute("BEGIN")
            verify(backup, source)
            return _replace(backup, path, kept, progress)
    except sqlite3.Error as error:
        raise storage_error(error, source, what="backup") from error


def _replace(backup: Connection, path: Path, kept: Path, progress: Progress | None) -> bool:
    import sqlite3

    had_one = path.exists()
    try:
        create_file(path)
        try:
            _overwrite(backup, path, kept if had_one else None, progress)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            _set_aside(path, kept)
            create_file(path)
            _overwrite(backup, path, None, progress)
    except sqlite3.Error as error:
        if is_busy(error):
            raise StorageError(
                f"another process has the store {path} open: a gateway, or a command",
                help="`missive gateway stop` ends the gateway; then try again",
            ) from error
        raise storage_error(error, path) from error
    except OSError as error:
        raise StorageError(
            f"the store {path} cannot be replaced: {(error.strerror or str(error)).lower()}",
            help="this user must be able to write the file and its folder",
            sources=(str(error),),
        ) from error
    return had_one


def _overwrite(backup: Connection, path: Path, kept: Path | None, progress: Progress | None) -> None:
    """Copy the backup into the store, alone with it from the first look to the end."""
    with closing(connect(path)) as store:
        store.execute(f"PRAGMA busy_timeout = {_WAIT}")
        store.execute("PRAGMA locking_mode = EXCLUSIVE")
        store.execute("PRAGMA journal_mode = DELETE")  # fails as long as anybody else has it open; ends the log
        store.execute("BEGIN EXCLUSIVE")
        store.execute("COMMIT")  # the lock stays, that is what the mode means
        store.execute("PRAGMA synchronous = FULL")
        if kept is not None:
            _keep(store, kept)
        copy_pages(backup, store, progress)


def _keep(store: Connection, kept: Path) -> None:
    """Save what the store is in a file, which has its name when it is whole."""
    partial = new_file(kept)
    try:
        with closing(connect(partial)) as old:
            old.execute("PRAGMA synchronous = FULL")
            copy_pages(store, old, None)
        partial.rename(kept)
    finally:
        with suppress(OSError):
            partial.unlink()


def _set_aside(path: Path, kept: Path) -> None:
    """Rename a store that SQLite cannot read, with what lies beside it."""
    for suffix in ("", *_BESIDE):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(kept.with_name(kept.name + suffix))
