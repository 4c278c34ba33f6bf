"""A copy of the store in a file of its own.

It is SQLite's online backup: it copies pages under SQLite's own locks, so that nobody sees half of it.
"""

from __future__ import annotations

import os
import secrets
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from missive_host.errors import StorageError
from missive_host.store.connection import connect, open_reader, patiently, storage_error
from missive_host.store.inspect import verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from sqlite3 import Connection

    Progress = Callable[[int, int], None]
    """Told of bytes done and bytes in all."""

_PAGES = 2048
"""How many pages are copied between two reports of progress."""


def backup(path: Path, target: Path, *, progress: Progress | None = None) -> int:
    """Copy the store as it is at this moment into a new file, check that, and return the size of it.

    Others may write meanwhile, as long as it takes. The file has its name only when it is whole. Raises `StorageError`.
    """
    import sqlite3

    if not path.exists():
        raise StorageError(f"there is no store at {path}", help="any command that writes makes one")
    if os.path.lexists(target):
        raise _taken(target)
    partial = new_file(target)
    try:
        with closing(patiently(lambda: _snapshot(path))) as source:
            _copy_checked(source, partial, target, progress)
        size = partial.stat().st_size
        _give_name(partial, target)
    except sqlite3.Error as error:
        raise storage_error(error, path) from error
    except OSError as error:
        raise _unusable(target, error) from error
    finally:
        with suppress(OSError):
            partial.unlink()
    return size


def _snapshot(path: Path) -> Connection:
    """Return a reader that has begun to read. As long as it reads it sees the store as it is now, whoever writes."""
    source = open_reader(path)
    try:
        source.execute("BEGIN").execute("SELECT 1 FROM sqlite_schema").fetchone()
    except BaseException:
        source.close()
        raise
    return source


def _copy_checked(source: Connection, partial: Path, target: Path, progress: Progress | None) -> None:
    """Copy into a file that exists, make it a file that stands alone, and check it. `target` is for errors."""
    import sqlite3

    try:
        with closing(connect(partial)) as copy:
            copy.execute("PRAGMA synchronous = FULL")
            copy_pages(source, copy, progress)
            copy.execute("PRAGMA journal_mode = DELETE")  # else whoever reads it needs to write beside it
            verify(copy, target)
    except sqlite3.Error as error:
        raise storage_error(error, target, what="backup") from error


def copy_pages(source: Connection, copy: Connection, progress: Progress | None) -> None:
    """Make one database what another one is, in one transaction."""
    size = int(source.execute("PRAGMA page_size").fetchone()[0])

    def report(_: int, remaining: int, total: int) -> None:
        if progress is not None:
            progress((total - remaining) * size, total * size)

    source.backup(copy, pages=_PAGES, progress=report, sleep=0.05)


# --- files


def new_file(target: Path) -> Path:
    """Make an empty file beside the target that is the user's alone."""
    partial = target.with_name(f"{target.name}.{secrets.token_hex(4)}.partial")
    try:
        os.close(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise _unusable(target, error) from error
    return partial


def _give_name(partial: Path, target: Path) -> None:
    """Give a file its name, unless there is another one of it by now; and see that the name is on the disk, too."""
    try:
        target.hardlink_to(partial)
    except FileExistsError:
        raise _taken(target) from None
    except OSError:  # a file system without hard links
        if os.path.lexists(target):
            raise _taken(target) from None
        partial.rename(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _taken(target: Path) -> StorageError:
    return StorageError(f"{target} exists already", help="name a file that does not exist: none is written over")


def _unusable(target: Path, error: OSError) -> StorageError:
    return StorageError(
        f"the backup {target} cannot be written: {(error.strerror or str(error)).lower()}",
        help="name a file in a folder that exists and that this user can write",
        sources=(str(error),),
    )
