"""The receiver of push notifications: real agents that push, and strangers that try to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest
from push_kit import CREDENTIALS, TOKEN, post, receiving, started
from support.cores import BINDINGS
from support.secrets import planted

from missive_host import commands as c
from missive_host.gateway.push import REJECTIONS_A_MINUTE, SharedSecret
from missive_host.security.secrets import Secret

if TYPE_CHECKING:
    from support.cores import Commands, Home

    from missive_host.demo.fleet import AgentProcess

pytestmark = pytest.mark.anyio


def pushes(core: Commands) -> list[str]:
    rows = core.read(lambda tables: tables.events.list(source="gateway:push"))
    return [row.event_type.removeprefix("a2a.push.") for row in rows]


@pytest.mark.parametrize("binding", BINDINGS)
@pytest.mark.parametrize("proof", ["token", "authorization"])
async def test_an_agent_pushes(home: Home, push_agent: AgentProcess, binding: str, proof: str) -> None:
    home.environ.update(PUSH_TOKEN=TOKEN, PUSH_KEY=CREDENTIALS)
    secrets: dict[str, Any] = (
        {"token_env": "PUSH_TOKEN"}
        if proof == "token"
        else {"auth_scheme": "Bearer", "auth_credentials_env": "PUSH_KEY"}
    )
    async with home.core() as core, receiving(core) as (receiver, url):
        core.add("worker", push_agent, binding)
        task_id = await started(core, "worker", "stream 3 0.2")
        await core.one(c.PushCreate(agent="worker", task_id=task_id, url=url, **secrets))
        while core.task(task_id).state != "completed":
            await anyio.sleep(0.02)
        row = core.task(task_id)
        assert row.source == "gateway"
        assert receiver.rejected == 0
        assert {"status_update", "artifact_update"} <= set(pushes(core))
        assert "push" in {message.direction for message in core.messages(task=task_id)}
        assert core.artifacts(task=task_id)
        assert len(core.read(lambda tables: tables.contexts.list())) == 1, "it stays in its context"


async def test_an_agent_of_0_3_pushes_its_task(home: Home, push_agent_03: AgentProcess) -> None:
    home.environ.update(PUSH_TOKEN=TOKEN)
    async with home.core() as core, receiving(core) as (receiver, url):
        core.add("old", push_agent_03)
        task_id = await started(core, "old", "sleep 0.5")
        await core.one(c.PushCreate(agent="old", task_id=task_id, url=url, token_env="PUSH_TOKEN"))
        while core.task(task_id).state != "completed":
            await anyio.sleep(0.02)
        assert receiver.rejected == 0


async def prepared(core: Commands, agent: AgentProcess, url: str, alias: str = "worker", **fields: Any) -> str:
    """Register the agent, begin a task that waits, and make a config for it; return the task's id."""
    core.add(alias, agent)
    task_id = await started(core, alias, "ask")
    fields = fields or {"token_env": "PUSH_TOKEN"}
    await core.one(c.PushCreate(agent=alias, task_id=task_id, url=url, config_id=f"of-{alias}", **fields))
    return task_id


def update(task_id: str, state: str = "COMPLETED", **more: Any) -> dict[str, Any]:
    return {"statusUpdate": {"taskId": task_id, "status": {"state": f"TASK_STATE_{state}"}, **more}}


async def test_every_shape(home: Home, push_agent: AgentProcess) -> None:
    home.environ.update(PUSH_TOKEN=TOKEN)
    async with home.core() as core, receiving(core) as (_, url):
        task_id = await prepared(core, push_agent, url)
        context = core.task(task_id).remote_context_id
        part = {"text": "half"}
        artifact: dict[str, Any] = {"taskId": task_id, "artifact": {"artifactId": "a", "parts": [part]}}
        bodies: list[dict[str, Any]] = [
            {"artifactUpdate": {**artifact, "contextId": context}},
            {"artifactUpdate": {**artifact, "append": True}},
            {"message": {"messageId": "m1", "taskId": task_id, "role": "ROLE_AGENT", "parts": [{"text": "hello"}]}},
            update(task_id, "WORKING"),
            {"kind": "task", "id": task_id, "contextId": context, "status": {"state": "completed"}},  # 0.3
        ]
        for body in bodies:
            answer = await post(url + "/of-worker", body, x_a2a_notification_token=TOKEN)
            assert answer.status_code == 202, answer.text
            assert answer.json()["ok"] is True
        assert pushes(core) == ["artifact_update", "artifact_update", "message", "status_update", "task"]
        (row,) = core.artifacts(task=task_id)
        assert [item["text"] for item in row.content["parts"]] == ["half", "half"]
        assert "m1" in {row.message_id for row in core.messages(task=task_id)}
        assert core.task(task_id).state == "completed"
        whole = {"task": {"id": task_id, "status": {"state": "TASK_STATE_COMPLETED"}}}
        again = await post(url, whole, content_type="application/a2a+json", x_a2a_notification_token=TOKEN)
        assert again.status_code == 202


async def test_what_comes_twice_is_taken_once(home: Home, push_agent: AgentProcess) -> None:
    home.environ.update(PUSH_TOKEN=TOKEN)
    async with home.core() as core, receiving(core) as (_, url):
        task_id = await prepared(core, push_agent, url)
        chunk = {"artifactUpdate": {"taskId": task_id, "artifact": {"artifactId": "a", "parts": [{"text": "x"}]},
                                    "append": True}}  # fmt: skip
        first = await post(url, chunk, x_a2a_notification_token=TOKEN)
        second = await post(url, chunk, x_a2a_notification_token=TOKEN)
        assert (first.status_code, second.status_code) == (202, 200)
        assert second.json()["duplicate"] is True
        (artifact,) = core.artifacts(task=task_id)
        assert len(artifact.content["parts"]) == 1
        assert pushes(core) == ["artifact_update"]


async def test_what_is_refused(home: Home, push_agent: AgentProcess) -> None:
    home.environ.update(PUSH_TOKEN=TOKEN, PUSH_OTHER=planted("other-push-token"))
    async with home.core() as core, receiving(core, max_body=4096) as (receiver, url):
        task_id = await prepared(core, push_agent, url)
        other = await prepared(core, push_agent, url, "other", token_env="PUSH_OTHER")
        good = {"x_a2a_notification_token": TOKEN}
        cases: list[tuple[int, str, str, Any, dict[str, str]]] = [
            (401, "auth_failed", "", update(task_id), {}),
            (401, "auth_failed", "", update(task_id), {"x_a2a_notification_token": "wrong"}),
            (401, "auth_failed", "", update(task_id), {"authorization": f"Bearer {TOKEN}"}),
            (401, "auth_failed", "", update("unheard-of"), good),
            # The token of one agent's config proves nothing about the task of another.
            (401, "auth_failed", "", update(other), good),
            (401, "auth_failed", "/of-other", update(task_id), good),
            (400, "invalid_a2a_identifiers", "/of-worker", update(other), good),
            (400, "invalid_a2a_identifiers", "", update(task_id, contextId="of-somebody-else"), good),
            (401, "auth_failed", "/no-such-config", update(task_id), good),
            (400, "invalid_json", "", b"{", good),
            (400, "invalid_json", "", b"\xff\xfe", good),
            (400, "invalid_a2a_stream_response", "", [1], good),
            (400, "invalid_a2a_stream_response", "", {"statusUpdate": {}}, good),
            (400, "invalid_a2a_stream_response", "", {"hello": "world"}, good),
            (413, "body_too_large", "", b" " * 5000, good),
            (415, "unsupported_media_type", "", update(task_id), {**good, "content_type": "text/plain"}),
        ]
        for status, code, path, body, headers in cases:
            answer = await post(url + path, body, **headers)
            assert (answer.status_code, answer.json()["error"]) == (status, code), (path, body, answer.text)
            assert TOKEN not in answer.text
        assert "completed" not in {core.task(task_id).state, core.task(other).state}
        assert pushes(core) == ["rejected"] * len(cases)
        assert receiver.rejected == len(cases)
        assert (receiver.accepted, core.artifacts()) == (0, ())
        # The journal takes only so many.
        for _ in range(REJECTIONS_A_MINUTE + 10):
            await post(url, b"{")
        assert len(pushes(core)) <= 2 * REJECTIONS_A_MINUTE
        # A config that has been deleted proves nothing any more.
        await core.one(c.PushDelete(agent="worker", task_id=task_id, config_id="of-worker"))
        assert (await post(url, update(task_id), **good)).status_code == 401
        assert TOKEN not in repr(core.read(lambda tables: tables.events.list()))


async def test_a_config_without_a_secret_proves_nothing(home: Home, push_agent: AgentProcess) -> None:
    async with home.core() as core, receiving(core) as (_, url):
        task_id = await prepared(core, push_agent, url, metadata={"a": 1})
        assert (await post(url + "/of-worker", update(task_id))).status_code == 401


async def test_a_shared_secret(home: Home, push_agent: AgentProcess) -> None:
    shared = SharedSecret("X-Hook", "none-of-them", Secret("s3cret-of-the-hook"))
    async with home.core() as core, receiving(core, shared=shared) as (_, url):
        task_id = await prepared(core, push_agent, url, metadata={"a": 1})
        plain = await started(core, "worker", "ask")
        for headers in ({}, {"x_hook": "s3cret-of-the-hook"}, {"x_hook": "none-of-them wrong"}):
            assert (await post(url, update(task_id), **headers)).status_code == 401
        good = {"x_hook": "none-of-them s3cret-of-the-hook"}
        assert (await post(url, update(task_id), **good)).status_code == 202
        assert (await post(url, update(plain), **good)).status_code == 202, "a task of one agent only"
        assert (await post(url, update("unheard-of"), **good)).status_code == 401
        assert {core.task(task_id).state, core.task(plain).state} == {"completed"}


async def test_who_goes_away_in_the_middle_is_no_error(home: Home, caplog: pytest.LogCaptureFixture) -> None:
    async with home.core() as core, receiving(core) as (receiver, url):
        place = httpx.URL(url)
        assert place.port is not None
        async with await anyio.connect_tcp(place.host, place.port) as stream:
            head = f"POST {place.path} HTTP/1.1\r\nHost: {place.host}\r\nContent-Type: application/json\r\n"
            await stream.send(f"{head}Content-Length: 100\r\n\r\n{{".encode())
            await anyio.sleep(0.2)
        await anyio.sleep(0.2)
        assert (await post(url, {})).status_code == 400
        assert receiver.rejected == 1
        assert "ClientDisconnect" not in caplog.text
