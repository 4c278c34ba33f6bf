"""Tasks of agents that do not stream, and tell the gateway what is new."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
import pytest
from push_kit import started
from support.cores import QUICK

from missive_host import commands as c
from missive_host.gateway import following
from missive_host.gateway.callbacks import Callbacks
from missive_host.gateway.following import TaskFollowers
from missive_host.gateway.listener import HttpListener
from missive_host.gateway.push import PushReceiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.cores import Commands, Home

    from missive_host.demo.fleet import AgentProcess

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def gateway(home: Home) -> AsyncIterator[tuple[Commands, TaskFollowers]]:
    """What the gateway makes of followers and receiver."""
    listener = HttpListener("127.0.0.1:0")
    home.configure(f'[gateway]\npublic_base_url = "{listener.url}"\n{QUICK}')
    async with home.core() as core, anyio.create_task_group() as group:
        service = TaskFollowers(core.core)
        receiver = PushReceiver(core.core, followers=service)
        await group.start(listener.serve)
        with listener.mount(receiver.path, receiver.app()), anyio.fail_after(60):
            async with anyio.create_task_group() as inner:
                inner.start_soon(service.run)
                yield core, service
                inner.cancel_scope.cancel()
        listener.stop()


@pytest.mark.parametrize("fixture", ["push_agent", "push_agent_03"])
async def test_the_agent_tells_us(
    home: Home, request: pytest.FixtureRequest, fixture: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "NET_SECONDS", 3600.0)  # so that only a notification can end the wait
    agent: AgentProcess = request.getfixturevalue(fixture)
    async with gateway(home) as (core, service):
        core.add("worker", agent)
        task_id = await started(core, "worker", "stream 4 0.2")
        row = await service.wait("worker", task_id)
        assert (row.state, row.source) == ("completed", "gateway")
        while service.count:
            await anyio.sleep(0.02)
        events = core.read(lambda tables: tables.events.list(task=task_id))
        (begun,) = [row for row in events if row.event_type == "missive.gateway.subscription.started"]
        assert begun.payload == {"road": "push"}
        assert any(row.event_type in ("a2a.push.status_update", "a2a.push.task") for row in events)
        # At its end the config is gone here and there, and the artifact is whole.
        assert core.read(lambda tables: tables.push.list()) == ()
        assert "a2a.push.delete" in {row.event_type for row in events} or fixture.endswith("03")
        task, _ = await core.core.agents.calling("worker", lambda client: client.get_task(task_id))
        (artifact,) = core.artifacts(task=task_id)
        assert artifact.content["parts"] == task["artifacts"][0]["parts"]


async def test_the_config_outlives_a_restart(
    home: Home, push_agent: AgentProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(following, "NET_SECONDS", 3600.0)
    async with gateway(home) as (core, service):
        core.add("worker", push_agent)
        task_id = await started(core, "worker", "stream 3 1")
        service.follow("worker", task_id)
        while not core.read(lambda tables: tables.push.list()):
            await anyio.sleep(0.02)
    async with gateway(home) as (core, service):
        # The gateway is at another address now: the agent is given a new config.
        assert (await service.wait("worker", task_id)).state == "completed"
        while service.count:
            await anyio.sleep(0.02)
        assert core.read(lambda tables: tables.push.list()) == ()
        assert (await core.one(c.PushList(agent="worker", task_id=task_id))).count == 0


async def test_the_public_url_is_that_of_the_configuration_as_it_is_now(home: Home) -> None:
    async with home.core() as core:
        callbacks = Callbacks(core.core)
        assert not callbacks.possible
        home.configure('[gateway]\npublic_base_url = "https://me.example"\n')
        core.core.settings = home.settings()
        assert callbacks.possible
