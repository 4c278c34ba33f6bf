"""The receiver of push notifications on a real socket, for tests."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import httpx
from support.secrets import planted

from missive_host import commands as c
from missive_host.gateway.listener import HttpListener
from missive_host.gateway.push import PushReceiver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.cores import Commands

TOKEN = planted("push-token")
CREDENTIALS = planted("push-credentials")


@asynccontextmanager
async def receiving(core: Commands, **options: Any) -> AsyncIterator[tuple[PushReceiver, str]]:
    """Serve a receiver; yields it and its URL."""
    receiver = PushReceiver(core.core, **options)
    listener = HttpListener("127.0.0.1:0")
    async with anyio.create_task_group() as group:
        await group.start(listener.serve)
        with listener.mount(receiver.path, receiver.app()), anyio.fail_after(60):
            yield receiver, listener.url + receiver.path
        listener.stop()


async def started(core: Commands, agent: str, text: str) -> str:
    answer = await core.one(c.Send(agent=agent, message=text, return_immediately=True))
    assert isinstance(answer.response.task_id, str)
    return answer.response.task_id


async def post(url: str, body: Any, **headers: str) -> httpx.Response:
    """POST a notification. Header names are written with underscores."""
    given = {"content-type": "application/json", **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with httpx.AsyncClient(trust_env=False, verify=False) as http:
        if isinstance(body, bytes):
            return await http.post(url, content=body, headers=given)
        import json

        return await http.post(url, content=json.dumps(body), headers=given)
