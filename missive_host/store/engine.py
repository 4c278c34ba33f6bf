"""`Store`: one database file, its connections and its transactions."""

from __future__ import annotations

from _thread import allocate_lock, get_ident
from typing import TYPE_CHECKING, TypeVar

from missive_host.errors import StorageError
from missive_host.store.connection import open_database, open_reader, storage_error
from missive_host.store.tables import Tables

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from types import TracebackType

    from missive_host.store.writer import Job, WriterThread

T = TypeVar("T")


class _Link:
    """A connection and the repositories that are bound to it."""

    __slots__ = ("connection", "tables")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.tables = Tables(connection)


class Store:
    """The state and the journal of one profile. Many processes may have the same one open.

    All access is through a function of `Tables` that runs inside one transaction. Such a function only calls its
    tables: it must not wait, and not use the store itself. When it raises, nothing of it is written and the error
    comes out where it was given; errors of SQLite come out as `StorageError`. A writing function may be run a
    second time, after all of the first has been undone.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._main = _Link(connection)
        self._main_lock = allocate_lock()
        self._main_owner: int | None = None
        self._readers: list[_Link] = []
        self._gate = allocate_lock()
        """Held for an instant, so that nothing is queued behind `close`."""
        self._writer: WriterThread | None = None
        self._closed = False
        self._watcher: sqlite3.Connection | None = None

    @classmethod
    def open(cls, path: Path, *, create: bool = True) -> Store:
        """Open the store, make it if need be (folders 0700, file 0600), and bring its schema up to date.

        Raises `StorageError`: the schema is newer than this missive, the file is not a store or damaged, the folder
        cannot be written, the disk is full; without `create` also when there is none.
        """
        return cls(path, open_database(path, create=create))

    def read(self, fn: Callable[[Tables], T]) -> T:
        """Return what `fn` reads, all of it from one state of the database. Never waits for a writer."""
        import sqlite3

        link = None
        try:
            link = self._borrow()
            return self._snapshot(link.connection, link.tables, fn)
        except sqlite3.Error as error:
            raise storage_error(error, self.path) from error
        finally:
            if link is not None:
                self._give_back(link)

    def write(self, fn: Callable[[Tables], T]) -> T:
        """Run `fn` in a transaction of its own and return its result once that is on the disk.

        It blocks: for a process that does one thing, and for threads. On an event loop use `commit`.
        """
        from missive_host.store.writer import Job

        job = Job(fn)
        with self._gate:
            self._refuse_closed()
            writer = self._writer
            if writer is not None:
                if writer.is_current():
                    raise RuntimeError("a function that the store runs must not use the store")
                writer.put(job)
        if writer is not None:
            job.wait()
        else:
            self._run((job,))
        result: T = job.outcome()
        return result

    async def commit(self, fn: Callable[[Tables], T], *, alone: bool = False) -> T:
        """Queue `fn` for the writer thread and return its result once it is on the disk.

        What is queued together is committed together; the order of the calls is kept. Cancelling the caller
        does not take the write back. `alone` says that the loop has nothing else to do meanwhile: if nothing is
        queued either, `fn` is run at once, which saves the way to the other thread and back.
        """
        from asyncio import get_running_loop

        from missive_host.store.writer import Job

        if alone and (self._writer is None or self._writer.idle):
            with self._gate:
                self._refuse_closed()
            lone = Job(fn)
            if self._run((lone,), patient=False):
                written: T = lone.outcome()
                return written
        loop = get_running_loop()
        future = loop.create_future()
        with self._gate:
            self._refuse_closed()
            (self._writer or self._start_writer()).put(Job(fn, loop, future))
        result: T = await future
        return result

    def version(self) -> int:
        """Return a number that changes whenever anything has been committed, here or by another process.

        It costs some microseconds, so that one may ask many times a second.
        """
        import sqlite3

        try:
            with self._gate:
                self._refuse_closed()
                if self._watcher is None:
                    self._watcher = open_reader(self.path)  # of its own: it does not count what it commits itself
                found: int = self._watcher.execute("PRAGMA data_version").fetchone()[0]
                return found
        except sqlite3.Error as error:
            raise storage_error(error, self.path) from error

    def close(self) -> None:
        """Write what is queued and close the file. Calling it again does nothing."""
        with self._gate:
            if self._closed:
                return
            self._closed = True
        if self._writer is not None:
            self._writer.stop()
        with self._main_lock:
            self._main.connection.close()
        while self._readers:
            self._readers.pop().connection.close()
        if self._watcher is not None:
            self._watcher.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- writing

    def _start_writer(self) -> WriterThread:
        from missive_host.store.writer import WriterThread

        self._writer = writer = WriterThread(self._run)
        return writer

    def _run(self, jobs: Sequence[Job], *, patient: bool = True) -> bool:
        """Run a batch on the main connection, in the writer thread or, as long as there is none, in any.

        Return False if another process is writing and not `patient`: nothing has been run then.
        """
        from missive_host.store.writer import run_batch

        if self._main_owner == get_ident():
            raise RuntimeError("a function that the store runs must not use the store")
        with self._main_lock:
            self._main_owner = get_ident()
            try:
                return run_batch(self._main.connection, self._main.tables, jobs, self.path, patient=patient)
            finally:
                self._main_owner = None

    # --- reading

    def _snapshot(self, connection: sqlite3.Connection, tables: Tables, fn: Callable[[Tables], T]) -> T:
        connection.execute("BEGIN")
        changes = connection.total_changes
        try:
            result = fn(tables)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        # A reader refuses to write. The main connection does not, but what it wrote has just been rolled back.
        if connection.total_changes != changes:
            raise StorageError(f"the store {self.path} cannot be written in a read")
        return result

    def _borrow(self) -> _Link:
        """Take a connection to read from: an idle reader, the main one as long as nothing else needs it, or a new one.

        A process that does one thing so gets by with a single connection.
        """
        with self._gate:
            self._refuse_closed()
            if self._readers:
                return self._readers.pop()
            if self._writer is None and self._main_lock.acquire(blocking=False):
                self._main_owner = get_ident()
                return self._main
        return _Link(open_reader(self.path))

    def _give_back(self, link: _Link) -> None:
        if link is self._main:
            self._main_owner = None
            self._main_lock.release()
            return
        with self._gate:
            if not self._closed:
                self._readers.append(link)
                return
        link.connection.close()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StorageError("the store has been closed")
