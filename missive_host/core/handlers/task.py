"""Tasks: those known here, and what their agents say of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import anyio
import msgspec
from msgspec import UNSET

from missive_host import commands as c, outputs as o
from missive_host.a2a.shapes import SETTLED, Json, wire_state
from missive_host.commands import duration_seconds
from missive_host.core.following import Following
from missive_host.core.recorder import Exchange
from missive_host.core.views import given, task_view
from missive_host.errors import (
    AuthRequiredError,
    DeadlineError,
    InputRequiredError,
    MissiveError,
    OrchestrationError,
    TaskCancelledError,
    TaskFailedError,
    TransportError,
    ValidationError,
)
from missive_host.store.values import normal_time

if TYPE_CHECKING:
    from missive_host.a2a.client import AgentClient
    from missive_host.core.core import Core, Emit
    from missive_host.store import Tables
    from missive_host.store.rows import TaskRow

WAIT_SECONDS = 30.0
INTERVAL = 1.0
MAX_INTERVAL = 5.0
MAX_PAGE = 100
"""The most that A2A lets one ask for at once (A2A spec 3.1.4)."""


async def task_get(core: Core, command: c.TaskGet, emit: Emit) -> None:
    if command.remote:
        agent = owner(core, command.task_id, command.agent)
        task, client = await core.agents.calling(
            agent, lambda client: client.get_task(command.task_id, command.history_length)
        )
        await core.recorder.observed(agent, task, client.interface, observed_by="task_get")
        interface = client.interface
    view = _stored(core, command.task_id, command.agent)
    if command.task_source is not None and view.source != command.task_source:
        raise ValidationError(f"task '{command.task_id}' was last seen by the road '{view.source}'")
    if command.history_length is not None and isinstance(view.raw_task, dict):
        history = view.raw_task.get("history", [])[-command.history_length :] if command.history_length else []
        view = msgspec.structs.replace(view, raw_task={**view.raw_task, "history": history})
    await emit(
        o.Output(
            o.TaskGetResult(
                profile=core.profile,
                source="remote" if command.remote else "local",
                task=view,
                selected_interface=interface if command.remote else UNSET,
                message=f"task {view.task_id} of agent '{view.agent}': {view.state}",
            )
        )
    )


async def task_list(core: Core, command: c.TaskList, emit: Emit) -> None:
    filters = {
        name: value
        for name in ("agent", "context", "state", "updated_after", "task_source")
        if (value := getattr(command, name)) is not None
    }
    after = normal_time(command.updated_after) if command.updated_after else None
    result = await _list_remote(core, command, after) if command.remote else _list_local(core, command, after)
    await emit(o.Output(msgspec.structs.replace(result, filters=filters)))


def _list_local(core: Core, command: c.TaskList, after: str | None) -> o.TaskListResult:
    def read(tables: Tables) -> o.TaskListResult:
        page = tables.tasks.list(
            agent=command.agent,
            context=command.context,
            state=command.state,
            updated_after=after,
            source=command.task_source,
            page_size=command.page_size,
            page_token=command.page_token,
        )
        return o.TaskListResult(
            profile=core.profile,
            source="local",
            filters={},
            count=len(page.tasks),
            tasks=tuple(_view(tables, row, raw=False, artifacts=command.include_artifacts) for row in page.tasks),
            next_page_token=given(page.next_page_token),
            page_size=given(command.page_size),
            total_size=page.total,
            message=_counted(len(page.tasks), "known here"),
        )

    return core.store.read(read)


async def _list_remote(core: Core, command: c.TaskList, after: str | None) -> o.TaskListResult:
    agent = command.agent
    if agent is None:
        raise ValidationError(
            "field `agent` is missing: `remote` asks one agent", help="name the agent, or leave `remote` out"
        )
    request: Json = {}
    if command.context:
        remote = core.store.read(lambda tables: tables.contexts.remote_of(command.context or "", agent))
        request["contextId"] = remote or command.context
    if command.state:
        request["status"] = wire_state(command.state)
    if after:
        request["statusTimestampAfter"] = after
    if command.page_size:
        request["pageSize"] = min(command.page_size, MAX_PAGE)
    if command.page_token:
        request["pageToken"] = command.page_token
    if command.history_length is not None:
        request["historyLength"] = command.history_length
    if command.include_artifacts:
        request["includeArtifacts"] = True
    answer, client = await core.agents.calling(agent, lambda client: client.list_tasks(request))
    tasks: list[Json] = answer.get("tasks", [])

    def write(tables: Tables) -> tuple[o.TaskView, ...]:
        for task in tasks:
            core.recorder.store_observed(tables, agent, task, client.interface, observed_by="task_list")
        return tuple(
            _view(tables, tables.tasks.get(task["id"], agent), raw=False, artifacts=command.include_artifacts)
            for task in tasks
        )

    views = await core.commit(write)
    return o.TaskListResult(
        profile=core.profile,
        source="remote",
        filters={},
        count=len(views),
        tasks=views,
        selected_interface=client.interface,
        next_page_token=given(answer.get("nextPageToken") or None),
        page_size=given(answer.get("pageSize")),
        total_size=given(answer.get("totalSize")),
        message=_counted(len(views), f"listed by agent '{agent}'"),
    )


async def task_cancel(core: Core, command: c.TaskCancel, emit: Emit) -> None:
    agent = owner(core, command.task_id, command.agent)
    task, client = await core.agents.calling(agent, lambda client: client.cancel_task(command.task_id))
    await core.recorder.observed(agent, task, client.interface, observed_by="task_cancel")
    view = _stored(core, command.task_id, agent)
    await emit(
        o.Output(
            o.TaskCancelResult(
                profile=core.profile,
                agent=agent,
                task=view,
                selected_interface=client.interface,
                message=f"task {view.task_id} of agent '{agent}': {view.state}",
            )
        )
    )


async def task_subscribe(core: Core, command: c.TaskSubscribe, emit: Emit) -> None:
    agent = owner(core, command.task_id, command.agent)
    known = core.store.read(lambda tables: tables.tasks.find(agent, command.task_id))
    exchange = Exchange(
        agent=agent,
        message_id="",
        context_id=known.context_id if known else None,
        remote_context_id=known.remote_context_id if known else None,
        task_id=command.task_id,
    )
    following = Following(core, exchange, emit, requested=False)

    async def call(client: AgentClient) -> int:
        following.client = client
        return await client.subscribe(command.task_id, following.take)

    resumed, _ = await core.agents.calling(agent, call)
    await emit(o.Output(following.result(resumed, forced=False, request=None), sequence=following.count))


async def task_wait(core: Core, command: c.TaskWait, emit: Emit) -> None:
    """Poll until the task is settled. What fails on the way is tried again until the deadline."""
    agent = owner(core, command.task_id, command.agent)
    seconds = core.timeout_of(command) or WAIT_SECONDS
    interval = min(duration_seconds(command.interval) if command.interval else INTERVAL, MAX_INTERVAL)
    started = time.monotonic()
    attempts = 0
    view: o.TaskView | None = None
    failure: MissiveError | None = None
    interface: o.SelectedInterface | None = None
    with anyio.move_on_after(seconds) as scope:
        while True:
            attempts += 1
            try:
                if not command.local:
                    interface = await _refresh(core, agent, command)
                view, failure = _stored(core, command.task_id, agent), None
            except TransportError as error:
                failure = error
            if view is not None and failure is None and view.state in SETTLED:
                break
            await anyio.sleep(interval)
    timed_out = scope.cancelled_caught
    status = "timeout" if timed_out or view is None else view.state
    await emit(
        o.Output(
            o.TaskWaitResult(
                profile=core.profile,
                task_id=command.task_id,
                agent=agent,
                status=status,
                attempts=attempts,
                elapsed_ms=int((time.monotonic() - started) * 1000),
                timeout_ms=int(seconds * 1000),
                interval_ms=int(interval * 1000),
                timed_out=timed_out,
                selected_interface=given(interface),
                task=given(view),
                message=f"task {command.task_id} of agent '{agent}': {status}",
            )
        )
    )
    if timed_out and failure is not None:
        raise DeadlineError(
            f"task {command.task_id} could not be asked for within {seconds:g} s",
            help="the last try failed; see below",
            sources=(failure.message,),
        )
    raise_for_state(status, command.task_id, agent, seconds)


async def _refresh(core: Core, agent: str, command: c.TaskWait) -> o.SelectedInterface:
    task, client = await core.agents.calling(
        agent, lambda client: client.get_task(command.task_id, command.history_length)
    )
    await core.recorder.observed(agent, task, client.interface, observed_by="task_wait")
    return client.interface


def raise_for_state(status: str, task_id: str, agent: str, seconds: float) -> None:
    """Raise the error whose exit code tells how a wait ended; nothing for ``completed``."""
    show = f"`missive task get {task_id} --agent {agent}` shows it"
    outcomes: dict[str, tuple[type[OrchestrationError], str, str]] = {
        "failed": (TaskFailedError, "failed", show),
        "rejected": (TaskFailedError, "was rejected by the agent", show),
        "cancelled": (TaskCancelledError, "was cancelled", show),
        "timeout": (DeadlineError, f"had not ended after {seconds:g} s", "wait longer with --timeout"),
        "input_required": (
            InputRequiredError,
            "waits for an answer",
            f"`missive send {agent} ANSWER --task {task_id}`",
        ),
        "auth_required": (
            AuthRequiredError,
            "waits for an authorisation",
            f"give it, then `missive send {agent} MESSAGE --task {task_id}`",
        ),
    }
    if status in outcomes:
        error, sentence, help_ = outcomes[status]
        raise error(f"task {task_id} of agent '{agent}' {sentence}", help=help_)


def owner(core: Core, task_id: str, agent: str | None) -> str:
    """Return the agent that a task belongs to. Raises `ValidationError` if it must be said."""
    if agent is not None:
        core.agents.row(agent)
        return agent
    alias = core.store.read(lambda tables: tables.tasks.get(task_id).agent_alias)
    core.agents.row(alias)
    return alias


def _stored(core: Core, task_id: str, agent: str | None) -> o.TaskView:
    return core.store.read(lambda tables: _view(tables, tables.tasks.get(task_id, agent), raw=True, artifacts=True))


def _view(tables: Tables, row: TaskRow, *, raw: bool, artifacts: bool) -> o.TaskView:
    if artifacts:
        return task_view(row, tables.artifacts.list(agent=row.agent_alias, task=row.task_id), raw=raw)
    view = task_view(row, (), raw=raw)
    return msgspec.structs.replace(view, artifact_count=tables.artifacts.count(row.agent_alias, row.task_id))


def _counted(count: int, where: str) -> str:
    return f"{count} task{'s' if count != 1 else ''} {where}"
