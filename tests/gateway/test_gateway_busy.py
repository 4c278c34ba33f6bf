"""Busy input in a running gateway: a message that comes while its session is at work, against a real agent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from support.gateways import GatewayProcess

from missive_host import commands as c

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

PIPE = """
[qos]
retry_backoff = "10ms"

[adapters.pipe]
kind = "stdio"
settings = {{ mode = "long-running", concurrency = 64 }}
busy_input = {{ {busy} }}
"""


def frame(name: str, message: str) -> dict[str, Any]:
    return {"id": name, "command": "send", "agent": "echo", "message": message, "source": {"source_id": "ada"}}


def last(documents: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    return next((doc for doc in documents if doc.get("id") == name), None)


@pytest.fixture
async def registered(home: Home, agent: AgentProcess) -> Home:
    async with home.core() as core:
        core.add("echo", agent)
        core.local(c.ContextList())
    return home


def at_work(home: Home) -> bool:
    """True once the agent has a task for what runs."""
    with home.store() as store:
        return any(row.task_id for row in store.read(lambda tables: tables.work.list(states=("running",))))


def wait_for(home: Home) -> None:
    deadline = time.monotonic() + 20
    while not at_work(home):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def events(home: Home, kind: str) -> list[Any]:
    with home.store() as store:
        return list(store.read(lambda tables: tables.events.list(types=(kind,))))


async def test_it_interrupts_what_runs_here_and_at_the_agent(registered: Home) -> None:
    registered.configure(PIPE.format(busy='mode = "interrupt"'))
    with GatewayProcess(registered, stdin=True) as gateway:
        gateway.ready()
        gateway.put(frame("one", "sleep 60"))
        wait_for(registered)
        gateway.put(frame("two", "echo two"))
        gateway.until(lambda docs: last(docs, "two"))
        interrupted = last(gateway.documents, "one")
        assert interrupted is not None
        assert interrupted["error"]["message"].endswith("interrupted by a newer message")
        answer = last(gateway.documents, "two")
        assert answer is not None
        assert answer["data"]["data"]["response"]["text"] == "two"
    with registered.store() as store:
        (task,) = store.read(lambda tables: tables.tasks.list()).tasks
        assert task.state == "cancelled", "at the agent, too"
    assert len(events(registered, "missive.session.busy")) == 1


async def test_it_waits_for_its_turn(registered: Home) -> None:
    registered.configure(PIPE.format(busy='mode = "queue"'))
    with GatewayProcess(registered, stdin=True) as gateway:
        gateway.ready()
        gateway.put(frame("one", "sleep 0.5"), frame("two", "echo two"))
        gateway.until(lambda docs: last(docs, "two"))
        assert [doc["id"] for doc in gateway.documents] == ["one", "two"]


async def test_it_is_steered_to_the_task_that_runs(registered: Home) -> None:
    registered.configure(PIPE.format(busy='mode = "steer"'))
    with GatewayProcess(registered, stdin=True) as gateway:
        gateway.ready()
        gateway.put(frame("one", "sleep 2"))
        wait_for(registered)
        gateway.put(frame("two", "and this"))
        gateway.until(lambda docs: last(docs, "two") and last(docs, "one"))
    async with registered.core() as core:
        first, second = core.requests()
        assert second.task_id == first.task_id, "it went to the task that ran"
    (event,) = events(registered, "missive.session.busy")
    assert event.payload["disposition"] == "steered"


async def test_what_cannot_be_steered_interrupts(registered: Home) -> None:
    registered.configure(PIPE.format(busy='mode = "steer", unsupported_steer_fallback = "interrupt"'))
    with GatewayProcess(registered, stdin=True) as gateway:
        gateway.ready()
        gateway.put(frame("one", "slow 20"))
        time.sleep(1)
        gateway.put(frame("two", "echo two"))
        gateway.until(lambda docs: last(docs, "two"))
        interrupted = last(gateway.documents, "one")
        assert interrupted is not None
        assert not interrupted["ok"], "a message that waits for its answer has no task that could be steered"


async def test_a_session_goes_on_in_its_context(registered: Home) -> None:
    registered.configure(PIPE.format(busy='mode = "queue"'))
    with GatewayProcess(registered, stdin=True) as gateway:
        gateway.ready()
        gateway.put(frame("one", "context"), frame("two", "context"))
        gateway.until(lambda docs: last(docs, "two"))
        seen = {doc["data"]["data"]["response"]["text"] for doc in gateway.documents}
        assert len(seen) == 1
    async with registered.core() as core:
        listed = core.local(c.SessionList())
        assert [(each.adapter, each.source_id, each.target) for each in listed.sessions] == [
            ("pipe", "ada", "agent:echo")
        ]
