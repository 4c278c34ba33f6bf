"""Asking a member's agent for its answer.

A member whose answer never reached us, because missive was killed or the connection broke, may be at work all the
same: its task is looked for among those of the agent by the messageId of the request, which the agent keeps in the
task's history.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from missive_host.a2a.shapes import Json
from missive_host.errors import ProtocolError
from missive_host.ids import now
from missive_host.store.rows import MessageRow

if TYPE_CHECKING:
    from missive_host.a2a.client import AgentClient
    from missive_host.collectives.answers import Answer
    from missive_host.collectives.members import Member
    from missive_host.core.core import Core
    from missive_host.outputs import SelectedInterface
    from missive_host.store import Tables

PAGE = 50
PAGES = 10
"""How many of an agent's newest tasks are searched for a lost one: as many pages of so many."""
HISTORY = 20
"""How many messages of each: the request is the first that a task has."""


async def ask(
    core: Core, context_id: str, member: Member, answer: Answer, *, by: str, history_length: int | None = None
) -> SelectedInterface | None:
    """Ask the agent how it stands with the member's task, and keep what it says.

    Returns the interface that was used; None if there is nothing to ask for. `by` is for the journal. Raises
    `MissiveError`.
    """
    task = answer.task
    if task is not None:
        task_id = task.task_id
        seen, client = await core.agents.calling(member.agent, lambda client: client.get_task(task_id, history_length))
        await core.recorder.observed(member.agent, seen, client.interface, observed_by=by)
        return client.interface
    return await _look_for(core, context_id, member, answer, by)


async def _look_for(core: Core, context_id: str, member: Member, answer: Answer, by: str) -> SelectedInterface | None:
    request = answer.request
    remote = core.store.read(lambda tables: tables.contexts.remote_of(context_id, member.agent))
    if (request is None and remote is None) or (request is not None and request.status == "failed"):
        return None
    query: Json = {"pageSize": PAGE, "historyLength": HISTORY}
    if remote is not None:
        query["contextId"] = remote

    async def look(client: AgentClient) -> Json | None:
        page = query
        for _ in range(PAGES):
            answer = await client.list_tasks(page)
            for task in answer.get("tasks", ()):
                if request is None or _belongs(task, request):
                    found: Json = task
                    return found
            if not answer.get("nextPageToken"):
                break
            page = {**query, "pageToken": answer["nextPageToken"]}
        return None

    try:
        found, client = await core.agents.calling(member.agent, look)
    except ProtocolError as error:
        if error.a2a is not None and error.a2a.name in ("UnsupportedOperationError", "MethodNotFoundError"):
            return None  # an agent that cannot list its tasks, as those of A2A 0.3
        raise
    if found is None:
        return client.interface
    lost, theirs = found, found.get("contextId")

    def write(tables: Tables) -> None:
        if theirs and remote is None:
            tables.contexts.bind_remote(context_id, member.agent, theirs)
        message_id = request.message_id if request is not None else None
        core.recorder.store_observed(
            tables, member.agent, lost, client.interface, observed_by=by, message_id=message_id
        )
        if request is not None:
            tables.messages.settle_request(member.agent, request.message_id, "sent", at=now(), task_id=lost["id"])

    await core.commit(write)
    return client.interface


def _belongs(task: Json, request: MessageRow) -> bool:
    """Whether a task was made of this request."""
    return any(message.get("messageId") == request.message_id for message in task.get("history") or ())
