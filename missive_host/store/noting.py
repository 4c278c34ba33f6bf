"""An event in the journal of a store that is not opened for work: as its schema is, and only if it can be had."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from missive_host.store import migrate
from missive_host.store.connection import connect
from missive_host.store.events import Events

if TYPE_CHECKING:
    from pathlib import Path

    from missive_host.store.rows import EventRow


def note(path: Path, event: EventRow) -> bool:
    """Write an event; False if it is not written.

    A store of another version is left as it is: to bring it up to date is for the next command. A disk that is full,
    or a store that somebody has locked, is no reason why a backup that was made should count as none.
    """
    import sqlite3

    try:
        with closing(connect(path)) as connection:
            if connection.execute("PRAGMA user_version").fetchone()[0] != migrate.SCHEMA_VERSION:
                return False
            connection.execute("PRAGMA synchronous = FULL")
            Events(connection).append(event)
    except sqlite3.Error:
        return False
    return True
