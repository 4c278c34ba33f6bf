"""Writing: several operations in one transaction, and the one thread that does it.

Natural group commit: the thread takes whatever has been queued while the last commit was on its way to the disk,
up to `BATCH`, and commits it together. There is no timer, so a single writer does not wait for anybody.
"""

from __future__ import annotations

from _thread import allocate_lock, get_ident
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from missive_host.store.connection import storage_error

if TYPE_CHECKING:
    import sqlite3
    from asyncio import AbstractEventLoop, Future
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from queue import SimpleQueue

    from missive_host.store.tables import Tables

BATCH = 256
"""Operations in one transaction, at most."""


class Job:
    """One operation, and what came of it."""

    __slots__ = ("_done", "context", "error", "fn", "future", "loop", "result")

    def __init__(
        self, fn: Callable[[Tables], Any], loop: AbstractEventLoop | None = None, future: Future[Any] | None = None
    ) -> None:
        self.fn = fn
        self.context = copy_context()  # the writer knows so which trace an event of the journal belongs to
        self.loop = loop
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None
        self._done = allocate_lock()
        self._done.acquire()

    def wait(self) -> None:
        """Block until another thread calls `finish`."""
        self._done.acquire()

    def finish(self) -> None:
        self._done.release()

    def outcome(self) -> Any:
        """Return the result, or raise the error."""
        if self.error is not None:
            raise self.error
        return self.result


def run_batch(
    connection: sqlite3.Connection, tables: Tables, jobs: Sequence[Job], path: Path, *, patient: bool = True
) -> bool:
    """Run jobs in one transaction, in order; each ends with a result or an error, none is raised.

    Each job has its own savepoint, so one that fails takes nothing of the others with it. Should SQLite give up
    the transaction as a whole (the disk is full), each job is run again alone: those that fit are still done.
    Return False, with nothing run, if another process is writing and not `patient`.
    """
    import sqlite3

    execute = connection.execute
    try:
        if patient:
            execute("BEGIN IMMEDIATE")
        elif not _begin_at_once(connection):
            return False
    except sqlite3.Error as error:
        _fail(jobs, error, path)
        return True
    tables.events.begin()
    try:
        if len(jobs) == 1:
            _attempt(jobs[0], tables, path)
            execute("COMMIT" if jobs[0].error is None else "ROLLBACK")
        else:
            for job in jobs:
                execute("SAVEPOINT operation")
                _attempt(job, tables, path)
                if job.error is not None:
                    execute("ROLLBACK TO operation")
                execute("RELEASE operation")
            execute("COMMIT")
    except sqlite3.Error as error:
        _roll_back(connection)
        if len(jobs) > 1:
            for job in jobs:
                run_batch(connection, tables, (job,), path)
        elif jobs[0].error is None:
            _fail(jobs, error, path)
    except BaseException:
        _roll_back(connection)
        raise
    return True


def _begin_at_once(connection: sqlite3.Connection) -> bool:
    """Begin a transaction, or return False if somebody else has the lock."""
    import sqlite3

    before = connection.execute("PRAGMA busy_timeout").fetchone()[0]
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        connection.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
            return False
        raise
    finally:
        connection.execute(f"PRAGMA busy_timeout = {before}")
    return True


def _attempt(job: Job, tables: Tables, path: Path) -> None:
    import sqlite3

    job.result = job.error = None
    try:
        job.result = job.context.run(job.fn, tables)
    except sqlite3.Error as error:
        _fail((job,), error, path)
    except BaseException as error:  # noqa: BLE001 - it is raised again where the job was given
        job.error = error


def _fail(jobs: Sequence[Job], error: sqlite3.Error, path: Path) -> None:
    for job in jobs:
        failure = storage_error(error, path)
        failure.__cause__ = error
        job.error = failure


def _roll_back(connection: sqlite3.Connection) -> None:
    """End a transaction that SQLite may have ended already."""
    import sqlite3
    from contextlib import suppress

    with suppress(sqlite3.Error):
        if connection.in_transaction:
            connection.execute("ROLLBACK")


class WriterThread:
    """The thread that runs queued jobs. `run` runs a batch; it must not raise."""

    def __init__(self, run: Callable[[Sequence[Job]], bool]) -> None:
        from queue import SimpleQueue
        from threading import Thread

        self._run = run
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._count = allocate_lock()
        self._unfinished = 0
        self._thread = Thread(target=self._work, name="missive-store", daemon=True)
        self._thread.start()

    def put(self, job: Job) -> None:
        with self._count:
            self._unfinished += 1
        self._queue.put(job)

    @property
    def idle(self) -> bool:
        """True if nothing is queued or under way. Only whoever puts jobs can rely on it."""
        return self._unfinished == 0

    def is_current(self) -> bool:
        return self._thread.ident == get_ident()

    def stop(self) -> None:
        """Run what is queued, then end."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        queue = self._queue
        stopping = False
        while not stopping:
            batch: list[Job] = []
            job = queue.get()
            while job is not None:
                batch.append(job)
                # This thread is the only reader of the queue, so what is there stays there.
                if len(batch) == BATCH or queue.empty():
                    break
                job = queue.get()
            else:
                stopping = True
            if batch:
                self._run(batch)
                with self._count:
                    self._unfinished -= len(batch)
                _deliver(batch)


def _deliver(batch: Sequence[Job]) -> None:
    """Wake whoever waits: an event loop once, for all of its jobs."""
    loops: dict[AbstractEventLoop, list[Job]] = {}
    for job in batch:
        if job.loop is None:
            job.finish()
        else:
            loops.setdefault(job.loop, []).append(job)
    for loop, jobs in loops.items():
        try:
            loop.call_soon_threadsafe(_resolve, jobs)
        except RuntimeError:  # the loop has been closed; nobody waits any more, and the rows are written
            continue


def _resolve(jobs: Sequence[Job]) -> None:
    for job in jobs:
        future = job.future
        if future is None or future.done():  # whoever waited was cancelled
            continue
        if job.error is None:
            future.set_result(job.result)
        else:
            future.set_exception(job.error)
