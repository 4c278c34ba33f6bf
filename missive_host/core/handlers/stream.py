"""`stream`: a message to an agent, and its updates as they happen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host import commands as c
from missive_host import outputs as o
from missive_host.core.following import Following
from missive_host.core.handlers.send import begin, prepare, record_failure
from missive_host.errors import A2AErrorInfo, ProtocolError

if TYPE_CHECKING:
    from missive_host.a2a.client import AgentClient
    from missive_host.core.core import Core, Emit


async def stream(core: Core, command: c.Stream, emit: Emit) -> None:
    exchange, request = prepare(core, command)
    await begin(core, exchange, request, "stream")
    following = Following(core, exchange, emit, requested=True)

    async def call(client: AgentClient) -> int:
        if not client.streaming and not command.force:
            raise _no_streaming(client)
        following.client = client
        if following.answered and exchange.task_id is not None:
            # The agent has moved in the middle of the stream. It has the message: only its task is taken up again.
            return 1 + await client.subscribe(exchange.task_id, following.take)
        exchange.attempted = True
        return await client.stream(request.body, following.take)

    try:
        resumed, client = await core.agents.calling(command.agent, call, binding=command.binding)
    except BaseException as error:
        if not following.answered:
            await record_failure(core, exchange, "stream", error)
        raise
    forced = command.force and not client.streaming
    await emit(o.Output(following.result(resumed, forced=forced, request=request.view), sequence=following.count))


def _no_streaming(client: AgentClient) -> ProtocolError:
    return ProtocolError(
        f"the card of agent '{client.alias}' does not offer streaming",
        help=f"use `missive send {client.alias} …`, or try all the same with --force",
        a2a=A2AErrorInfo(name="UnsupportedOperationError", code=-32004),
    )
