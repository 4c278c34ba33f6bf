"""`stream`: a message to an agent, and its updates as they happen."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from missive_host import commands as c, outputs as o
from missive_host.core.following import Following
from missive_host.core.handlers.send import addressed_to_group, begin, prepare, record_failure, send_one
from missive_host.errors import A2AErrorInfo, MissiveError, ProtocolError

if TYPE_CHECKING:
    from missive_host.a2a.client import AgentClient
    from missive_host.a2a.parts import Request
    from missive_host.a2a.shapes import Json
    from missive_host.core.core import Core, Emit
    from missive_host.core.recorder import Exchange


async def stream(core: Core, command: c.Stream, emit: Emit) -> None:
    if core.work is not None and core.work.attempt > 1:
        from missive_host.core.durable import chosen_before

        command = chosen_before(core, command)
    if addressed_to_group(command):
        from missive_host.routing.execution import route

        await route(core, command, emit)
    elif command.fallback and not command.force and not await _offers_streaming(core, command):
        await emit(o.Output(await send_one(core, _as_send(command))))
    else:
        result = await stream_one(core, command, emit)
        await emit(o.Output(result, sequence=result.event_count))


async def _offers_streaming(core: Core, command: c.Stream) -> bool:
    """Tell whether the agent's card offers streaming; True if there is no card, which the stream then says better."""
    assert command.agent is not None
    try:
        client = await core.agents.client(command.agent, command.binding)
    except MissiveError:
        return True
    return bool(client.streaming)


def _as_send(command: c.Stream) -> c.Send:
    return c.Send(**{name: getattr(command, name) for name in c.Send.__struct_fields__ if hasattr(command, name)})


async def stream_one(core: Core, command: c.Stream, emit: Emit) -> o.StreamResult:
    """Stream from one agent."""
    exchange, request = prepare(core, command)
    following = Following(core, exchange, emit, requested=True)
    if core.work is not None and core.work.attempt > 1:
        from missive_host.core.durable import recall

        answer = recall(core, exchange)
        if answer is not None:
            following.take_up(core.work.outputs)
            following.client = await core.agents.client(exchange.agent, command.binding)
            await following.take(answer)
            if following.ended:
                return following.result(0, forced=False, request=request.view)
            return await stream_on(core, command, exchange, request, following)
    await begin(core, exchange, request, "stream")
    return await stream_on(core, command, exchange, request, following)


async def stream_on(
    core: Core,
    command: c.Stream,
    exchange: Exchange,
    request: Request,
    following: Following,
    *,
    on_event: Callable[[Json], Awaitable[None]] | None = None,
) -> o.StreamResult:
    """Stream a request that is written down. With `on_event`, which is called before each event is written down,
    the caller also counts the call as in flight by himself.
    """

    async def take(event: Json) -> None:
        if on_event is not None:
            await on_event(event)
        await following.take(event)

    async def call(client: AgentClient) -> int:
        if not client.streaming and not command.force:
            raise _no_streaming(client)
        following.client = client
        if following.answered and exchange.task_id is not None:
            # The agent has moved in the middle of the stream. It has the message: only its task is taken up again.
            return 1 + await client.subscribe(exchange.task_id, take)
        exchange.attempted = True
        return await client.stream(request.body, take)

    try:
        with exchange.about():
            resumed, client = await core.agents.calling(
                exchange.agent, call, binding=command.binding, counted=on_event is not None
            )
    except BaseException as error:
        if not following.answered:
            await record_failure(core, exchange, "stream", error)
        raise
    forced = command.force and not client.streaming
    return following.result(resumed, forced=forced, request=request.view)


def _no_streaming(client: AgentClient) -> ProtocolError:
    return ProtocolError(
        f"the card of agent '{client.alias}' does not offer streaming",
        help=f"use `missive send {client.alias} …`, or try all the same with --force",
        a2a=A2AErrorInfo(name="UnsupportedOperationError", code=-32004),
    )
