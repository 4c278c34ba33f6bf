"""Open tasks are followed to their end: real agents, real sockets, agents that die."""

from __future__ import annotations

import os
import signal
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.agents import BEARER_TOKEN
from support.cores import BINDINGS
from support.cutting import CuttingProxy
from support.misbehaving import in_turn, reply

from missive_host import commands as c
from missive_host.demo.fleet import AgentSpec, Fleet
from missive_host.errors import AuthError, ProtocolError, ValidationError
from missive_host.gateway import following
from missive_host.gateway.following import TaskFollowers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.cores import Commands, Home
    from support.misbehaving import Exchange, Start

    from missive_host.demo.fleet import AgentProcess

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def followers(core: Commands, **limits: Any) -> AsyncIterator[TaskFollowers]:
    service = TaskFollowers(core.core, **limits)
    async with anyio.create_task_group() as group:
        group.start_soon(service.run)
        with anyio.fail_after(60):
            yield service
        group.cancel_scope.cancel()


async def started(core: Commands, agent: str, text: str) -> str:
    answer = await core.one(c.Send(agent=agent, message=text, return_immediately=True))
    assert isinstance(answer.response.task_id, str)
    return answer.response.task_id


async def until_empty(service: TaskFollowers) -> None:
    while service.count:
        await anyio.sleep(0.02)


def kinds(core: Commands, task_id: str) -> list[str]:
    rows = core.read(lambda tables: tables.events.list(task=task_id, source="gateway:subscriptions"))
    return [row.event_type.removeprefix("missive.gateway.") for row in rows]


def text_of(core: Commands, task_id: str) -> str:
    (artifact,) = core.artifacts(task=task_id)
    return "".join(part["text"] for part in artifact.content["parts"])


async def whole_text(core: Commands, agent: str, task_id: str) -> str:
    """The artifact as the agent itself has it."""
    task, _ = await core.core.agents.calling(agent, lambda client: client.get_task(task_id))
    (artifact,) = task["artifacts"]
    return "".join(part["text"] for part in artifact["parts"])


@pytest.mark.parametrize("binding", BINDINGS)
async def test_a_task_is_followed_by_its_stream(home: Home, agent: AgentProcess, binding: str) -> None:
    async with home.core() as core, followers(core) as service:
        core.add("worker", agent, binding)
        task_id = await started(core, "worker", "stream 4 0.15")
        row = await service.wait("worker", task_id)
        assert (row.state, row.source) == ("completed", "gateway")
        assert row.completed_at is not None
        assert text_of(core, task_id) == await whole_text(core, "worker", task_id)
        await until_empty(service)
        told = kinds(core, task_id)
        assert (told[0], told[-1]) == ("subscription.started", "subscription.ended")
        assert {"a2a.subscription.status_update", "a2a.subscription.artifact_update"} <= set(told)
        directions = {row.direction for row in core.messages(task=task_id)}
        assert directions == {"request", "stream_event"}


async def test_an_agent_of_0_3(home: Home, agent_03: AgentProcess) -> None:
    async with home.core() as core, followers(core) as service:
        core.add("old", agent_03)
        task_id = await started(core, "old", "sleep 0.5")
        assert (await service.wait("old", task_id)).state == "completed"


@pytest.mark.parametrize(("text", "state"), [("ask", "input_required"), ("auth", "auth_required"), ("fail", "failed")])
async def test_what_a_wait_ends_with(home: Home, agent: AgentProcess, text: str, state: str) -> None:
    async with home.core() as core, followers(core) as service:
        core.add("worker", agent)
        task_id = await started(core, "worker", text)
        assert (await service.wait("worker", task_id)).state == state
        await until_empty(service)


async def test_what_was_open_is_followed_after_a_restart(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("worker", agent)
        ids = [await started(core, "worker", "sleep 1.5") for _ in range(3)]
        async with followers(core) as service:
            while service.count < 3:
                await anyio.sleep(0.02)
    async with home.core() as core, followers(core) as service:
        while any(core.task(task_id).state != "completed" for task_id in ids):
            await anyio.sleep(0.02)
        await until_empty(service)


async def test_what_another_process_began(home: Home, agent: AgentProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "SCAN_SECONDS", 0.2)
    monkeypatch.setattr(following, "QUIET_SECONDS", 0.5)
    async with home.core() as core, followers(core), home.core() as other:
        core.add("worker", agent)
        task_id = await started(other, "worker", "sleep 1")
        while core.task(task_id).state != "completed":
            await anyio.sleep(0.05)
        assert kinds(core, task_id)[0] == "subscription.started"


async def test_more_tasks_than_places_for_streams(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core, followers(core, streams=3, streams_of_agent=2) as service:
        core.add("worker", agent)
        core.add("again", agent)
        ids = [(alias, await started(core, alias, "sleep 1")) for alias in ("worker", "again") for _ in range(4)]
        async with anyio.create_task_group() as group:
            for key in ids:
                group.start_soon(service.wait, *key)
        assert {core.task(task_id).state for _, task_id in ids} == {"completed"}
        rows = core.read(lambda tables: tables.events.list(types=("missive.gateway.subscription.started",)))
        assert {row.payload["road"] for row in rows} == {"subscription", "poll"}


# --- with a stream of our own


async def test_what_a_command_streams_is_left_to_it(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core, followers(core) as service:
        core.add("worker", agent)
        seen: list[str] = []

        async def emit(output: Any) -> None:
            if isinstance(task_id := getattr(output.data, "task_id", None), str):
                seen.append(task_id)
                service.follow("worker", task_id)

        await core.core.run(c.Stream(agent="worker", message="stream 5 0.1"), emit)
        await until_empty(service)
        assert text_of(core, seen[0]) == await whole_text(core, "worker", seen[0])
        assert kinds(core, seen[0]) == []


async def test_a_subscription_gives_way_to_a_command(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core, followers(core) as service:
        core.add("worker", agent)
        task_id = await started(core, "worker", "stream 12 0.1")
        service.follow("worker", task_id)
        while "a2a.subscription.artifact_update" not in kinds(core, task_id):
            await anyio.sleep(0.01)
        await core.all(c.TaskSubscribe(task_id=task_id, agent="worker"))
        await until_empty(service)
        assert core.task(task_id).state == "completed"
        assert text_of(core, task_id) == await whole_text(core, "worker", task_id)


# --- agents that do not stream, are down, forget


def _task(state: str, **more: Any) -> Any:
    def handle(exchange: Exchange) -> None:
        exchange.result({"id": "t", "contextId": "c", "status": {"state": f"TASK_STATE_{state}"}, **more})

    return handle


def _sent(exchange: Exchange) -> None:
    exchange.result({"task": {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_WORKING"}}})


async def test_an_agent_that_does_not_stream_is_asked(home: Home, misbehaving: Start) -> None:
    artifact = {"artifactId": "a", "parts": [{"text": "all of it"}]}
    server = misbehaving(
        in_turn(_sent, _task("WORKING"), _task("WORKING"), _task("COMPLETED", artifacts=[artifact])), streaming=False
    )
    async with home.core() as core, followers(core) as service:
        core.add("quiet", server.url)
        assert await started(core, "quiet", "hi") == "t"
        row = await service.wait("quiet", "t")
        assert (row.state, row.source) == ("completed", "gateway")
        assert text_of(core, "t") == "all of it"
        await until_empty(service)
        # What has not changed is no event.
        assert kinds(core, "t") == ["subscription.started", "a2a.subscription.task", "subscription.ended"]


async def test_a_wait_survives_an_agent_that_is_down(home: Home, misbehaving: Start) -> None:
    server = misbehaving(in_turn(_sent, *[reply(503)] * 7, _task("COMPLETED")), streaming=False)
    async with home.core() as core, followers(core) as service:
        core.add("shaky", server.url)
        await started(core, "shaky", "hi")
        assert (await service.wait("shaky", "t")).state == "completed"
        await until_empty(service)
        assert kinds(core, "t").count("subscription.retrying") == 1, "the same trouble is told once"


async def test_an_agent_that_is_down_is_left_in_peace(home: Home, misbehaving: Start) -> None:
    home.verified = False
    server = misbehaving(reply(503))
    at = "2026-01-01T00:00:00.000000Z"
    async with home.core() as core:
        core.add("down", server.url)

        def write(tables: Any) -> None:
            for number in range(200):
                tables.tasks.ensure("down", f"t{number}", at=at)

        core.core.store.write(write)
        async with followers(core) as service:
            while service.count < 200 or not server.requests:
                await anyio.sleep(0.02)
            await anyio.sleep(2)
            assert service.count == 200
            assert len(server.requests) < 200, "200 tasks are no reason to knock more often"


async def test_an_agent_that_hangs_holds_nobody_else_up(home: Home, agent: AgentProcess, misbehaving: Start) -> None:
    home.verified = False
    server = misbehaving(lambda exchange: exchange.hang(), streaming=False)
    async with home.core() as core:
        core.add("slow", server.url)
        core.add("worker", agent)

        def write(tables: Any) -> None:
            for number in range(100):
                tables.tasks.ensure("slow", f"t{number}", at="2026-01-01T00:00:00.000000Z")

        core.core.store.write(write)
        async with followers(core) as service:
            while not server.requests:
                await anyio.sleep(0.02)
            ids = [await started(core, "worker", "sleep 0.3") for _ in range(3)]
            for task_id in ids:
                assert (await service.wait("worker", task_id)).state == "completed"
            assert len(server.requests) < 10, "few of its tasks ask at the same time"


async def test_a_subscription_is_made_anew(home: Home, agent: AgentProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "SUBSCRIPTION_SECONDS", 0.4)
    async with home.core() as core, followers(core) as service:
        core.add("worker", agent)
        task_id = await started(core, "worker", "stream 3 1")
        assert (await service.wait("worker", task_id)).state == "completed"
        assert text_of(core, task_id) == await whole_text(core, "worker", task_id)


async def test_the_agent_forgets_everything(home: Home, agent: AgentProcess) -> None:
    with Fleet([AgentSpec("mortal", bindings=("json-rpc",))]) as fleet:
        mortal = fleet["mortal"]
        port = int(mortal.url.rpartition(":")[2])
        async with home.core() as core, followers(core) as service:
            core.add("mortal", mortal)
            core.add("worker", agent)
            task_id = await started(core, "mortal", "sleep 60")
            service.follow("mortal", task_id)
            while "subscription.started" not in kinds(core, task_id):
                await anyio.sleep(0.02)
            os.kill(mortal.pid, signal.SIGKILL)
            while "subscription.retrying" not in kinds(core, task_id):
                await anyio.sleep(0.02)
            # The others are followed as before.
            assert (await service.wait("worker", await started(core, "worker", "sleep 0.2"))).state == "completed"
            with Fleet([AgentSpec("mortal", bindings=("json-rpc",), port=port)]):
                with pytest.raises(ProtocolError) as caught:
                    await service.wait("mortal", task_id)
                assert caught.value.a2a is not None
                assert caught.value.a2a.name == "TaskNotFoundError"
                assert (await service.wait("mortal", await started(core, "mortal", "sleep 0.2"))).state == "completed"
            assert core.task(task_id).state == "working", "what became of it is not known, and not made up"


@pytest.mark.parametrize("binding", ["http+json", "grpc"])
async def test_a_connection_that_is_cut(home: Home, agent: AgentProcess, binding: str) -> None:
    name = {"http+json": "HTTP+JSON", "grpc": "GRPC"}[binding]
    target = agent.interfaces[name].removeprefix("http://").partition("/")[0]
    async with CuttingProxy(target) as proxy, home.core() as core, followers(core) as service:
        url = proxy.address if binding == "grpc" else f"http://{proxy.address}/rest"
        card = home.folder / "card.json"
        _write_card(card, name, url)
        core.add("worker", card.as_uri())
        task_id = await started(core, "worker", "stream 6 0.2")
        service.follow("worker", task_id)
        while "a2a.subscription.artifact_update" not in kinds(core, task_id):
            await anyio.sleep(0.01)
        proxy.reset()
        assert (await service.wait("worker", task_id)).state == "completed"
        assert text_of(core, task_id) == await whole_text(core, "worker", task_id)


def _write_card(path: Path, binding: str, url: str) -> None:
    import json

    path.write_text(
        json.dumps(
            {
                "name": "cut",
                "description": "An agent behind a proxy.",
                "version": "1.0.0",
                "supportedInterfaces": [{"url": url, "protocolBinding": binding, "protocolVersion": "1.0"}],
                "capabilities": {"streaming": True},
                "defaultInputModes": ["text/plain"],
                "defaultOutputModes": ["text/plain"],
                "skills": [],
            }
        )
    )


# --- what cannot be followed


async def test_what_is_told_to_those_who_wait(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core, followers(core) as service:
        core.add("worker", agent)
        with pytest.raises(ProtocolError):
            await service.wait("worker", "unheard-of")
        with pytest.raises(ValidationError, match="worker"):
            await service.wait("workr", "t")
        await until_empty(service)


async def test_a_credential_that_is_missing(home: Home, bearer_agent: AgentProcess) -> None:
    home.configure('[auth_refs.key]\nenv = "MISSIVE_TEST_KEY"\n[qos]\nretry_backoff = "10ms"\n')
    home.environ["MISSIVE_TEST_KEY"] = BEARER_TOKEN
    async with home.core() as core, followers(core) as service:
        core.add("locked", bearer_agent, auth_ref="key")
        task_id = await started(core, "locked", "sleep 1")
        assert (await service.wait("locked", task_id)).state == "completed"
        task_id = await started(core, "locked", "sleep 1")
    del home.environ["MISSIVE_TEST_KEY"]
    async with home.core() as core, followers(core) as service:
        with pytest.raises(AuthError):
            await service.wait("locked", task_id)
        assert BEARER_TOKEN not in repr(core.read(lambda tables: tables.events.list()))


async def test_somebody_else_writes_the_end_down(home: Home, misbehaving: Start) -> None:
    server = misbehaving(in_turn(_sent, _task("WORKING")), streaming=False)
    async with home.core() as core, followers(core) as service:
        core.add("quiet", server.url)
        await started(core, "quiet", "hi")
        done = anyio.Event()

        async def wait() -> None:
            assert (await service.wait("quiet", "t")).state == "completed"
            done.set()

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            while "subscription.started" not in kinds(core, "t"):
                await anyio.sleep(0.02)
            interface = (await core.core.agents.client("quiet")).interface
            ended = {"id": "t", "contextId": "c", "status": {"state": "TASK_STATE_COMPLETED"}}
            await core.core.recorder.observed("quiet", ended, interface, observed_by="test")
            service.notice("quiet", "t")
            await done.wait()
        await until_empty(service)
