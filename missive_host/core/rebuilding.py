"""The tables, made anew from the journal: each event is written into an empty store as it was into the real one.

The code is the one that wrote it, as far as that does not ask agents, clocks or policies. What the journal does not
tell in its payload is in the metadata of the event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from missive_host.a2a.shapes import EVENT_TYPES, Json, payload
from missive_host.core.keeping import put_message, put_task, put_update
from missive_host.core.recorder import Exchange
from missive_host.core.sessions import context_of
from missive_host.store.rows import (
    AgentRow,
    ContextRow,
    GroupRow,
    MemberRow,
    MessageRow,
    OperationMemberRow,
    OperationRow,
    PushConfigRow,
    ScheduleRow,
    SessionRow,
    TokenRow,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from missive_host.store import EventRow, Tables

_COLLECTIVES = frozenset(("bcast", "scatter", "barrier", "gather", "reduce", "allreduce"))
_ROADS = {
    "stream": ("remote", "stream_event"),
    "subscription": ("gateway", "stream_event"),
    "push": ("gateway", "push"),
}
"""By the middle of ``a2a.<road>.<what came>``: how it was seen, and the direction of messages that came with it."""


class Rebuilder:
    """Writes events into the tables of an empty store."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def apply(self, event: EventRow) -> None:
        """Write one event. Raises whatever the tables raise if it does not fit to what came before."""
        family, _, rest = event.event_type.partition(".")
        first, _, last = rest.partition(".")
        if family == "a2a":
            self._of_agent(event, first, last)
        elif first in _COLLECTIVES:
            self._collective(event, first, last)
        else:
            write: Callable[[EventRow], None] | None = getattr(self, "_" + rest.replace(".", "_"), None)
            if write is not None:
                write(event)

    # --- what was said to agents and by them

    def _of_agent(self, event: EventRow, road: str, what: str) -> None:
        if what == "request" and road in ("send", "stream"):
            self._request(event)
        elif what == "failed" and road in ("send", "stream"):
            self._settle(event, event.payload["status"], error=event.payload.get("error"))
        elif road == "send" and what == "response":
            name, value = self._join(event)
            self._settle(event, "sent", response_id=value["messageId"] if name == "message" else None)
            self._keep(event, name, value, "remote", "response")
        elif road == "task" and what == "updated":
            self._updated(event)
        elif road == "push" and what in ("request", "create", "withdrawn", "delete"):
            self._push(event, what)
        elif road in _ROADS and what in EVENT_TYPES.values():
            self._came(event, *_ROADS[road])

    def _request(self, event: EventRow) -> None:
        message = event.payload["message"]
        self._context(event)
        self._tables.messages.add_request(
            MessageRow(
                agent_alias=_agent(event),
                message_id=event.message_id or "",
                direction="request",
                context_id=event.context_id,
                task_id=event.task_id,
                role="user",
                content=message,
                metadata=message.get("metadata", {}),
                created_at=event.timestamp,
                updated_at=event.timestamp,
            )
        )

    def _settle(
        self, event: EventRow, status: str, *, error: Json | None = None, response_id: str | None = None
    ) -> None:
        sent = status == "sent"
        self._tables.messages.settle_request(
            _agent(event),
            event.message_id or "",
            status,
            at=event.timestamp,
            error=error,
            task_id=event.task_id if sent else None,
            context_id=event.context_id if sent else None,
            response_id=response_id,
        )

    def _join(self, event: EventRow) -> tuple[str, Json]:
        """Bind the context to the agent's own; return what came."""
        name, value = payload(event.payload)
        self._context(event)
        if event.context_id is not None and value.get("contextId"):
            self._tables.contexts.bind_remote(event.context_id, _agent(event), value["contextId"])
        return name, value

    def _came(self, event: EventRow, source: str, direction: str) -> None:
        name, value = self._join(event)
        request = self._tables.messages.find(_agent(event), event.message_id or "")
        if request is not None and request.status != "sent":
            self._settle(event, "sent", response_id=value["messageId"] if name == "message" else None)
        if event.metadata.get("kept", True) or name == "statusUpdate":
            self._keep(event, name, value, source, direction)

    def _keep(self, event: EventRow, name: str, value: Json, source: str, direction: str) -> None:
        agent, at = _agent(event), event.timestamp
        exchange = Exchange(
            agent=agent, message_id=event.message_id or "", context_id=event.context_id, task_id=event.task_id
        )
        if name == "task":
            put_task(self._tables, agent, value, event.context_id, None, at, source)
        elif name == "message":
            put_message(self._tables, exchange, value, direction, at)
        else:
            put_update(self._tables, exchange, name, value, None, at, source, direction)

    def _updated(self, event: EventRow) -> None:
        task = event.payload["task"]
        self._context(event)
        remote = task.get("contextId")
        if event.context_id and remote and self._tables.contexts.remote_of(event.context_id, _agent(event)) is None:
            self._tables.contexts.bind_remote(event.context_id, _agent(event), remote)
        put_task(self._tables, _agent(event), task, event.context_id, None, event.timestamp)
        if event.message_id is not None:
            self._settle(event, "sent")

    def _push(self, event: EventRow, what: str) -> None:
        ids = _agent(event), event.task_id or "", event.payload["config_id"]
        row = event.metadata.get("row")
        if row is not None:
            names = dict(zip(("agent_alias", "task_id", "config_id"), ids, strict=True))
            self._tables.push.put(PushConfigRow(**names, **row, created_at=event.timestamp))
        elif what != "create":
            self._tables.push.delete(*ids, at=event.timestamp)

    # --- contexts and sessions

    def _context(self, event: EventRow) -> None:
        """Make sure of the context in which something was said."""
        if event.context_id is None:
            return
        if self._tables.contexts.get(event.context_id) is None:
            self._tables.contexts.ensure(event.context_id, event.agent_alias, at=event.timestamp)
        self._tables.contexts.touch(event.context_id, at=event.timestamp)

    def _context_created(self, event: EventRow) -> None:
        row = {
            **event.payload,
            **event.metadata.get("row", {}),
            "context_id": event.context_id,
            "agent_alias": event.agent_alias,
            "created_at": event.timestamp,
            "updated_at": event.timestamp,
        }
        self._tables.contexts.create(msgspec.convert(row, ContextRow))

    def _context_closed(self, event: EventRow) -> None:
        self._context(event)
        self._tables.contexts.close(event.context_id or "", at=event.timestamp, summary=event.payload.get("summary"))

    def _session_started(self, event: EventRow) -> None:
        session = _session(event)
        self._tables.contexts.create(context_of(session, event.context_id or "", event.timestamp))
        self._tables.sessions.put(session)

    def _session_reset(self, event: EventRow) -> None:
        self._tables.sessions.put(msgspec.structs.replace(_session(event), context_id=None))

    # --- agents and groups

    def _agent_add(self, event: EventRow) -> None:
        self._tables.agents.add(_registration(event))

    def _agent_update(self, event: EventRow) -> None:
        self._tables.agents.update(_registration(event))

    def _agent_remove(self, event: EventRow) -> None:
        self._tables.agents.remove(_agent(event), purge=event.payload["purged"])

    def _agent_rename(self, event: EventRow) -> None:
        self._tables.agents.rename(event.payload["previous"], event.payload["alias"], at=event.timestamp)

    def _config_seeded(self, event: EventRow) -> None:
        times = {"created_at": event.timestamp, "updated_at": event.timestamp}
        agents = [
            msgspec.convert({"alias": alias, **row, **times}, AgentRow)
            for alias, row in event.metadata["agents"].items()
        ]
        groups = [
            (msgspec.convert(each["row"], GroupRow), [msgspec.convert(row, MemberRow) for row in each["members"]])
            for each in event.metadata["groups"].values()
        ]
        self._tables.agents.seed(agents)
        self._tables.groups.seed(groups)

    def _group_create(self, event: EventRow) -> None:
        row = {name: event.payload[name] for name in ("routing_policy", "notes", "metadata")}
        times = {"created_at": event.timestamp, "updated_at": event.timestamp}
        self._tables.groups.create(msgspec.convert({"name": event.payload["group"], **row, **times}, GroupRow))

    def _group_member_add(self, event: EventRow) -> None:
        names = ("group", "agent", "rank", "tags", "weight", "routing_metadata")
        row = {name: event.payload[name] for name in names}
        times = {"created_at": event.timestamp, "updated_at": event.timestamp}
        self._tables.groups.put_member(msgspec.convert({**row, **times}, MemberRow))

    def _group_member_remove(self, event: EventRow) -> None:
        self._tables.groups.remove_member(event.payload["group"], event.payload["agent"])

    def _group_rename(self, event: EventRow) -> None:
        self._tables.groups.rename(event.payload["previous_name"], event.payload["group"], event.timestamp)

    def _group_delete(self, event: EventRow) -> None:
        self._tables.groups.delete(event.payload["group"])

    def _route_planned(self, event: EventRow) -> None:
        policy = event.payload["plan"]["policy"]
        state = {name: value for name, value in event.metadata.items() if name == "state_sha256"}
        if state:  # without it the policy has kept nothing
            self._tables.routing.put_state(event.payload["group"], policy, state, event.timestamp)

    # --- collectives

    def _collective(self, event: EventRow, kind: str, what: str) -> None:
        operation_id, kept = event.payload["operation_id"], event.metadata
        if what == "started":
            row = OperationRow(
                operation_id=operation_id,
                kind=kind,
                group=event.payload["group"],
                context_id=event.context_id or "",
                created_at=event.timestamp,
                updated_at=event.timestamp,
            )
            self._tables.operations.create(row, [_member(event, each) for each in kept.get("rows", ())])
        elif what == "completed":
            if "message" in kept:
                self._tables.messages.add_response(msgspec.convert(kept["message"], MessageRow))
            document = {"document_sha256": kept.get("document_sha256")}
            self._tables.operations.finish(operation_id, event.payload["status"], document, event.timestamp)
        elif "row" in kept:
            self._tables.operations.put_member(_member(event, kept["row"]))

    # --- the gateway

    def _job_schedule_create(self, event: EventRow) -> None:
        row = event.metadata.get("row", {})
        about = {name: event.payload[name] for name in ("schedule_id", "kind", "expression", "command")}
        self._tables.schedules.put(
            ScheduleRow(
                **about,
                time_zone=row.get("time_zone"),
                request={"request_sha256": row.get("request_sha256")},
                created_at=event.timestamp,
                updated_at=event.timestamp,
            )
        )

    def _job_schedule_pause(self, event: EventRow) -> None:
        self._tables.schedules.move(event.payload["schedule_id"], None, at=event.timestamp, enabled=False)

    def _job_schedule_resume(self, event: EventRow) -> None:
        self._tables.schedules.move(event.payload["schedule_id"], None, at=event.timestamp)

    def _job_schedule_delete(self, event: EventRow) -> None:
        self._tables.schedules.delete(event.payload["schedule_id"])

    def _token_create(self, event: EventRow) -> None:
        about = {name: event.payload[name] for name in ("name", "commands", "agents", "expires_at")}
        # Its digest is not in the journal; it only has to be another one for each.
        row = msgspec.convert({**about, "token_sha256": event.event_id, "created_at": event.timestamp}, TokenRow)
        self._tables.tokens.put(row, replace=True)

    def _token_revoke(self, event: EventRow) -> None:
        self._tables.tokens.revoke(event.payload["name"], at=event.timestamp)


def _agent(event: EventRow) -> str:
    return event.agent_alias or ""


def _registration(event: EventRow) -> AgentRow:
    row: dict[str, Any] = {
        "alias": event.payload["alias"],
        "base_url": event.payload["base_url"],
        "tags": event.payload["tags"],
        **event.metadata.get("row", {}),
        "created_at": event.timestamp,
        "updated_at": event.timestamp,
    }
    return msgspec.convert(row, AgentRow)


def _session(event: EventRow) -> SessionRow:
    names = ("session_id", "adapter", "source_id", "resume_name", "target")
    return SessionRow(
        **{name: event.payload[name] for name in names},
        context_id=event.context_id,
        created_at=event.timestamp,
        last_active_at=event.timestamp,
    )


def _member(event: EventRow, row: Json) -> OperationMemberRow:
    return OperationMemberRow(operation_id=event.payload["operation_id"], updated_at=event.timestamp, **row)
