"""`send`: a message to an agent, and its answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import anyio
import msgspec

from missive_host import commands as c, outputs as o
from missive_host.a2a.parts import Request, build_request
from missive_host.a2a.shapes import Json, message_text, payload, state, task_text
from missive_host.core.views import given
from missive_host.errors import MissiveError, ValidationError

if TYPE_CHECKING:
    from missive_host.a2a.client import AgentClient
    from missive_host.core.core import Core, Emit
    from missive_host.core.recorder import Exchange

C = TypeVar("C", c.Send, c.Stream)


async def send(core: Core, command: c.Send, emit: Emit) -> None:
    if core.work is not None and core.work.attempt > 1:
        from missive_host.core.durable import chosen_before

        command = chosen_before(core, command)
    if addressed_to_group(command):
        from missive_host.routing.execution import route

        await route(core, command, emit)
    else:
        await emit(o.Output(await send_one(core, command)))


def addressed_to_group(command: c.Send | c.Stream) -> bool:
    """Tell whether a message goes to a group. Raises `ValidationError` if it is not clear where it goes."""
    if command.group is not None:
        for name in ("agent", "task"):
            if getattr(command, name) is not None:
                raise ValidationError(
                    f"fields `group` and `{name}` exclude each other", help="a policy chooses the agent, for a new task"
                )
        return True
    if command.agent is None:
        raise ValidationError("field `agent` is missing", help="name an agent, or a `group` of which one is chosen")
    for name in ("policy", "preferred_agent", "quorum"):
        if getattr(command, name) is not None:
            raise ValidationError(f"field `{name}` needs a `group`", help="to one agent there is nothing to choose")
    if command.requirements != c.Requirements():
        raise ValidationError("field `requirements` needs a `group`", help="to one agent there is nothing to choose")
    return False


def to_one(command: C, agent: str) -> C:
    """Return a command for one agent."""
    return msgspec.structs.replace(
        command, agent=agent, group=None, policy=None, preferred_agent=None, quorum=None, requirements=c.Requirements()
    )


async def send_one(core: Core, command: c.Send) -> o.SendResult:
    """Send to one agent, and return its answer once it is written down."""
    if core.work is not None and not command.return_immediately:
        from missive_host.core.durable import send_durably

        return await send_durably(core, command)
    exchange, request = prepare(core, command)
    await begin(core, exchange, request, "send")

    async def call(client: AgentClient) -> Json:
        exchange.attempted = True
        return await client.send(request.body)

    try:
        with exchange.about():
            answer, client = await core.agents.calling(exchange.agent, call, binding=command.binding)
    except BaseException as error:
        await record_failure(core, exchange, "send", error)
        raise
    persistence = await core.recorder.answered(exchange, answer, client.interface)
    return send_result(core, exchange.agent, request, answer, client, persistence)


def prepare(core: Core, command: c.Send | c.Stream) -> tuple[Exchange, Request]:
    """Find the conversation and build the request; nothing is sent or written yet."""
    assert command.agent is not None
    exchange = core.recorder.plan(command, core.message_id(command.agent))
    exchange.work_id = core.work.work_id if core.work is not None else None
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


def send_result(
    core: Core, agent: str, request: Request, answer: Json, client: AgentClient, persistence: o.Persistence
) -> o.SendResult:
    """Return the document of an answer."""
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
        message = f"agent '{agent}' answered with task {value['id']}: {view.state}"
    else:
        view = o.ResponseView(
            shape="message",
            message_id=value["messageId"],
            context_id=given(value.get("contextId") or None),
            task_id=given(value.get("taskId") or None),
            text=given(message_text(value)),
            raw=value,
        )
        message = f"agent '{agent}' answered with a message"
    return o.SendResult(
        profile=core.profile,
        agent=agent,
        selected_interface=client.interface,
        request=request.view,
        response=view,
        persistence=persistence,
        message=message,
    )
