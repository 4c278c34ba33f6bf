"""How answers find those who wait for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest

from missive_host import commands as c
from missive_host.envelopes import STDIO, parse_envelope, stored
from missive_host.gateway import answers as module
from missive_host.gateway.answers import Answers
from missive_host.gateway.dispatcher import Dispatcher
from missive_host.ids import now
from missive_host.protocols import Done, Outcome
from missive_host.store.rows import WorkOutputRow, WorkRow

if TYPE_CHECKING:
    from support.cores import Commands, Home

    from missive_host.demo.fleet import AgentProcess
    from missive_host.outputs import Output


class Waiting:
    """A viewer that keeps what it gets."""

    def __init__(self) -> None:
        self.outputs: list[Output] = []
        self.outcome: Outcome | None = None
        self.settled = anyio.Event()

    async def send(self, output: Output) -> None:
        self.outputs.append(output)

    async def settle(self, outcome: Outcome) -> None:
        self.outcome = outcome
        self.settled.set()


def put(core: Commands, *, begun: bool, **earlier: Any) -> WorkRow:
    """Take a delivery in; `begun`: by a process that is gone, and has left a result."""
    line = b'{"id": "1", "command": "send", "agent": "echo", "message": "echo hi"}'
    envelope = parse_envelope(line, STDIO, default_source="test")
    at = now()
    row = WorkRow(
        work_id="w", kind="delivery", adapter="pipe", command="send", request=stored(envelope), reply_to={},
        max_attempts=5, run_at=at, accepted_at=at,
    )  # fmt: skip

    def write(tables: Any) -> None:
        tables.work.put(row)
        if begun:
            tables.work.claim("gone", at=now(), limit=1)
            tables.work.add_output(
                WorkOutputRow(work_id="w", position=0, kind="send_result", sequence=0, created_at=at, **earlier)
            )
            tables.work.reclaim(at=now())

    core.core.store.write(write)
    return row


async def test_who_follows_work_that_starts_over_gets_its_end(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        (earlier,) = await core.all(c.Send(agent="echo", message="echo earlier"))
        put(core, begun=True, data=earlier.document(sequence=True)["data"])
        dispatcher = Dispatcher(core.core, files=lambda _: None, adapter_limit=lambda _: None)
        viewer = Waiting()
        async with anyio.create_task_group() as group:
            group.start_soon(dispatcher.answers.follow, "w", viewer, 0)
            await anyio.wait_all_tasks_blocked()
            await group.start(dispatcher.run)
            with anyio.fail_after(20):
                await viewer.settled.wait()
            group.cancel_scope.cancel()
        assert viewer.outcome == Done()
        (result,) = core.read(lambda tables: tables.work.outputs("w"))
        assert result.data["response"]["text"] == "hi"


async def test_who_is_slow_to_take_earlier_results_gets_the_end(home: Home, agent: AgentProcess) -> None:
    class Slow(Waiting):
        async def send(self, output: Output) -> None:
            await super().send(output)
            if len(self.outputs) == 1:  # of the earlier attempt: meanwhile the work runs, and ends
                await group.start(dispatcher.run)
                while (row := core.read(lambda tables: tables.work.get("w"))) is None or not row.ended:
                    await anyio.sleep(0.02)

    async with home.core() as core:
        core.add("echo", agent)
        (earlier,) = await core.all(c.Send(agent="echo", message="echo earlier"))
        put(core, begun=True, data=earlier.document(sequence=True)["data"])
        dispatcher = Dispatcher(core.core, files=lambda _: None, adapter_limit=lambda _: None)
        viewer = Slow()
        async with anyio.create_task_group() as group:
            with anyio.fail_after(20):
                await dispatcher.answers.follow("w", viewer, 0)
            group.cancel_scope.cancel()
        assert viewer.outcome == Done()


async def test_what_was_delivered_is_written_down_once_the_store_takes_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MARK_PAUSE", 0.05)
    async with home.core() as core:
        put(core, begun=False)
        store = core.core.store
        (row,) = store.write(lambda tables: tables.work.claim("a", at=now(), limit=1))
        store.write(lambda tables: tables.work.finish(row, "done", at=now()))
        viewer, answers = Waiting(), Answers(core.core)
        refuse = store._main.connection.execute
        async with anyio.create_task_group() as group:
            group.start_soon(answers.run, group)
            await anyio.wait_all_tasks_blocked()
            refuse("PRAGMA query_only = ON")
            answers.attach_ended("w", viewer)
            await viewer.settled.wait()
            await anyio.sleep(0.2)
            assert core.read(lambda tables: tables.work.undelivered("pipe"))
            refuse("PRAGMA query_only = OFF")
            with anyio.fail_after(20):
                while core.read(lambda tables: tables.work.undelivered("pipe")):
                    await anyio.sleep(0.02)
            group.cancel_scope.cancel()
