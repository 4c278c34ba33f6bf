"""Several processes on one store, and one that is killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from missive_host.store import Store

ENV = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}

WRITER = """
import asyncio, os, sys
from pathlib import Path
from missive_host.ids import new_id
from missive_host.store import Store
from storekit import event, message

async def main():
    store = Store.open(Path(sys.argv[1]))

    async def produce():
        while True:
            message_id = new_id()

            def fn(t):
                t.contexts.ensure("ctx", "echo", at="2026-01-01T00:00:00.000000Z")
                t.messages.add_request(message("echo", message_id, context_id="ctx"))
                t.events.append(event(message_id=message_id))

            await store.commit(fn)
            os.write(1, message_id.encode() + b"\\n")

    await asyncio.gather(*(produce() for _ in range(16)))

asyncio.run(main())
"""


@pytest.mark.parametrize("acknowledged", [1, 100, 1500])
def test_a_killed_writer_loses_nothing_that_it_acknowledged(path: Path, acknowledged: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True, env=ENV
    ) as child:
        assert child.stdout is not None
        ids = [child.stdout.readline().strip() for _ in range(acknowledged)]
        child.send_signal(signal.SIGKILL)
        ids += [line.strip() for line in child.stdout if line.endswith("\n")]
    assert child.returncode == -signal.SIGKILL
    with Store.open(path) as store:
        stored = {row.message_id for row in store.read(lambda t: t.messages.list(context="ctx"))}
        journal = {row.message_id for row in store.read(lambda t: t.events.list())}
    assert set(ids) <= stored
    assert stored == journal, "what is written together is there together"
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []


CROWD = """
import asyncio, sys
from pathlib import Path
from missive_host.store import Store
from storekit import T0, event, message

name = sys.argv[2]

async def main():
    with Store.open(Path(sys.argv[1])) as store:
        def fn(number):
            def run(t):
                t.contexts.get("shared")  # reading first: a transaction that is not IMMEDIATE could not go on to write
                t.contexts.ensure("shared", None, at=T0)
                t.messages.add_request(message(name, f"m{number}", context_id="shared"))
                return t.events.append(event(agent_alias=name))
            return run

        for number in range(150):
            await store.commit(fn(number))
            store.read(lambda t: t.contexts.counts("shared"))

asyncio.run(main())
"""


def test_four_processes_write_at_once(path: Path) -> None:
    children = [
        subprocess.Popen([sys.executable, "-c", CROWD, str(path), name], stderr=subprocess.PIPE, text=True, env=ENV)
        for name in ("a", "b", "c", "d")
    ]
    for child in children:
        _, errors = child.communicate(timeout=100)
        assert errors == ""
        assert child.returncode == 0
    with Store.open(path) as store:
        events = store.read(lambda t: t.events.list())
        assert [row.sequence for row in events] == list(range(1, 601))
        assert store.read(lambda t: t.contexts.counts("shared")).message_count == 600
