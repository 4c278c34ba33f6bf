"""What the bridge of one account remembers: an SQLite file in the adapter's own folder.

=================  ====================================================================================
``inbox``          every event that was received, by the platform's id: nothing is acted on twice
``conversations``  which agent a conversation talks to, and the task in it that waits for an answer
``outbox``         every message that is to be on the platform: what it should say and what it says
``approvals``      questions for leave: who may answer, until when, and who did
``pairing``        people who asked to be let in
``heard``          what was said in a channel without a mention, for the next one who mentions us
``notes``          cursors, and when there was a sign of life
=================  ====================================================================================

Reading is done where it is asked for: it takes microseconds. A change is one transaction, in a thread, on the disk when
`State.change` returns. Other processes (``missive chat …``) may open the same file at the same time.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from missive_host.errors import StorageError

T = TypeVar("T")

FILE = "chat.db"
VERSION = 1
BUSY_SECONDS = 20.0

_SCHEMA = """
CREATE TABLE inbox (
    id INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    conversation TEXT NOT NULL,
    message_id TEXT NOT NULL,
    event TEXT NOT NULL,             -- the Inbound, as JSON; empty when it is done with
    state TEXT NOT NULL DEFAULT 'waiting',   -- waiting, done
    request TEXT,                    -- what was made of it, as it is handed to the host
    verdict TEXT,                    -- what became of it, in a word
    received_at REAL NOT NULL
);
CREATE INDEX inbox_waiting ON inbox (state, id) WHERE state = 'waiting';
CREATE INDEX inbox_received ON inbox (received_at);
CREATE INDEX inbox_message ON inbox (conversation, message_id);
CREATE TABLE conversations (
    key TEXT PRIMARY KEY,
    agent TEXT,                      -- chosen by a person; NULL: the one of the configuration
    generation INTEGER NOT NULL DEFAULT 0,
    task TEXT,                       -- the task that waits for an answer
    task_agent TEXT,
    task_state TEXT,
    answered INTEGER NOT NULL DEFAULT 0,
    used_at REAL NOT NULL
);
CREATE TABLE outbox (
    id INTEGER PRIMARY KEY,
    conversation TEXT NOT NULL,
    owner TEXT NOT NULL,             -- what it answers
    slot TEXT NOT NULL,              -- which part of the answer it is
    key TEXT NOT NULL,               -- Outgoing.key
    place TEXT NOT NULL,
    reply_to TEXT,
    wanted TEXT NOT NULL,            -- what it should say
    shown TEXT,                      -- what it says
    buttons TEXT NOT NULL DEFAULT '[]',
    file TEXT,
    final INTEGER NOT NULL,          -- 0: it still grows
    attempted INTEGER NOT NULL DEFAULT 0,    -- 1: it may have been sent
    message_id TEXT,
    state TEXT NOT NULL DEFAULT 'waiting',   -- waiting, sent, failed
    attempts INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    created_at REAL NOT NULL,
    sent_at REAL,
    UNIQUE (owner, slot)
);
CREATE INDEX outbox_waiting ON outbox (conversation, id) WHERE state = 'waiting';
CREATE INDEX outbox_message ON outbox (message_id);
CREATE TABLE settled (owner TEXT PRIMARY KEY, at REAL NOT NULL);
CREATE TABLE approvals (
    code TEXT PRIMARY KEY,
    conversation TEXT NOT NULL,
    place TEXT NOT NULL,
    task TEXT NOT NULL,
    agent TEXT NOT NULL,
    question TEXT NOT NULL,
    owner TEXT NOT NULL,
    slot TEXT NOT NULL,
    asked_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    state TEXT NOT NULL DEFAULT 'open',      -- open, approved, refused, expired
    decided_by TEXT,
    decided_name TEXT,
    decided_at REAL
);
CREATE TABLE pairing (
    sender TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    code TEXT NOT NULL,
    place TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'asked',     -- asked, approved, refused
    asked_at REAL NOT NULL,
    expires_at REAL NOT NULL,
    decided_at REAL
);
CREATE TABLE heard (
    id INTEGER PRIMARY KEY,
    scope TEXT NOT NULL,
    message_id TEXT NOT NULL,
    sender TEXT NOT NULL,
    text TEXT NOT NULL,
    at REAL NOT NULL
);
CREATE INDEX heard_scope ON heard (scope, id);
CREATE TABLE notes (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""

_KEPT = 14 * 86400.0
"""Seconds for which it is remembered what was received and sent: longer than any platform delivers again."""

_QUIET = 90 * 86400.0
"""Seconds after which a conversation is forgotten in which nothing was chosen and nothing waits."""


class State:
    """The file. Opened when it is first needed; it may be used by any number of tasks."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self._read_lock = threading.Lock()  # another one: a commit that waits for the disk must not hold up who reads
        self._reader: sqlite3.Connection | None = None

    @property
    def exists(self) -> bool:
        return self._path.exists()

    def close(self) -> None:
        with self._lock, self._read_lock:
            for db in (self._db, self._reader):
                if db is not None:
                    db.close()
            self._db = self._reader = None

    # --- reading

    def rows(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """Return what a SELECT finds. Raises `StorageError`."""
        with self._read_lock:
            try:
                if self._reader is None:
                    with self._lock:
                        self._open()
                    self._reader = self._connect()
                return self._reader.execute(sql, values).fetchall()
            except sqlite3.Error as error:
                raise self._failure(error) from error

    def row(self, sql: str, *values: Any) -> sqlite3.Row | None:
        """Return the first row that a SELECT finds."""
        found = self.rows(sql, *values)
        return found[0] if found else None

    def value(self, sql: str, *values: Any) -> Any:
        """Return the first column of the first row, or None."""
        found = self.row(sql, *values)
        return None if found is None else found[0]

    # --- changing

    async def change(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in one transaction; return when it is on the disk, with what it returned. Not cancelled midway.

        Raises `StorageError`; then nothing has changed.
        """
        with anyio.CancelScope(shield=True):
            result = await anyio.to_thread.run_sync(partial(self.change_now, work))
        return result  # noqa: RET504 - else mypy thinks that the scope might swallow it

    def change_now(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """As `change`, at once: for commands that do nothing else."""
        with self._lock:
            try:
                db = self._open()
                db.execute("BEGIN IMMEDIATE")
                try:
                    result = work(db)
                    db.execute("COMMIT")
                except BaseException:
                    if db.in_transaction:
                        db.execute("ROLLBACK")
                    raise
            except sqlite3.Error as error:
                raise self._failure(error) from error
        return result

    async def forget(self, now: float) -> None:
        """Delete what is long past."""
        old = now - _KEPT

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM inbox WHERE state != 'waiting' AND received_at < ?", (old,))
            db.execute("DELETE FROM outbox WHERE state != 'waiting' AND created_at < ?", (old,))
            db.execute("DELETE FROM settled WHERE at < ?", (old,))
            db.execute(
                "DELETE FROM conversations WHERE used_at < ? AND agent IS NULL AND generation = 0 AND task IS NULL",
                (now - _QUIET,),
            )
            db.execute("DELETE FROM heard WHERE at < ?", (old,))
            db.execute("DELETE FROM approvals WHERE state != 'open' AND asked_at < ?", (old,))
            db.execute("DELETE FROM pairing WHERE state != 'approved' AND expires_at < ?", (old,))

        await self.change(work)

    # --- notes

    def note(self, name: str) -> str | None:
        found: str | None = self.value("SELECT value FROM notes WHERE name = ?", name)
        return found

    async def set_note(self, name: str, value: str) -> None:
        await self.change(lambda db: db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (name, value)))

    # --- opening

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path.touch(mode=0o600)
            db = self._connect()
            try:
                self._prepare(db)
            except BaseException:
                db.close()
                raise
            self._db = db
        return self._db

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        db.row_factory = sqlite3.Row
        return db

    def _prepare(self, db: sqlite3.Connection) -> None:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        with closing(db.execute("PRAGMA user_version")) as found:
            version = found.fetchone()[0]
        if version == 0:
            db.execute("BEGIN IMMEDIATE")
            if db.execute("PRAGMA user_version").fetchone()[0] == 0:  # no other process was first
                for statement in _SCHEMA.split(";\n"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {VERSION}")
            db.execute("COMMIT")
        elif version != VERSION:
            raise StorageError(
                f"{self._path} is of version {version}, and this missive knows {VERSION}", help="use a newer missive"
            )

    def _failure(self, error: sqlite3.Error) -> StorageError:
        return StorageError(
            f"the chat state {self._path}: {error}", help="look at the free space and the permissions of its folder"
        )


def insert(db: sqlite3.Connection, table: str, values: Mapping[str, Any]) -> bool:
    """Insert one row; return False if there is one with its keys."""
    marks = ", ".join("?" * len(values))
    sql = f"INSERT OR IGNORE INTO {table} ({', '.join(values)}) VALUES ({marks})"  # noqa: S608 - our own names
    return db.execute(sql, tuple(values.values())).rowcount == 1
