"""`push_create`, `push_get`, `push_list`, `push_delete` on real agents, over every binding."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.cores import BINDINGS
from support.misbehaving import reply
from support.secrets import planted

from missive_host import commands as c
from missive_host.errors import AuthError, ProtocolError, ValidationError

if TYPE_CHECKING:
    from support.cores import Commands, Home
    from support.misbehaving import Start

    from missive_host.demo.fleet import AgentProcess

pytestmark = pytest.mark.anyio

TOKEN = planted("push-token")
CREDENTIALS = planted("push-credentials")
URL = "http://127.0.0.1:9/hook"


async def started(core: Commands, agent: str, text: str) -> str:
    answer = await core.one(c.Send(agent=agent, message=text, return_immediately=True))
    assert isinstance(answer.response.task_id, str)
    return answer.response.task_id


@pytest.mark.parametrize("binding", BINDINGS)
async def test_the_life_of_a_config(home: Home, push_agent: AgentProcess, binding: str) -> None:
    home.environ.update(PUSH_TOKEN=TOKEN, PUSH_KEY=CREDENTIALS)
    async with home.core() as core:
        core.add("worker", push_agent, binding)
        task_id = await started(core, "worker", "ask")
        made = await core.one(
            c.PushCreate(
                agent="worker",
                task_id=task_id,
                url=URL,
                config_id="one",
                token_env="PUSH_TOKEN",
                auth_scheme="Bearer",
                auth_credentials_env="PUSH_KEY",
                metadata={"team": "a"},
            )
        )
        assert made.selected_interface.binding == binding
        assert (made.config.config_id, made.config.url, made.config.task_id) == ("one", URL, task_id)
        assert (made.config.has_token, made.config.auth_scheme, made.config.source) == (True, "Bearer", "operator")
        second = await core.one(c.PushCreate(agent="worker", task_id=task_id, url=URL + "2"))
        assert not second.config.has_token
        listed = await core.one(c.PushList(agent="worker", task_id=task_id))
        assert {view.config_id for view in listed.configs} == {"one", second.config.config_id}
        assert all(view.known_here for view in listed.configs)
        got = await core.one(c.PushGet(agent="worker", task_id=task_id, config_id="one"))
        assert got.config == made.config
        for config_id in ("one", second.config.config_id):
            await core.one(c.PushDelete(agent="worker", task_id=task_id, config_id=config_id))
        assert (await core.one(c.PushList(agent="worker", task_id=task_id))).count == 0
        assert core.read(lambda tables: tables.push.list()) == ()
        kinds = [row.event_type for row in core.events() if row.event_type.startswith("a2a.push.")]
        assert kinds == ["a2a.push.request", "a2a.push.create"] * 2 + ["a2a.push.delete"] * 2
        for secret in (TOKEN, CREDENTIALS):
            assert secret not in repr(core.read(lambda tables: tables.events.list()))
            assert secret.encode() not in b"".join(
                file.read_bytes() for file in core.core.store.path.parent.iterdir() if file.is_file()
            )


@pytest.mark.parametrize("binding", BINDINGS)
async def test_an_agent_of_0_3(home: Home, push_agent_03: AgentProcess, binding: str) -> None:
    home.environ.update(PUSH_TOKEN=TOKEN)
    async with home.core() as core:
        core.add("old", push_agent_03, binding)
        task_id = await started(core, "old", "ask")
        made = await core.one(
            c.PushCreate(agent="old", task_id=task_id, url=URL, config_id="one", token_env="PUSH_TOKEN")
        )
        assert (made.config.config_id, made.config.url, made.config.has_token) == ("one", URL, True)
        got = await core.one(c.PushGet(agent="old", task_id=task_id, config_id="one"))
        assert got.config.url == URL
        if binding == "http+json":  # the SDK's server of 0.3 has no way to delete over HTTP+JSON
            return
        assert (await core.one(c.PushList(agent="old", task_id=task_id))).count == 1
        await core.one(c.PushDelete(agent="old", task_id=task_id, config_id="one"))
        assert (await core.one(c.PushList(agent="old", task_id=task_id))).count == 0


async def test_an_agent_that_sends_none(home: Home, agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("worker", agent)
        task_id = await started(core, "worker", "ask")
        error = await core.fails(c.PushCreate(agent="worker", task_id=task_id, url=URL), ProtocolError)
        assert error.a2a is not None
        assert error.a2a.name == "PushNotificationNotSupportedError"
        assert core.read(lambda tables: tables.push.list()) == (), "what the agent did not take is not accepted later"


async def test_an_agent_that_deletes_without_a_word(home: Home, misbehaving: Start) -> None:
    server = misbehaving(reply(204, content_type=""), binding="HTTP+JSON")
    async with home.core() as core:
        core.add("terse", server.url)
        deleted = await core.one(c.PushDelete(agent="terse", task_id="t/1", config_id="a"))
        assert deleted.config_id == "a"
    (request,) = server.requests
    assert (request.method, request.target) == ("DELETE", "/tasks/t%2F1/pushNotificationConfigs/a")


async def test_what_is_refused(home: Home, push_agent: AgentProcess) -> None:
    async with home.core() as core:
        core.add("worker", push_agent)
        task_id = await started(core, "worker", "ask")
        await core.fails(c.PushCreate(agent="worker", task_id=task_id, url=URL, token_env="NOT_SET"), AuthError)
        await core.fails(c.PushCreate(agent="wroker", task_id=task_id, url=URL), ValidationError)
        await core.fails(c.PushCreate(agent="worker", task_id="unheard-of", url=URL), ProtocolError)
        await core.fails(c.PushGet(agent="worker", task_id=task_id, config_id="nope"), ProtocolError)
        with pytest.raises(ValueError, match="auth_scheme"):
            c.PushCreate(agent="worker", task_id=task_id, url=URL, auth_credentials_env="X")
