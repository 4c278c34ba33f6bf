"""Everything that happened to one thing: what belongs to it, as a tree in the order of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from missive_host.core.journal import words
from missive_host.core.views import given
from missive_host.errors import ValidationError
from missive_host.ids import derived_id
from missive_host.outputs_events import StepKind, TraceStep

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from missive_host.store import EventRow, MessageRow, Tables, WorkRow

SHORTEST_KEY = 8
"""Characters of an idempotency key by which a delivery can be found."""
_ROLES = ("", "reduce")
"""What messages for one piece of work there may be to the same agent."""


class Found(msgspec.Struct):
    """What an id stands for, and all that belongs to it."""

    kind: StepKind
    contexts: set[str] = msgspec.field(default_factory=set)
    tasks: set[tuple[str, str]] = msgspec.field(default_factory=set)
    """Agent and id."""
    messages: dict[tuple[str, str], MessageRow] = msgspec.field(default_factory=dict)
    """Requests, by agent and id."""
    works: dict[str, WorkRow] = msgspec.field(default_factory=dict)

    def take(self, rows: Iterable[MessageRow]) -> None:
        for row in rows:
            if row.direction == "request":
                self.messages[row.agent_alias, row.message_id] = row
                if row.task_id is not None:
                    self.tasks.add((row.agent_alias, row.task_id))


def find(tables: Tables, key: str) -> Found:
    """Return what an id stands for. Raises `ValidationError` if it is nothing's, or of several deliveries."""
    found = _work(tables, key) or _context(tables, key) or _task(tables, key) or _message(tables, key)
    if found is None and len(key) >= SHORTEST_KEY:
        rows = tables.work.by_key(key)
        if len(rows) > 1:
            raise ValidationError(
                f"the idempotency keys of several deliveries begin with '{key[:64]}'",
                help="one of the receipts: " + ", ".join(row.work_id for row in rows),
            )
        found = _work(tables, rows[0].work_id) if rows else None
    if found is None:
        raise ValidationError(
            f"nothing is known of '{key[:80]}'",
            help="it takes the id of a message, a task, a context, a job, a receipt, or the code in a chat;"
            " see `missive events list`",
        )
    return found


def _work(tables: Tables, key: str) -> Found | None:
    work = tables.work.get(key)
    if work is None:
        return None
    found = Found("job" if work.kind == "job" else "delivery", works={key: work})
    found.take(_messages_for(tables, work))
    if work.agent_alias is not None and work.task_id is not None:
        found.tasks.add((work.agent_alias, work.task_id))
    return found


def _messages_for(tables: Tables, work: WorkRow) -> Iterator[MessageRow]:
    """Yield the messages of a piece of work: their ids come from its own."""
    names = {agent.alias for agent in tables.agents.list()} | {work.agent_alias or ""}
    for alias in sorted(names - {""}):
        for role in _ROLES:
            row = tables.messages.find(alias, derived_id(work.work_id, "message", role, alias))
            if row is not None:
                yield row


def _context(tables: Tables, key: str) -> Found | None:
    context = tables.contexts.get(key) or next(iter(tables.contexts.list(name=key)), None)
    if context is None:
        return None
    found = Found("context", contexts={context.context_id})
    found.take(tables.messages.list(context=context.context_id))
    found.tasks |= {(row.agent_alias, row.task_id) for row in tables.tasks.list(context=context.context_id).tasks}
    found.works = {row.work_id: row for row in tables.work.list(context=context.context_id)}
    return found


def _task(tables: Tables, key: str) -> Found | None:
    owners = tables.tasks.owners(key)
    if not owners:
        return None
    found = Found("task", tasks={(owner, key) for owner in owners})
    for owner in owners:
        found.take(tables.messages.list(agent=owner, task=key))
    contexts = {row.context_id for owner in owners if (row := tables.tasks.find(owner, key))} - {None}
    found.works = _works_of(tables, found, contexts)
    return found


def _message(tables: Tables, key: str) -> Found | None:
    rows = tables.messages.with_id(key)
    if not rows:
        return None
    found = Found("message")
    found.take(rows)
    if not found.messages:  # one that an agent wrote outside of an answer: what it wrote it for is shown
        for row in rows:
            if row.task_id is not None:
                found.take(tables.messages.list(agent=row.agent_alias, task=row.task_id))
    found.works = _works_of(tables, found, {row.context_id for row in rows} - {None})
    return found


def _works_of(tables: Tables, found: Found, contexts: set[str | None]) -> dict[str, WorkRow]:
    """Return the work in these contexts that the messages were sent for."""
    ids = {message_id for _, message_id in found.messages}
    rows = [row for context in contexts for row in tables.work.list(context=context)]
    return {row.work_id: row for row in rows if any(one.message_id in ids for one in _messages_for(tables, row))}


# --- the tree


class _Node:
    """A step and what belongs to it."""

    def __init__(self, step: TraceStep) -> None:
        self.step = step
        self.below: list[_Node] = []

    @property
    def order(self) -> tuple[str, int]:
        sequence = self.step.sequence
        return self.step.at, sequence if isinstance(sequence, int) else 0

    def flat(self, depth: int = 0) -> Iterator[TraceStep]:
        yield msgspec.structs.replace(self.step, depth=depth)
        for node in sorted(self.below, key=lambda each: each.order):
            yield from node.flat(depth + 1)


def steps(tables: Tables, found: Found) -> tuple[TraceStep, ...]:
    """Return all that happened as a tree: each step with its depth, what came first before what came later."""
    top: list[_Node] = []
    works = {work_id: _work_node(work) for work_id, work in found.works.items()}
    top += works.values()
    messages: dict[str, _Node] = {}
    tasks: dict[tuple[str, str], _Node] = {}
    for row in found.messages.values():
        node = messages[row.message_id] = _Node(_message_step(row))
        for work in found.works.values():
            if any(row.message_id == derived_id(work.work_id, "message", role, row.agent_alias) for role in _ROLES):
                works[work.work_id].below.append(node)
                break
        else:
            top.append(node)
        if row.task_id is not None:
            tasks.setdefault((row.agent_alias, row.task_id), node)
    for event in _events(tables, found):
        _place(event, top, works, messages, tasks)
    return tuple(step for node in sorted(top, key=lambda each: each.order) for step in node.flat())


def _place(
    event: EventRow,
    top: list[_Node],
    works: dict[str, _Node],
    messages: dict[str, _Node],
    tasks: dict[tuple[str, str], _Node],
) -> None:
    """Put an event below what it belongs to."""
    node = _Node(
        TraceStep(
            depth=0,
            at=event.timestamp,
            kind="event",
            what=event.event_type,
            says=words(event.payload),
            agent=given(event.agent_alias),
            sequence=event.sequence,
        )
    )
    work = works.get(str(event.payload.get("work_id") or event.payload.get("job_id")))
    message = messages.get(event.message_id or "")
    if message is not None or work is not None:
        (message or work).below.append(node)  # type: ignore[union-attr]
    elif event.agent_alias is not None and event.task_id is not None:
        key = event.agent_alias, event.task_id
        if key not in tasks:
            step = TraceStep(depth=0, at=event.timestamp, kind="task", what="task", agent=key[0], id=key[1])
            tasks[key] = _Node(step)
            top.append(tasks[key])
        tasks[key].below.append(node)
    else:
        top.append(node)


def _events(tables: Tables, found: Found) -> tuple[EventRow, ...]:
    events: dict[int, EventRow] = {}

    def take(rows: Iterable[EventRow]) -> None:
        events.update((row.sequence, row) for row in rows)

    for context in found.contexts:
        take(tables.events.list(context=context))
    if found.kind != "message":
        for agent, task_id in found.tasks:
            take(tables.events.list(agent=agent, task=task_id))
    take(tables.events.of_messages([message_id for _, message_id in found.messages]))
    for work_id, work in found.works.items():
        take(tables.events.of_work(work_id, since=work.accepted_at))
    return tuple(events[sequence] for sequence in sorted(events))


def _work_node(work: WorkRow) -> _Node:
    thing: StepKind = "job" if work.kind == "job" else "delivery"
    through = "" if work.kind == "job" else f" through {work.adapter}"
    node = _Node(
        TraceStep(
            depth=0,
            at=work.accepted_at,
            kind=thing,
            what=f"{thing}{through}: {work.command}",
            says=f"{work.state}, {work.attempts} of {work.max_attempts} attempts",
            agent=given(work.agent_alias),
            id=work.work_id,
        )
    )
    error = (work.error or {}).get("message", "")
    for at, what, says in (
        (work.finished_at, work.state, error),
        (work.run_at if work.state == "ready" and work.attempts else None, "to be tried again", error),
        (work.delivered_at, "answer delivered", ""),
    ):
        if at is not None:
            node.below.append(_Node(TraceStep(depth=0, at=at, kind=thing, what=what, says=str(says))))
    return node


def _message_step(row: MessageRow) -> TraceStep:
    return TraceStep(
        depth=0,
        at=row.created_at,
        kind="message",
        what=f"message to {row.agent_alias}: {row.status}",
        says=words({"message": row.content}),
        agent=row.agent_alias,
        id=row.message_id,
    )
