"""Writing the file of the store anew, without what was deleted."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from missive_host.store.connection import open_database, storage_error
from missive_host.store.inspect import log_bytes

if TYPE_CHECKING:
    from pathlib import Path


def vacuum(path: Path) -> tuple[int, int]:
    """Make the file as small as it can be; return its size and its log's, before and after. Raises `StorageError`.

    Others may read meanwhile; who wants to write waits.
    """
    import sqlite3

    with closing(open_database(path, create=False)) as connection:
        before = path.stat().st_size + log_bytes(path)
        try:
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            raise storage_error(error, path) from error
        return before, path.stat().st_size + log_bytes(path)
