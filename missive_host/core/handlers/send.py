"""`send`: a message to an agent, and its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from missive_host import commands as c
from missive_host import outputs as o
from missive_host.a2a.parts import Request, build_request
from missive_host.a2a.shapes import Json, message_text, payload, state, task_text
from missive_host.core.views import given
from missive_host.errors import MissiveError

if TYPE_CHECKING:
    from missive_host.a2a.client import AgentClient
    from missive_host.core.core import Core, Emit
    from missive_host.core.recorder import Exchange


async def send(core: Core, command: c.Send, emit: Emit) -> None:
    exchange, request = prepare(core, command)
    await begin(core, exchange, request, "send")

    async def call(client: AgentClient) -> Json:
        exchange.attempted = True
        return await client.send(request.body)

    try:
        answer, client = await core.agents.calling(command.agent, call, binding=command.binding)
    except BaseException as error:
        await record_failure(core, exchange, "send", error)
        raise
    persistence = await core.recorder.answered(exchange, answer, client.interface)
    await emit(o.Output(_result(core, command, request, answer, client, persistence)))


def prepare(core: Core, command: c.Send | c.Stream) -> tuple[Exchange, Request]:
    """Find the conversation and build the request; nothing is sent or written yet."""
    exchange = core.recorder.plan(command)
    core.agents.learn_secrets(exchange.agent)  # before anything is written down
    request = build_request(
        command,
        message_id=exchange.message_id,
        context_id=exchange.remote_context_id,
        task_id=exchange.task_id,
        max_bytes=core.settings.config.qos.request_bytes,
        files=core.files,
    )
    return exchange, request


async def begin(core: Core, exchange: Exchange, request: Request, kind: str) -> None:
    """Write the request down. If we are cancelled meanwhile, it is written all the same, and so is its end."""
    try:
        await core.recorder.request(exchange, request, kind)
    except MissiveError:
        raise  # refused or impossible: nothing was written
    except BaseException as error:
        await record_failure(core, exchange, kind, error)
        raise


async def record_failure(core: Core, exchange: Exchange, kind: str, error: BaseException) -> None:
    """Write down what became of a request, even when we are being cancelled."""
    with anyio.CancelScope(shield=True):
        await core.recorder.failed(exchange, kind, error if isinstance(error, MissiveError) else None)


def _result(
    core: Core, command: c.Send, request: Request, answer: Json, client: AgentClient, persistence: o.Persistence
) -> o.SendResult:
    name, value = payload(answer)
    if name == "task":
        view = o.ResponseView(
            shape="task",
            task_id=value["id"],
            context_id=given(value.get("contextId") or None),
            state=state(value.get("status")),
            text=given(task_text(value)),
            raw=value,
        )
        message = f"agent '{command.agent}' answered with task {value['id']}: {view.state}"
    else:
        view = o.ResponseView(
            shape="message",
            message_id=value["messageId"],
            context_id=given(value.get("contextId") or None),
            task_id=given(value.get("taskId") or None),
            text=given(message_text(value)),
            raw=value,
        )
        message = f"agent '{command.agent}' answered with a message"
    return o.SendResult(
        profile=core.profile,
        agent=command.agent,
        selected_interface=client.interface,
        request=request.view,
        response=view,
        persistence=persistence,
        message=message,
    )
