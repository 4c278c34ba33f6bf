"""Messages of work that must survive a crash: sent so that the agent says at once that it has them, and then followed.

The first attempt writes the request down, sends it with ``returnImmediately`` (A2A spec 3.2.2) and commits the task
that comes back; from then on the task is followed. A later attempt finds what the earlier one has left: an answer is
given as it is, a task is followed, and only a request of which no answer is known is sent again, under the same
messageId.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace

from missive_host import outputs as o
from missive_host.a2a.shapes import SETTLED, Json, payload, state
from missive_host.commands import Send, Stream
from missive_host.core.handlers.send import begin, prepare, record_failure, send_result, to_one
from missive_host.core.views import given
from missive_host.ids import derived_id

if TYPE_CHECKING:
    from typing import TypeVar

    from missive_host.a2a.client import AgentClient
    from missive_host.core.core import Core
    from missive_host.core.recorder import Exchange
    from missive_host.store import Tables

    C = TypeVar("C", Send, Stream)

_ROLES = ("", "reduce")
"""What messages for one piece of work there may be to the same agent."""


async def send_durably(core: Core, command: Send) -> o.SendResult:
    """Send to one agent, and return its answer; a task is followed to its end. Raises `MissiveError`."""
    assert core.work is not None
    exchange, request = prepare(core, replace(command, return_immediately=True))
    known = recall(core, exchange) if core.work.attempt > 1 else None
    if known is None:
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
    else:
        answer, client = known, await core.agents.client(exchange.agent, command.binding)
        persistence = o.Persistence(
            request_message_id=exchange.message_id,
            task_id=given(exchange.task_id),
            context_id=given(exchange.context_id),
        )
    core.work.accepted = True
    name, value = payload(answer)
    if name == "task" and state(value.get("status")) not in SETTLED:
        answer, client = await follow(core, exchange, value["id"], binding=command.binding)
    return send_result(core, exchange.agent, request, answer, client, persistence)


async def follow(core: Core, exchange: Exchange, task_id: str, *, binding: str | None) -> tuple[Json, AgentClient]:
    """Follow a task until it has ended or waits for us, and return it as the store has it then."""

    async def call(client: AgentClient) -> None:
        async def take(event: Json) -> None:
            await core.recorder.streamed(exchange, event, client.interface, first=False)

        await client.subscribe(task_id, take)

    with exchange.about():
        _, client = await core.agents.calling(exchange.agent, call, binding=binding)
    task = core.store.read(lambda tables: stored_task(tables, exchange.agent, task_id))
    assert task is not None
    return {"task": task}, client


def recall(core: Core, exchange: Exchange) -> Json | None:
    """Return the agent's answer to the same message in an earlier attempt, or None if none is known.

    The exchange then knows the context and the task that came of it.
    """

    def read(tables: Tables) -> Json | None:
        row = tables.messages.find(exchange.agent, exchange.message_id)
        if row is None or row.status != "sent":
            return None
        exchange.context_id = row.context_id
        if row.context_id is not None:
            exchange.remote_context_id = tables.contexts.remote_of(row.context_id, exchange.agent)
        if row.response_id is not None:
            for direction in ("response", "stream_event"):
                found = tables.messages.find(exchange.agent, row.response_id, direction)
                if found is not None:
                    return {"message": found.content}
        if row.task_id is None:
            return None
        exchange.task_id = row.task_id
        task = stored_task(tables, exchange.agent, row.task_id)
        return None if task is None else {"task": task}

    answer = core.store.read(read)
    if answer is not None and core.work is not None:
        core.work.accepted = True
    return answer


def renamed_since(tables: Tables, work_id: str) -> dict[tuple[str, str], str]:
    """Return the messages that work has sent to agents which were renamed since, by their names now and the roles.

    Their ids were made of the names of then.
    """
    found: dict[tuple[str, str], str] = {}
    for event in tables.events.list(work=work_id, types=("a2a.*.request",)):
        for row in tables.messages.with_id(event.message_id or ""):
            if row.direction == "request" and row.agent_alias != event.agent_alias:
                for role in _ROLES:
                    if derived_id(work_id, "message", role, event.agent_alias or "") == row.message_id:
                        found[row.agent_alias, role] = row.message_id
    return found


def chosen_before(core: Core, command: C) -> C:
    """Return a message to a group as one to the agent that an earlier attempt has sent it to, if there is one.

    A policy may choose another agent each time; a message that one agent may have goes to no other.
    """
    work = core.work
    if work is None or work.attempt == 1 or command.group is None:
        return command
    group = command.group

    def read(tables: Tables) -> str | None:
        rows = [
            row
            for member in tables.groups.members(group)
            if (row := tables.messages.find(member.agent, core.message_id(member.agent))) is not None
        ]
        rows.sort(key=lambda row: (row.status != "sent", row.status != "pending", row.ordinal))
        return rows[0].agent_alias if rows and rows[0].status in ("sent", "pending") else None

    agent = core.store.read(read)
    if agent is None:
        return command
    return to_one(command, agent)


def stored_task(tables: Tables, agent: str, task_id: str) -> Json | None:
    """Return a task as the store has it, with its artifacts, in A2A's shape."""
    row = tables.tasks.find(agent, task_id)
    if row is None:
        return None
    artifacts = [artifact.content for artifact in tables.artifacts.list(agent=agent, task=task_id)]
    return {**row.task, "artifacts": artifacts} if artifacts else dict(row.task)
