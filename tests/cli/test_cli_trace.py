"""``missive trace``: everything that happened to one thing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cli_kit import build

from missive_host import commands as c
from missive_host.core.core import WorkContext
from missive_host.ids import new_id, now
from missive_host.store.rows import WorkRow

if TYPE_CHECKING:
    from support.cores import Commands, Home

    from missive_host.demo.fleet import AgentProcess
    from missive_host.store import Tables

pytestmark = pytest.mark.anyio


def missive(home: Home, *line: str, status: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "missive_host", "--config", str(home.config), *line],
        env={**os.environ, **home.environ}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    return done.stdout if status == 0 else done.stderr


def tree(found: Any) -> list[tuple[int, str]]:
    return [(step.depth, step.what) for step in found.steps]


async def deliver(core: Commands, message: str) -> str:
    """Do what the gateway does with a delivery, and return its receipt."""
    work_id = new_id()

    def write(tables: Tables) -> None:
        row = WorkRow(
            work_id=work_id, kind="delivery", adapter="inbox", command="send", agent_alias="echo", max_attempts=3,
            request={"command": {"command": "send"}}, run_at=now(), accepted_at=now(),
            idempotency_key=f"code-{message}",
        )  # fmt: skip
        tables.work.put(row)

    core.core.store.write(write)
    (work,) = core.core.store.write(lambda tables: tables.work.claim("me", at=now(), limit=1))

    async def emit(output: Any) -> None:
        assert output.kind == "send_result"

    await core.core.for_work(WorkContext(work_id)).run(c.Send(agent="echo", message=message), emit)
    core.core.store.write(lambda tables: tables.work.finish(work, "done", at=now()))
    return work_id


def test_a_line_is_a_command() -> None:
    assert build("trace", "trip") == c.Trace(id="trip")


async def test_a_delivery_is_found_by_its_receipt_its_code_its_message_its_context(
    home: Home, agent: AgentProcess
) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        receipt = await deliver(core, "hello")
        await deliver(core, "another")
        found = await core.one(c.Trace(id=receipt))
        assert tree(found) == [
            (0, "delivery through inbox: send"),
            (1, "message to echo: sent"),
            (2, "a2a.send.request"),
            (2, "a2a.send.response"),
            (1, "done"),
        ]
        assert found.of == "delivery"
        assert found.event_count == 2
        assert found.began_at == found.steps[0].at <= found.steps[-1].at == found.ended_at
        assert found.steps[1].says == found.steps[2].says == "hello"
        assert tree(await core.one(c.Trace(id="code-hel"))) == tree(found)
        message = await core.one(c.Trace(id=found.steps[1].id))
        assert (message.of, tree(message)) == ("message", tree(found))
        (context,) = {
            row.context_id for row in core.core.store.read(lambda tables: tables.work.list()) if row.work_id == receipt
        }
        assert context is not None
        whole = await core.one(c.Trace(id=context))
        assert (whole.of, tree(whole)[:5]) == ("context", tree(found))
    shown = missive(home, "trace", receipt).splitlines()
    assert len(shown) == 5
    assert "├─ message to echo: sent" in shown[1]
    assert "│  └─ a2a.send.response" in shown[3]
    assert "└─ done" in shown[4]
    assert json.loads(missive(home, "trace", receipt, "--json"))["kind"] == "trace"


async def test_a_task_with_its_stream(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("echo", agent)
        outputs = await core.data(c.Stream(agent="echo", message="stream 2"))
        task_id = outputs[-1].final_task_id
        found = await core.one(c.Trace(id=task_id))
        assert found.of == "task"
        assert tree(found)[:2] == [(0, "message to echo: sent"), (1, "a2a.stream.request")]
        assert found.event_count == len(outputs)
        assert found.steps[-1].says.startswith("completed")


async def test_a_message_that_failed(home: Home) -> None:
    async with home.core() as core:
        core.add("gone", "http://127.0.0.1:9")
        with pytest.raises(Exception, match=r"127\.0\.0\.1:9"):
            await core.all(c.Send(agent="gone", message="hello"))
        (row,) = core.core.store.read(lambda tables: tables.messages.list(agent="gone"))
        found = await core.one(c.Trace(id=row.message_id))
        assert tree(found) == [(0, "message to gone: failed"), (1, "a2a.send.request"), (1, "a2a.send.failed")]
        assert "127.0.0.1:9" in found.steps[-1].says


async def test_nothing_is_known(home: Home) -> None:
    assert "nothing is known of 'no-such-thing'" in missive(home, "trace", "no-such-thing", status=64)
