"""``missive trace`` of what came through a door of a running gateway to a group: by whichever id, the whole story."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
from http_kit import MESSAGES
from route_kit import document, gang, nobody, run
from support.gateways import GatewayProcess

from missive_host import commands as c
from missive_host.core.core import WorkContext

if TYPE_CHECKING:
    from support.cores import Home

    from missive_host.demo.fleet import AgentProcess

pytestmark = pytest.mark.anyio

CONFIG = """
[qos]
retry_backoff = "10ms"
retry_attempts = 1

[adapters.web]
kind = "http"

[adapters.web.settings]
auth = "token"
"""


def prepare(home: Home, agent: AgentProcess) -> str:
    """Make a group whose first member is not there; return a token for the door."""
    home.configure(CONFIG)

    async def make() -> str:
        async with home.core() as core:
            gang(core, "fallback", gone=nobody(), echo=agent)
            secret: str = core.local(c.TokenCreate(name="ci")).secret
            return secret

    return asyncio.run(make())


def outline(found: dict[str, Any]) -> list[tuple[int, str]]:
    return [(step["depth"], step["what"]) for step in found["steps"]]


STORY = [
    (0, "delivery through web: send"),
    (1, "missive.route.planned"),
    (2, "message to gone: failed"),
    (3, "a2a.send.request"),
    (3, "a2a.send.failed"),
    (3, "missive.route.attempt"),
    (2, "message to echo: sent"),
    (3, "a2a.send.request"),
    (3, "a2a.send.response"),
    (3, "missive.route.attempt"),
    (1, "done"),
    (1, "answer delivered"),
]


def test_a_message_to_a_group_by_each_id(home: Home, agent: AgentProcess) -> None:
    token = prepare(home, agent)
    with (
        GatewayProcess(home).ready() as gateway,
        httpx.Client(base_url=gateway.url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as client,
    ):
        frame = {"id": "h", "command": "send", "group": "gang", "message": "echo hello", "context": "trip"}
        answer = client.post(MESSAGES, json=frame).json()
        other = client.post(MESSAGES, json={**frame, "id": "i", "context": "other"}).json()
        assert gateway.stop() == 0
    receipt = answer["receipt_id"]
    whole = document(home, "trace", receipt)
    assert outline(whole) == STORY
    assert whole["of"] == "delivery"
    times = [step["at"] for step in whole["steps"]]
    assert whole["began_at"] == min(times) <= max(times) == whole["ended_at"]
    plan, failed, attempt = whole["steps"][1], whole["steps"][4], whole["steps"][5]
    assert plan["says"] == "fallback chooses gone, echo of group gang"
    assert "127.0.0.1" in failed["says"]
    assert (attempt["agent"], attempt["says"]) == ("gone", failed["says"])
    messages = [step["id"] for step in whole["steps"] if step["kind"] == "message"]
    for key in messages:
        assert document(home, "trace", key)["steps"] == whole["steps"], key
    assert document(home, "trace", "trip")["steps"] == whole["steps"]
    assert other["receipt_id"] not in str(whole)

    listed = document(home, "events", "list", "--work", receipt)["events"]
    assert {event["work_id"] for event in listed} == {receipt}
    assert {event["context_id"] for event in listed} == {"trip"}
    attempts = [event for event in listed if event["event_type"] == "missive.route.attempt"]
    assert [event["message_id"] for event in attempts] == messages

    assert run(home, "agent", "rename", "echo", "parrot").returncode == 0
    renamed = outline(document(home, "trace", receipt))
    assert renamed == [(depth, what.replace("to echo", "to parrot")) for depth, what in STORY]
    shown = run(home, "trace", messages[1]).stdout.splitlines()
    assert len(shown) == len(STORY)
    assert "│  └─ message to parrot: sent" in shown[6]


def test_a_task_that_a_group_made_and_what_the_gateway_has_forgotten(home: Home, agent: AgentProcess) -> None:
    token = prepare(home, agent)
    with (
        GatewayProcess(home).ready() as gateway,
        httpx.Client(base_url=gateway.url, headers={"Authorization": f"Bearer {token}"}, timeout=30) as client,
    ):
        answer = client.post(
            MESSAGES, json={"id": "h", "command": "send", "group": "gang", "message": "stream 2"}
        ).json()
        assert gateway.stop() == 0
    (task,) = document(home, "task", "list")["tasks"]
    assert run(home, "agent", "rename", "echo", "parrot").returncode == 0
    found = document(home, "trace", task["task_id"])
    assert found["of"] == "task"
    whats = [what for _, what in outline(found)]
    assert whats[:2] == ["delivery through web: send", "missive.route.planned"]
    assert whats.count("missive.route.attempt") == 2
    assert "message to parrot: sent" in whats
    assert "a2a.send.response" in whats
    assert "task" not in whats, "all of it belongs to the message"
    assert document(home, "trace", answer["receipt_id"])["steps"] == found["steps"]

    with home.store() as store:
        store.write(lambda tables: tables.work.drop(answer["receipt_id"]))
    forgotten = document(home, "trace", answer["receipt_id"])
    assert outline(forgotten)[0] == (0, "delivery, forgotten by the gateway")
    assert forgotten["event_count"] == found["event_count"]


def test_what_the_gateway_tries_again(home: Home, agent: AgentProcess) -> None:
    prepare(home, agent)
    with GatewayProcess(home).ready() as gateway:
        job = document(home, "job", "start", "send", "gone", "hello", "--max-attempts", "2")["job"]["job_id"]
        deadline = time.monotonic() + 60
        while document(home, "job", "show", job)["job"]["state"] != "failed":
            assert time.monotonic() < deadline
        assert gateway.stop() == 0
    found = outline(document(home, "trace", job))
    assert found == [
        (0, "job: send"),
        (1, "missive.job.enqueued"),
        (1, "message to gone: failed"),
        (2, "a2a.send.request"),
        (2, "a2a.send.failed"),
        (2, "a2a.send.request"),
        (2, "a2a.send.failed"),
        (1, "missive.gateway.retrying"),
        (1, "failed"),
        (1, "missive.job.failed"),
    ]


async def test_an_agent_that_was_renamed_gets_no_message_twice(home: Home, agent: AgentProcess) -> None:
    """As after a crash: the first attempt has the answer, and the second one finds it under the agent's new name."""
    async with home.core() as core:
        gang(core, "round-robin", echo=agent, other=agent)
        answers: list[Any] = []

        async def emit(output: Any) -> None:
            answers.append(output.data.response.raw)

        command = c.Send(group="gang", message="echo hello")
        await core.core.for_work(WorkContext("delivery-1")).run(command, emit)
        (request,) = core.requests()
        core.local(c.AgentRename(agent=request.agent_alias, new_name="parrot"))
        await core.core.for_work(WorkContext("delivery-1", attempt=2)).run(command, emit)
        assert answers[0] == answers[1]
        assert [row.message_id for row in core.requests()] == [request.message_id]


@pytest.mark.parametrize("reduced", [False, True])
async def test_members_that_were_renamed_get_no_message_twice(
    home: Home, agent: AgentProcess, *, reduced: bool
) -> None:
    async with home.core() as core:
        gang(core, "round-robin", echo=agent, other=agent)

        async def emit(_: Any) -> None: ...

        command: Any = c.Bcast(group="gang", message="echo hello")
        if reduced:
            command = c.Allreduce(group="gang", message="echo hello", strategy="summarise", reducer_agent="echo")
        await core.core.for_work(WorkContext("job-1")).run(command, emit)
        sent = {row.message_id for row in core.requests()}
        core.local(c.AgentRename(agent="echo", new_name="parrot"))
        if reduced:
            command = msgspec.structs.replace(command, reducer_agent="parrot")
        await core.core.for_work(WorkContext("job-1", attempt=2)).run(command, emit)
        assert {row.message_id for row in core.requests()} == sent
        assert {event.work_id for event in core.read(lambda tables: tables.events.list(types=("a2a.*",)))} == {"job-1"}


def test_without_a_gateway_the_plan_is_found_by_its_attempts(home: Home, agent: AgentProcess) -> None:
    prepare(home, agent)
    assert run(home, "send", "--group", "gang", "echo hello").returncode == 0
    assert run(home, "send", "--group", "gang", "echo again").returncode == 0
    sent = document(home, "events", "list", "--type", "a2a.send.request", "--agent", "echo")["events"]
    found = document(home, "trace", sent[0]["message_id"])
    assert outline(found) == [(depth - 1, what) for depth, what in STORY[1:-2]]
