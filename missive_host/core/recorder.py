"""What is written down of every exchange with an agent, and when.

The request is committed before the first attempt (status ``pending``), its fate after the last; an answer is
committed before it is handed on. Each commit holds the rows and the journal event of one step, so that rows and
journal always agree.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET

from missive_host.a2a.shapes import EVENT_TYPES, Json, payload
from missive_host.core.keeping import put_message, put_task, put_update
from missive_host.core.views import given
from missive_host.errors import DeadlineError, MissiveError, ProtocolError, TransportError
from missive_host.ids import new_id, now
from missive_host.outputs import Persistence
from missive_host.store.events import new_event_id
from missive_host.store.rows import EventRow, MessageRow
from missive_host.telemetry import about, current_trace

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from missive_host.a2a.parts import Request
    from missive_host.commands import Send, Stream
    from missive_host.core.core import Core
    from missive_host.outputs import SelectedInterface
    from missive_host.store import ContextRow, Tables

JOURNAL_RAW = 4096
"""Base64 characters of a ``raw`` part that the journal keeps; of more it keeps the digest."""

NOT_KEPT = {"kept": False}
"""Metadata of a chunk of an artifact that somebody else appends."""


def journal_event(
    event_type: str,
    *,
    source: str,
    agent_alias: str | None = None,
    context_id: str | None = None,
    task_id: str | None = None,
    message_id: str | None = None,
    work_id: str | None = None,
    payload: Json,
    metadata: Json | None = None,
    at: str | None = None,
) -> EventRow:
    """Return an event of the journal with an id of its own, and that of the trace that it belongs to; `at` is its time,
    else now.

    `metadata` has what was written into the tables and cannot be told from the payload.
    """
    trace = current_trace()
    return EventRow(
        event_id=new_event_id(event_type),
        timestamp=at or now(),
        source=source,
        event_type=event_type,
        agent_alias=agent_alias,
        context_id=context_id,
        task_id=task_id,
        message_id=message_id,
        work_id=work_id,
        payload=payload,
        metadata={**(metadata or {}), **({} if trace is None else {"trace_id": trace.trace_id})},
    )


def context_created(context: ContextRow) -> EventRow:
    """Return the event of a context that was made before anything was said in it."""
    told = {"name": context.name, "parent_context_id": context.parent_context_id, "summary": context.summary}
    return journal_event(
        "missive.context.created",
        source="core",
        agent_alias=context.agent_alias,
        context_id=context.context_id,
        payload={key: value for key, value in told.items() if value is not None},
        metadata={"row": {"metadata": context.metadata}},
        at=context.created_at,
    )


class Exchange(msgspec.Struct):
    """One message on its way to an agent, and the conversation that it belongs to."""

    agent: str
    message_id: str
    context_id: str | None = None
    """The local context; None until the agent's answer tells which conversation this is."""
    remote_context_id: str | None = None
    task_id: str | None = None
    attempted: bool = False
    """Set when the first attempt begins: before it nothing can have reached the agent."""
    work_id: str | None = None
    """The work that it is done for."""
    is_all: bool = True
    """It is all that is done for the work, whose row then tells its agent, context and task."""

    def about(self) -> AbstractContextManager[None]:
        """Let the lines of the log say which message it is that they are about."""
        return about(
            agent=self.agent, message_id=self.message_id or None, context_id=self.context_id, task_id=self.task_id
        )


class Road(msgspec.Struct, frozen=True):
    """How events come that nobody waits for, and how they are written down."""

    kind: str
    """The journal has them as ``a2a.<kind>.*``."""
    source: str
    direction: str
    """Of the messages that come with them."""


class Recorder:
    """Writes exchanges down."""

    def __init__(self, core: Core) -> None:
        self._core = core

    def plan(self, command: Send | Stream, message_id: str) -> Exchange:
        """Find the conversation that a message belongs to. Raises `ValidationError` if the agent is unknown."""
        assert command.agent is not None
        exchange = Exchange(agent=command.agent, message_id=message_id, task_id=command.task)
        return self._core.store.read(lambda tables: self._locate(tables, command, exchange))

    def _locate(self, tables: Tables, command: Send | Stream, exchange: Exchange) -> Exchange:
        agent = exchange.agent
        tables.agents.require(agent)
        if command.task is not None:
            task = tables.tasks.find(agent, command.task)
            if task is not None:
                exchange.context_id, exchange.remote_context_id = task.context_id, task.remote_context_id
        if command.context is not None:
            # An id, a name, or the agent's own contextId; an id that nobody knows begins a new context.
            known = tables.contexts.get(command.context) or next(iter(tables.contexts.list(name=command.context)), None)
            local = known.context_id if known else tables.contexts.local_of(agent, command.context)
            exchange.context_id = local or command.context
            exchange.remote_context_id = (
                tables.contexts.remote_of(exchange.context_id, agent) or exchange.remote_context_id
            )
        return exchange

    async def request(self, exchange: Exchange, request: Request, kind: str) -> None:
        """Commit the request before the first attempt. `kind` is ``send`` or ``stream``."""
        await self._core.commit(lambda tables: self.store_request(tables, exchange, request, kind))

    def store_request(self, tables: Tables, exchange: Exchange, request: Request, kind: str) -> None:
        """As `request`, within a commit of the caller's."""
        at = now()
        row = MessageRow(
            agent_alias=exchange.agent,
            message_id=exchange.message_id,
            direction="request",
            context_id=exchange.context_id,
            task_id=exchange.task_id,
            role="user",
            status="pending",
            content=request.message,
            metadata=request.view.metadata,
            created_at=at,
            updated_at=at,
        )
        if exchange.context_id is not None:
            tables.contexts.ensure(exchange.context_id, exchange.agent, at=at)
        tables.messages.add_request(row)
        tables.events.append(self._event(f"a2a.{kind}.request", exchange, request.body, at))

    async def failed(self, exchange: Exchange, kind: str, error: MissiveError | None) -> None:
        """Commit what became of a request that got no answer. No error: it was cut off."""
        await self._core.commit(lambda tables: self.store_failed(tables, exchange, kind, error))

    def store_failed(self, tables: Tables, exchange: Exchange, kind: str, error: MissiveError | None) -> None:
        """As `failed`, within a commit of the caller's."""
        status = "unknown" if exchange.attempted and _may_have_arrived(error) else "failed"
        report = msgspec.to_builtins(self._core.report(error)) if error is not None else None
        at = now()
        tables.messages.settle_request(exchange.agent, exchange.message_id, status, error=report, at=at)
        event = self._event(f"a2a.{kind}.failed", exchange, {"status": status, "error": report}, at)
        tables.events.append(event)

    async def answered(
        self,
        exchange: Exchange,
        answer: Json,
        interface: SelectedInterface,
        also: Callable[[Tables], None] | None = None,
    ) -> Persistence:
        """Commit the answer of a `send`, and what `also` writes with it; tell which rows of the answer were written."""
        at = now()
        answer = self._core.redactor.known(answer)  # an agent may send back what it was sent
        name, value = payload(answer)

        def write(tables: Tables) -> Persistence:
            self._join_context(tables, exchange, value.get("contextId"), at)
            if name == "task":
                exchange.task_id = value["id"]
            tables.messages.settle_request(
                exchange.agent,
                exchange.message_id,
                "sent",
                at=at,
                task_id=exchange.task_id,
                context_id=exchange.context_id,
                response_id=None if name == "task" else value["messageId"],
            )
            if exchange.work_id is not None and exchange.is_all:
                tables.work.note(
                    exchange.work_id, agent=exchange.agent, context_id=exchange.context_id, task_id=exchange.task_id
                )
            if name == "task":
                put_task(tables, exchange.agent, value, exchange.context_id, interface.protocol_version, at)
            else:
                put_message(tables, exchange, value, "response", at)
            event = self._event("a2a.send.response", exchange, answer, at)
            sequence = tables.events.append(event)
            if also is not None:
                also(tables)
            return Persistence(
                request_message_id=exchange.message_id,
                response_message_id=UNSET if name == "task" else value["messageId"],
                task_id=given(exchange.task_id) if name == "task" else UNSET,
                context_id=given(exchange.context_id),
                event_sequence=sequence,
                event_id=event.event_id,
            )

        return await self._core.commit(write)

    async def streamed(
        self, exchange: Exchange, event: Json, interface: SelectedInterface, *, first: bool
    ) -> Persistence:
        """Commit one event of a stream, before it is handed on; with the first one, that the request was taken."""
        at = now()
        event = self._core.redactor.known(event)
        name, value = payload(event)

        def write(tables: Tables) -> Persistence:
            self._join_context(tables, exchange, value.get("contextId"), at)
            message_id: str | None = None
            if name == "message":
                message_id = value["messageId"]
                put_message(tables, exchange, value, "stream_event", at)
            elif name == "task":
                exchange.task_id = value["id"]
                put_task(tables, exchange.agent, value, exchange.context_id, interface.protocol_version, at)
            else:
                exchange.task_id = value["taskId"]
                message_id = put_update(tables, exchange, name, value, interface.protocol_version, at)
            if first:
                tables.messages.settle_request(
                    exchange.agent,
                    exchange.message_id,
                    "sent",
                    at=at,
                    task_id=exchange.task_id,
                    context_id=exchange.context_id,
                    response_id=message_id if name == "message" else None,
                )
                if exchange.work_id is not None and exchange.is_all:
                    tables.work.note(
                        exchange.work_id, agent=exchange.agent, context_id=exchange.context_id, task_id=exchange.task_id
                    )
            row = self._event(f"a2a.stream.{EVENT_TYPES[name]}", exchange, event, at)
            return Persistence(
                context_id=given(exchange.context_id),
                message_id=given(message_id),
                event_sequence=tables.events.append(row),
                event_id=row.event_id,
            )

        return await self._core.commit(write)

    def store_received(
        self, tables: Tables, exchange: Exchange, event: Json, road: Road, *, version: str | None, whole: bool = True
    ) -> int | None:
        """Write down what came by a road of the gateway's; return its sequence, or None if it says nothing new.

        Not `whole`: an artifact's chunk is for the journal only, because somebody else appends it.
        """
        at = now()
        event = self._core.redactor.known(event)
        name, value = payload(event)
        before = exchange.context_id
        self._join_context(tables, exchange, value.get("contextId"), at)
        if name == "task":
            exchange.task_id = value["id"]
            changed = put_task(tables, exchange.agent, value, exchange.context_id, version, at, "gateway")
            if not changed and exchange.context_id == before:
                return None
        elif name == "message":
            put_message(tables, exchange, value, road.direction, at)
        else:
            exchange.task_id = value["taskId"]
            if whole or name == "statusUpdate":
                put_update(tables, exchange, name, value, version, at, "gateway", road.direction)
        row = self._event(f"a2a.{road.kind}.{EVENT_TYPES[name]}", exchange, event, at, road.source)
        return tables.events.append(
            row if whole else msgspec.structs.replace(row, metadata={**row.metadata, **NOT_KEPT})
        )

    async def observed(self, agent: str, task: Json, interface: SelectedInterface, *, observed_by: str) -> None:
        """Commit a task as the agent showed it. The journal is written only if it changed."""

        def write(tables: Tables) -> None:
            self.store_observed(tables, agent, task, interface, observed_by=observed_by)

        await self._core.commit(write)

    def store_observed(
        self,
        tables: Tables,
        agent: str,
        task: Json,
        interface: SelectedInterface,
        *,
        observed_by: str,
        message_id: str | None = None,
    ) -> None:
        """As `observed`, within a commit of the caller's. `message_id` is of a request that it was found to answer."""
        at = now()
        known = tables.tasks.find(agent, task["id"])
        context_id = known.context_id if known else None
        remote = task.get("contextId")
        if context_id is None and remote:
            context_id = tables.contexts.local_of(agent, remote)
            if context_id is None:
                context_id = new_id()
                tables.contexts.ensure(context_id, agent, at=at)
                tables.contexts.bind_remote(context_id, agent, remote)
        changed = put_task(tables, agent, task, context_id, interface.protocol_version, at)
        if changed or message_id is not None or (known is not None and known.context_id != context_id):
            tables.events.append(
                journal_event(
                    "a2a.task.updated",
                    source="core",
                    agent_alias=agent,
                    context_id=context_id,
                    task_id=task["id"],
                    message_id=message_id,
                    payload=journaled({"observed_by": observed_by, "task": task}),
                )
            )

    # ---

    def _join_context(self, tables: Tables, exchange: Exchange, remote: str | None, at: str) -> None:
        """Learn the agent's contextId: bind it to the local context, which is made now if there is none."""
        if not remote:
            return
        if exchange.context_id is None:
            known = tables.contexts.get(tables.contexts.local_of(exchange.agent, remote) or "")
            # A closed one takes nothing more, and the answer is here: an agent may use one contextId for everything.
            exchange.context_id = known.context_id if known is not None and known.state == "open" else new_id()
            tables.contexts.ensure(exchange.context_id, exchange.agent, at=at)
        # Also if it was known already: another process may have learned another one since, and the last one counts.
        tables.contexts.bind_remote(exchange.context_id, exchange.agent, remote)
        exchange.remote_context_id = remote

    def _event(self, event_type: str, exchange: Exchange, value: Json, at: str, source: str = "core") -> EventRow:
        return journal_event(
            event_type,
            source=source,
            agent_alias=exchange.agent,
            context_id=exchange.context_id,
            task_id=exchange.task_id,
            message_id=exchange.message_id or None,
            work_id=exchange.work_id,
            payload=self._core.redactor.json(journaled(value)),
            at=at,
        )


def _may_have_arrived(error: MissiveError | None) -> bool:
    """Whether an agent may be at work on a request that ended so. What it refused in A2A's words, it is not."""
    if error is None or isinstance(error, DeadlineError):
        return True
    if isinstance(error, TransportError):
        status = error.a2a.http_status if error.a2a is not None else None
        return error.sent and (status is None or status >= 500)
    if isinstance(error, ProtocolError):
        return error.a2a is None or error.a2a.name == "InvalidAgentResponseError"
    return False


_FOREIGN = frozenset({"data", "metadata"})


def journaled(value: Any) -> Any:
    """Return a payload for the journal: long ``raw`` parts by digest and length; the bytes are in the tables.

    What somebody else made, in ``data`` and ``metadata``, is left as it is.
    """
    if isinstance(value, dict):
        raw = value.get("raw")
        if isinstance(raw, str) and len(raw) > JOURNAL_RAW:
            known = value.get("metadata")
            digest = hashlib.sha256(raw.encode()).hexdigest()
            note = {"missive.raw": {"base64_sha256": digest, "base64_length": len(raw)}}
            value = {**value, "raw": "", "metadata": {**known, **note} if isinstance(known, dict) else note}
        return {key: item if key in _FOREIGN else journaled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [journaled(item) for item in value]
    return value
