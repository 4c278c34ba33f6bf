"""Processes that are killed while they send, and many of them on one home."""

from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.cores import assert_journal_agrees
from support.doors import StdioProcess, frame
from support.misbehaving import Exchange

from missive_host import commands as c

if TYPE_CHECKING:
    from support.cores import Home
    from support.misbehaving import Start


class Recording:
    """An agent that notes each messageId it gets, takes a while to answer, and can be waited for."""

    def __init__(self, misbehaving: Start, *, pause: float = 0.02) -> None:
        self.got: list[str] = []
        self._pause = pause
        self._changed = threading.Condition()
        self.server = misbehaving(self._handle)

    def _handle(self, exchange: Exchange) -> None:
        request = exchange.request.json()
        message_id = request["params"]["message"]["messageId"]
        with self._changed:
            self.got.append(message_id)
            self._changed.notify_all()
        task: dict[str, Any] = {"id": f"t-{message_id}", "contextId": f"c-{message_id}"}
        working = {"task": {**task, "status": {"state": "TASK_STATE_WORKING"}}}
        artifact = {"artifactId": "a", "parts": [{"text": "x" * 200}]}
        update = {"artifactUpdate": {"taskId": task["id"], "contextId": task["contextId"], "artifact": artifact}}
        completed = {"state": "TASK_STATE_COMPLETED"}
        if request["method"] == "SendMessage":
            exchange.wait(self._pause)
            exchange.result({"task": {**task, "status": completed, "artifacts": [artifact]}})
            return
        exchange.start_stream()
        ending = {"statusUpdate": {"taskId": task["id"], "contextId": task["contextId"], "status": completed}}
        for event in (working, update, ending):
            exchange.event({"jsonrpc": "2.0", "id": 1, "result": event})
            exchange.wait(self._pause / 4)
        exchange.end_stream()

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.got) >= count, 30)


def assert_sound(home: Home) -> None:
    """The database file itself is whole, and so are the references in it."""
    connection = sqlite3.connect(home.settings().paths.database)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    finally:
        connection.close()


@pytest.mark.parametrize("seen", [1, 9, 40, 90, 150])
async def test_killed_while_sending(home: Home, misbehaving: Start, seen: int) -> None:
    agent = Recording(misbehaving)
    async with home.core() as core:
        core.add("a", agent.server.url)
    with StdioProcess(home, "--concurrency", "16") as door:
        frames = [
            frame(f"f{number}", "stream" if number % 3 == 0 else "send", agent="a", message=f"{number}")
            for number in range(400)
        ]
        writer = threading.Thread(target=_put, args=(door, frames))
        writer.start()
        await anyio.to_thread.run_sync(agent.wait_for, seen)
        door.process.kill()
        assert await anyio.to_thread.run_sync(door.finished) == -9
        writer.join()
        answered = [each for each in door.frames if each["ok"]]

    async with home.core() as core:  # it opens, and can be read and written
        rows = {row.message_id: row for row in core.requests()}
        assert set(agent.got) <= set(rows), "the agent got a message that nobody has written down"
        assert len(agent.got) == len(set(agent.got))
        for row in rows.values():
            assert row.status in {"pending", "sent"}
            assert row.content["messageId"] == row.message_id
        # What was handed on was written down before.
        for each in answered:
            data = each["data"]["data"]
            request_id = data["persistence"].get("request_message_id")
            if each["data"]["kind"] == "send_result":
                assert rows[request_id].status == "sent"
                task = core.task(data["response"]["task_id"], "a")
                assert task.state == "completed"
            elif each["data"]["kind"] == "stream_event":
                event_id = data["persistence"]["event_id"]
                assert any(event.event_id == event_id for event in core.events(task=data["task_id"]))
        core.read(assert_journal_agrees)
        assert_responses_have_events(core)
        await core.one(c.Send(agent="a", message="after"))
    assert_sound(home)


def _put(door: StdioProcess, frames: list[dict[str, Any]]) -> None:
    try:
        door.put(*frames)
    except (BrokenPipeError, ValueError):
        return  # it was killed


def assert_responses_have_events(core: Any) -> None:
    """Each task row comes from a journaled event, and each journaled task has its row."""
    journaled = {event.task_id for event in core.events() if event.task_id}
    known = {view.task_id for view in core.read(lambda tables: tables.tasks.list()).tasks}
    assert journaled == known


@pytest.mark.parametrize("step", ["at the first byte", "after the first file", "a moment later"])
async def test_killed_while_the_store_is_made(home: Home, misbehaving: Start, step: str) -> None:
    agent = Recording(misbehaving)
    home.configure(f'[agents.a]\nbase_url = "{agent.server.url}"\n')
    database = home.settings().paths.database
    with StdioProcess(home) as door:
        door.put(frame("f", "send", agent="a", message="x"))
        with anyio.fail_after(30):
            while not database.exists() or (step != "at the first byte" and database.stat().st_size == 0):
                await anyio.sleep(0)
        if step == "a moment later":
            await anyio.sleep(0.02)
        door.process.kill()
        await anyio.to_thread.run_sync(door.finished)
    async with home.core() as core:
        assert (await core.one(c.Send(agent="a", message="after"))).response.state == "completed"
        core.read(assert_journal_agrees)
        assert set(agent.got) == {row.message_id for row in core.requests() if row.status == "sent"} | (
            {row.message_id for row in core.requests()} & set(agent.got)
        )
    assert_sound(home)


async def test_eight_processes_on_one_home(home: Home, misbehaving: Start) -> None:
    """All at once, on a store that is not there yet: each makes it, brings it up to date, and sends."""
    agent = Recording(misbehaving, pause=0)
    home.configure(f'[agents.a]\nbase_url = "{agent.server.url}"\n')
    count = 25
    doors = [StdioProcess(home, "--concurrency", "4") for _ in range(8)]
    try:
        for place, door in enumerate(doors):
            door.put(
                *(
                    frame(f"{place}-{number}", "stream" if number % 5 == 0 else "send", agent="a", message="x",
                          context=f"shared-{number % 3}")
                    for number in range(count)
                )
            )  # fmt: skip
            door.end()
        for door in doors:
            assert await anyio.to_thread.run_sync(door.finished, 60.0) == 0, door.errors
            assert door.errors == b""
            assert [each for each in door.frames if not each["ok"]] == []
            assert len({each["id"] for each in door.frames}) == count
    finally:
        for door in doors:
            with door:
                pass
    async with home.core() as core:
        rows = core.requests()
        assert len(rows) == 8 * count
        assert {row.status for row in rows} == {"sent"}
        assert sorted(agent.got) == sorted(row.message_id for row in rows)
        assert {view.context_id for view in core.local(c.ContextList()).contexts} == {
            "shared-0", "shared-1", "shared-2",
        }  # fmt: skip
        core.read(assert_journal_agrees)
        assert_responses_have_events(core)
    assert_sound(home)
