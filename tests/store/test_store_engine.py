"""Transactions: reading, writing, group commit, errors."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from storekit import agent, event, message

from missive_host.errors import StorageError, ValidationError
from missive_host.store import Store, connection
from missive_host.store.connection import connect
from missive_host.store.tables import Tables
from missive_host.store.writer import Job, run_batch

if TYPE_CHECKING:
    from collections.abc import Callable


def add(alias: str) -> Callable[[Tables], str]:
    def fn(tables: Tables) -> str:
        tables.agents.add(agent(alias))
        return alias

    return fn


def aliases(store: Store) -> list[str]:
    return [row.alias for row in store.read(lambda t: t.agents.list())]


class Gate:
    """An operation that holds the writer up, so that what is queued meanwhile becomes one batch."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.open = threading.Event()

    def __call__(self, tables: Tables) -> None:
        self.entered.set()
        assert self.open.wait(20)


async def test_commit_returns_the_result_and_the_row_is_there(store: Store) -> None:
    assert await store.commit(add("one")) == "one"
    assert aliases(store) == ["one"]


async def test_what_is_queued_is_committed_together_and_in_order(store: Store, path: Path) -> None:
    gate = Gate()
    seen_outside: list[int] = []

    def append(tables: Tables) -> int:
        with closing(sqlite3.connect(path)) as other:
            seen_outside.append(other.execute("SELECT COUNT(*) FROM events").fetchone()[0])
        return tables.events.append(event())

    async with asyncio.TaskGroup() as group:
        first = group.create_task(store.commit(gate))
        await asyncio.to_thread(gate.entered.wait)
        queued = [group.create_task(store.commit(append)) for _ in range(50)]
        await asyncio.sleep(0)
        gate.open.set()
    assert first.result() is None
    assert [task.result() for task in queued] == list(range(1, 51))
    assert seen_outside == [0] * 50, "no commit in between"
    assert store.read(lambda t: t.events.count()) == 50


async def test_one_that_fails_does_not_harm_the_others(store: Store) -> None:
    gate = Gate()

    def half(tables: Tables) -> None:
        tables.agents.add(agent("half"))
        raise KeyError("on purpose")

    def broken(tables: Tables) -> None:
        tables.agents.add(agent("broken"))
        tables.agents.add(agent("bad-source", source="nowhere"))

    async def outcome(fn: Callable[[Tables], Any]) -> Any:
        try:
            return await store.commit(fn)
        except Exception as error:  # noqa: BLE001 - it is looked at below
            return error

    async with asyncio.TaskGroup() as group:
        group.create_task(store.commit(gate))
        await asyncio.to_thread(gate.entered.wait)
        tasks = [group.create_task(outcome(fn)) for fn in (add("a"), half, add("b"), broken, add("a"), add("c"))]
        await asyncio.sleep(0)
        gate.open.set()
    a, key_error, b, constraint, taken, c = [task.result() for task in tasks]
    assert (a, b, c) == ("a", "b", "c")
    assert isinstance(key_error, KeyError)
    assert isinstance(constraint, StorageError)
    assert "CHECK constraint failed" in constraint.sources[0]
    assert isinstance(taken, ValidationError)
    assert aliases(store) == ["a", "b", "c"]


async def test_a_cancelled_caller_does_not_lose_the_write(store: Store) -> None:
    gate = Gate()
    first = asyncio.ensure_future(store.commit(gate))
    await asyncio.to_thread(gate.entered.wait)
    cancelled = asyncio.ensure_future(store.commit(add("kept")))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    gate.open.set()
    await first
    await store.commit(add("later"))
    assert aliases(store) == ["kept", "later"]


async def test_more_than_one_batch_keeps_the_order(store: Store) -> None:
    sequences = await asyncio.gather(*(store.commit(lambda t: t.events.append(event())) for _ in range(700)))
    assert sequences == list(range(1, 701))


async def test_close_writes_what_is_queued(path: Path) -> None:
    store = Store.open(path)
    tasks = [asyncio.ensure_future(store.commit(add(f"a{n}"))) for n in range(20)]
    await asyncio.sleep(0)
    store.close()
    assert await asyncio.gather(*tasks) == [f"a{n}" for n in range(20)]
    with pytest.raises(StorageError, match="has been closed"):
        await store.commit(add("late"))
    with Store.open(path) as again:
        assert len(aliases(again)) == 20


def test_a_loop_that_has_gone_does_not_stop_the_writer(store: Store) -> None:
    gate = Gate()

    async def leave() -> None:
        waiting = asyncio.ensure_future(store.commit(gate))
        await asyncio.to_thread(gate.entered.wait)
        waiting.cancel()

    asyncio.run(leave())
    gate.open.set()
    assert store.write(add("next")) == "next"


def test_a_write_that_fails_leaves_nothing(store: Store) -> None:
    def fn(tables: Tables) -> None:
        tables.agents.add(agent("half"))
        raise KeyError("on purpose")

    with pytest.raises(KeyError):
        store.write(fn)
    assert aliases(store) == []
    assert store.write(add("whole")) == "whole"


async def test_write_and_commit_work_side_by_side(store: Store) -> None:
    await store.commit(add("a"))
    assert await asyncio.to_thread(store.write, add("b")) == "b"
    with pytest.raises(ValidationError, match="already registered"):
        await asyncio.to_thread(store.write, add("b"))
    assert aliases(store) == ["a", "b"]


def test_a_read_sees_one_state(store: Store, path: Path) -> None:
    store.write(add("first"))
    with Store.open(path) as other:

        def fn(tables: Tables) -> tuple[int, int]:
            before = len(tables.agents.list())
            other.write(add("second"))
            return before, len(tables.agents.list())

        assert store.read(fn) == (1, 1)
    assert aliases(store) == ["first", "second"]


async def test_a_read_cannot_write(store: Store) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        store.read(add("sly"))
    await store.commit(add("first"))  # from here on, reads have connections of their own
    with pytest.raises(StorageError, match="cannot be written"):
        store.read(add("sly"))
    assert aliases(store) == ["first"]


async def test_reads_run_in_several_threads_at_once(store: Store) -> None:
    await store.commit(add("one"))
    meeting = threading.Barrier(4)

    def fn(tables: Tables) -> int:
        meeting.wait(20)
        return len(tables.agents.list())

    assert await asyncio.gather(*(asyncio.to_thread(store.read, fn) for _ in range(4))) == [1] * 4


async def test_the_store_inside_of_itself_is_refused_rather_than_stuck(store: Store) -> None:
    def nested(tables: Tables) -> None:
        store.write(add("inner"))

    for use in (store.read, store.write):
        with pytest.raises(RuntimeError, match="must not use the store"):
            use(nested)
    with pytest.raises(RuntimeError, match="must not use the store"):
        await store.commit(nested)
    assert store.write(add("after")) == "after"


def test_a_closed_store_says_so(path: Path) -> None:
    store = Store.open(path)
    store.close()
    store.close()
    with pytest.raises(StorageError, match="has been closed"):
        store.read(lambda t: t.agents.list())
    with pytest.raises(StorageError, match="has been closed"):
        store.write(add("late"))


async def test_a_lock_that_is_not_given_back_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_SECONDS", 0.05)
    with Store.open(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="is locked: another process") as caught:
            await store.commit(add("one"))
        assert caught.value.help is not None
        assert caught.value.exit_code == 75
        assert aliases(store) == [], "reading does not wait for a writer"
        other.execute("ROLLBACK")
        assert await store.commit(add("one")) == "one"


def test_an_operation_that_fills_the_disk_fails_alone(path: Path) -> None:
    Store.open(path).close()
    with closing(connect(path)) as link:
        pages = link.execute("PRAGMA page_count").fetchone()[0]
        link.execute(f"PRAGMA max_page_count = {pages + 20}")
        big = Job(lambda t: t.messages.add_request(message("echo", "big", content={"text": "x" * 1_000_000})))
        jobs = [Job(add("before")), big, Job(add("after"))]
        run_batch(link, Tables(link), jobs, path)
        assert [job.result for job in (jobs[0], jobs[2])] == ["before", "after"]
        assert isinstance(big.error, StorageError)
        assert big.error.message.startswith("no space left for the store")
        assert "SQLITE_FULL" in big.error.sources[0]
        assert not link.in_transaction
    with Store.open(path) as store:
        assert aliases(store) == ["after", "before"]


FILL = """
import resource, sys
from pathlib import Path
from missive_host.errors import StorageError
from missive_host.store import Store
from storekit import event

_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
with Store.open(Path(sys.argv[1])) as store:
    append = lambda t: t.events.append(event(payload={"text": "x" * 5000}))
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
    written = 0
    try:
        while True:
            written = store.write(append)
    except StorageError as error:
        print(error.message)
    assert store.read(lambda t: t.events.count()) == written
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert store.write(append) == written + 1
print(written)
"""


def test_a_disk_that_takes_no_more_loses_nothing_acknowledged(path: Path) -> None:
    tests = str(Path(__file__).parents[1])
    child = subprocess.run(
        [sys.executable, "-c", FILL, str(path)], capture_output=True, text=True, env={"PYTHONPATH": tests}, timeout=60
    )
    assert child.stderr == ""
    error, written = child.stdout.splitlines()
    assert "the disk gave an error for the store" in error
    with Store.open(path) as store:
        assert store.read(lambda t: t.events.count()) == int(written) + 1


def test_importing_the_store_is_light() -> None:
    script = (
        "import missive_host.store, sys;"
        "print([m for m in ('asyncio', 'sqlite3', 'hashlib', 'difflib', 'anyio', 'threading') if m in sys.modules])"
    )
    child = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (child.stdout, child.stderr) == ("[]\n", "")
